/**
 * From stacks and values to a pprof file (profile.proto), with the conventions of Go's profiles:
 *
 *   - `runtime.goexit` is left out;
 *   - each pc has a location with one line; its address is that of the call (return address - 1);
 *   - each name and file has a function; its system name is its name, and its start line is known if V8 knows it;
 *   - there is one mapping, for the main module, marked as symbolised, so that no tool symbolises it again;
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
import {
  LABEL_KEY,
  LABEL_NUM,
  LABEL_NUM_UNIT,
  LABEL_STR,
  PROFILE_SAMPLE,
  SAMPLE_LABEL,
  SAMPLE_LOCATION_ID,
  SAMPLE_VALUE,
} from "./pprof/schema.ts";

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

/** Initial size of the buffer for samples: 64 KiB hold a few thousand. */
const INITIAL_BYTES = 64 * 1024;

/**
 * Builds one profile. The samples are many, and encoded as they are added. The entries of the tables are few, and
 * pprof-format encodes them at the end. The concatenation of two protobuf messages is a message, so the file is the
 * tables and then the samples.
 */
export class ProfileBuilder {
  private readonly strings = new StringTable();
  private readonly profile: Profile;
  private readonly locationOfFrame: number[] = [];
  private readonly functions = new Map<string, number>();
  private readonly samples = new ByteWriter(INITIAL_BYTES);
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

  /** Adds a sample: frame numbers innermost first, without the first `skip`; a value for each sample type. */
  add(stack: ArrayLike<number>, values: readonly (number | bigint)[], labels?: SampleLabels, skip = 0): void {
    const { body, table } = this;
    body.length = 0;
    const { goexit } = table;
    // Location ids and values are packed: the length, then the numbers.
    let mark = body.open(SAMPLE_LOCATION_ID);
    for (let i = skip; i < stack.length; i++) {
      if (stack[i] !== goexit) body.varint(this.location(stack[i]));
    }
    body.close(mark);
    mark = body.open(SAMPLE_VALUE);
    for (let i = 0; i < values.length; i++) body.varint(values[i]);
    body.close(mark);
    if (labels !== undefined) {
      for (const name of Object.keys(labels).sort()) this.addLabel(name, labels[name]);
    }
    this.samples.bytesField(PROFILE_SAMPLE, body);
  }

  private addLabel(name: string, value: SampleLabels[string]): void {
    const { label, strings } = this;
    label.length = 0;
    label.varintField(LABEL_KEY, strings.dedup(name));
    if (typeof value === "string") label.varintField(LABEL_STR, strings.dedup(value));
    else {
      const { num, unit } = typeof value === "object" ? value : { num: value, unit: undefined };
      label.varintField(LABEL_NUM, num);
      if (unit !== undefined) label.varintField(LABEL_NUM_UNIT, strings.dedup(unit));
    }
    this.body.bytesField(SAMPLE_LABEL, label);
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
