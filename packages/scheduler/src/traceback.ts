/**
 * Goroutine dumps in Go's grammar, and the reports of programs that crash.
 *
 * Unlike Go: arguments print as `(...)`, as Go prints those of an inlined frame. Positions have no code offset. A
 * goroutine that has not begun shows the position of its `go` call.
 */

import { isFatalError } from "@gort/base";
import { capture, type Frame, framesOf, goName, isCut, parseStack, stackOfError } from "./frames.ts";
import { CAPTURE_LIMIT, stackOf, takeStacks, waitSince } from "./gstack.ts";
import { nodeProcess } from "./host.ts";
import { overflowOf } from "./overflow.ts";
import { printPreFatalPanics, printpanics } from "./panic.ts";
import { printable } from "./printable.ts";
import { framesOfRethrow } from "./rethrow.ts";
import {
  type G,
  G_CLEANUP,
  G_FINALIZER,
  G_HOST,
  G_MAIN,
  G_SYSTEM,
  Gdead,
  Gsyscall,
  Gwaiting,
  m0,
  type Panic,
  type Schedt,
} from "./runtime2.ts";
import type { GoroutineDump, TaskOrigin } from "./thread-link.ts";
import { waitReasonStrings } from "./wait-reasons.ts";

/** Name of a frame of goroutine `goid`. If main's function has no name of its own, it is `main.main`. */
function frameName(f: Frame, goid: number): string {
  return goid === 1 && f.outermost && f.func === "main.func1" ? "main.main" : f.func;
}

/** Text of a status in a goroutine dump. A waiting goroutine shows its wait reason instead. */
export const gStatusStrings: readonly string[] = [
  "idle",
  "runnable",
  "running",
  "syscall",
  "waiting",
  "",
  "dead",
  "",
  "copystack",
  "preempted",
];

/** Whether dumps and profiles show `g`, as in Go: the user's, and the runtime's while they run code of the user. */
export function isShown(g: G): boolean {
  return (g.flags & (G_SYSTEM | G_HOST)) === 0 || (g.flags & (G_FINALIZER | G_CLEANUP)) !== 0;
}

/** Go's name of the runtime's function that has called code of the user, or "". */
export function systemFunc(g: G): string {
  if ((g.flags & G_FINALIZER) !== 0) return "runtime.runFinalizers";
  return (g.flags & G_CLEANUP) !== 0 ? "runtime.runCleanups" : "";
}

/** Status of a goroutine as its dump shows it. */
export function gStatus(g: G): string {
  if (g.atomicstatus === Gwaiting && g.waitreason !== 0) return waitReasonStrings[g.waitreason];
  return gStatusStrings[g.atomicstatus];
}

function quoteLabel(s: string): string {
  return /^[A-Za-z0-9./_]+$/.test(s) ? s : printable(JSON.stringify(s));
}

/** `goroutine 7 [chan receive, 2 minutes]:` */
export function goroutineHeader(g: G, nowSec: number, status = gStatus(g)): string {
  let h = `goroutine ${g.goid} [${status}`;
  if (g.atomicstatus === Gwaiting || g.atomicstatus === Gsyscall) {
    const minutes = Math.floor((nowSec - waitSince(g)) / 60);
    if (minutes >= 1) h += `, ${minutes} minutes`;
  }
  if (g.lockedCount > 0) h += ", locked to thread";
  return `${h}]${labelsText(g.labels)}:`;
}

/** ` {job: parse, user: "a b"}`, sorted; "" without labels. */
function labelsText(labels: G["labels"]): string {
  if (labels === null || labels.size === 0) return "";
  const list = [...labels].sort(([a], [b]) => (a < b ? -1 : 1));
  return ` {${list.map(([k, v]) => `${quoteLabel(k)}: ${quoteLabel(v)}`).join(", ")}}`;
}

interface Site {
  frame: Frame | null;
  /** The text of createdBy for children of `parentGoid`. */
  parentGoid: number;
  text: string;
}
const sites = new WeakMap<object, Site>();

/** The record of a place that another thread has captured: one for each place. */
const knownSites = new Map<string, G["site"]>();

