/** An unpacked pprof file whose tables are indexed. Its objects are made when they are asked for: see decode.ts. */
import {
  NO_FUNCTION,
  NO_LOCATION,
  NO_MAPPING,
  type Resolver,
  readFunction,
  readLocation,
  readMapping,
  readSample,
} from "./entries.ts";
import type {
  PprofData,
  PprofFunction,
  PprofLocation,
  PprofMapping,
  PprofSample,
  SampleList,
  ValueType,
} from "./model.ts";
import { ProfileFormatError, Reader } from "./reader.ts";
import {
  PROFILE_COMMENT,
  PROFILE_DEFAULT_SAMPLE_TYPE,
  PROFILE_DOC_URL,
  PROFILE_DROP_FRAMES,
  PROFILE_DURATION_NANOS,
  PROFILE_FUNCTION,
  PROFILE_KEEP_FRAMES,
  PROFILE_LOCATION,
  PROFILE_MAPPING,
  PROFILE_PERIOD,
  PROFILE_PERIOD_TYPE,
  PROFILE_SAMPLE,
  PROFILE_SAMPLE_TYPE,
  PROFILE_STRING_TABLE,
  PROFILE_TIME_NANOS,
  VALUE_TYPE_TYPE,
  VALUE_TYPE_UNIT,
} from "./schema.ts";
import { IdTable } from "./tables.ts";

/** A file with more sample types than this is no profile. Each sample type is an object. */
const MAX_SAMPLE_TYPES = 1024;

/** The fields of a profile that are read at once. */
type Head = Pick<
  PprofData,
  | "defaultSampleType"
  | "periodType"
  | "period"
  | "timeNanos"
  | "durationNanos"
  | "dropFrames"
  | "keepFrames"
  | "docUrl"
>;

export class Decoded {
  /** Where each string begins. */
  private readonly strings: Uint32Array;
  private readonly mappings = new IdTable("mapping");
  private readonly functions = new IdTable("function");
  private readonly locations = new IdTable("location");
  private samples = 0;
  private readonly sampleTypes: ValueType[] = [];
  /** The objects that were made, by the offset of their entry. */
  private readonly mappingsMade = new Map<number, PprofMapping>();
  private readonly functionsMade = new Map<number, PprofFunction>();
  private readonly locationsMade = new Map<number, PprofLocation>();

  /** Indexes the tables, in two passes: strings and tables may come after the entries that refer to them. */
  constructor(private readonly bytes: Uint8Array) {
    let strings = 0;
    for (const r = this.fields(); r.next(); ) {
      if (r.field === PROFILE_SAMPLE) this.samples++;
      else if (r.field === PROFILE_MAPPING) this.mappings.count(r);
      else if (r.field === PROFILE_LOCATION) this.locations.count(r);
      else if (r.field === PROFILE_FUNCTION) this.functions.count(r);
      else if (r.field === PROFILE_STRING_TABLE) strings++;
    }
    this.strings = new Uint32Array(strings);
    strings = 0;
    for (const r = this.fields(); r.next(); ) {
      if (r.field === PROFILE_MAPPING) this.mappings.add(r);
      else if (r.field === PROFILE_LOCATION) this.locations.add(r);
      else if (r.field === PROFILE_FUNCTION) this.functions.add(r);
      else if (r.field === PROFILE_STRING_TABLE) {
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

  /** Checks that everything exists, and makes nothing. */
  private readonly check: Resolver = {
    string: (r) => {
      this.checkString(r, r.number());
      return "";
    },
    mapping: (r, id) => {
      this.mappings.find(r, id);
      return NO_MAPPING;
    },
    function: (r, id) => {
      this.functions.find(r, id);
      return NO_FUNCTION;
    },
    location: (r, id) => {
      this.locations.find(r, id);
      return NO_LOCATION;
    },
  };

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
        fn = { ...NO_FUNCTION };
        readFunction(this.entry(offset), this.make, fn);
        this.functionsMade.set(offset, fn);
      }
      return fn;
    },
    location: (r, id) => {
      const offset = this.locations.find(r, id);
      let location = this.locationsMade.get(offset);
      if (location === undefined) {
        location = { ...NO_LOCATION, lines: [] };
        readLocation(this.entry(offset), this.make, location, location.lines);
        this.locationsMade.set(offset, location);
      }
      return location;
    },
  };

