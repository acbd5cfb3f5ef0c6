/** Writing pprof files from the model: ids and strings are numbered in the order of first use. */
import {
  Line,
  Location,
  Mapping,
  Function as PbFunction,
  ValueType as PbValueType,
  Profile,
  StringTable,
} from "pprof-format";
import { ByteWriter } from "../byte-writer.ts";
import { gzip } from "../writer.ts";
import type {
  PprofData,
  PprofFunction,
  PprofLabel,
  PprofLocation,
  PprofMapping,
  PprofSample,
  SampleList,
  ValueType,
} from "./model.ts";
import {
  LABEL_KEY,
  LABEL_NUM,
  LABEL_NUM_UNIT,
  LABEL_STR,
  PROFILE_SAMPLE,
  SAMPLE_LABEL,
  SAMPLE_LOCATION_ID,
  SAMPLE_VALUE,
} from "./schema.ts";

/** The profile as a file: gzipped, as tools expect it. */
export async function encodeProfile(data: PprofData): Promise<Uint8Array> {
  return gzip(encodeMessage(data));
}

/** The profile, not compressed. */
export function encodeMessage(data: PprofData): Uint8Array {
  const encoder = new Encoder(data);
  // The first mapping is the program's own: keep the order.
  for (const m of data.mappings) encoder.mappingId(m);
  const samples = encoder.samples(data.samples);
  const tables = encoder.profile.encode();
  const bytes = new Uint8Array(tables.length + samples.length);
  bytes.set(tables);
  bytes.set(samples.bytes.subarray(0, samples.length), tables.length);
  return bytes;
}

/** Numbers the entries of a profile. */
class Encoder {
  readonly profile: Profile;
  private readonly strings = new StringTable();
  private readonly mappings = new Map<PprofMapping, number>();
  private readonly functions = new Map<PprofFunction, number>();
  private readonly locations = new Map<PprofLocation, number>();
  private readonly body = new ByteWriter(1024);
  private readonly label = new ByteWriter(64);

  constructor(data: PprofData) {
    const { strings } = this;
    this.profile = new Profile({
      stringTable: strings,
      sampleType: data.sampleTypes.map((t) => this.valueType(t)),
      periodType: this.valueType(data.periodType),
      period: data.period,
      timeNanos: data.timeNanos,
      durationNanos: data.durationNanos,
      comment: data.comments.map((c) => strings.dedup(c)),
      dropFrames: strings.dedup(data.dropFrames),
      keepFrames: strings.dedup(data.keepFrames),
      defaultSampleType: strings.dedup(data.defaultSampleType),
      docUrl: strings.dedup(data.docUrl),
    });
  }

  private valueType({ type, unit }: ValueType): PbValueType {
    return new PbValueType({ type: this.strings.dedup(type), unit: this.strings.dedup(unit) });
  }

  mappingId(m: PprofMapping): number {
    const { mappings, strings } = this;
    let id = mappings.get(m);
    if (id === undefined) {
      mappings.set(m, (id = mappings.size + 1));
      this.profile.mapping.push(
        new Mapping({
          id,
          memoryStart: m.start,
          memoryLimit: m.limit,
          fileOffset: m.offset,
          filename: strings.dedup(m.file),
          buildId: strings.dedup(m.buildId),
          hasFunctions: m.hasFunctions,
          hasFilenames: m.hasFilenames,
          hasLineNumbers: m.hasLineNumbers,
          hasInlineFrames: m.hasInlineFrames,
        }),
      );
    }
    return id;
  }

  private functionId(f: PprofFunction): number {
    const { functions, strings } = this;
    let id = functions.get(f);
    if (id === undefined) {
      functions.set(f, (id = functions.size + 1));
      this.profile.function.push(
        new PbFunction({
          id,
          name: strings.dedup(f.name),
          systemName: strings.dedup(f.systemName),
          filename: strings.dedup(f.file),
          startLine: f.startLine,
        }),
      );
    }
    return id;
  }

  private locationId(l: PprofLocation): number {
    const { locations } = this;
    let id = locations.get(l);
    if (id === undefined) {
      locations.set(l, (id = locations.size + 1));
      this.profile.location.push(
        new Location({
          id,
          mappingId: l.mapping === null ? 0 : this.mappingId(l.mapping),
          address: l.address,
          line: l.lines.map(
            ({ function: fn, line, column }) => new Line({ functionId: this.functionId(fn), line, column }),
          ),
          isFolded: l.isFolded,
        }),
      );
    }
    return id;
  }

  /** Samples are many, so they are encoded without objects in between. */
  samples(list: SampleList): ByteWriter {
    const out = new ByteWriter(64 * 1024);
    for (const s of list) {
      this.sample(s);
      out.bytesField(PROFILE_SAMPLE, this.body);
    }
    return out;
  }

  private sample(s: PprofSample): void {
    const { body } = this;
    body.length = 0;
    let mark = body.open(SAMPLE_LOCATION_ID);
    for (const l of s.locations) body.varint(this.locationId(l));
    body.close(mark);
    mark = body.open(SAMPLE_VALUE);
    for (const v of s.values) body.varint(v);
    body.close(mark);
    for (const l of s.labels) this.sampleLabel(l);
  }

  private sampleLabel(l: PprofLabel): void {
    const { label, strings } = this;
    label.length = 0;
    label.varintField(LABEL_KEY, strings.dedup(l.key));
    if (l.str !== undefined) label.varintField(LABEL_STR, strings.dedup(l.str));
    if (l.num !== undefined) label.varintField(LABEL_NUM, l.num);
    if (l.unit !== undefined) label.varintField(LABEL_NUM_UNIT, strings.dedup(l.unit));
    this.body.bytesField(SAMPLE_LABEL, label);
  }
}
