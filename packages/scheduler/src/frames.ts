/**
 * From the stacks of V8, and the text of other engines', to frames with names as Go writes them.
 *
 * V8 shows each `yield*` level twice, once as a builtin `next`; those entries, the scheduler's own frames and
 * everything below a marker function are left out.
 */

import { OwnCode } from "@gort/base";

export interface Frame {
  /** Name as Go would write it, such as `main.(*Server).serve`. */
  func: string;
  file: string;
  line: number;
  /** It is the function that was given to go, or to main. */
  outermost?: boolean;
  /** A symbolizer says so of code of the runtime's own packages, which is left out. */
  own?: boolean;
}

/** The part of a V8 call site that a symbolizer may want. */
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

/** Whether Error's settings can be set. What is frozen stays so. */
let settable = true;

/**
 * Sets V8's limit of frames, where it can be set: with frozen intrinsics (`node --frozen-intrinsics`, SES) V8's own
 * stays, and stacks come as text of at most 10 frames. Every slice calls it twice: Reflect.set would take 100 ns.
 */
export function setStackTraceLimit(limit: number | undefined): void {
  if (!settable) return;
  try {
    v8Error.stackTraceLimit = limit;
  } catch {
    settable = false;
  }
}

/** Sets the function that V8 asks for stacks, where it can be set. */
export function setPrepareStackTrace(f: unknown): void {
  Reflect.set(v8Error, "prepareStackTrace", f);
}

/**
 * Names of the functions below which a stack belongs to the scheduler: the loop that resumes goroutines, the one that calls
 * their functions first, and the one here. They are keys, and so survive minification, and written out where the functions
 * are, not computed: V8's CPU profiler knows no other names.
 */
const runMarker = "gort:run";
const startMarker = "gort:start";
export const probeMarker = "gort:probe";

/** Whether a stack belongs to the scheduler from the function of this name on. */
export function isMarker(name: string | null): boolean {
  return name === runMarker || name === startMarker || name === probeMarker;
}
const markerText = new RegExp([runMarker, startMarker, probeMarker].join("|"));

/** Whether the text of a stack reaches the end of a goroutine's. */
export function hasMarker(stack: string): boolean {
  return markerText.test(stack);
}

/** Captures the current stack, without what is above and including the innermost call of `below`. */
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

/** The call sites of a stack that was not read before; null where the engine gives none. */
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

/** Whether a call site is in code of these packages, as far as its place tells. */
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
    // A copy: the symbolizer may keep what it gives.
    if (f.own !== true && !hidden(f.file)) out.push({ func: f.func, file: f.file, line: f.line });
  }
  return out;
}

const v8Line = /^\s+at (?:async )?(?:(.*?) \()?(?:(.*?):(\d+):(\d+)|<anonymous>|native)\)?$/;
const otherLine = /^(.*?)@(.*?):(\d+):(\d+)$/;

/** What a symbolizer asks of a call site, answered from a line of an error's text. */
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

/** The text of an error's stack, or "". V8 is not asked for call sites: it would leave the error with them in place of the text. */
export function stackOfError(e: unknown): string {
  try {
    // Null, a getter of the program, or a formatter that fails on a broken source map: the report has no frames.
    const { stack } = e as StackHolder;
    return typeof stack === "string" ? stack : "";
  } catch {
    return "";
  }
}

/** Lines of a stack that goroutines run with, at least: the run loop sets Error's limit. One so long may have been cut. */
export const stackLines = 50;

export function isCut(stack: string): boolean {
  let n = 0;
  for (let at = stack.indexOf("\n"); at >= 0; at = stack.indexOf("\n", at + 1)) n++;
  return n >= stackLines;
}

/** What one line of a stack says. */
interface StackLine {
  /** Below it are the frames of the scheduler. */
  marker: boolean;
  name: string;
  func: string;
  file: string;
  path: string;
  line: number;
  column: number;
}

/** Lines read before, null for those to leave out: the same ones come again and again, in recursion and in every dump. */
const lines = new Map<string, StackLine | null>();
const linesMax = 4096;

function readLine(text: string): StackLine | null {
  let l = lines.get(text);
  if (l === undefined) {
    l = parseLine(text);
    if (lines.size >= linesMax) lines.clear();
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
 * Folder of this package, whose frames are left out as Go leaves out those of its runtime. Null where the package has been
 * bundled into other code: then its places in that tell, see owncode.ts.
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
