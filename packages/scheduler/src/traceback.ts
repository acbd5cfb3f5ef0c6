/**
 * Stacks, and goroutine dumps in Go's grammar.
 *
 * A suspended goroutine keeps no stack that could be read, so it is resumed in probe mode: with `m0.probe` set, the
 * innermost op, which is what `next()` reaches through the whole chain of `yield*`, captures the stack and suspends
 * again without having done anything. The goroutine notices nothing, and one that is never looked at pays nothing.
 * V8 shows each `yield*` level twice, once as a builtin `next`; those entries, the scheduler's own frames and
 * everything below the marker function are left out.
 *
 * Unlike Go: arguments are not known and print as `(...)`, as Go prints an inlined frame; positions have no
 * code offset; a goroutine that has not begun shows the position of its `go` statement.
 */

import { nodeProcess } from "./host.ts";
import type { Op } from "./op.ts";
import { type Panic, printpanics } from "./panic.ts";
import type { Scheduler } from "./proc.ts";
import {
  type G,
  Gdead,
  Grunning,
  Gsyscall,
  Gwaiting,
  gHost,
  gMain,
  gStatusStrings,
  gSystem,
  m0,
  waitReasonStrings,
} from "./runtime2.ts";

export interface Frame {
  /** Name as Go would write it, such as `main.(*Server).serve`. */
  func: string;
  file: string;
  line: number;
  /** It is the function that was given to go, or to main. */
  outermost?: boolean;
}

/** The part of a V8 call site that a symbolizer may want. */
export type CallSite = NodeJS.CallSite;
export type Symbolize = (site: CallSite) => Frame;

interface StackHolder {
  stack?: unknown;
}

interface V8Error {
  captureStackTrace?(target: object, below?: unknown): void;
  stackTraceLimit?: number;
  prepareStackTrace?: unknown;
}
const v8Error = Error as unknown as V8Error;

/** Frames kept of a capture: 50 innermost and 50 outermost are printed, and each may be doubled. */
const captureLimit = 1000;

/**
 * Names of the functions below which a stack belongs to the scheduler: the loop that resumes goroutines, the one that calls
 * their functions first, and the one here. They are keys, and so survive minification, and written out where the functions
 * are, not computed: V8's CPU profiler knows no other names.
 */
const runMarker = "gort:run";
const startMarker = "gort:start";
const probeMarker = "gort:probe";

const markers = {
  [probeMarker](g: G): void {
    g.gen!.next();
  },
};

/** Whether a stack belongs to the scheduler from the function of this name on. */
export function isMarker(name: string | null): boolean {
  return name === runMarker || name === startMarker || name === probeMarker;
}
const markerText = new RegExp([runMarker, startMarker, probeMarker].join("|"));

/** Captures the current stack, without what is above and including the innermost call of `below`. */
export function capture(below: unknown, limit: number): StackHolder {
  const holder: StackHolder = {};
  if (v8Error.captureStackTrace === undefined) {
    holder.stack = new Error().stack;
    return holder;
  }
  const old = v8Error.stackTraceLimit!;
  v8Error.stackTraceLimit = limit;
  v8Error.captureStackTrace(holder, below);
  v8Error.stackTraceLimit = old;
  return holder;
}

/** Turns a captured stack, or an error, into frames. */
export function framesOf(holder: StackHolder, symbolize: Symbolize | undefined): Frame[] {
  if (symbolize !== undefined && v8Error.captureStackTrace !== undefined) {
    const old = v8Error.prepareStackTrace;
    v8Error.prepareStackTrace = (_e: unknown, sites: CallSite[]) => sites;
    let sites: unknown;
    try {
      sites = holder.stack;
    } finally {
      v8Error.prepareStackTrace = old;
    }
    if (Array.isArray(sites)) return framesOfSites(sites as CallSite[], symbolize);
  }
  return typeof holder.stack === "string" ? parseStack(holder.stack) : [];
}

