/**
 * A pprof file as objects that refer to each other: a sample has its locations, a location its lines, and a line its
 * function. Numbers beyond 2^53 are rounded.
 */

export interface ValueType {
  type: string;
  unit: string;
}

export interface PprofMapping {
  start: number;
  limit: number;
  offset: number;
  file: string;
  buildId: string;
  hasFunctions: boolean;
  hasFilenames: boolean;
  hasLineNumbers: boolean;
  hasInlineFrames: boolean;
}

export interface PprofFunction {
  name: string;
  systemName: string;
  file: string;
  startLine: number;
}

export interface PprofLine {
  function: PprofFunction;
  line: number;
  column: number;
}

export interface PprofLocation {
  mapping: PprofMapping | null;
  address: number;
  /** Inlined calls, innermost first; usually one. */
  lines: PprofLine[];
  isFolded: boolean;
}

export interface PprofLabel {
  key: string;
  /** The value, if it is a string. */
  str?: string;
  /** The value and its unit, if it is a number. */
  num?: number;
  unit?: string;
}

export interface PprofSample {
  /** Innermost first. */
  locations: PprofLocation[];
  /** One for each sample type. */
  values: number[];
  labels: PprofLabel[];
}

/** Samples that can be iterated any number of times. An array is one. */
export interface SampleList extends Iterable<PprofSample> {
  readonly length: number;
}

export interface PprofData {
  sampleTypes: ValueType[];
  /** The sample type that tools show. With "", tools take the last. */
  defaultSampleType: string;
  /** Each iteration over a decoded file makes new samples; locations stay the same objects. */
  samples: SampleList;
  mappings: PprofMapping[];
  periodType: ValueType;
  period: number;
  /** Nanoseconds since 1970. */
  timeNanos: bigint;
  /** Nanoseconds that the profile covers. */
  durationNanos: bigint;
  comments: string[];
  dropFrames: string;
  keepFrames: string;
  docUrl: string;
}

/** The index of a sample type by name, or of the default type. Throws a RangeError that lists the types. */
export function sampleIndex(profile: PprofData, name?: string): number {
  const types = profile.sampleTypes.map((t) => t.type);
  if (name === undefined) {
    const at = types.indexOf(profile.defaultSampleType);
    return at >= 0 ? at : types.length - 1;
  }
  const at = types.indexOf(name);
  if (at < 0)
    throw new RangeError(`pprof: sample type ${JSON.stringify(name)} isn't one of ${types.join(", ")}`);
  return at;
}

/** A frame's name as reports show it: the function's or, if it has none, the binary's, `[libc.so.6]`. */
export function frameName(location: PprofLocation, line: PprofLine | undefined): string {
  if (line !== undefined && line.function.name !== "") return line.function.name;
  const file = location.mapping?.file ?? "";
  return file === "" ? "<unknown>" : `[${baseName(file)}]`;
}

/** The last element of a path, as Go's filepath.Base finds it. */
export function baseName(path: string): string {
  const trimmed = path.replace(/[/\\]+$/, "");
  return trimmed.slice(Math.max(trimmed.lastIndexOf("/"), trimmed.lastIndexOf("\\")) + 1) || "/";
}

/** The sum of the absolute values of a sample type. */
export function profileTotal(profile: PprofData, sampleType?: string): number {
  const index = sampleIndex(profile, sampleType);
  let total = 0;
  for (const { values } of profile.samples) total += Math.abs(values[index]);
  return total;
}
