/**
 * Program counters for a machine that has none.
 *
 * Go's profiles, stacks and symbol look-ups all use PCs: numbers that are cheap to record in bulk, and become names and
 * lines only when they are read. V8 gives call-site objects instead. The table turns each place in the code that was
 * seen on a stack into a number, once:
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
 * So Go's habits work. `pc - 1` is still the same call, and `pc - entry` is a small offset. Every pc in a function
 * names that function, and the PCs of one function lie together. A function with more than 127 calls on stacks gets
 * further blocks of 1024, which belong to the same Func.
 *
 * A *frame* is a dense number (1, 2, 3, ...) for the same thing. Stacks are kept as frames, 4 bytes each.
 *
 * At first sight, the table reads from V8 only what the call site itself knows. `symbolizer.ts` finds source position,
 * Go's name and package when the frame is first printed.
 *
 * The table belongs to one thread: V8's call sites, and the strings in them, exist in the thread that took the stack.
 * `portable` describes a frame for the table of another thread, and `adopt` finds or makes the frame there. The same
 * place in the code has the same description on all threads, since they load it from the same file.
 */
import type { CallSite } from "./capture.ts";
import type { PackageNames, PackageNamesOptions } from "./go-names.ts";
import { toPath } from "./host.ts";
import type { SourceMaps } from "./source-maps.ts";
import { type KnownFunction, type Symbolized, Symbolizer } from "./symbolizer.ts";

export type { Symbolized } from "./symbolizer.ts";

/** Where the text segment begins; no pc below it is ever issued. */
export const TEXT_START = 0x401000;
const BLOCK_SIZE = 1024;
const SLOT_SIZE = 8;
const SLOTS_PER_BLOCK = BLOCK_SIZE / SLOT_SIZE;
/** From the start of a call to the address to which it returns. */
const CALL_LENGTH = 5;
/** Lines times this, plus columns, is one exact number: lines below 2^26, columns below 2^27. */
const MAX_COLUMNS = 0x8000000;

/** A frame that never appears in a stack: the builtin `next`, `return` or `throw` between two generators. */
export const ELIDED = 0;

/** A goroutine's stack ends at this frame. */
const FLAG_BASE = 1;
/** Whether FLAG_OWN is computed, and whether the frame is the runtime's own code. */
const FLAG_OWN_KNOWN = 2;
const FLAG_OWN = 4;

/** The facts of a frame that are known before its source map and package are looked up. */
export interface RawFrame {
  /** The JavaScript file, "" for code without one. */
  readonly script: string;
  /** The name V8 gives, "" for none. */
  readonly functionName: string;
  readonly typeName: string;
  readonly line: number;
  readonly column: number;
}

/** A frame as plain data, for the table of another thread. */
export interface PortableFrame extends KnownFunction {
  /** The file as V8 names it; "" for code without one. */
  readonly file: string;
  /** Identifies the frame among those of the file. */
  readonly key: number | string;
  /** The place of the call, in `line` and `column`: not that which was seen first in the function. */
  readonly line: number;
  readonly column: number;
}

/** A function: Go's runtime.Func. */
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

  /** The place of `pc` in the source. For a pc of another function: "" and 0. */
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

interface FuncInfo extends KnownFunction {
  blocks: Block[];
  func: Func | undefined;
  symbol: Symbolized | undefined;
}

interface Frame extends RawFrame {
  readonly id: number;
  readonly func: Func;
  readonly pc: number;
  /** See PortableFrame. */
  readonly file: string;
  readonly key: number | string;
  flags: number;
  symbol: Symbolized | undefined;
}

/** Frame numbers of one file, by PortableFrame.key. */
type FrameNumbers = Map<number | string, number>;

interface Block {
  readonly func: Func;
  readonly start: number;
  readonly slots: (Frame | undefined)[];
}

export interface PCTableOptions extends PackageNamesOptions {
  /** Whether a goroutine's stack ends at this frame: the run loop that resumes goroutines. */
  isStackBase?: ((frame: RawFrame) => boolean) | undefined;
}

export class PCTable {
  readonly sourceMaps: SourceMaps;
  readonly packages: PackageNames;
  private readonly symbolizer: Symbolizer;
  /** Frame number -> frame; 0 is never issued. */
  private readonly frames: (Frame | undefined)[] = [undefined];
  private readonly blocks: Block[] = [];
  /** Frame numbers by file and position. */
  private readonly scripts = new Map<string, FrameNumbers>();
  private lastFile = "";
  private lastScript: FrameNumbers = new Map();
  /** Frame numbers of code without a file, and of given frames. */
  private readonly unplaced: FrameNumbers = new Map();
  private readonly funcs = new Map<string, FuncInfo>();
  private readonly isStackBase: ((frame: RawFrame) => boolean) | undefined;
  /** The frame `runtime.goexit`, where a goroutine's stack ends. */
  readonly goexit: number;

