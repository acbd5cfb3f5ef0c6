/**
 * Program counters for a machine that has none.
 *
 * Go's profiles, stacks and symbol look-ups all speak in PCs: numbers that are cheap to record in bulk and that
 * become names and lines only when somebody reads them. V8 hands out call-site objects instead. The table turns
 * each place in the code that was ever seen on a stack into a number, once:
 *
 *   text segment, in the order in which functions were first seen
 *
 *     entry                                entry + 1024
 *     | slot 0: the function | slot 1: first call seen | slot 2: second | ...
 *     0                      8                         16
 *                            ^ entry + 8k              a call instruction of 5 bytes
 *                            ^ entry + 8k + 4          the pc a profile shows: return address - 1
 *                            ^ entry + 8k + 5          the return address, which callers() records
 *
 * so that all of Go's habits work: `pc - 1` is still the same call, `pc - entry` is a small offset, a pc anywhere
 * in a function names that function, and PCs of one function lie together. A function with more than 127 calls
 * on stacks gets further blocks of 1024 that belong to the same Func.
 *
 * A *frame* is a dense number (1, 2, 3, ...) for the same thing; stacks are kept as frames, 4 bytes each.
 *
 * What is read from V8 at first sight is only what the call site itself knows. Source maps, Go's names and the
 * package are found when the frame is first printed.
 */
import { OwnCode } from "@gort/base";
import { type CallSite, readSites } from "./capture.ts";
import { readTextFile } from "./files.ts";
import { functionNameOf, PackageNames, type PackageNamesOptions } from "./go-names.ts";
import { toPath } from "./host.ts";
import { SourceFunctions, scannedName } from "./source-functions.ts";
import { SourceMaps } from "./source-maps.ts";

const ownCode = new OwnCode((mark) => readSites(mark), toPath);

/** Where the text segment begins; below it no pc is ever issued. */
export const TEXT_START = 0x401000;
const blockSize = 1024;
const slotSize = 8;
const slotsPerBlock = blockSize / slotSize;
/** Larger scripts aren't scanned for names: half a second's work. */
const maxScannedBytes = 16 << 20;
/** From the start of a call to the address it returns to. */
const callLength = 5;

/** A frame that never appears in a stack: the builtin `next` between two generators, and the like. */
export const ELIDED = 0;

const flagBase = 1;
/** Whether it is known if a frame is the runtime's own code, and if it is. */
const flagLooked = 2;
const flagOwn = 4;
/** A place in the code, as printed. */
export interface Symbolized {
  func: string;
  file: string;
  line: number;
  column: number;
  /** It is code of the runtime's own packages. */
  own?: boolean;
}

/** What is known of a frame before its source map and package are looked up. */
export interface RawFrame {
  /** The JavaScript file, "" for code without one. */
  readonly script: string;
  /** The name V8 gives, "" for none. */
  readonly functionName: string;
  readonly typeName: string;
  readonly line: number;
  readonly column: number;
}

/** A function: what Go calls runtime.Func. */
export class Func {
  /** @internal */ readonly table: PCTable;
  /** @internal */ readonly entryPC: number;
  /** @internal */ readonly info: FuncInfo;

  /** @internal */
  constructor(table: PCTable, entryPC: number, info: FuncInfo) {
    this.table = table;
    this.entryPC = entryPC;
    this.info = info;
  }

  /** The function's name, as in `main.(*Server).handle`. */
  name(): string {
    return this.table.symbolizeFunc(this.info).func;
  }

  /** The address at which the function begins. */
  entry(): number {
    return this.entryPC;
  }

  /** The place of `pc` in the source; of a pc that isn't one of this function's: "" and 0. */
  fileLine(pc: number): { file: string; line: number } {
    const frame = this.table.frameAt(pc);
    if (frame !== undefined && frame.func === this) {
      const { file, line } = this.table.symbolizeFrame(frame);
      return { file, line };
    }
    if (this.table.funcForPC(pc) !== this) return { file: "", line: 0 };
    const { file, line } = this.table.symbolizeFunc(this.info);
    return { file, line };
  }
}

interface FuncInfo {
  readonly script: string;
  readonly functionName: string;
  readonly typeName: string;
  readonly isConstructor: boolean;
  /** Where the function begins in the script; line 0 where V8 doesn't tell. */
  readonly startLine: number;
  readonly startColumn: number;
  /** The place in it that was seen first. */
  readonly line: number;
  readonly column: number;
  /** Set for names that are given, not found. */
  readonly fixedName: string | undefined;
  blocks: Block[];
  func: Func | undefined;
  symbol: Symbolized | undefined;
}

