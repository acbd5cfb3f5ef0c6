/**
 * Reading pprof files.
 *
 * A file may come from anywhere, so nothing in it is believed before it is checked: a length is compared with what is
 * left before it is followed, ids and string numbers must exist, every sample must have a value for each type.
 * What is wrong is reported with its offset in the (unpacked) file. The work is linear in the bytes, and memory is
 * taken only for what was really there.
 */
import { builtin } from "../host.ts";
import { throughStream } from "../writer.ts";
import type {
  PprofData,
  PprofFunction,
  PprofLabel,
  PprofLine,
  PprofLocation,
  PprofMapping,
  PprofSample,
  ValueType,
} from "./model.ts";

/** What is wrong with a file, and where. */
export class ProfileFormatError extends Error {
  override readonly name = "ProfileFormatError";
  readonly code = "ERR_PPROF_FORMAT";
  constructor(
    /** The offset in the unpacked file. */
    readonly offset: number,
    readonly reason: string,
  ) {
    super(`pprof: offset ${offset}: ${reason}`);
  }
}

export interface DecodeOptions {
  /** The largest unpacked size in bytes; default 1 GiB. */
  maxBytes?: number;
}

const defaultMaxBytes = 1 << 30;

/** Reads a profile, gzipped or not. */
export async function decodeProfile(bytes: Uint8Array, options: DecodeOptions = {}): Promise<PprofData> {
  const max = options.maxBytes ?? defaultMaxBytes;
  const packed = bytes.length >= 2 && bytes[0] === 0x1f && bytes[1] === 0x8b;
  const raw = packed ? await gunzip(bytes, max) : bytes;
  if (raw.length > max)
    throw new ProfileFormatError(0, `the profile has ${raw.length} bytes, more than ${max}`);
  return decodeMessage(raw);
}

async function gunzip(bytes: Uint8Array, maxBytes: number): Promise<Uint8Array> {
  const fail = (error: unknown) => {
    const tooLong = (error as { code?: string }).code === "ERR_BUFFER_TOO_LARGE";
    const why = tooLong ? `the profile has more than ${maxBytes} bytes` : (error as Error).message;
    return new ProfileFormatError(0, `gzip: ${why}`);
  };
  const zlib = builtin("node:zlib");
  if (zlib !== undefined) {
    return new Promise((resolve, reject) => {
      zlib.gunzip(bytes, { maxOutputLength: maxBytes }, (error, raw) =>
        error ? reject(fail(error)) : resolve(raw),
      );
    });
  }
  try {
    return await throughStream(bytes, new DecompressionStream("gzip"), maxBytes);
  } catch (error) {
    throw fail(error);
  }
}

/** Walks the fields of one message. */
class Reader {
  field = 0;
  wire = 0;
  /** Where the present field began. */
  start = 0;
  /** Of a length-delimited field: its content. */
  from = 0;
  to = 0;
  private value = 0;
  /** The upper and lower 32 bits of the last number, for those that need all 64. */
  private hi = 0;
  private lo = 0;

  constructor(
    readonly bytes: Uint8Array,
    public at: number,
    readonly end: number,
  ) {}

  /** Goes to the next field; false at the end. */
  next(): boolean {
    if (this.at >= this.end) return false;
    this.start = this.at;
    const tag = this.varint();
    this.field = Math.floor(tag / 8);
    this.wire = tag % 8;
    if (!(this.field > 0 && this.field < 2 ** 29)) this.fail(`bad field number ${this.field}`);
    switch (this.wire) {
      case 0:
        this.value = this.varint();
        return true;
      case 1:
        return this.skip(8);
      case 2: {
        const length = this.varint();
        this.from = this.at;
        if (!(length >= 0 && length <= this.end - this.at)) {
          this.fail(
            `field ${this.field} of ${length} bytes ends after its message, which has ${this.end - this.at} left`,
          );
        }
        this.to = this.at = this.at + length;
        return true;
      }
      case 5:
        return this.skip(4);
      default:
        return this.fail(`bad wire type ${this.wire} of field ${this.field}`);
    }
  }

  private skip(n: number): boolean {
    if (n > this.end - this.at) this.fail(`field ${this.field} is cut off`);
    this.at += n;
    return true;
  }

  /** A number at the present place, as a signed 64-bit integer. */
  varint(): number {
    const { bytes, end } = this;
    const start = this.at;
    let at = start;
    let byte = 128;
    let lo = 0;
    let hi = 0;
    for (let shift = 0; byte >= 128; shift += 7) {
      if (at >= end) this.failAt(start, "a number is cut off");
      if (shift > 63) this.failAt(start, "a number has more than 10 bytes");
      byte = bytes[at++]!;
      const bits = byte & 127;
      if (shift < 28) lo |= bits << shift;
      else if (shift === 28) {
        lo |= bits << 28;
        hi = bits >>> 4;
      } else hi |= bits << (shift - 32);
    }
    this.at = at;
    this.lo = lo >>> 0;
    this.hi = hi | 0;
    return this.hi * 2 ** 32 + this.lo;
  }

