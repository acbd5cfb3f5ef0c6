/**
 * From positions in the JavaScript that runs to positions in the source that was written.
 *
 * With source maps enabled in Node (`--enable-source-maps`, `process.setSourceMapsEnabled(true)`) Node has read the
 * map when it loaded the module, and that copy is used. Otherwise the map is found as debuggers find it: by the last
 * `//# sourceMappingURL=` comment of the file, which has the map inline or names a file. Every answer is cached, also
 * the answer "this file has no map", so a file is read once.
 *
 * A map may have any origin, and crash reports, profiles and `caller` depend on it. So a lookup never throws: a map
 * that is malformed or too large counts as no map, and a mapping that leads nowhere gives no position.
 *
 * Lines count from 1. Columns count from 1, as V8 gives them. Column 0 asks for the first mapping of the line.
 */
import {
  FlattenMap,
  LEAST_UPPER_BOUND,
  originalPositionFor,
  type SourceMapInput,
} from "@jridgewell/trace-mapping";
import { readTextFile } from "./files.ts";
import { builtin, dirname, toPath } from "./host.ts";

export interface SourcePosition {
  file: string;
  line: number;
  column: number;
  /** The original identifier at this place, where the map knows it. */
  name?: string;
}

type Mapper = (line: number, column: number) => SourcePosition | null;
const NO_MAP: Mapper = () => null;

export class SourceMaps {
  private readonly mappers = new Map<string, Mapper>();

  /** The original position of a position in `file` (a path or URL), or null when the file has no map. Never throws. */
  lookup(file: string, line: number, column: number): SourcePosition | null {
    if (!(line >= 1 && column >= 0)) return null;
    let mapper = this.mappers.get(file);
    if (mapper === undefined) {
      mapper = this.load(file);
      this.mappers.set(file, mapper);
    }
    try {
      return mapper(line, column);
    } catch {
      // Mappings are decoded at the first lookup, which is the first to find that they are malformed.
      this.mappers.set(file, NO_MAP);
      return null;
    }
  }

  /**
   * Gives the map of a file that is not on disk or names no map, such as code that is evaluated at run time. `map` is
   * the JSON text or the parsed object. Throws a TypeError if it is no source map.
   */
  add(file: string, map: string | object): void {
    const mapper = traceMapper(map, toPath(file));
    if (mapper === null) throw new TypeError(`profiling: the source map of ${file} can't be used`);
    this.mappers.set(file, mapper);
  }

  private load(file: string): Mapper {
    if (file.startsWith("node:")) return NO_MAP;
    return nodeMapper(file) ?? fileMapper(file) ?? NO_MAP;
  }
}

function nodeMapper(file: string): Mapper | null {
  try {
    const find = builtin("node:module")?.findSourceMap;
    const map = find?.(file) ?? find?.(toPath(file));
    // Node made the sources absolute when it loaded the map.
    return map ? traceMapper(map.payload, toPath(file)) : null;
  } catch {
    return null;
  }
}

function fileMapper(file: string): Mapper | null {
  const path = toPath(file);
  if (/^[a-z][a-z0-9+.-]+:/i.test(path.replace(/^[a-z]:[\\/]/i, ""))) return null;
  const code = readTextFile(path);
  const url = code === undefined ? null : mapURLOf(code);
  if (url === null) return null;
  try {
    if (url.startsWith("data:")) {
      const comma = url.indexOf(",");
      if (comma < 0) return null;
      const data = url.slice(comma + 1);
      const text = /;base64$/i.test(url.slice(0, comma)) ? decodeBase64(data) : decodeURIComponent(data);
      return traceMapper(text, path);
    }
    const mapPath = url.startsWith("file://")
      ? toPath(url)
      : url.startsWith("/")
        ? decodeURIComponent(url)
        : `${dirname(path)}/${decodeURIComponent(url)}`;
    const text = readTextFile(mapPath);
    return text === undefined ? null : traceMapper(text, mapPath);
  } catch {
    // The URL cannot be decoded: positions stay those of the JavaScript.
    return null;
  }
}

const MARKER = "sourceMappingURL=";