interface Frame extends RawFrame {
  readonly id: number;
  readonly func: Func;
  readonly pc: number;
  flags: number;
  symbol: Symbolized | undefined;
}

interface Block {
  readonly func: Func;
  readonly start: number;
  readonly slots: (Frame | undefined)[];
}

export interface PCTableOptions extends PackageNamesOptions {
  /** Says of a frame that a goroutine's stack ends there: the run loop that resumes goroutines. */
  isStackBase?: ((frame: RawFrame) => boolean) | undefined;
}

export class PCTable {
  readonly sourceMaps = new SourceMaps();
  readonly packages: PackageNames;
  /** Frame number -> frame; 0 is never issued. */
  private readonly frames: (Frame | undefined)[] = [undefined];
  private readonly blocks: Block[] = [];
  private readonly scripts = new Map<string, Map<number, number>>();
  private lastFile = "";
  private lastScript = new Map<number, number>();
  private readonly unplaced = new Map<string, number>();
  private readonly funcs = new Map<string, FuncInfo>();
  private readonly isStackBase: ((frame: RawFrame) => boolean) | undefined;
  /** The frame `runtime.goexit`, where a goroutine's stack ends. */
  readonly goexit: number;

  constructor(options: PCTableOptions = {}) {
    this.packages = new PackageNames(options);
    this.isStackBase = options.isStackBase;
    this.goexit = this.synthetic("runtime.goexit", "<runtime>", 0);
  }

  /** How many places in the code the table knows. */
  get size(): number {
    return this.frames.length - 1;
  }

  /** The end of the text segment: one past the last address in use. */
  get textEnd(): number {
    return TEXT_START + this.blocks.length * blockSize;
  }

  /** The frame number of a call site, or `ELIDED`. */
  intern(site: CallSite): number {
    const file = site.getFileName();
    if (file) {
      const position = site.getPosition?.() ?? positionOf(site);
      // Neighbours on a stack mostly are of one file, and V8 gives the same string for it.
      let script = this.lastScript;
      if (file !== this.lastFile) {
        script = this.scripts.get(file) ?? new Map();
        this.scripts.set(file, script);
        this.lastFile = file;
        this.lastScript = script;
      }
      let id = script.get(position);
      if (id === undefined) {
        id = this.newFrame(site, file);
        script.set(position, id);
      }
      return id;
    }
    return this.internUnplaced(site);
  }

  /** Code without a file: V8's built-ins, eval, WebAssembly. */
  private internUnplaced(site: CallSite): number {
    const name = site.getFunctionName() ?? "";
    const line = site.getLineNumber();
    if (line === null) {
      if (name === "next" || name === "return" || name === "throw") return ELIDED;
      return this.synthetic(builtinName(name, site.getTypeName()), "<builtin>", 0);
    }
    const url = site.getScriptNameOrSourceURL?.() || site.getEvalOrigin?.() || "<eval>";
    const key = `${url}\n${name}\n${positionOf(site)}`;
    let id = this.unplaced.get(key);
    if (id === undefined) {
      id = this.newFrame(site, "");
      this.unplaced.set(key, id);
    }
    return id;
  }

  /** A frame with a given name and place, such as `runtime.goexit`; the same name gives the same frame. */
  synthetic(name: string, file: string, line: number): number {
    const key = `\0${name}\n${file}\n${line}`;
    let id = this.unplaced.get(key);
    if (id === undefined) {
      const func = this.newFunc(`\0${name}`, {
        script: file,
        functionName: name,
        typeName: "",
        isConstructor: false,
        startLine: line,
        startColumn: 0,
        line,
        column: 0,
        fixedName: name,
      });
      id = this.addFrame(func, { script: file, functionName: name, typeName: "", line, column: 0 });
      this.unplaced.set(key, id);
    }
    return id;
  }

  private newFrame(site: CallSite, file: string): number {
    const functionName = site.getFunctionName() ?? "";
    const typeName = site.getTypeName() ?? "";
    const line = site.getLineNumber() ?? 0;
    const column = site.getColumnNumber() ?? 0;
    const startLine = site.getEnclosingLineNumber?.() ?? 0;
    const startColumn = site.getEnclosingColumnNumber?.() ?? 0;
    const isConstructor = site.isConstructor();
    const script = toPath(file);
    // Without the function's own position, an anonymous one is told from others by the line of this call.
    const identity = startLine > 0 ? `${startLine}:${startColumn}` : functionName || `${line}:${column}`;
    const func = this.newFunc(`${file}\n${functionName}\n${identity}`, {
      script,
      functionName,
      typeName,
      isConstructor,
      startLine,
      startColumn,
      line,
      column,
      fixedName: undefined,
    });
    return this.addFrame(func, { script, functionName, typeName, line, column });
  }

