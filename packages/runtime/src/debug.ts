/**
 * `@gort/runtime/debug`: Go's runtime/debug, for the runtime of the running goroutine or else the default one.
 */
import type { GCStats } from "@gort/memstats";
import type { DumpSink } from "@gort/memstats/heapdump";
import { stackText } from "@gort/scheduler/internal";
import { currentRuntime } from "./default.ts";
import { noMemoryLimit, parseTraceback, processEnvironment } from "./env.ts";
import type { Runtime } from "./runtime.ts";
import { compiler, GOARCH, GOOS, gortVersion, goVersion } from "./version.ts";

export type { GCStats } from "@gort/memstats";
export { type DumpSink, type HeapDump, heapSnapshot, readHeapDump } from "@gort/memstats/heapdump";
export { noMemoryLimit };

/**
 * Sets GOGC; a negative percentage turns it off. Returns the previous setting, -1 for off.
 *
 * @throws TypeError if `percent` is no number, RangeError if it is no integer or too large
 */
export function setGCPercent(percent: number): number {
  return currentRuntime().collector.setGCPercent(percent);
}

/**
 * Sets the limit in bytes that the runtime tries to stay below, and returns the previous limit. A negative limit
 * changes nothing; `noMemoryLimit` means no limit.
 *
 * @throws TypeError if `bytes` is no number, RangeError if it is no integer or too large
 */
export function setMemoryLimit(bytes: number): number {
  if (typeof bytes !== "number" || Number.isNaN(bytes)) {
    throw new TypeError(`debug: memory limit must be a number of bytes (got ${String(bytes)})`);
  }
  return Number(currentRuntime().collector.setMemoryLimit(bytes));
}

/** Forces a collection, then returns as many pages as possible to the operating system. */
export function freeOSMemory(): void {
  currentRuntime().freeOSMemory();
}

/** The collector's figures. `quantiles` is the number of pause quantiles to return (5: minimum, quartiles, maximum). */
export function readGCStats(quantiles = 0): GCStats {
  return currentRuntime().readGCStats(quantiles);
}

/** Whether setPanicOnFault is on. */
const panicOnFault = new WeakMap<Runtime, boolean>();

/**
 * Sets how many threads the runtime may use, 10000 by default; returns the previous setting. A runtime that needs more
 * ends the program, as in Go. Only GOMAXPROCS makes it need them, and it has 256 at most.
 *
 * @throws FatalError if the runtime uses more threads already
 */
export function setMaxThreads(threads: number): number {
  if (!Number.isInteger(threads)) {
    throw new TypeError(`debug: number of threads must be a whole number (got ${String(threads)})`);
  }
  const rt = currentRuntime();
  const old = rt.maxThreads;
  rt.maxThreads = Math.min(threads, 0x7fffffff);
  return old;
}

/**
 * Sets how large a goroutine's stack in the heap may grow, 1 GB by default; returns the previous setting. The stack
 * holds the goroutine's roots: a goroutine that needs more ends the program with Go's `stack overflow`. V8 has a
 * limit of its own for calls, which this does not change: recursion that is too deep ends the program in the same
 * way.
 */
export function setMaxStack(bytes: number): number {
  if (!Number.isInteger(bytes)) {
    throw new TypeError(`debug: stack size must be a whole number of bytes (got ${String(bytes)})`);
  }
  const rt = currentRuntime();
  const old = rt.maxStack;
  rt.maxStack = bytes;
  return old;
}

/** Sets whether a fault at an unexpected address is a panic; returns the previous setting. Here it always is one. */
export function setPanicOnFault(enabled: boolean): boolean {
  if (typeof enabled !== "boolean") {
    throw new TypeError(`debug: setPanicOnFault needs true or false (got ${String(enabled)})`);
  }
  const rt = currentRuntime();
  const old = panicOnFault.get(rt) ?? false;
  panicOnFault.set(rt, enabled);
  return old;
}

/**
 * Sets how much a crash report shows, in GOTRACEBACK's words: `single`, `all`, `system`, `crash` or a number. The level
 * cannot be set below that of the environment.
 */