  /** The present field as a number. */
  number(): number {
    if (this.wire !== 0) this.fail(`field ${this.field} should be a number`);
    return this.value;
  }

  bigint(): bigint {
    this.number();
    return BigInt.asIntN(64, (BigInt(this.hi) << 32n) | BigInt(this.lo));
  }

  /** An id: a positive number. */
  id(): number {
    const n = this.number();
    if (n <= 0) this.fail(`bad id ${n}`);
    return n;
  }

  /** The present field as a message. */
  message(): Reader {
    if (this.wire !== 2) this.fail(`field ${this.field} should be a message`);
    return new Reader(this.bytes, this.from, this.to);
  }

  /** The present field as numbers, packed or single. */
  numbers(into: number[]): void {
    if (this.wire === 0) {
      into.push(this.value);
      return;
    }
    const inner = this.message();
    while (inner.at < inner.end) into.push(inner.varint());
  }

  string(): string {
    if (this.wire !== 2) this.fail(`field ${this.field} should be a string`);
    return utf8.decode(this.bytes.subarray(this.from, this.to));
  }

  fail(reason: string): never {
    return this.failAt(this.start, reason);
  }

  private failAt(offset: number, reason: string): never {
    throw new ProfileFormatError(offset, reason);
  }
}

const utf8 = new TextDecoder();

/** Reads an unpacked profile. */
export function decodeMessage(bytes: Uint8Array): PprofData {
  if (bytes.length === 0) throw new ProfileFormatError(0, "an empty file is no profile");
  // Strings and tables may come after what refers to them: first the strings, then tables, then samples.
  const strings: string[] = [];
  for (const r = new Reader(bytes, 0, bytes.length); r.next(); ) {
    if (r.field === 6) strings.push(r.string());
  }
  if (strings.length === 0) throw new ProfileFormatError(0, "there are no strings: this is no profile");
  if (strings[0] !== "")
    throw new ProfileFormatError(0, `string 0 must be empty (got ${JSON.stringify(strings[0])})`);

  const str = (r: Reader): string => {
    const i = r.number();
    const s = strings[i];
    if (s === undefined) r.fail(`string ${i} doesn't exist, there are ${strings.length}`);
    return s!;
  };
  const valueType = (r: Reader): ValueType => {
    const t: ValueType = { type: "", unit: "" };
    for (const m = r.message(); m.next(); ) {
      if (m.field === 1) t.type = str(m);
      else if (m.field === 2) t.unit = str(m);
    }
    return t;
  };

  const mappings = new Map<number, PprofMapping>();
  const functions = new Map<number, PprofFunction>();
  const data: PprofData = {
    sampleTypes: [],
    defaultSampleType: "",
    samples: [],
    mappings: [],
    periodType: { type: "", unit: "" },
    period: 0,
    timeNanos: 0n,
    durationNanos: 0n,
    comments: [],
    dropFrames: "",
    keepFrames: "",
    docUrl: "",
  };
  for (const r = new Reader(bytes, 0, bytes.length); r.next(); ) {
    switch (r.field) {
      case 1:
        data.sampleTypes.push(valueType(r));
        break;
      case 3:
        addMapping(r, str, mappings);
        break;
      case 5:
        addFunction(r, str, functions);
        break;
      case 7:
        data.dropFrames = str(r);
        break;
      case 8:
        data.keepFrames = str(r);
        break;
      case 9:
        data.timeNanos = r.bigint();
        break;
      case 10:
        data.durationNanos = r.bigint();
        break;
      case 11:
        data.periodType = valueType(r);
        break;
      case 12:
        data.period = r.number();
        break;
      case 13: {
        const indexes: number[] = [];
        r.numbers(indexes);
        for (const i of indexes) {
          if (strings[i] === undefined) r.fail(`string ${i} doesn't exist, there are ${strings.length}`);
          data.comments.push(strings[i]!);
        }
        break;
      }
      case 14:
        data.defaultSampleType = str(r);
        break;
      case 15:
        data.docUrl = str(r);
        break;
    }
  }
  data.mappings = [...mappings.values()];

  const locations = new Map<number, PprofLocation>();
  for (const r = new Reader(bytes, 0, bytes.length); r.next(); ) {
    if (r.field === 4) addLocation(r, mappings, functions, locations);
  }
  for (const r = new Reader(bytes, 0, bytes.length); r.next(); ) {
    if (r.field === 2) data.samples.push(readSample(r, str, locations, data.sampleTypes.length));
  }
  return data;
}