  constructor(options: PCTableOptions = {}) {
    this.symbolizer = new Symbolizer(options);
    this.sourceMaps = this.symbolizer.sourceMaps;
    this.packages = this.symbolizer.packages;
    this.isStackBase = options.isStackBase;
    this.goexit = this.synthetic("runtime.goexit", "<runtime>", 0);
  }

  /** How many places in the code the table knows. */
  get size(): number {
    return this.frames.length - 1;
  }

  /** The end of the text segment: one past the last address in use. */
  get textEnd(): number {
    return TEXT_START + this.blocks.length * BLOCK_SIZE;
  }

  // Issuing numbers.

  /** The frame number of a call site, or `ELIDED`. */
  intern(site: CallSite): number {
    const file = site.getFileName();
    if (file) {
      const position = site.getPosition?.() ?? positionOf(site);
      // Neighbours on a stack are mostly of one file, and V8 gives the same string for it.
      let script = this.lastScript;
      if (file !== this.lastFile) {
        script = this.numbersOf(file);
        this.lastFile = file;
        this.lastScript = script;
      }
      return script.get(position) ?? this.addFrame(placeOf(site, file, position), script);
    }
    return this.internUnplaced(site);
  }

  /** The frame numbers of a file. */
  private numbersOf(file: string): FrameNumbers {
    let numbers = this.scripts.get(file);
    if (numbers === undefined) {
      numbers = new Map();
      this.scripts.set(file, numbers);
    }
    return numbers;
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
    return this.unplaced.get(key) ?? this.addFrame(placeOf(site, "", key), this.unplaced);
  }

  /** A frame with a given name and place, such as `runtime.goexit`. The same name and place give the same frame. */
  synthetic(name: string, file: string, line: number): number {
    const key = `\0${name}\n${file}\n${line}`;
    const known = this.unplaced.get(key);
    if (known !== undefined) return known;
    const place: PortableFrame = {
      file: "",
      key,
      script: file,
      functionName: name,
      typeName: "",
      isConstructor: false,
      startLine: line,
      startColumn: 0,
      line,
      column: 0,
      fixedName: name,
    };
    return this.addFrame(place, this.unplaced);
  }

  /** The description of a frame for `adopt` of another table. */
  portable(id: number): PortableFrame {
    const { file, key, line, column, func } = this.frames[id]!;
    const { blocks: _blocks, func: _func, symbol: _symbol, ...known } = func.info;
    return { ...known, file, key, line, column };
  }

  /** The number of a frame that another table has described. */
  adopt(place: PortableFrame): number {
    const numbers = place.file === "" ? this.unplaced : this.numbersOf(place.file);
    return numbers.get(place.key) ?? this.addFrame(place, numbers);
  }

