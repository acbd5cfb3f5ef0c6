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
import type { PprofData, PprofFunction, PprofLocation, PprofMapping, ValueType } from "./model.ts";

/** The profile as a file: gzipped, as tools expect it. */
export async function encodeProfile(data: PprofData): Promise<Uint8Array> {
  return gzip(encodeMessage(data));
}

/** The profile, not compressed. */
export function encodeMessage(data: PprofData): Uint8Array {
  const strings = new StringTable();
  const type = (t: ValueType) =>
    new PbValueType({ type: strings.dedup(t.type), unit: strings.dedup(t.unit) });
  const profile = new Profile({
    stringTable: strings,
    sampleType: data.sampleTypes.map(type),
    periodType: type(data.periodType),
    period: data.period,
    timeNanos: data.timeNanos,
    durationNanos: data.durationNanos,
    comment: data.comments.map((c) => strings.dedup(c)),
    dropFrames: strings.dedup(data.dropFrames),
    keepFrames: strings.dedup(data.keepFrames),
    defaultSampleType: strings.dedup(data.defaultSampleType),
    docUrl: strings.dedup(data.docUrl),
  });
  const mappings = new Map<PprofMapping, number>();
  const mappingId = (m: PprofMapping): number => {
    let id = mappings.get(m);
    if (id === undefined) {
      mappings.set(m, (id = mappings.size + 1));
      profile.mapping.push(
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
  };
  // The first mapping is the program's own: keep the order.
  for (const m of data.mappings) mappingId(m);
  const functions = new Map<PprofFunction, number>();
  const functionId = (f: PprofFunction): number => {
    let id = functions.get(f);
    if (id === undefined) {
      functions.set(f, (id = functions.size + 1));
      profile.function.push(
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
  };
  const locations = new Map<PprofLocation, number>();
  const locationId = (l: PprofLocation): number => {
    let id = locations.get(l);
    if (id === undefined) {
      locations.set(l, (id = locations.size + 1));
      profile.location.push(
        new Location({
          id,
          mappingId: l.mapping === null ? 0 : mappingId(l.mapping),
          address: l.address,
          line: l.lines.map(
            (line) =>
              new Line({ functionId: functionId(line.function), line: line.line, column: line.column }),
          ),
          isFolded: l.isFolded,
        }),
      );
    }
    return id;
  };

  const samples = new ByteWriter(64 * 1024);
  const body = new ByteWriter(1024);
  const label = new ByteWriter(64);
  for (const s of data.samples) {
    body.length = 0;
    let mark = body.open(1);
    for (const l of s.locations) body.varint(locationId(l));
    body.close(mark);
    mark = body.open(2);
    for (const v of s.values) body.varint(v);
    body.close(mark);
    for (const l of s.labels) {
      label.length = 0;
      label.varintField(1, strings.dedup(l.key));
      if (l.str !== undefined) label.varintField(2, strings.dedup(l.str));
      if (l.num !== undefined) label.varintField(3, l.num);
      if (l.unit !== undefined) label.varintField(4, strings.dedup(l.unit));
      body.bytesField(3, label);
    }
    samples.bytesField(2, body);
  }
  const tables = profile.encode();
  const bytes = new Uint8Array(tables.length + samples.length);
  bytes.set(tables);
  bytes.set(samples.bytes.subarray(0, samples.length), tables.length);
  return bytes;
}