export function setTraceback(level: string): void {
  if (typeof level !== "string") {
    throw new TypeError(`debug: traceback level must be a string (got ${String(level)})`);
  }
  const environment = parseTraceback(processEnvironment().GOTRACEBACK);
  currentRuntime().tracebackAll = parseTraceback(level).all || environment.all;
}

/** The calling goroutine's stack, as text in Go's form. It begins with the function that calls `stack`. */
export function stack(): Uint8Array {
  return new TextEncoder().encode(stackText(currentRuntime().scheduler, false, stack));
}

/** Writes the calling goroutine's stack to standard error. It begins with the function that calls `printStack`. */
export function printStack(): void {
  const rt = currentRuntime();
  rt.stderr(stackText(rt.scheduler, false, printStack));
}

/** The versions and settings of the running program. */
export interface BuildInfo {
  /** The release of Go whose behaviour is reproduced. */
  GoVersion: string;
  /** The path of the program's main module, or "" if the host does not name it. */
  Path: string;
  /** The release of these packages. */
  Version: string;
  Settings: { Key: string; Value: string }[];
  /** The text of Go's BuildInfo.String: one line for each entry, its key and value after a tab. */
  toString(): string;
}

interface HostProcess {
  argv?: readonly string[];
  versions?: Readonly<Record<string, string>>;
}

/** The versions and settings of the running program: Go's ReadBuildInfo. */
export function buildInfo(): BuildInfo {
  const { argv = [], versions = {} } = (globalThis as { process?: HostProcess }).process ?? {};
  const settings = [
    { Key: "-compiler", Value: compiler },
    { Key: "GOARCH", Value: GOARCH },
    { Key: "GOOS", Value: GOOS },
  ];
  for (const host of ["node", "v8"]) {
    const version = versions[host];
    if (version !== undefined) settings.push({ Key: host, Value: version });
  }
  return {
    GoVersion: goVersion,
    Path: argv[1] ?? "",
    Version: gortVersion,
    Settings: settings,
    toString() {
      const lines = [`go\t${this.GoVersion}`];
      if (this.Path !== "") lines.push(`path\t${this.Path}`);
      lines.push(`mod\t@gort/runtime\t${this.Version}`);
      for (const { Key, Value } of this.Settings) lines.push(`build\t${Key}=${Value}`);
      return `${lines.join("\n")}\n`;
    },
  };
}

interface FileSystem {
  openSync(path: string, flags: string): number;
  writeSync(fd: number, data: Uint8Array): number;
  closeSync(fd: number): void;
}

function fileSystem(): FileSystem {
  type Host = { getBuiltinModule?(id: string): FileSystem | undefined };
  const fs = (globalThis as { process?: Host }).process?.getBuiltinModule?.("node:fs");
  if (fs === undefined)
    throw new TypeError("debug: there are no files here; pass a function to writeHeapDump");
  return fs;
}

/**
 * Writes every object of the heap, its pointers and its roots in Go's format, while the world is stopped. Returns the
 * number of bytes. `readHeapDump` reads the dump, and `heapSnapshot` converts it for Chrome DevTools.
 *
 * @param to a file descriptor, as in Go; the path of a file to create; or a function that takes the pieces, which are
 *   valid only while it runs
 * @throws Error if a write fails (a full disk): the bytes written so far are no dump
 */
export function writeHeapDump(to: number | string | DumpSink): number {
  const rt = currentRuntime();
  if (typeof to === "function") return rt.writeHeapDump(to);
  if (typeof to !== "string" && !(Number.isInteger(to) && to >= 0)) {
    throw new TypeError(
      `debug: writeHeapDump needs a file descriptor, a path or a function (got ${String(to)})`,
    );
  }
  const fs = fileSystem();
  const fd = typeof to === "string" ? fs.openSync(to, "w") : to;
  let written = 0;
  try {
    return rt.writeHeapDump((chunk) => {
      for (let at = 0; at < chunk.length; ) {
        const n = fs.writeSync(fd, chunk.subarray(at));
        at += n;
        written += n;
      }
    });
  } catch (err) {
    const why = err instanceof Error ? err.message : String(err);
    throw new Error(`debug: heap dump is incomplete after ${written} bytes: ${why}`, { cause: err });
  } finally {
    if (typeof to === "string") fs.closeSync(fd);
  }
}
