/**
 * Reading pprof files.
 *
 * A file may come from anywhere, so nothing in it is believed before it is checked: a length is compared with what is
 * left before it is followed, ids and string numbers must exist, every sample must have a value for each type.
 * What is wrong is reported with its offset in the (unpacked) file. The work is linear in the bytes.
 *
 * Memory. As objects a file takes ten times its size and more, so objects are made when they are asked for:
 *
 *   1. a pass counts the entries of the tables;
 *   2. a pass notes where each begins (see tables.ts);
 *   3. two passes check everything and keep nothing;
 *   4. who goes through the samples gets objects read from the bytes, a sample anew each time, while a location, a function
 *      or a mapping, once it was made, stays the one that it is.
 *
 * What is noted of a string takes 4 bytes, and a string at least 2 of the file; of an entry with an id it is 4 bytes, or 10 to 15
 * for ids out of order, and an entry has at least 4, or 6 to 9 where there are many. So a decoded profile holds the
 * unpacked bytes and at most twice as much again, whatever is in them.
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
  SampleList,
  ValueType,
} from "./model.ts";
import { ProfileFormatError, Reader } from "./reader.ts";
import { IdTable } from "./tables.ts";

export { ProfileFormatError } from "./reader.ts";

export interface DecodeOptions {
  /** The largest unpacked size in bytes; default 1 GiB. */
  maxBytes?: number;
}

const defaultMaxBytes = 1 << 30;