  private funcOfPlace(place: PortableFrame): Func {
    const {
      file,
      script,
      functionName,
      typeName,
      isConstructor,
      startLine,
      startColumn,
      line,
      column,
      fixedName,
    } = place;
    // If the function's position is unknown, the line of this call identifies an anonymous function.
    const identity = startLine > 0 ? `${startLine}:${startColumn}` : functionName || `${line}:${column}`;
    const key = fixedName === undefined ? `${file}\n${functionName}\n${identity}` : `\0${fixedName}`;
    const existing = this.funcs.get(key);
    if (existing?.func !== undefined) return existing.func;
    const info: FuncInfo = {
      script,
      functionName,
      typeName,
      isConstructor,
      startLine,
      startColumn,
      line,
      column,
      fixedName,
      blocks: [],
      func: undefined,
      symbol: undefined,
    };
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

  private addFrame(place: PortableFrame, numbers: FrameNumbers): number {
    const { file, key, script, functionName, typeName, line, column } = place;
    const func = this.funcOfPlace(place);
    let block = func.info.blocks.at(-1)!;
    if (block.slots.length === SLOTS_PER_BLOCK) block = this.addBlock(func);
    const pc = block.start + block.slots.length * SLOT_SIZE + CALL_LENGTH;
    const raw: RawFrame = { script, functionName, typeName, line, column };
    const id = this.frames.length;
    const frame: Frame = { ...raw, id, func, pc, file, key, flags: 0, symbol: undefined };
    if (this.isStackBase?.(raw) === true) frame.flags |= FLAG_BASE;
    block.slots.push(frame);
    this.frames.push(frame);
    numbers.set(key, id);
    return id;
  }

  // Frame numbers and PCs.

  /** The JavaScript file of a frame number. */
  scriptOf(id: number): string {
    return this.frames[id]!.script;
  }

  /** Whether a goroutine's stack ends at this frame. */
  isBase(id: number): boolean {
    return (this.frames[id]!.flags & FLAG_BASE) !== 0;
  }

  /** Whether a frame is the runtime's own code, by its script and its position alone: no source map is read. */
  isOwn(id: number): boolean {
    const frame = this.frames[id]!;
    if ((frame.flags & FLAG_OWN_KNOWN) === 0) {
      frame.flags |= FLAG_OWN_KNOWN;
      if (this.symbolizer.isOwnPlace(frame.script, frame.line, frame.column)) frame.flags |= FLAG_OWN;
    }
    return (frame.flags & FLAG_OWN) !== 0;
  }

  /** The return address that stands for a frame number. */
  pcOf(id: number): number {
    return this.frames[id]!.pc;
  }

  /** The function of a frame number. */
  funcOf(id: number): Func {
    return this.frames[id]!.func;
  }

  /** The frame number of a pc (of the call, or its return address); 0 for a pc that was never issued. */
  frameIdAt(pc: number): number {
    return this.frameAt(pc)?.id ?? 0;
  }

  /** @internal */
  frameAt(pc: number): Frame | undefined {
    const block = this.blockAt(pc);
    return block?.slots[Math.floor((pc - block.start) / SLOT_SIZE)];
  }

  private blockAt(pc: number): Block | undefined {
    return pc >= TEXT_START ? this.blocks[Math.floor((pc - TEXT_START) / BLOCK_SIZE)] : undefined;
  }

  /** The function that has this pc, or null if no pc was ever issued there. */
  funcForPC(pc: number): Func | null {
    return this.blockAt(pc)?.func ?? null;
  }

  // Names and positions.

  /** The line on which the function of a frame begins, 0 if unknown. */
  startLineOf(id: number): number {
    return this.symbolizeFunc(this.frames[id]!.func.info).line;
  }

  /** Name and place of a frame number, with the source map applied. The object is shared: do not change it. */
  symbolize(id: number): Symbolized {
    return this.symbolizeFrame(this.frames[id]!);
  }

  /** @internal */
  symbolizeFrame(frame: Frame): Symbolized {
    if (frame.symbol === undefined) {
      const place = this.symbolizer.sourceOf(frame.script, frame.line, frame.column);
      const { func } = this.symbolizeFunc(frame.func.info, place.file);
      frame.symbol = { func, ...place, own: func.startsWith("runtime.") };
    }
    return frame.symbol;
  }

  /**
   * Name and place of a function. `file` is the source to which a call in the function was mapped.
   * @internal
   */
  symbolizeFunc(info: FuncInfo, file?: string): Symbolized {
    return (info.symbol ??= this.symbolizer.symbolizeFunction(info, file));
  }

  /**
   * Whether a line of a script is in the function that begins at this place (all from 1), as far as the source shows.
   * For a function that the source does not show, every line from its first is.
   */
  isLineOf(file: string, startLine: number, startColumn: number, line: number): boolean {
    return this.symbolizer.isLineOf(file, startLine, startColumn, line);
  }

  /** Gives the source of a script that is not on disk, for the names of its anonymous functions. */
  addSource(script: string, source: string): void {
    this.symbolizer.addSource(script, source);
  }
}

/** The place of a call site. */
function placeOf(site: CallSite, file: string, key: number | string): PortableFrame {
  return {
    file,
    key,
    script: toPath(file),
    functionName: site.getFunctionName() ?? "",
    typeName: site.getTypeName() ?? "",
    isConstructor: site.isConstructor(),
    startLine: site.getEnclosingLineNumber?.() ?? 0,
    startColumn: site.getEnclosingColumnNumber?.() ?? 0,
    line: site.getLineNumber() ?? 0,
    column: site.getColumnNumber() ?? 0,
    fixedName: undefined,
  };
}

/** A number for line and column, for call sites that do not know their offset in the file. */
function positionOf(site: CallSite): number {
  return (site.getLineNumber() ?? 0) * MAX_COLUMNS + (site.getColumnNumber() ?? 0);
}

function builtinName(name: string, typeName: string | null): string {
  return `js.${typeName && !name.includes(".") ? `${typeName}.` : ""}${name || "func"}`;
}