  private newFunc(key: string, known: Omit<FuncInfo, "blocks" | "func" | "symbol">): Func {
    const existing = this.funcs.get(key);
    if (existing?.func !== undefined) return existing.func;
    const info: FuncInfo = { ...known, blocks: [], func: undefined, symbol: undefined };
    const func = new Func(this, this.textEnd, info);
    info.func = func;
    this.addBlock(func);
    this.funcs.set(key, info);
    return func;
  }

  private addBlock(func: Func): Block {
    const block: Block = { func, start: this.textEnd, slots: [] };
    // Slot 0 of a function's first block is its entry, not a call.
    if (func.info.blocks.length === 0) block.slots.push(undefined);
    this.blocks.push(block);
    func.info.blocks.push(block);
    return block;
  }

  private addFrame(func: Func, raw: RawFrame): number {
    let block = func.info.blocks.at(-1)!;
    if (block.slots.length === slotsPerBlock) block = this.addBlock(func);
    const pc = block.start + block.slots.length * slotSize + callLength;
    const frame: Frame = { ...raw, id: this.frames.length, func, pc, flags: 0, symbol: undefined };
    if (this.isStackBase?.(raw) === true) frame.flags |= flagBase;
    block.slots.push(frame);
    return this.frames.push(frame) - 1;
  }

  /** The JavaScript file of a frame number. */
  scriptOf(id: number): string {
    return this.frames[id]!.script;
  }

  /** Whether a goroutine's stack ends at this frame. */
  isBase(id: number): boolean {
    return (this.frames[id]!.flags & flagBase) !== 0;
  }

  /**
   * Whether a frame is the runtime's own code, as far as its script and its place in that tell: no source map is
   * read.
   */
  isOwn(id: number): boolean {
    const frame = this.frames[id]!;
    if ((frame.flags & flagLooked) === 0) {
      frame.flags |= flagLooked;
      if (this.isOwnPlace(frame.script, frame.line, frame.column)) frame.flags |= flagOwn;
    }
    return (frame.flags & flagOwn) !== 0;
  }

  private isOwnPlace(script: string, line: number, column: number): boolean {
    if (script === "" || script.startsWith("<")) return false;
    return ownCode.has(script, line, column) || this.packages.packageOf(script, script) === "runtime";
  }

  /** The return address that stands for a frame number. */
  pcOf(id: number): number {
    return this.frames[id]!.pc;
  }

  /** The function of a frame number. */
  funcOf(id: number): Func {
    return this.frames[id]!.func;
  }

  /** The frame number of a pc (of the call, or its return address); 0 for a pc never issued. */
  frameIdAt(pc: number): number {
    return this.frameAt(pc)?.id ?? 0;
  }

  /** @internal */
  frameAt(pc: number): Frame | undefined {
    const block = this.blockAt(pc);
    return block?.slots[Math.floor((pc - block.start) / slotSize)];
  }

  private blockAt(pc: number): Block | undefined {
    return pc >= TEXT_START ? this.blocks[Math.floor((pc - TEXT_START) / blockSize)] : undefined;
  }

  /** The function that has this pc, or null: nothing was ever issued there. */
  funcForPC(pc: number): Func | null {
    return this.blockAt(pc)?.func ?? null;
  }

  /** The line on which the function of a frame begins, 0 if unknown. */
  startLineOf(id: number): number {
    return this.symbolizeFunc(this.frames[id]!.func.info).line;
  }

  /** Name and place of a frame number, source map applied. The object is shared: don't change it. */
  symbolize(id: number): Symbolized {
    return this.symbolizeFrame(this.frames[id]!);
  }

  /** @internal */
  symbolizeFrame(frame: Frame): Symbolized {
    if (frame.symbol === undefined) {
      const place = this.sourceOf(frame.script, frame.line, frame.column);
      const { func } = this.symbolizeFunc(frame.func.info, place.file);
      frame.symbol = { func, ...place, own: func.startsWith("runtime.") };
    }
    return frame.symbol;
  }

  /**
   * Name and place of a function. `file` is the source a call in it was mapped to; it decides the package where the
   * function's own position has no mapping.
   * @internal
   */
  symbolizeFunc(info: FuncInfo, file?: string): Symbolized {
    if (info.symbol === undefined) {
      if (info.fixedName !== undefined) {
        info.symbol = { func: info.fixedName, file: info.script, line: info.startLine, column: 0 };
      } else {
        const place = this.sourceOf(info.script, info.startLine, info.startColumn);
        const source = place.file === info.script && file !== undefined ? file : place.file;
        const isModule = info.startLine === 1 && info.startColumn === 1;
        // Of a frame that was read from an error's text, not even V8's position of the function is known.
        const anonymous = info.startLine === 0 ? "func1" : `func@${place.line}:${place.column}`;
        const name = this.localName(info, isModule, place) || anonymous;
        // In a bundle without a source map all code is of one file.
        const own = ownCode.has(info.script, info.line, info.column);
        const pkg = own ? "runtime" : source === "" ? "eval" : this.packages.packageOf(source, info.script);
        info.symbol = { func: `${pkg}.${name}`, file: source, line: place.line, column: place.column };
      }
    }
    return info.symbol;
  }