/** Makes the `site` of a goroutine that was created at `frame`. */
export function knownSite(frame: Frame | null): G["site"] {
  if (frame === null) return null;
  const key = `${frame.func} ${frame.file}:${frame.line}`;
  let site = knownSites.get(key) ?? null;
  if (site === null) {
    site = {};
    knownSites.set(key, site);
    sites.set(site, { frame, parentGoid: -1, text: "" });
  }
  return site;
}

function creation(g: G): Site | null {
  const { site } = g;
  if (site === null) return null;
  let known = sites.get(site);
  if (known === undefined) {
    known = { frame: framesOf(site, g.sched.symbolize)[0] ?? null, parentGoid: -1, text: "" };
    // Drop the captured stack: it holds functions, and so everything that they can reach.
    site.stack = undefined;
    sites.set(site, known);
  }
  return known;
}

/** Where a goroutine was started, or null if that was not recorded. */
export function creationSite(g: G): Frame | null {
  return creation(g)?.frame ?? null;
}

/** Names in Go's words of functions of the runtime, by function. */
const systemNames = new WeakMap<object, string>();

/** Gives `f`, the function of a goroutine of the runtime, the name that dumps show. */
export function nameSystemFunc(f: object, name: string): void {
  systemNames.set(f, name);
}

/** Name of the function of `g` as a dump shows it. */
function funcName(g: G): string {
  if (g.fn === null) return "unknown";
  // The program may have replaced `name`.
  const { name } = g.fn as { name: unknown };
  return systemNames.get(g.fn) ?? goName(typeof name === "string" ? name : "");
}

/** A frame for a goroutine whose stack is not known: its function, at the place where it was started. */
function entryFrame(g: G): Frame {
  const { sched } = g;
  if (g.fn !== null && systemNames.has(g.fn)) {
    return { func: funcName(g), file: "<runtime>", line: 0, outermost: true };
  }
  let site: Frame | null | undefined;
  if ((g.flags & G_MAIN) === 0) site = creationSite(g);
  else if (sched.mainSite !== null) site = framesOf(sched.mainSite, sched.symbolize)[0];
  return { func: funcName(g), file: site?.file ?? "unknown", line: site?.line ?? 0, outermost: true };
}

/**
 * The frames of goroutine `g`, which the error `e` has left: the frames of the error's stack. If the error was made
 * outside of the goroutine, the known frames of the goroutine follow. Examples: a promise
 * of host code was rejected with it, or the program made it once and throws it many times.
 */
function framesOfThrown(g: G, e: unknown): Frame[] {
  const text = stackOfError(e);
  const own = parseStack(text, g.sched.symbolize);
  if (own.at(-1)?.outermost === true) return own;
  const met = framesOfRethrow(g, e);
  if (met.length > 0) return own.concat(met);
  return isCut(text) ? own : own.concat(entryFrame(g));
}

/** One goroutine of a dump, with a final newline. */
export function goroutineText(g: G, frames: readonly Frame[], status?: string): string {
  return frameLines(g, frames, status) + createdBy(g);
}

function frameLines(g: G, frames: readonly Frame[], status?: string): string {
  if (frames.length === 0 && g.fn !== null) frames = [entryFrame(g)];
  const end = frames.at(-1)?.func === systemFunc(g) ? "" : systemText(g);
  return `${goroutineHeader(g, g.sched.nowSec(), status)}\n${framesText(frames, g.goid)}${end}`;
}

/** The outermost frame of a goroutine that runs a finalizer or a cleanup: the function of the runtime. */
function systemText(g: G): string {
  const func = systemFunc(g);
  return func === "" ? "" : `${func}(...)\n\t<runtime>:0\n`;
}

/** The goroutine that the error `e` has left, for a report. */
function thrownText(g: G, e: unknown): string {
  const frames = framesOfThrown(g, e);
  // The engine has given no more frames than its limit.
  const cut = frames.at(-1)?.outermost !== true && isCut(stackOfError(e));
  return frameLines(g, frames, "running") + (cut ? "...additional frames elided...\n" : "") + createdBy(g);
}