/** Reads a profile, gzipped or not. */
export async function decodeProfile(bytes: Uint8Array, options: DecodeOptions = {}): Promise<PprofData> {
  // Asked of any realm's: tests may run in a context of their own.
  if (!ArrayBuffer.isView(bytes) || bytes.BYTES_PER_ELEMENT !== 1) {
    throw new TypeError(
      `pprof: decodeProfile needs a Uint8Array (got ${bytes === null ? "null" : typeof bytes})`,
    );
  }
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

/** More sample types than this are no profile; each is an object. */
const maxSampleTypes = 1024;

/** Reads an unpacked profile. Its samples are read from `bytes` when they are asked for: don't change them. */
export function decodeMessage(bytes: Uint8Array): PprofData {
  if (bytes.length === 0) throw new ProfileFormatError(0, "an empty file is no profile");
  if (bytes.length >= 2 ** 32)
    throw new ProfileFormatError(0, `the profile has ${bytes.length} bytes, more than can be read`);
  return new Decoded(bytes).data();
}

/** What is done with the entries that an entry refers to. */
interface Resolver {
  /** The string whose number the present field is. */
  string(r: Reader): string;
  mapping(r: Reader, id: number): PprofMapping;
  function(r: Reader, id: number): PprofFunction;
  location(r: Reader, id: number): PprofLocation;
}

const noMapping: PprofMapping = {
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
const noFunction: PprofFunction = { name: "", systemName: "", file: "", startLine: 0 };
const noLocation: PprofLocation = { mapping: null, address: 0, lines: [], isFolded: false };

/** A file whose tables are indexed. */
class Decoded {
  /** Where each string begins. */
  private readonly strings: Uint32Array;
  private readonly mappings = new IdTable("mapping");
  private readonly functions = new IdTable("function");
  private readonly locations = new IdTable("location");
  private samples = 0;
  private readonly sampleTypes: ValueType[] = [];

  constructor(private readonly bytes: Uint8Array) {
    // Strings and tables may come after what refers to them.
    let strings = 0;
    for (const r = this.fields(); r.next(); ) {
      if (r.field === 2) this.samples++;
      else if (r.field === 3) this.mappings.count(r);
      else if (r.field === 4) this.locations.count(r);
      else if (r.field === 5) this.functions.count(r);
      else if (r.field === 6) strings++;
    }
    this.strings = new Uint32Array(strings);
    strings = 0;
    for (const r = this.fields(); r.next(); ) {
      if (r.field === 3) this.mappings.add(r);
      else if (r.field === 4) this.locations.add(r);
      else if (r.field === 5) this.functions.add(r);
      else if (r.field === 6) {
        r.content();
        this.strings[strings++] = r.start;
      }
    }
    if (strings === 0) throw new ProfileFormatError(0, "there are no strings: this is no profile");
    if (this.string(0) !== "")
      throw new ProfileFormatError(0, `string 0 must be empty (got ${JSON.stringify(this.string(0))})`);
  }

  private fields(): Reader {
    return new Reader(this.bytes, 0, this.bytes.length);
  }

  /** A reader whose present field is the entry that begins at `offset`. */
  private entry(offset: number): Reader {
    const r = new Reader(this.bytes, offset, this.bytes.length);
    r.next();
    return r;
  }

  private string(i: number): string {
    return this.entry(this.strings[i]).string();
  }

  private checkString(r: Reader, i: number): void {
    if (!(i >= 0 && i < this.strings.length))
      r.fail(`string ${i} doesn't exist, there are ${this.strings.length}`);
  }

  /** Finds that everything exists, and makes nothing. */
  private readonly check: Resolver = {
    string: (r) => {
      this.checkString(r, r.number());
      return "";
    },
    mapping: (r, id) => {
      this.mappings.find(r, id);
      return noMapping;
    },
    function: (r, id) => {
      this.functions.find(r, id);
      return noFunction;
    },
    location: (r, id) => {
      this.locations.find(r, id);
      return noLocation;
    },
  };

  private readonly mappingsMade = new Map<number, PprofMapping>();
  private readonly functionsMade = new Map<number, PprofFunction>();
  private readonly locationsMade = new Map<number, PprofLocation>();
  private readonly make: Resolver = {
    string: (r) => {
      const i = r.number();
      this.checkString(r, i);
      return this.string(i);
    },
    mapping: (r, id) => this.mappingAt(this.mappings.find(r, id)),
    function: (r, id) => {
      const offset = this.functions.find(r, id);
      let fn = this.functionsMade.get(offset);
      if (fn === undefined) {
        fn = { ...noFunction };
        readFunction(this.entry(offset), this.make, fn);
        this.functionsMade.set(offset, fn);
      }
      return fn;
    },
    location: (r, id) => {
      const offset = this.locations.find(r, id);
      let location = this.locationsMade.get(offset);
      if (location === undefined) {
        location = { ...noLocation, lines: [] };
        readLocation(this.entry(offset), this.make, location, location.lines);
        this.locationsMade.set(offset, location);
      }
      return location;
    },
  };

  private mappingAt(offset: number): PprofMapping {
    let mapping = this.mappingsMade.get(offset);
    if (mapping === undefined) {
      mapping = { ...noMapping };
      readMapping(this.entry(offset), this.make, mapping);
      this.mappingsMade.set(offset, mapping);
    }
    return mapping;
  }

  private valueType(r: Reader): ValueType {
    const t: ValueType = { type: "", unit: "" };
    for (const m = r.message(); m.next(); ) {
      if (m.field === 1) t.type = this.make.string(m);
      else if (m.field === 2) t.unit = this.make.string(m);
    }
    return t;
  }

  /** The profile, after everything in it was checked. */
  data(): PprofData {
    const data = {
      defaultSampleType: "",
      periodType: { type: "", unit: "" },
      period: 0,
      timeNanos: 0n,
      durationNanos: 0n,
      dropFrames: "",
      keepFrames: "",
      docUrl: "",
    };
    const { check, sampleTypes } = this;
    const { string } = this.make;
    for (const r = this.fields(); r.next(); ) {
      switch (r.field) {
        case 1:
          if (sampleTypes.length === maxSampleTypes) r.fail(`more than ${maxSampleTypes} sample types`);
          sampleTypes.push(this.valueType(r));
          break;
        case 3:
          readMapping(r, check, null);
          break;
        case 4:
          readLocation(r, check, null, null);
          break;
        case 5:
          readFunction(r, check, null);
          break;
        case 7:
          data.dropFrames = string(r);
          break;
        case 8:
          data.keepFrames = string(r);
          break;
        case 9:
          data.timeNanos = r.bigint();
          break;
        case 10:
          data.durationNanos = r.bigint();
          break;
        case 11:
          data.periodType = this.valueType(r);
          break;
        case 12:
          data.period = r.number();
          break;
        case 13:
          r.numbers((i) => this.checkString(r, i));
          break;
        case 14:
          data.defaultSampleType = string(r);
          break;
        case 15:
          data.docUrl = string(r);
          break;
      }
    }
    for (const r = this.fields(); r.next(); ) {
      if (r.field === 2) readSample(r, check, sampleTypes.length, null);
    }

    const self = this;
    let mappings: PprofMapping[] | undefined;
    let comments: string[] | undefined;
    return {
      ...data,
      sampleTypes,
      samples: new DecodedSamples(this.samples, () => self.eachSample()),
      get mappings() {
        mappings ??= self.allMappings();
        return mappings;
      },
      get comments() {
        comments ??= self.allComments();
        return comments;
      },
    };
  }

  private allMappings(): PprofMapping[] {
    const all: PprofMapping[] = [];
    for (const r = this.fields(); r.next(); ) if (r.field === 3) all.push(this.mappingAt(r.start));
    return all;
  }

  private allComments(): string[] {
    const all: string[] = [];
    for (const r = this.fields(); r.next(); ) {
      if (r.field === 13) r.numbers((i) => all.push(this.string(i)));
    }
    return all;
  }

  private *eachSample(): Generator<PprofSample, void, undefined> {
    for (const r = this.fields(); r.next(); ) {
      if (r.field !== 2) continue;
      const sample: PprofSample = { locations: [], values: [], labels: [] };
      readSample(r, this.make, this.sampleTypes.length, sample);
      yield sample;
    }
  }
}

/** Samples that are read from the file whenever somebody goes through them. */
class DecodedSamples implements SampleList {
  constructor(
    readonly length: number,
    private readonly each: () => Iterator<PprofSample>,
  ) {}

  [Symbol.iterator](): Iterator<PprofSample> {
    return this.each();
  }
}

// Each reads an entry into an object, or with null only checks it.

function readMapping(r: Reader, to: Resolver, into: PprofMapping | null): void {
  const mapping = into ?? { ...noMapping };
  for (const m = r.message(); m.next(); ) {
    if (m.field === 2) mapping.start = m.number();
    else if (m.field === 3) mapping.limit = m.number();
    else if (m.field === 4) mapping.offset = m.number();
    else if (m.field === 5) mapping.file = to.string(m);
    else if (m.field === 6) mapping.buildId = to.string(m);
    else if (m.field === 7) mapping.hasFunctions = m.number() !== 0;
    else if (m.field === 8) mapping.hasFilenames = m.number() !== 0;
    else if (m.field === 9) mapping.hasLineNumbers = m.number() !== 0;
    else if (m.field === 10) mapping.hasInlineFrames = m.number() !== 0;
  }
}

function readFunction(r: Reader, to: Resolver, into: PprofFunction | null): void {
  const fn = into ?? { ...noFunction };
  for (const m = r.message(); m.next(); ) {
    if (m.field === 2) fn.name = to.string(m);
    else if (m.field === 3) fn.systemName = to.string(m);
    else if (m.field === 4) fn.file = to.string(m);
    else if (m.field === 5) fn.startLine = m.number();
  }
}

function readLocation(r: Reader, to: Resolver, into: PprofLocation | null, lines: PprofLine[] | null): void {
  const location = into ?? { ...noLocation };
  for (const m = r.message(); m.next(); ) {
    if (m.field === 2) {
      // 0 says that there is none.
      const mapping = m.number();
      location.mapping = mapping === 0 ? null : to.mapping(m, mapping);
    } else if (m.field === 3) location.address = m.number();
    else if (m.field === 4) {
      const line = readLine(m, to);
      lines?.push(line);
    } else if (m.field === 5) location.isFolded = m.number() !== 0;
  }
}

function readLine(r: Reader, to: Resolver): PprofLine {
  let fn: PprofFunction | null = null;
  let line = 0;
  let column = 0;
  for (const m = r.message(); m.next(); ) {
    if (m.field === 1) fn = to.function(m, m.number());
    else if (m.field === 2) line = m.number();
    else if (m.field === 3) column = m.number();
  }
  return { function: fn ?? r.fail("a line without a function"), line, column };
}

function readSample(r: Reader, to: Resolver, types: number, into: PprofSample | null): void {
  let values = 0;
  const location = (id: number): void => {
    const l = to.location(r, id);
    into?.locations.push(l);
  };
  const value = (v: number): void => {
    values++;
    into?.values.push(v);
  };
  for (const m = r.message(); m.next(); ) {
    if (m.field === 1) m.numbers(location);
    else if (m.field === 2) m.numbers(value);
    else if (m.field === 3) {
      const label = readLabel(m, to);
      into?.labels.push(label);
    }
  }
  if (values !== types) r.fail(`a sample has ${values} values for ${types} sample types`);
}

function readLabel(r: Reader, to: Resolver): PprofLabel {
  const label: PprofLabel = { key: "" };
  let isString = false;
  for (const m = r.message(); m.next(); ) {
    if (m.field === 1) label.key = to.string(m);
    else if (m.field === 2) {
      label.str = to.string(m);
      isString = m.number() !== 0;
    } else if (m.field === 3) label.num = m.number();
    else if (m.field === 4) label.unit = to.string(m);
  }
  // A default isn't written: neither a string nor a number is the number 0 if there is a unit, else the string "".
  if (!isString && label.num === undefined && label.unit !== undefined) label.num = 0;
  if (label.num === undefined && label.str === undefined) label.str = "";
  return label;
}