/** The URL in the last line that consists of a `sourceMappingURL` comment. Linear in the length of the code. */
function mapURLOf(code: string): string | null {
  let end = code.length;
  while (end > 0) {
    const at = code.lastIndexOf(MARKER, end - 1);
    if (at < 0) return null;
    const lineStart = code.lastIndexOf("\n", at) + 1;
    let lineEnd = code.indexOf("\n", at);
    if (lineEnd < 0) lineEnd = code.length;
    const before = code.slice(lineStart, at).trim();
    if (/^\/[/*][#@]$/.test(before)) {
      const url = code
        .slice(at + MARKER.length, lineEnd)
        .trim()
        .replace(/\*\/$/, "")
        .trimEnd();
      if (url !== "" && !/[\s'"*]/.test(url)) return url;
    }
    end = lineStart;
  }
  return null;
}

function decodeBase64(data: string): string {
  return new TextDecoder().decode(Uint8Array.from(atob(data), (c) => c.charCodeAt(0)));
}

/**
 * Characters of mappings in a map. A mapping has at least 2 characters, and takes at least 40 bytes once it is decoded.
 * So a map at this limit takes 640 MiB.
 */
const MAX_MAPPINGS = 32 << 20;
/** Lines of the JavaScript of a map. Each takes 24 bytes, even an empty one. */
const MAX_LINES = 4 << 20;
/** Depth of sections in sections. The standard allows none, and some writers nest once. */
const MAX_DEPTH = 4;

interface Checked {
  mappings: number;
  lines: number;
}

/** Whether all fields of a map have their types and stay within the limits. */
function isUsable(map: unknown, depth: number, sum: Checked): map is SourceMapInput {
  if (typeof map !== "object" || map === null || depth > MAX_DEPTH) return false;
  const { version, sections, sources, names, mappings, sourceRoot, sourcesContent } = map as Record<
    string,
    unknown
  >;
  if (Number(version) !== 3) return false;
  if (sections !== undefined) return Array.isArray(sections) && areSectionsUsable(sections, depth, sum);
  if (typeof mappings === "string") {
    sum.mappings += mappings.length;
    for (let at = mappings.indexOf(";"); at >= 0; at = mappings.indexOf(";", at + 1)) sum.lines++;
  } else if (Array.isArray(mappings)) {
    // A program may give decoded mappings.
    sum.lines += mappings.length;
  } else return false;
  return (
    sum.mappings <= MAX_MAPPINGS &&
    sum.lines <= MAX_LINES &&
    isListOf(sources, isStringOrNull) &&
    (names === undefined || isListOf(names, isString)) &&
    (sourceRoot === undefined || isStringOrNull(sourceRoot)) &&
    (sourcesContent === undefined || sourcesContent === null || Array.isArray(sourcesContent))
  );
}

function areSectionsUsable(sections: readonly unknown[], depth: number, sum: Checked): boolean {
  for (const section of sections) {
    const { offset, map } = (section ?? {}) as Record<string, unknown>;
    const { line, column } = (offset ?? {}) as Record<string, unknown>;
    // The decoder makes all lines up to a section, whatever its map contains.
    if (!isOffset(line) || !isOffset(column) || line > MAX_LINES) return false;
    if (!isUsable(map, depth + 1, sum)) return false;
  }
  return true;
}

const isString = (x: unknown): x is string => typeof x === "string";
const isStringOrNull = (x: unknown): x is string | null => x === null || typeof x === "string";
const isOffset = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0;
const isListOf = (x: unknown, is: (item: unknown) => boolean): boolean => Array.isArray(x) && x.every(is);

/**
 * `mapPath` is the path of the map, or of the file around an inline map: sources are relative to its folder. Null for a
 * map that cannot be used.
 */
function traceMapper(map: string | object, mapPath: string): Mapper | null {
  let trace: ReturnType<typeof FlattenMap>;
  try {
    // The standard allows a prefix that keeps the map from running as a script.
    const parsed: unknown = typeof map === "string" ? JSON.parse(map.replace(/^\)\]\}'[^\n]*\n/, "")) : map;
    if (!isUsable(parsed, 0, { mappings: 0, lines: 0 })) return null;
    // Some bundlers write maps that consist of sections: FlattenMap joins them.
    trace = FlattenMap(parsed, mapPath);
  } catch {
    return null;
  }
  return (line, column) => {
    const at =
      column > 0
        ? originalPositionFor(trace, { line, column: column - 1 })
        : originalPositionFor(trace, { line, column: 0, bias: LEAST_UPPER_BOUND });
    // A mapping may hold any numbers, and name a source that does not exist.
    if (typeof at.source !== "string" || !isOffset(at.line) || at.line === 0 || !isOffset(at.column))
      return null;
    const position: SourcePosition = { file: toPath(at.source), line: at.line, column: at.column + 1 };
    if (at.name) position.name = at.name;
    return position;
  };
}