/** One goroutine of a dump, running or not, with its stack. */
function stackedText(g: G): string {
  const stack = stackOf(g);
  // The text of main's frames is not shared: frameName depends on the goroutine.
  if (stack.frames.length === 0 || g.goid === 1) return goroutineText(g, stack.frames);
  stack.text ??= framesText(stack.frames, 0);
  return `${goroutineHeader(g, g.sched.nowSec())}\n${stack.text}${systemText(g)}${createdBy(g)}`;
}

/** The lines of the frames of goroutine `goid`. */
function framesText(frames: readonly Frame[], goid: number): string {
  let out = "";
  const n = frames.length;
  for (let i = 0; i < n; i++) {
    if (n > 100 && i === 50) {
      out += `...${n - 100} frames elided...\n`;
      i = n - 50;
    }
    const f = frames[i];
    out += `${printable(frameName(f, goid))}(...)\n\t${printable(f.file)}:${f.line}\n`;
  }
  return out;
}

/** The lines `created by` of a dump: two, or "" for main, and if neither the creator nor the site is known. */
export function createdBy(g: G): string {
  if ((g.flags & G_MAIN) !== 0) return "";
  const site = creation(g);
  if (site !== null && site.parentGoid === g.parentGoid) return site.text;
  const text = creatorText(g.parentGoid, site?.frame ?? null);
  if (site !== null) {
    site.parentGoid = g.parentGoid;
    site.text = text;
  }
  return text;
}

function creatorText(parentGoid: number, site: Frame | null): string {
  // Host code has started it, and the site was not captured.
  if (site === null && parentGoid === 0) return "";
  const by = parentGoid === 0 ? "" : ` in goroutine ${parentGoid}`;
  const func = site === null ? "unknown" : frameName(site, parentGoid);
  return `created by ${printable(func)}${by}\n\t${printable(site?.file ?? "unknown")}:${site?.line ?? 0}\n`;
}

/** The goroutine that runs now. */
export interface CurrentG {
  goid: number;
  /** Name of its function, as in a dump. */
  func: string;
  /** The end of its dump: `created by main.serve in goroutine 1`, a tab and `file:line` in the next line. */
  createdBy: string;
  /**
   * Time in ms since the scheduler last read the clock between two goroutines. It reads it every few switches, and at
   * the first switch after requestSafepoint. So from a second reading after a request on, it is the time that this
   * goroutine has run.
   */
  runningMs: number;
}

/** The goroutine of `s` that runs now, or null in host code. Costs microseconds. */
export function currentG(s: Schedt): CurrentG | null {
  const g = m0.curg;
  if (g === null || g.sched !== s) return null;
  return {
    goid: g.goid,
    func: funcName(g),
    createdBy: createdBy(g),
    runningMs: Math.max(0, s.clock.now() - s.lastSafepoint),
  };
}

/** Dumps of the goroutines of this thread, without `except`. With `all` also the runtime's own. */
export function dumpHere(s: Schedt, except: G | null, all: boolean): GoroutineDump[] {
  const list = s
    .gs()
    .filter((g) => g !== except && g.atomicstatus !== Gdead && g.goid !== 0 && (all || isShown(g)));
  takeStacks(list);
  return list.map((g) => ({ goid: g.goid, text: stackedText(g) }));
}

/**
 * Dump of the other goroutines of all threads, oldest first, separated by empty lines. If the other threads cannot be
 * asked, because one of them has died, a line says so: most dumps belong to the report of that death.
 */
export function dumpOthers(s: Schedt, except: G | null, all = false): string {
  const list = dumpHere(s, except, all);
  let missing = "";
  try {
    if (s.link !== null) list.push(...s.link.dumps(all));
  } catch (e) {
    if (!isFatalError(e)) throw e;
    missing = `goroutines of other threads are not shown: ${e.message}\n`;
  }
  list.sort((a, b) => a.goid - b.goid);
  const texts = list.map((d) => d.text);
  if (missing !== "") texts.push(missing);
  return texts.join("\n");
}

