/**
 * Makes the names and places that a profile prints from V8's facts of a function or a place: Go's name, and file and
 * line of the source that was written. The answers need files: source maps, scripts and package.json. So nothing here
 * runs before a frame is first printed.
 */
import { OwnCode } from "@gort/base";
import { readSites } from "./capture.ts";
import { readTextFile } from "./files.ts";
import { functionNameOf, PackageNames, type PackageNamesOptions } from "./go-names.ts";
import { toPath } from "./host.ts";
import { type ScannedFunction, SourceFunctions, scannedName } from "./source-functions.ts";
import { SourceMaps } from "./source-maps.ts";

/** Larger scripts are not scanned for names: 16 MiB take half a second. */
const MAX_SCANNED_BYTES = 16 << 20;

const ownCode = new OwnCode((mark) => readSites(mark), toPath);

/** A place in the code, as printed. */
export interface Symbolized {
  func: string;
  file: string;
  line: number;
  column: number;
  /** Whether it is code of the runtime's own packages. */
  own?: boolean;
}

type SourcePlace = Omit<Symbolized, "func">;

/** The facts that V8 gives about a function. */
export interface KnownFunction {
  readonly script: string;
  readonly functionName: string;
  readonly typeName: string;
  readonly isConstructor: boolean;
  /** Where the function begins in the script; line 0 if V8 does not say. */
  readonly startLine: number;
  readonly startColumn: number;
  /** The place in the function that was seen first. */
  readonly line: number;
  readonly column: number;
  /** A name that was given, not found; the place is given too. */
  readonly fixedName: string | undefined;
}

export class Symbolizer {
  readonly sourceMaps = new SourceMaps();
  readonly packages: PackageNames;
  /** The functions of each script that was read; null: it cannot be read. */
  private readonly scanned = new Map<string, SourceFunctions | null>();

  constructor(options: PackageNamesOptions) {
    this.packages = new PackageNames(options);
  }

  /**
   * Name and place of a function. `file` is the source to which a call in the function was mapped. It decides the
   * package if the function's own position has no mapping.
   */
  symbolizeFunction(info: KnownFunction, file: string | undefined): Symbolized {
    if (info.fixedName !== undefined) {
      return { func: info.fixedName, file: info.script, line: info.startLine, column: 0 };
    }
    const place = this.sourceOf(info.script, info.startLine, info.startColumn);
    const source = place.file === info.script && file !== undefined ? file : place.file;
    const isModule = info.startLine === 1 && info.startColumn === 1;
    // For a frame that was read from an error's text, even the function's position is unknown.
    const anonymous = info.startLine === 0 ? "func1" : `func@${place.line}:${place.column}`;
    const name = this.localName(info, isModule, place) || anonymous;
    // In a bundle without a source map all code is of one file.
    const own = ownCode.has(info.script, info.line, info.column);
    const pkg = own ? "runtime" : source === "" ? "eval" : this.packages.packageOf(source, info.script);
    return { func: `${pkg}.${name}`, file: source, line: place.line, column: place.column };
  }

  /** The FUNCTION part of a name; "" for an anonymous function whose script cannot be read. */
  private localName(info: KnownFunction, isModule: boolean, place: SourcePlace): string {
    const name = functionNameOf({ ...info, isModule });
    if (info.startLine === 0) return this.nameAround(info, name);
    // V8 does not know the function around an anonymous one. For a method it knows only the receiver's class.
    const isMethod = name.startsWith("(*") || info.typeName === "Function";
    if (name !== "" && !isMethod) return name;
    const scanned = this.scannedAt(
      info.script,
      info.startLine,
      info.startColumn,
      place,
      (functions, line, column) => functions.at(line, column),
    );
    if (scanned === undefined) return name;
    if (name === "") return scanned.name === "" ? scannedName(scanned) : name;
    const own = info.isConstructor ? "constructor" : info.functionName.replace(/^(?:get|set) /, "");
    return scanned.className !== "" && scanned.name === own ? scannedName(scanned) : name;
  }

  /**
   * The name of a function of which only the place of a call is known, as in an error's text. An anonymous function
   * gets the name of the function around the call. A method gets its class: the text does not distinguish a class
   * from any other name before a dot.
   */
  private nameAround({ script, line, column, functionName }: KnownFunction, name: string): string {
    const own = functionName.slice(functionName.lastIndexOf(".") + 1);
    if (name !== "" && own === functionName) return name;
    const place = this.sourceOf(script, line, column);
    const scanned = this.scannedAt(script, line, column, place, (functions, line, column) =>
      functions.around(line, column),
    );
    if (scanned === undefined) return name;
    if (name === "") return scannedName(scanned);
    return scanned.className !== "" && scanned.name === own ? scannedName(scanned) : name;
  }

  /**
   * A function of a script. If the script is gone (a bundle that was deleted after it was loaded), the function of its
   * source, at the place of the source map.
   */
  private scannedAt(
    script: string,
    line: number,
    column: number,
    place: SourcePlace,
    find: (functions: SourceFunctions, line: number, column: number) => ScannedFunction | undefined,
  ): ScannedFunction | undefined {
    const functions = this.functionsOf(script);
    const scanned = functions === null ? undefined : find(functions, line, column);
    if (scanned !== undefined || place.file === script) return scanned;
    const inSource = this.functionsOf(place.file);
    return inSource === null ? undefined : find(inSource, place.line, place.column);
  }

  /**
   * Whether a line of a script is in the function that begins at this place (all from 1), as far as the source shows.
   * For a function that the source does not show, every line from its first is.
   */
  isLineOf(file: string, startLine: number, startColumn: number, line: number): boolean {
    if (line < startLine) return false;
    const script = toPath(file);
    const functions = this.functionsOf(script);
    if (functions !== null) return line <= (functions.endLine(startLine, startColumn) ?? line);
    // The script is gone: ask its source, at the places of the source map.
    const start = this.sourceOf(script, startLine, startColumn);
    const end = this.functionsOf(start.file)?.endLine(start.line, start.column);
    if (end === undefined) return true;
    const at = this.sourceOf(script, line, 0);
    return at.file === start.file && at.line >= start.line && at.line <= end;
  }

  /** Whether a place is the runtime's own code, by its script and its position alone: no source map is read. */
  isOwnPlace(script: string, line: number, column: number): boolean {
    if (script === "" || script.startsWith("<")) return false;
    return ownCode.has(script, line, column) || this.packages.packageOf(script, script) === "runtime";
  }

  /** Gives the source of a script that is not on disk, for the names of its anonymous functions. */
  addSource(script: string, source: string): void {
    this.scanned.set(toPath(script), new SourceFunctions(source));
  }

  private functionsOf(script: string): SourceFunctions | null {
    let functions = this.scanned.get(script);
    if (functions === undefined) {
      functions = null;
      try {
        const source = script.startsWith("node:") ? undefined : readTextFile(script, MAX_SCANNED_BYTES);
        if (source !== undefined) functions = new SourceFunctions(source);
      } catch {
        // The file is no JavaScript: V8's names remain.
      }
      this.scanned.set(script, functions);
    }
    return functions;
  }

  /** The position in the source that was written; without a source map, the position itself. */
  sourceOf(script: string, line: number, column: number): SourcePlace {
    const original = script === "" || line <= 0 ? null : this.sourceMaps.lookup(script, line, column);
    if (original !== null) return { file: original.file, line: original.line, column: original.column };
    return { file: script === "" ? "<eval>" : script, line, column };
  }
}