function framesOfSites(sites: CallSite[], symbolize: Symbolize): Frame[] {
  const out: Frame[] = [];
  for (const site of sites) {
    const name = site.getFunctionName();
    if (isMarker(name)) {
      markOutermost(out);
      break;
    }
    if (site.isNative() || site.getFileName() === null) continue;
    const f = symbolize(site);
    // A copy: the symbolizer may keep what it gives.
    if (!hidden(f.file)) out.push({ func: f.func, file: f.file, line: f.line });
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

/**
 * The frames of an error. Its `stack` is read as text, since asking V8 for its call sites would leave the error with a
 * list in place of the text.
 */
export function framesOfError(e: { stack?: unknown }, symbolize: Symbolize | undefined): Frame[] {
  return typeof e.stack === "string" ? parseStack(e.stack, symbolize) : [];
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
  if (!marker && (file === "" || file.startsWith("node:") || hidden(path))) return null;
  return { marker, name, func: goName(name, path), file, path, line: Number(m[3]), column: Number(m[4]) };
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
    if (!hidden(f.file)) out.push({ func: f.func, file: f.file, line: f.line });
  }
  return out;
}

function markOutermost(frames: Frame[]): void {
  if (frames.length > 0) frames[frames.length - 1].outermost = true;
}

/** Name of a frame of goroutine `goid`: the function given to main is `main.main`, if it has no name of its own. */
function frameName(f: Frame, goid: number): string {
  return goid === 1 && f.outermost && f.func === "main.func1" ? "main.main" : f.func;
}

function filePath(file: string): string {
  return file.startsWith("file://") ? decodeURI(file.slice(7)) : file;
}

/**
 * Folder of this package, whose frames are left out as Go leaves out those of its runtime. Null where the package has been
 * bundled into other code: then it can't be told from that.
 */
const own = /^(.*\/scheduler\/)(?:src|dist)\/[^/]*$/.exec(filePath(import.meta.url))?.[1] ?? null;

function hidden(path: string): boolean {
  return own !== null && path.startsWith(own) && /^(?:src|dist)\//.test(path.slice(own.length));
}

/** `worker` -> `main.worker`, `Server.serve` -> `main.(*Server).serve`. */
export function goName(name: string, _file: string): string {
  const as = name.indexOf(" [as ");
  let s = as < 0 ? name : name.slice(0, as);
  s = s.replace(/^(?:new |Object\.|Module\.|Function\.)+/, "");
  if (s === "" || s === "<anonymous>") return "main.func1";
  const dot = s.lastIndexOf(".");
  if (dot <= 0) return `main.${s}`;
  const method = s.slice(dot + 1);
  return `main.(*${s.slice(0, dot)}).${method === "<anonymous>" ? "func1" : method}`;
}

/** The frames of a goroutine, innermost first. Empty where they cannot be known. */
export function gStack(g: G): Frame[] {
  const s = g.sched;
  if (g === m0.curg && g.atomicstatus === Grunning)
    return framesOf(capture(gStack, captureLimit), s.symbolize);
  if (g.gen === null || g.waitOp === null) return [];
  // Of the stack on which the goroutine's own stands, gSites takes little.
  if (s.symbolize !== undefined && v8Error.captureStackTrace !== undefined) {
    return framesOfSites(gSites(g), s.symbolize);
  }
  let holder: StackHolder | null = null;
  const self = m0.curg;
  m0.curg = g;
  m0.probe = (op: Op<unknown>) => {
    holder = capture(op.next, captureLimit);
  };
  try {
    markers[probeMarker](g);
  } finally {
    m0.probe = null;
    m0.curg = self;
  }
  return holder === null ? [] : framesOf(holder, s.symbolize);
}

const collect = (_e: unknown, sites: CallSite[]): unknown => sites;
/**
 * Call sites to ask for at first, when a waiting goroutine's stack is taken: enough for the deepest of the last ones. Asking for one
 * more costs a fraction of a microsecond, asking again some of them; so it shrinks slowly.
 */
let enoughSites = 8;
let sitesTaken = 0;
const shrinkEvery = 256;

/**
 * The call sites of a goroutine, innermost first, for a profiler: they go on to a function for which `isMarker` holds. Empty
 * where they cannot be known. Cheaper than gStack, as nothing is symbolized, and of the stack on which the goroutine's
 * own stands little is taken.
 */
export function gSites(g: G): CallSite[] {
  if (v8Error.captureStackTrace === undefined) return [];
  const running = g === m0.curg && g.atomicstatus === Grunning;
  if (!running && (g.gen === null || g.waitOp === null)) return [];
  const oldLimit = v8Error.stackTraceLimit;
  const oldHook = v8Error.prepareStackTrace;
  v8Error.prepareStackTrace = collect;
  try {
    for (let limit = running ? captureLimit : enoughSites; ; limit = Math.min(captureLimit, 2 * limit)) {
      v8Error.stackTraceLimit = limit;
      const sites = running ? sitesAbove(gSites) : probeSites(g);
      if (!running) {
        const n = sites.findIndex((site) => isMarker(site.getFunctionName()));
        if (n < 0 && sites.length === limit && limit < captureLimit) continue;
        if (n >= enoughSites) enoughSites = n + 1;
        else if (++sitesTaken % shrinkEvery === 0 && enoughSites > n + 1) enoughSites--;
      }
      return sites;
    }
  } finally {
    v8Error.stackTraceLimit = oldLimit!;
    v8Error.prepareStackTrace = oldHook;
  }
}

function sitesAbove(below: unknown): CallSite[] {
  const holder: StackHolder = {};
  v8Error.captureStackTrace!(holder, below);
  return Array.isArray(holder.stack) ? (holder.stack as CallSite[]) : [];
}

function probeSites(g: G): CallSite[] {
  let sites: CallSite[] = [];
  const self = m0.curg;
  m0.curg = g;
  m0.probe = (op: Op<unknown>) => {
    sites = sitesAbove(op.next);
  };
  try {
    markers[probeMarker](g);
  } finally {
    m0.probe = null;
    m0.curg = self;
  }
  return sites;
}

/** Status of a goroutine as its dump shows it. */
export function gStatus(g: G): string {
  if (g.atomicstatus === Gwaiting && g.waitreason !== 0) return waitReasonStrings[g.waitreason];
  return gStatusStrings[g.atomicstatus];
}

function quoteLabel(s: string): string {
  return /^[A-Za-z0-9./_]+$/.test(s) ? s : JSON.stringify(s);
}

/** `goroutine 7 [chan receive, 2 minutes]:` */
export function goroutineHeader(g: G, nowSec: number, status = gStatus(g)): string {
  let h = `goroutine ${g.goid} [${status}`;
  if (g.atomicstatus === Gwaiting || g.atomicstatus === Gsyscall) {
    const minutes = Math.floor((nowSec - g.waitsince) / 60);
    if (minutes >= 1) h += `, ${minutes} minutes`;
  }
  if (g.lockedCount > 0) h += ", locked to thread";
  h += "]";
  if (g.labels !== null && g.labels.size > 0) {
    const list = [...g.labels].sort(([a], [b]) => (a < b ? -1 : 1));
    h += ` {${list.map(([k, v]) => `${quoteLabel(k)}: ${quoteLabel(v)}`).join(", ")}}`;
  }
  return `${h}:`;
}

/** Where a goroutine was started, or null if that was not recorded. */
export function creationSite(g: G): Frame | null {
  if (g.site === null) return null;
  if (Array.isArray(g.site.stack)) return null;
  const cached = sites.get(g.site);
  if (cached !== undefined) return cached;
  const frame = framesOf(g.site, g.sched.symbolize)[0] ?? null;
  sites.set(g.site, frame);
  return frame;
}
const sites = new WeakMap<object, Frame | null>();

/** One goroutine of a dump, with a final newline. */
export function goroutineText(g: G, frames: Frame[], status?: string): string {
  let out = `${goroutineHeader(g, g.sched.nowSec(), status)}\n`;
  const site = creationSite(g);
  if (frames.length === 0 && g.fn !== null) {
    const file = site?.file ?? "unknown";
    frames = [{ func: goName(g.fn.name, file), file, line: site?.line ?? 0 }];
  }
  const n = frames.length;
  for (let i = 0; i < n; i++) {
    if (n > 100 && i === 50) {
      out += `...${n - 100} frames elided...\n`;
      i = n - 50;
    }
    const f = frames[i];
    out += `${frameName(f, g.goid)}(...)\n\t${f.file}:${f.line}\n`;
  }
  return out + createdBy(g);
}

/** Who started a goroutine, as in a dump: two lines, or "" of the main goroutine, or where nobody knows. */
export function createdBy(g: G): string {
  const site = creationSite(g);
  // The main goroutine is started by nobody, and neither are those started from host code.
  if ((g.flags & gMain) !== 0 || (site === null && g.parentGoid === 0)) return "";
  const by = g.parentGoid === 0 ? "" : ` in goroutine ${g.parentGoid}`;
  const func = site === null ? "unknown" : frameName(site, g.parentGoid);
  return `created by ${func}${by}\n\t${site?.file ?? "unknown"}:${site?.line ?? 0}\n`;
}

/** The goroutine that runs, for those who wait for it. */
export interface CurrentG {
  goid: number;
  /** Name of its function, as in a dump. */
  func: string;
  /** The end of its dump: `created by main.serve in goroutine 1`, a tab and `file:line` in the next line. */
  createdBy: string;
  /**
   * Time in ms since the scheduler last read the clock between two goroutines, which it does every few switches, and at the
   * next one after requestSafepoint: so from a second reading after a request on, how long this goroutine has run.
   */
  runningMs: number;
}

/** The goroutine of `s` that runs now, or null in host code. Takes microseconds. */
export function currentG(s: Scheduler): CurrentG | null {
  const g = m0.curg;
  if (g === null || g.sched !== s) return null;
  const site = creationSite(g);
  return {
    goid: g.goid,
    func: g.fn === null ? "unknown" : goName(g.fn.name, site?.file ?? "unknown"),
    createdBy: createdBy(g),
    runningMs: Math.max(0, s.clock.now() - s.lastSafepoint),
  };
}

/** Dump of the other goroutines, oldest first, separated by empty lines. */
export function dumpOthers(s: Scheduler, except: G | null, all = false): string {
  const list = s
    .gs()
    .filter(
      (g) =>
        g !== except &&
        g.atomicstatus !== Gdead &&
        g.goid !== 0 &&
        (all || (g.flags & (gSystem | gHost)) === 0),
    );
  list.sort((a, b) => a.goid - b.goid);
  return list.map((g) => goroutineText(g, gStack(g))).join("\n");
}

const encoder = new TextEncoder();

/** `runtime.Stack`. */
export function stack(s: Scheduler, buf: Uint8Array | null, all: boolean): number {
  if (buf === null) return 0;
  if (!(buf instanceof Uint8Array)) {
    throw new TypeError(`scheduler: stack: buf must be a Uint8Array (got ${typeof buf})`);
  }
  return encoder.encodeInto(stackText(s, all), buf).written;
}

export function stackText(s: Scheduler, all: boolean): string {
  const g = m0.curg;
  const frames = framesOf(capture(stackText, captureLimit), s.symbolize);
  let out: string;
  if (g !== null) {
    out = goroutineText(g, frames);
  } else {
    out = "goroutine 0 [running]:\n";
    for (const f of frames) out += `${f.func}(...)\n\t${f.file}:${f.line}\n`;
  }
  if (all) {
    const others = dumpOthers(s, g);
    if (others !== "") out += `\n${others}`;
  }
  return out;
}

/**
 * Has SIGQUIT (Ctrl-\\) print all goroutines and end the process with status 2, as it does a Go program. The function
 * returned undoes that. Nothing is installed unless this is called.
 */
export function dumpOnSigquit(s: Scheduler, exit = true): () => void {
  const proc = nodeProcess();
  if (proc === undefined) return () => {};
  const onSignal = () => {
    const others = dumpOthers(s, null);
    s.stderr(`SIGQUIT: quit\n${others === "" ? "" : `\n${others}`}`);
    if (exit) (proc as unknown as { exit(code: number): void }).exit(2);
  };
  proc.on("SIGQUIT", onSignal);
  return () => void proc.off("SIGQUIT", onSignal);
}

/** Text and exit status that a program which ends like this has in Go. */
export interface CrashReport {
  /** What Go writes to standard error, with a final newline. */
  text: string;
  exitCode: number;
}

const reports = new WeakMap<object, CrashReport>();

/** The report of what rejected `main()`, or undefined for an error that is not from a scheduler. */
export function crashReport(error: unknown): CrashReport | undefined {
  return typeof error === "object" && error !== null ? reports.get(error) : undefined;
}

export function setCrashReport(error: object, text: string): void {
  reports.set(error, { text, exitCode: 2 });
}

/** Report of a panic that nothing recovered. */
export function panicReport(s: Scheduler, g: G, p: Panic): string {
  const frames =
    typeof p.error === "object" && p.error !== null ? framesOfError(p.error as StackHolder, s.symbolize) : [];
  let out = `${printpanics(p)}\n\n${goroutineText(g, frames, "running")}`;
  if (s.tracebackAll) {
    const others = dumpOthers(s, g);
    if (others !== "") out += `\n${others}`;
  }
  return out;
}

/** Report of a fatal error; `g` is the goroutine that met it, or null for a deadlock. */
export function fatalReport(
  s: Scheduler,
  g: G | null,
  e: { message: string; detail?: string; stack?: string },
  dump: boolean,
): string {
  let out = "";
  if (e.detail !== undefined && e.detail !== "") out += e.detail.endsWith("\n") ? e.detail : `${e.detail}\n`;
  out += `fatal error: ${e.message}\n`;
  if (g !== null) out += `\n${goroutineText(g, framesOfError(e, s.symbolize), "running")}`;
  if (dump) {
    const others = dumpOthers(s, g);
    if (others !== "") out += `\n${others}`;
  }
  return out;
}