  /** The FUNCTION part of a name; "" for an anonymous function whose script can't be read. */
  private localName(info: FuncInfo, isModule: boolean, place: Omit<Symbolized, "func">): string {
    const name = functionNameOf({ ...info, isModule });
    // V8 doesn't know what is around an anonymous function, and of a method only the receiver's class.
    const isMethod = name.startsWith("(*") || info.typeName === "Function";
    if (info.startLine === 0) return this.nameAround(info, name);
    if (name !== "" && !isMethod) return name;
    // Where the script is gone (a bundle that was deleted once loaded), its source, at the place of the source map.
    const scanned =
      this.functionsOf(info.script)?.at(info.startLine, info.startColumn) ??
      (place.file === info.script ? undefined : this.functionsOf(place.file)?.at(place.line, place.column));
    if (scanned === undefined) return name;
    if (name === "") return scanned.name === "" ? scannedName(scanned) : name;
    const own = info.isConstructor ? "constructor" : info.functionName.replace(/^(?:get|set) /, "");
    return scanned.className !== "" && scanned.name === own ? scannedName(scanned) : name;
  }

  /**
   * The name of a function of which only the place of a call in it is known, as in an error's text: of an anonymous
   * one what is around it, and of a method its class, which the text doesn't tell from any other name before a dot.
   */
  private nameAround({ script, line, column, functionName }: FuncInfo, name: string): string {
    const own = functionName.slice(functionName.lastIndexOf(".") + 1);
    if (name !== "" && own === functionName) return name;
    const place = this.sourceOf(script, line, column);
    const scanned =
      this.functionsOf(script)?.around(line, column) ??
      (place.file === script ? undefined : this.functionsOf(place.file)?.around(place.line, place.column));
    if (scanned === undefined) return name;
    if (name === "") return scannedName(scanned);
    return scanned.className !== "" && scanned.name === own ? scannedName(scanned) : name;
  }

  /**
   * Whether a line of a script is in the function that begins at a place of it (all from 1), as far as the source
   * tells: of a function that isn't found in it, every line from its first is.
   */
  isLineOf(file: string, startLine: number, startColumn: number, line: number): boolean {
    if (line < startLine) return false;
    const script = toPath(file);
    const functions = this.functionsOf(script);
    if (functions !== null) return line <= (functions.endLine(startLine, startColumn) ?? line);
    // Where the script is gone, its source, at the places of the source map.
    const start = this.sourceOf(script, startLine, startColumn);
    const end = this.functionsOf(start.file)?.endLine(start.line, start.column);
    if (end === undefined) return true;
    const at = this.sourceOf(script, line, 0);
    return at.file === start.file && at.line >= start.line && at.line <= end;
  }

  private functionsOf(script: string): SourceFunctions | null {
    let functions = this.scanned.get(script);
    if (functions === undefined) {
      functions = null;
      try {
        const source = script.startsWith("node:") ? undefined : readTextFile(script, maxScannedBytes);
        if (source !== undefined) functions = new SourceFunctions(source);
      } catch {
        // Not JavaScript: V8's names have to do.
      }
      this.scanned.set(script, functions);
    }
    return functions;
  }
  private readonly scanned = new Map<string, SourceFunctions | null>();

  /** Gives the source of a script that isn't on disk, for the names of its anonymous functions. */
  addSource(script: string, source: string): void {
    this.scanned.set(toPath(script), new SourceFunctions(source));
  }

  private sourceOf(script: string, line: number, column: number): Omit<Symbolized, "func"> {
    const original = script === "" || line <= 0 ? null : this.sourceMaps.lookup(script, line, column);
    if (original !== null) return { file: original.file, line: original.line, column: original.column };
    return { file: script === "" ? "<eval>" : script, line, column };
  }
}

/** A number for line and column, for call sites that don't know their offset. Lines are below 2^26. */
function positionOf(site: CallSite): number {
  return (site.getLineNumber() ?? 0) * 0x8000000 + (site.getColumnNumber() ?? 0);
}

function builtinName(name: string, typeName: string | null): string {
  return `js.${typeName && !name.includes(".") ? `${typeName}.` : ""}${name || "func"}`;
}
