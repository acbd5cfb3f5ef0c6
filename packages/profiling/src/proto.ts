/**
 * From stacks and values to a pprof file (profile.proto), with the conventions of Go's profiles:
 *
 *   - `runtime.goexit` is left out;
 *   - a location for each pc, its address the call's (return address - 1), one line each;
 *   - a function for each name and file, system name = name, start line where V8 tells it;
 *   - one mapping for the main module, marked as symbolised, so that no tool tries to symbolise it again;
 *   - strings and ids are numbered in the order of first use, so equal input gives equal bytes.
 */
import {
  Line,
  Location,
  Mapping,
  Function as PprofFunction,
  Profile,
  StringTable,
  ValueType,
} from "pprof-format";
import { ByteWriter } from "./byte-writer.ts";
import { unixNanos } from "./host.ts";
import { type PCTable, TEXT_START } from "./pc-table.ts";

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

/** Samples are written as bytes at once; 64 KiB hold a few thousand. */
const initialBytes = 64 * 1024;

/**
 * Builds one profile. Samples, of which there are many, are encoded as they are added; the tables around them are
 * few and encoded by pprof-format at the end. A protobuf message may be put together from pieces, so the file is just
 * one after the other.
 */
export class ProfileBuilder {
  private readonly strings = new StringTable();
  private readonly profile: Profile;
  private readonly locationOfFrame: number[] = [];
  private readonly functions = new Map<string, number>();
  private readonly samples = new ByteWriter(initialBytes);
  private readonly body = new ByteWriter(1024);
  private readonly label = new ByteWriter(64);

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
    const { body, table } = this;
    body.length = 0;
    const { goexit } = table;
    // Location ids and values are packed: their bytes, with the length before them.
    let mark = body.open(1);
    for (let i = 0; i < stack.length; i++) {
      if (stack[i] !== goexit) body.varint(this.location(stack[i]));
    }
    body.close(mark);
    mark = body.open(2);
    for (let i = 0; i < values.length; i++) body.varint(values[i]);
    body.close(mark);
    if (labels !== undefined) {
      for (const name of Object.keys(labels).sort()) this.addLabel(name, labels[name]);
    }
    this.samples.bytesField(2, body);
  }

  private addLabel(name: string, value: SampleLabels[string]): void {
    const { label, strings } = this;
    label.length = 0;
    label.varintField(1, strings.dedup(name));
    if (typeof value === "string") label.varintField(2, strings.dedup(value));
    else {
      const { num, unit } = typeof value === "object" ? value : { num: value, unit: undefined };
      label.varintField(3, num);
      if (unit !== undefined) label.varintField(4, strings.dedup(unit));
    }
    this.body.bytesField(3, label);
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

  /** The finished profile, not compressed. */
  build(): Uint8Array {
    const { profile, table, samples } = this;
    profile.mapping = [
      new Mapping({
        id: 1,
        memoryStart: TEXT_START,
        memoryLimit: table.textEnd,
        filename: this.strings.dedup(table.packages.mainModule ?? ""),
        hasFunctions: true,
        hasFilenames: true,
        hasLineNumbers: true,
        hasInlineFrames: true,
      }),
    ];
    const tables = profile.encode();
    const bytes = new Uint8Array(tables.length + samples.length);
    bytes.set(tables);
    bytes.set(samples.bytes.subarray(0, samples.length), tables.length);
    return bytes;
  }
}