  private mappingAt(offset: number): PprofMapping {
    let mapping = this.mappingsMade.get(offset);
    if (mapping === undefined) {
      mapping = { ...NO_MAPPING };
      readMapping(this.entry(offset), this.make, mapping);
      this.mappingsMade.set(offset, mapping);
    }
    return mapping;
  }

  private valueType(r: Reader): ValueType {
    const t: ValueType = { type: "", unit: "" };
    for (const m = r.message(); m.next(); ) {
      if (m.field === VALUE_TYPE_TYPE) t.type = this.make.string(m);
      else if (m.field === VALUE_TYPE_UNIT) t.unit = this.make.string(m);
    }
    return t;
  }

  /** The profile, after everything in it was checked. */
  data(): PprofData {
    const head = this.readHead();
    this.checkSamples();
    const self = this;
    let mappings: PprofMapping[] | undefined;
    let comments: string[] | undefined;
    return {
      ...head,
      sampleTypes: this.sampleTypes,
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

  /** Reads the single fields and the sample types, and checks all entries but the samples. */
  private readHead(): Head {
    const head: Head = {
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
        case PROFILE_SAMPLE_TYPE:
          if (sampleTypes.length === MAX_SAMPLE_TYPES) r.fail(`more than ${MAX_SAMPLE_TYPES} sample types`);
          sampleTypes.push(this.valueType(r));
          break;
        case PROFILE_MAPPING:
          readMapping(r, check, null);
          break;
        case PROFILE_LOCATION:
          readLocation(r, check, null, null);
          break;
        case PROFILE_FUNCTION:
          readFunction(r, check, null);
          break;
        case PROFILE_DROP_FRAMES:
          head.dropFrames = string(r);
          break;
        case PROFILE_KEEP_FRAMES:
          head.keepFrames = string(r);
          break;
        case PROFILE_TIME_NANOS:
          head.timeNanos = r.bigint();
          break;
        case PROFILE_DURATION_NANOS:
          head.durationNanos = r.bigint();
          break;
        case PROFILE_PERIOD_TYPE:
          head.periodType = this.valueType(r);
          break;
        case PROFILE_PERIOD:
          head.period = r.number();
          break;
        case PROFILE_COMMENT:
          r.numbers((i) => this.checkString(r, i));
          break;
        case PROFILE_DEFAULT_SAMPLE_TYPE:
          head.defaultSampleType = string(r);
          break;
        case PROFILE_DOC_URL:
          head.docUrl = string(r);
          break;
      }
    }
    return head;
  }

  private checkSamples(): void {
    for (const r = this.fields(); r.next(); ) {
      if (r.field === PROFILE_SAMPLE) readSample(r, this.check, this.sampleTypes.length, null);
    }
  }

  private allMappings(): PprofMapping[] {
    const all: PprofMapping[] = [];
    for (const r = this.fields(); r.next(); ) {
      if (r.field === PROFILE_MAPPING) all.push(this.mappingAt(r.start));
    }
    return all;
  }

  private allComments(): string[] {
    const all: string[] = [];
    for (const r = this.fields(); r.next(); ) {
      if (r.field === PROFILE_COMMENT) r.numbers((i) => all.push(this.string(i)));
    }
    return all;
  }

  private *eachSample(): Generator<PprofSample, void, undefined> {
    for (const r = this.fields(); r.next(); ) {
      if (r.field !== PROFILE_SAMPLE) continue;
      const sample: PprofSample = { locations: [], values: [], labels: [] };
      readSample(r, this.make, this.sampleTypes.length, sample);
      yield sample;
    }
  }
}

/** The samples of a file, read from its bytes at each iteration. */
class DecodedSamples implements SampleList {
  constructor(
    readonly length: number,
    private readonly each: () => Iterator<PprofSample>,
  ) {}

  [Symbol.iterator](): Iterator<PprofSample> {
    return this.each();
  }
}
