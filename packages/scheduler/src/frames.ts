/**
 * Turns the stacks of V8, and the text of other engines' stacks, into frames with names as Go writes them.
 *
 * V8 shows each `yield*` level twice, once as a builtin `next`. These entries, the scheduler's own frames and all
 * frames below a marker function are left out.
 */

import { OwnCode } from "@gort/base";

export interface Frame {
  /** Name as Go would write it, such as `main.(*Server).serve`. */
  func: string;
  file: string;
  line: number;
  /** It is the function that `go` or `main` was called with. */
  outermost?: boolean;
  /** Set by a symbolizer for code of the runtime's own packages, which is left out. */
  own?: boolean;
}

/** A call site of V8. */
export type CallSite = NodeJS.CallSite;
export type Symbolize = (site: CallSite) => Frame;

export interface StackHolder {
  stack?: unknown;
}

interface V8Error {
  captureStackTrace?(target: object, below?: unknown): void;
  stackTraceLimit?: number | undefined;
  prepareStackTrace?: unknown;
}
export const v8Error = Error as unknown as V8Error;

/** Whether the properties of Error can be set. Once a store has failed, they are frozen. */
let settable = true;

/**
 * Sets V8's limit of frames if possible. With frozen intrinsics (`node --frozen-intrinsics`, SES) V8's own limit stays,
 * and stacks are text of at most 10 frames. Each slice calls it twice, and Reflect.set would take 100 ns.
 */
export function setStackTraceLimit(limit: number | undefined): void {
  if (!settable) return;
  try {
    v8Error.stackTraceLimit = limit;
  } catch {
    settable = false;
  }
}

/** Sets the function that V8 calls to format stacks, if possible. */
export function setPrepareStackTrace(f: unknown): void {
  Reflect.set(v8Error, "prepareStackTrace", f);
}

/**
 * Names of the marker functions: from them on, a stack is the scheduler's. They are the run loop, the function that
 * makes the first call of a goroutine's function, and the probe. The names are property keys, so minifiers keep them.
 * They are written out at the functions, not computed: V8's CPU profiler knows no other names.
 */
const RUN_MARKER = "gort:run";
const START_MARKER = "gort:start";
export const PROBE_MARKER = "gort:probe";

/** Whether `name` is a marker: from this function on, a stack is the scheduler's. */
export function isMarker(name: string | null): boolean {
  return name === RUN_MARKER || name === START_MARKER || name === PROBE_MARKER;
}
const markerText = new RegExp([RUN_MARKER, START_MARKER, PROBE_MARKER].join("|"));

/** Whether the text of a stack has all frames of its goroutine. */
export function hasMarker(stack: string): boolean {
  return markerText.test(stack);
}

/** Captures the current stack from the caller of the innermost call of `below` on. */
export function capture(below: unknown, limit: number): StackHolder {
  const holder: StackHolder = {};
  if (v8Error.captureStackTrace === undefined) {
    holder.stack = new Error().stack;
    return holder;
  }
  const old = v8Error.stackTraceLimit!;
  setStackTraceLimit(limit);
  v8Error.captureStackTrace(holder, below);
  setStackTraceLimit(old);
  return holder;
}

/** Turns a captured stack, or an error, into frames. */
export function framesOf(holder: StackHolder, symbolize: Symbolize | undefined): Frame[] {
  if (symbolize !== undefined && v8Error.captureStackTrace !== undefined) {
    const sites = sitesOf(holder);
    if (sites !== null) return framesOfSites(sites, symbolize);
  }
  return typeof holder.stack === "string" ? parseStack(holder.stack, symbolize) : [];
}

/** The call sites of a stack that was not read yet. Null if the engine gives none. */
function sitesOf(holder: StackHolder): readonly CallSite[] | null {
  const old = v8Error.prepareStackTrace;
  setPrepareStackTrace((_e: unknown, sites: CallSite[]) => sites);
  let sites: unknown;
  try {
    sites = holder.stack;
  } finally {
    setPrepareStackTrace(old);
  }
  return Array.isArray(sites) ? (sites as CallSite[]) : null;
}

const ownCode = new OwnCode((mark) => sitesOf(mark) ?? []);

/** Whether the place of a call site is in code of these packages. */
export function isOwnSite(site: CallSite): boolean {
  const file = site.getFileName();
  if (typeof file !== "string") return false;
  return ownCode.has(file, site.getLineNumber() ?? 0, site.getColumnNumber() ?? 0);
}

export function framesOfSites(sites: readonly CallSite[], symbolize: Symbolize): Frame[] {
  const out: Frame[] = [];
  for (const site of sites) {
    const name = site.getFunctionName();
    if (isMarker(name)) {
      markOutermost(out);
      break;
    }
    if (site.isNative() || site.getFileName() === null || isOwnSite(site)) continue;
    const f = symbolize(site);
    // Copy the frame: the symbolizer may reuse its object.
    if (f.own !== true && !hidden(f.file)) out.push({ func: f.func, file: f.file, line: f.line });
  }
  return out;
}

