/**
 * Reading the entries of a pprof file: mappings, functions, locations and samples. Each function reads one entry into
 * an object, or with null only checks it.
 */
import type {
  PprofFunction,
  PprofLabel,
  PprofLine,
  PprofLocation,
  PprofMapping,
  PprofSample,
} from "./model.ts";
import type { Reader } from "./reader.ts";
import {
  FUNCTION_FILENAME,
  FUNCTION_NAME,
  FUNCTION_START_LINE,
  FUNCTION_SYSTEM_NAME,
  LABEL_KEY,
  LABEL_NUM,
  LABEL_NUM_UNIT,
  LABEL_STR,
  LINE_COLUMN,
  LINE_FUNCTION_ID,
  LINE_LINE,
  LOCATION_ADDRESS,
  LOCATION_IS_FOLDED,
  LOCATION_LINE,
  LOCATION_MAPPING_ID,
  MAPPING_BUILD_ID,
  MAPPING_FILE_OFFSET,
  MAPPING_FILENAME,
  MAPPING_HAS_FILENAMES,
  MAPPING_HAS_FUNCTIONS,
  MAPPING_HAS_INLINE_FRAMES,
  MAPPING_HAS_LINE_NUMBERS,
  MAPPING_MEMORY_LIMIT,
  MAPPING_MEMORY_START,
  SAMPLE_LABEL,
  SAMPLE_LOCATION_ID,
  SAMPLE_VALUE,
} from "./schema.ts";

/** Handles the entries to which an entry refers: checks them, or makes their objects. */
export interface Resolver {
  /** The string whose number the present field holds. */
  string(r: Reader): string;
  mapping(r: Reader, id: number): PprofMapping;
  function(r: Reader, id: number): PprofFunction;
  location(r: Reader, id: number): PprofLocation;
}

export const NO_MAPPING: PprofMapping = {
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
export const NO_FUNCTION: PprofFunction = { name: "", systemName: "", file: "", startLine: 0 };
export const NO_LOCATION: PprofLocation = { mapping: null, address: 0, lines: [], isFolded: false };

export function readMapping(r: Reader, to: Resolver, into: PprofMapping | null): void {
  const mapping = into ?? { ...NO_MAPPING };
  for (const m = r.message(); m.next(); ) {
    if (m.field === MAPPING_MEMORY_START) mapping.start = m.number();
    else if (m.field === MAPPING_MEMORY_LIMIT) mapping.limit = m.number();
    else if (m.field === MAPPING_FILE_OFFSET) mapping.offset = m.number();
    else if (m.field === MAPPING_FILENAME) mapping.file = to.string(m);
    else if (m.field === MAPPING_BUILD_ID) mapping.buildId = to.string(m);
    else if (m.field === MAPPING_HAS_FUNCTIONS) mapping.hasFunctions = m.number() !== 0;
    else if (m.field === MAPPING_HAS_FILENAMES) mapping.hasFilenames = m.number() !== 0;
    else if (m.field === MAPPING_HAS_LINE_NUMBERS) mapping.hasLineNumbers = m.number() !== 0;
    else if (m.field === MAPPING_HAS_INLINE_FRAMES) mapping.hasInlineFrames = m.number() !== 0;
  }
}

export function readFunction(r: Reader, to: Resolver, into: PprofFunction | null): void {
  const fn = into ?? { ...NO_FUNCTION };
  for (const m = r.message(); m.next(); ) {
    if (m.field === FUNCTION_NAME) fn.name = to.string(m);
    else if (m.field === FUNCTION_SYSTEM_NAME) fn.systemName = to.string(m);
    else if (m.field === FUNCTION_FILENAME) fn.file = to.string(m);
    else if (m.field === FUNCTION_START_LINE) fn.startLine = m.number();
  }
}

export function readLocation(
  r: Reader,
  to: Resolver,
  into: PprofLocation | null,
  lines: PprofLine[] | null,
): void {
  const location = into ?? { ...NO_LOCATION };
  for (const m = r.message(); m.next(); ) {
    if (m.field === LOCATION_MAPPING_ID) {
      // 0 means that there is none.
      const mapping = m.number();
      location.mapping = mapping === 0 ? null : to.mapping(m, mapping);
    } else if (m.field === LOCATION_ADDRESS) location.address = m.number();
    else if (m.field === LOCATION_LINE) {
      const line = readLine(m, to);
      lines?.push(line);
    } else if (m.field === LOCATION_IS_FOLDED) location.isFolded = m.number() !== 0;
  }
}

function readLine(r: Reader, to: Resolver): PprofLine {
  let fn: PprofFunction | null = null;
  let line = 0;
  let column = 0;
  for (const m = r.message(); m.next(); ) {
    if (m.field === LINE_FUNCTION_ID) fn = to.function(m, m.number());
    else if (m.field === LINE_LINE) line = m.number();
    else if (m.field === LINE_COLUMN) column = m.number();
  }
  return { function: fn ?? r.fail("a line without a function"), line, column };
}

/** `types`: how many values the sample must have. */
export function readSample(r: Reader, to: Resolver, types: number, into: PprofSample | null): void {
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
    if (m.field === SAMPLE_LOCATION_ID) m.numbers(location);
    else if (m.field === SAMPLE_VALUE) m.numbers(value);
    else if (m.field === SAMPLE_LABEL) {
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
    if (m.field === LABEL_KEY) label.key = to.string(m);
    else if (m.field === LABEL_STR) {
      label.str = to.string(m);
      isString = m.number() !== 0;
    } else if (m.field === LABEL_NUM) label.num = m.number();
    else if (m.field === LABEL_NUM_UNIT) label.unit = to.string(m);
  }
  // A default value is not written. A label with neither string nor number is the number 0 if it has a unit, else the
  // string "".
  if (!isString && label.num === undefined && label.unit !== undefined) label.num = 0;
  if (label.num === undefined && label.str === undefined) label.str = "";
  return label;
}