function addMapping(r: Reader, str: (r: Reader) => string, mappings: Map<number, PprofMapping>): void {
  const mapping: PprofMapping = {
    start: 0,
    limit: 0,
    offset: 0,
    file: "",
    buildId: "",
    hasFunctions: false,
    hasFilenames: false,
    hasLineNumbers: false,
    hasInlineFrames: false,
  };
  let id = 0;
  for (const m = r.message(); m.next(); ) {
    if (m.field === 1) id = m.id();
    else if (m.field === 2) mapping.start = m.number();
    else if (m.field === 3) mapping.limit = m.number();
    else if (m.field === 4) mapping.offset = m.number();
    else if (m.field === 5) mapping.file = str(m);
    else if (m.field === 6) mapping.buildId = str(m);
    else if (m.field === 7) mapping.hasFunctions = m.number() !== 0;
    else if (m.field === 8) mapping.hasFilenames = m.number() !== 0;
    else if (m.field === 9) mapping.hasLineNumbers = m.number() !== 0;
    else if (m.field === 10) mapping.hasInlineFrames = m.number() !== 0;
  }
  addById(r, "mapping", mappings, id, mapping);
}

function addFunction(r: Reader, str: (r: Reader) => string, functions: Map<number, PprofFunction>): void {
  const fn: PprofFunction = { name: "", systemName: "", file: "", startLine: 0 };
  let id = 0;
  for (const m = r.message(); m.next(); ) {
    if (m.field === 1) id = m.id();
    else if (m.field === 2) fn.name = str(m);
    else if (m.field === 3) fn.systemName = str(m);
    else if (m.field === 4) fn.file = str(m);
    else if (m.field === 5) fn.startLine = m.number();
  }
  addById(r, "function", functions, id, fn);
}

function addLocation(
  r: Reader,
  mappings: ReadonlyMap<number, PprofMapping>,
  functions: ReadonlyMap<number, PprofFunction>,
  locations: Map<number, PprofLocation>,
): void {
  const location: PprofLocation = { mapping: null, address: 0, lines: [], isFolded: false };
  let id = 0;
  for (const m = r.message(); m.next(); ) {
    if (m.field === 1) id = m.id();
    else if (m.field === 2) {
      // 0 says that there is none.
      const mapping = m.number();
      location.mapping = mapping === 0 ? null : find(m, "mapping", mappings, mapping);
    } else if (m.field === 3) location.address = m.number();
    else if (m.field === 4) location.lines.push(readLine(m, functions));
    else if (m.field === 5) location.isFolded = m.number() !== 0;
  }
  addById(r, "location", locations, id, location);
}

function readLine(r: Reader, functions: ReadonlyMap<number, PprofFunction>): PprofLine {
  let fn: PprofFunction | null = null;
  let line = 0;
  let column = 0;
  for (const m = r.message(); m.next(); ) {
    if (m.field === 1) fn = find(m, "function", functions, m.number());
    else if (m.field === 2) line = m.number();
    else if (m.field === 3) column = m.number();
  }
  return { function: fn ?? r.fail("a line without a function"), line, column };
}

function readSample(
  r: Reader,
  str: (r: Reader) => string,
  locations: ReadonlyMap<number, PprofLocation>,
  types: number,
): PprofSample {
  const ids: number[] = [];
  const sample: PprofSample = { locations: [], values: [], labels: [] };
  for (const m = r.message(); m.next(); ) {
    if (m.field === 1) m.numbers(ids);
    else if (m.field === 2) m.numbers(sample.values);
    else if (m.field === 3) sample.labels.push(readLabel(m, str));
  }
  if (sample.values.length !== types) {
    r.fail(`a sample has ${sample.values.length} values for ${types} sample types`);
  }
  for (const id of ids) sample.locations.push(find(r, "location", locations, id));
  return sample;
}

function readLabel(r: Reader, str: (r: Reader) => string): PprofLabel {
  const label: PprofLabel = { key: "" };
  let isString = false;
  for (const m = r.message(); m.next(); ) {
    if (m.field === 1) label.key = str(m);
    else if (m.field === 2) {
      label.str = str(m);
      isString = m.number() !== 0;
    } else if (m.field === 3) label.num = m.number();
    else if (m.field === 4) label.unit = str(m);
  }
  // A default isn't written: neither a string nor a number is the number 0 if there is a unit, else the string "".
  if (!isString && label.num === undefined && label.unit !== undefined) label.num = 0;
  if (label.num === undefined && label.str === undefined) label.str = "";
  return label;
}

function addById<T>(r: Reader, what: string, table: Map<number, T>, id: number, value: T): void {
  if (id === 0) r.fail(`a ${what} without an id`);
  if (table.has(id)) r.fail(`there are two of ${what} ${id}`);
  table.set(id, value);
}

function find<T>(r: Reader, what: string, table: ReadonlyMap<number, T>, id: number): T {
  return table.get(id) ?? r.fail(`${what} ${id} doesn't exist`);
}