const v8Line = /^\s+at (?:async )?(?:(.*?) \()?(?:(.*?):(\d+):(\d+)|<anonymous>|native)\)?$/;
const otherLine = /^(.*?)@(.*?):(\d+):(\d+)$/;

/** A call site for a symbolizer, made of a line of an error's text. */
function siteOfText(name: string, file: string, line: number, column: number): CallSite {
  const as = name.indexOf(" [as ");
  let text = as < 0 ? name : name.slice(0, as);
  const isConstructor = text.startsWith("new ");
  if (isConstructor) text = text.slice(4);
  const dot = text.lastIndexOf(".");
  const site = {
    getFileName: () => file,
    getLineNumber: () => line,
    getColumnNumber: () => column,
    getFunctionName: () => (dot > 0 ? text.slice(dot + 1) : text),
    getTypeName: () => (dot > 0 ? text.slice(0, dot) : null),
    getEvalOrigin: () => undefined,
    isConstructor: () => isConstructor,
    isNative: () => false,
  };
  return site as unknown as CallSite;
}

/**
 * The text of an error's stack, or "". Not its call sites: V8 would then keep them in the error in place of the text.
 */
export function stackOfError(e: unknown): string {
  try {
    // `e` is null, a getter of the program throws, or a formatter fails on a broken source map: report no frames.
    const { stack } = e as StackHolder;
    return typeof stack === "string" ? stack : "";
  } catch {
    return "";
  }
}

/** Least limit of frames while goroutines run: the run loop sets it. A stack of so many lines may be cut. */
export const STACK_LINES = 50;

export function isCut(stack: string): boolean {
  let n = 0;
  for (let at = stack.indexOf("\n"); at >= 0; at = stack.indexOf("\n", at + 1)) n++;
  return n >= STACK_LINES;
}

/** One line of the text of a stack. */
interface StackLine {
  /** The function is a marker. */
  marker: boolean;
  name: string;
  func: string;
  file: string;
  path: string;
  line: number;
  column: number;
}

/** Lines that were parsed, null for lines to leave out. Recursion and dumps repeat the same lines. */
const lines = new Map<string, StackLine | null>();
const LINES_MAX = 4096;

function readLine(text: string): StackLine | null {
  let l = lines.get(text);
  if (l === undefined) {
    l = parseLine(text);
    if (lines.size >= LINES_MAX) lines.clear();
    lines.set(text, l);
  }
  return l;
}

function parseLine(text: string): StackLine | null {
  if (text.includes(".next (<anonymous>)")) return null;
  const m = v8Line.exec(text) ?? otherLine.exec(text);
  if (m === null) return null;
  const name = m[1] ?? "";
  const file = m[2] ?? "";
  const path = filePath(file);
  const marker = markerText.test(name);
  const line = Number(m[3]);
  const column = Number(m[4]);
  if (!marker && (file === "" || file.startsWith("node:") || hidden(path))) return null;
  if (!marker && ownCode.has(file, line, column)) return null;
  return { marker, name, func: goName(name), file, path, line, column };
}

/** Reads the text of `error.stack`. */
export function parseStack(stack: string, symbolize?: Symbolize): Frame[] {
  const out: Frame[] = [];
  for (const text of stack.split("\n")) {
    const l = readLine(text);
    if (l === null) continue;
    if (l.marker) {
      markOutermost(out);
      break;
    }
    if (symbolize === undefined) {
      out.push({ func: l.func, file: l.path, line: l.line });
      continue;
    }
    const f = symbolize(siteOfText(l.name, l.file, l.line, l.column));
    if (f.own !== true && !hidden(f.file)) out.push({ func: f.func, file: f.file, line: f.line });
  }
  return out;
}

export function markOutermost(frames: Frame[]): void {
  if (frames.length > 0) frames[frames.length - 1].outermost = true;
}

function filePath(file: string): string {
  if (!file.startsWith("file://")) return file;
  try {
    return decodeURI(file.slice(7));
  } catch {
    // The text of a stack may be anything.
    return file;
  }
}

/**
 * Folder of this package. Its frames are left out, as Go leaves out those of its runtime. Null if the package is
 * bundled into other code: then `OwnCode` of @gort/base knows its places there.
 */
const own = /^(.*\/scheduler\/)(?:src|dist)\/[^/]*$/.exec(filePath(import.meta.url))?.[1] ?? null;

export function hidden(path: string): boolean {
  return own !== null && path.startsWith(own) && /^(?:src|dist)\//.test(path.slice(own.length));
}

/** `worker` -> `main.worker`, `Server.serve` -> `main.(*Server).serve`. */
export function goName(name: string): string {
  const as = name.indexOf(" [as ");
  let s = as < 0 ? name : name.slice(0, as);
  s = s.replace(/^(?:new |Object\.|Module\.|Function\.)+/, "");
  if (s === "" || s === "<anonymous>") return "main.func1";
  const dot = s.lastIndexOf(".");
  if (dot <= 0) return `main.${s}`;
  const method = s.slice(dot + 1);
  return `main.(*${s.slice(0, dot)}).${method === "<anonymous>" ? "func1" : method}`;
}
