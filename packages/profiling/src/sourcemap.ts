/**
 * From positions in the JavaScript that runs to positions in the source that was written.
 *
 * With source maps enabled in Node (`--enable-source-maps`, `process.setSourceMapsEnabled(true)`) Node has
 * already read the map when it loaded the module, and its copy is used. Otherwise the map is found the
 * way debuggers find it: the last `//# sourceMappingURL=` comment of the file, inline or beside it. Every
 * answer is kept, also the answer "this file has no map", so a file is read once.
 *
 * Lines count from 1; columns count from 1, as V8 gives them. Column 0 asks for the first mapping of the line.
 */
import {
  FlattenMap,
  LEAST_UPPER_BOUND,
  originalPositionFor,
  type SourceMapInput,
} from "@jridgewell/trace-mapping";
import { builtin, dirname, toPath } from "./host.ts";

export interface SourcePosition {
  file: string;
  line: number;
  column: number;
  /** The original identifier at this place, where the map knows it. */
  name?: string;
}

type Mapper = (line: number, column: number) => SourcePosition | null;
const noMap: Mapper = () => null;

export class SourceMaps {
  private readonly mappers = new Map<string, Mapper>();

  /** The original position of a position in `file` (a path or URL), or null when the file has no map. */
  lookup(file: string, line: number, column: number): SourcePosition | null {
    let mapper = this.mappers.get(file);
    if (mapper === undefined) {
      mapper = this.load(file);
      this.mappers.set(file, mapper);
    }
    return mapper(line, column);
  }

  /**
   * Gives the map of a file that isn't on disk or names no map (code made and evaluated at run time).
   * `map` is the JSON text or the parsed object.
   */
  add(file: string, map: string | object): void {
    this.mappers.set(file, traceMapper(map, toPath(file)));
  }

  private load(file: string): Mapper {
    if (file.startsWith("node:")) return noMap;
    return nodeMapper(file) ?? fileMapper(file) ?? noMap;
  }
}

function nodeMapper(file: string): Mapper | null {
  const find = builtin("node:module")?.findSourceMap;
  const map = find?.(file) ?? find?.(toPath(file));
  if (!map) return null;
  try {
    // Node has made the sources absolute when it loaded the map.
    return traceMapper(map.payload, toPath(file));
  } catch {
    return null;
  }
}

const mapComment = /^[ \t]*\/[/*][#@]\s*sourceMappingURL=([^\s'"*]+)[ \t]*(?:\*\/)?[ \t]*$/gm;

function fileMapper(file: string): Mapper | null {
  const fs = builtin("node:fs");
  const path = toPath(file);
  if (!fs || /^[a-z][a-z0-9+.-]+:/i.test(path.replace(/^[a-z]:[\\/]/i, ""))) return null;
  try {
    const code = fs.readFileSync(path, "utf8");
    let url: string | undefined;
    for (const m of code.matchAll(mapComment)) url = m[1];
    if (url === undefined) return null;
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
    return traceMapper(fs.readFileSync(mapPath, "utf8"), mapPath);
  } catch {
    // No file, no map beside it, or not a map: positions stay those of the JavaScript.
    return null;
  }
}

function decodeBase64(data: string): string {
  return new TextDecoder().decode(Uint8Array.from(atob(data), (c) => c.charCodeAt(0)));
}

/** `mapPath` is the path of the map, or of the file around an inline one: sources are relative to its folder. */
function traceMapper(map: string | object, mapPath: string): Mapper {
  // Also maps that consist of sections, which some bundlers write.
  const trace = FlattenMap(map as SourceMapInput, mapPath);
  return (line, column) => {
    const at =
      column > 0
        ? originalPositionFor(trace, { line, column: column - 1 })
        : originalPositionFor(trace, { line, column: 0, bias: LEAST_UPPER_BOUND });
    if (at.source === null || at.line === null) return null;
    const position: SourcePosition = { file: toPath(at.source), line: at.line, column: at.column + 1 };
    if (at.name) position.name = at.name;
    return position;
  };
}