/** The dump of a task that has not started. `func` is the name of its function. */
export function dumpTask(task: TaskOrigin, func: string): GoroutineDump {
  const { goid, parentGoid, site, labels = null } = task;
  const text =
    `goroutine ${goid} [runnable]${labelsText(labels)}:\n${printable(goName(func))}(...)\n` +
    `\t${printable(site?.file ?? "unknown")}:${site?.line ?? 0}\n${creatorText(parentGoid, site)}`;
  return { goid, text };
}

const encoder = new TextEncoder();

/** `runtime.Stack`. The stack begins with the caller of the function `below`, which is on it. */
export function stack(s: Schedt, buf: Uint8Array | null, all: boolean, below: unknown): number {
  if (buf === null) return 0;
  if (!(buf instanceof Uint8Array)) {
    throw new TypeError(`scheduler: stack: buf must be a Uint8Array (got ${typeof buf})`);
  }
  return encoder.encodeInto(stackText(s, all, below), buf).written;
}

/** The text of `stack`. */
export function stackText(s: Schedt, all: boolean, below: unknown = stackText): string {
  const g = m0.curg;
  const frames = framesOf(capture(below, CAPTURE_LIMIT), s.symbolize);
  let out: string;
  if (g !== null) {
    out = goroutineText(g, frames);
  } else {
    out = "goroutine 0 [running]:\n";
    for (const f of frames) out += `${printable(f.func)}(...)\n\t${printable(f.file)}:${f.line}\n`;
  }
  if (all) {
    const others = dumpOthers(s, g);
    if (others !== "") out += `\n${others}`;
  }
  return out;
}

/**
 * Lets SIGQUIT (Ctrl-\\) print all goroutines and end the process with status 2, as for a Go program. The returned
 * function undoes that. If the program has a listener for the signal, that one takes it over.
 */
export function dumpOnSigquit(s: Schedt, exit = true): () => void {
  const proc = nodeProcess();
  if (proc === undefined) return () => {};
  const onSignal = () => {
    // A listener of the program takes the signal over, as signal.Notify does.
    if (proc.listenerCount("SIGQUIT") > 1) return;
    const others = dumpOthers(s, null);
    s.stderr(`SIGQUIT: quit\n${others === "" ? "" : `\n${others}`}`);
    if (exit) (proc as unknown as { exit(code: number): void }).exit(2);
  };
  proc.on("SIGQUIT", onSignal);
  return () => void proc.off("SIGQUIT", onSignal);
}

/** The text and the exit status with which a program in Go would end. */
export interface CrashReport {
  /** The text on standard error, with a final newline. */
  text: string;
  exitCode: number;
}

const reports = new WeakMap<object, CrashReport>();

/** The report of an error that has rejected `main()`. Undefined if a scheduler has not reported the error. */
export function crashReport(error: unknown): CrashReport | undefined {
  return typeof error === "object" && error !== null ? reports.get(error) : undefined;
}

export function setCrashReport(error: object, text: string): void {
  reports.set(error, { text, exitCode: 2 });
}

/** The report of a panic that was not recovered. */
export function panicReport(s: Schedt, g: G, p: Panic): string {
  let out = `${printpanics(p)}\n\n${thrownText(g, p.error)}`;
  if (s.tracebackAll) {
    const others = dumpOthers(s, g);
    if (others !== "") out += `\n${others}`;
  }
  return out;
}

/** The report of a fatal error. `g` is the goroutine that has raised it, or null for a deadlock. */
export function fatalReport(
  s: Schedt,
  g: G | null,
  e: { message: string; code?: string; detail?: string; hint?: string; stack?: string; cause?: unknown },
  dump: boolean,
): string {
  let out = "";
  if (e.detail !== undefined && e.detail !== "") out += e.detail.endsWith("\n") ? e.detail : `${e.detail}\n`;
  out += `${printPreFatalPanics(e)}fatal error: ${e.message}\n`;
  if (g !== null) out += `\n${thrownText(g, overflowOf(e) ?? e)}`;
  if (dump) {
    const others = dumpOthers(s, g);
    if (others !== "") out += `\n${others}`;
  }
  if (e.hint !== undefined) out += `\n${e.hint}\n`;
  return out;
}
