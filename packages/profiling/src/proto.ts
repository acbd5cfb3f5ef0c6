/**
 * From stacks and values to a pprof file (profile.proto), with the conventions of Go's profiles:
 *
 *   - `runtime.goexit` is left out;
 *   - a location for each pc, its address the call's (return address - 1), one line each;
 *   - a function for each name and file, system name = name, start line where V8 tells it;
 *   - one mapping for the main module, marked as symbolised, so that no tool tries to symbolise it again;
 *   - equal samples (same stack, same labels) are added up;
 *   - strings and ids are numbered in the order of first use, so equal input gives equal bytes.
 */
import {
  Label,
  Line,
  Location,
  Mapping,
  Function as PprofFunction,
  Profile,
  Sample,
  StringTable,
  ValueType,
} from "pprof-format";
import { unixNanos } from "./host.ts";
import { type PCTable, textStart } from "./pctab.ts";

export interface ValueKind {
  type: string;
  unit: string;
}

/** Labels of a sample: strings, or numbers with an optional unit. */
export type SampleLabels = Readonly<Record<string, string | number | bigint | NumericLabel>>;

export interface NumericLabel {
  num: number | bigint;
  unit?: string;
}

export interface ProfileShape {
  sampleTypes: readonly ValueKind[];
  periodType: ValueKind;
  period: number | bigint;
  defaultSampleType?: string;
  /** Nanoseconds since 1970; default now. */
  timeNanos?: bigint;
  durationNanos?: bigint;
}

/** Builds one profile. */
export class ProfileBuilder {
  private readonly strings = new StringTable();
  private readonly profile: Profile;
  private readonly locationOfFrame: number[] = [];
  private readonly functions = new Map<string, number>();
  private readonly samples = new Map<string, Sample>();

  constructor(
    private readonly table: PCTable,
    shape: ProfileShape,
  ) {
    const type = ({ type, unit }: ValueKind) =>
      new ValueType({ type: this.strings.dedup(type), unit: this.strings.dedup(unit) });
    this.profile = new Profile({
      stringTable: this.strings,
      sampleType: shape.sampleTypes.map(type),
      periodType: type(shape.periodType),
      period: shape.period,
      timeNanos: shape.timeNanos ?? unixNanos(),
    });
    if (shape.durationNanos !== undefined) this.profile.durationNanos = shape.durationNanos;
    if (shape.defaultSampleType !== undefined) {
      this.profile.defaultSampleType = this.strings.dedup(shape.defaultSampleType);
    }
  }

  /** Adds a sample: frame numbers innermost first, a value for each sample type. */
  add(stack: ArrayLike<number>, values: readonly (number | bigint)[], labels?: SampleLabels): void {
    const locationId: number[] = [];
    let key = "";
    for (let i = 0; i < stack.length; i++) {
      if (stack[i] === this.table.goexit) continue;
      const id = this.location(stack[i]!);
      locationId.push(id);
      key += `${id},`;
    }
    const label: Label[] = [];
    if (labels !== undefined) {
      for (const name of Object.keys(labels).sort()) {
        const value = labels[name]!;
        if (typeof value === "string") {
          label.push(new Label({ key: this.strings.dedup(name), str: this.strings.dedup(value) }));
          key += `|${name}=${JSON.stringify(value)}`;
        } else {
          const { num, unit } = typeof value === "object" ? value : { num: value, unit: undefined };
          const numUnit = unit === undefined ? 0 : this.strings.dedup(unit);
          label.push(new Label({ key: this.strings.dedup(name), num, numUnit }));
          key += `|${name}:${num}${unit ?? ""}`;
        }
      }
    }
    const same = this.samples.get(key);
    if (same !== undefined) {
      for (let i = 0; i < values.length; i++) same.value[i] = addNumbers(same.value[i]!, values[i]!);
      return;
    }
    this.samples.set(key, new Sample({ locationId, value: [...values], label }));
  }

  private location(frame: number): number {
    const known = this.locationOfFrame[frame];
    if (known !== undefined) return known;
    const { table, profile } = this;
    const place = table.symbolize(frame);
    const func = this.function(frame, place.func, place.file);
    const id = profile.location.length + 1;
    profile.location.push(
      new Location({
        id,
        mappingId: 1,
        address: table.pcOf(frame) - 1,
        line: [new Line({ functionId: func, line: place.line })],
      }),
    );
    this.locationOfFrame[frame] = id;
    return id;
  }

  private function(frame: number, name: string, file: string): number {
    const key = `${name}\n${file}`;
    const known = this.functions.get(key);
    if (known !== undefined) return known;
    const id = this.profile.function.length + 1;
    const nameIndex = this.strings.dedup(name);
    this.profile.function.push(
      new PprofFunction({
        id,
        name: nameIndex,
        systemName: nameIndex,
        filename: this.strings.dedup(file),
        startLine: this.table.startLineOf(frame),
      }),
    );
    this.functions.set(key, id);
    return id;
  }

  /** The finished profile. */
  build(): Profile {
    const { profile, table } = this;
    profile.sample = [...this.samples.values()];
    profile.mapping = [
      new Mapping({
        id: 1,
        memoryStart: textStart,
        memoryLimit: table.textEnd,
        filename: this.strings.dedup(table.packages.mainModule ?? ""),
        hasFunctions: true,
        hasFilenames: true,
        hasLineNumbers: true,
        hasInlineFrames: true,
      }),
    ];
    return profile;
  }
}

function addNumbers(a: number | bigint, b: number | bigint): number | bigint {
  if (typeof a === "number" && typeof b === "number") return a + b;
  return BigInt(a) + BigInt(b);
}
