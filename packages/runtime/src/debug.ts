/** `@gort/runtime/debug`: Go's runtime/debug for the default runtime. */
import type { GCStats } from "@gort/memstats";
import { defaultRuntime } from "./default.ts";
import { noMemoryLimit } from "./env.ts";
import { compiler, GOARCH, GOOS, gortVersion, goVersion } from "./version.ts";

export type { GCStats } from "@gort/memstats";
export { noMemoryLimit };

/** Sets GOGC, a negative percentage turns it off; returns the setting before. */
export function setGCPercent(percent: number): number {
  return defaultRuntime().collector.setGCPercent(percent);
}

/** Sets the limit in bytes that the runtime tries to stay below, a negative one changes nothing; returns the one before. */
export function setMemoryLimit(bytes: number): number {
  return Number(defaultRuntime().collector.setMemoryLimit(bytes));
}

/** A forced collection, then returns as many pages to the operating system as possible. */
export function freeOSMemory(): void {
  const rt = defaultRuntime();
  rt.gc();
  rt.allocator.freeOSMemory();
}

/** The collector's figures; `quantiles` says how many pause quantiles to give (5: minimum, quartiles, maximum). */
export function readGCStats(quantiles = 0): GCStats {
  return defaultRuntime().readGCStats(quantiles);
}

/** The calling goroutine's stack, as text in Go's form. */
export function stack(): Uint8Array {
  const rt = defaultRuntime();
  for (let size = 1024; ; size *= 2) {
    const buf = new Uint8Array(size);
    const n = rt.stack(buf, false);
    if (n < size) return buf.subarray(0, n);
  }
}

/** Writes the calling goroutine's stack to standard error. */
export function printStack(): void {
  defaultRuntime().stderr(new TextDecoder().decode(stack()));
}

export interface BuildInfo {
  /** The release of Go whose behaviour is reproduced. */
  GoVersion: string;
  /** The release of these packages. */
  Version: string;
  Settings: { Key: string; Value: string }[];
}

/** What is running. */
export function buildInfo(): BuildInfo {
  return {
    GoVersion: goVersion,
    Version: gortVersion,
    Settings: [
      { Key: "-compiler", Value: compiler },
      { Key: "GOARCH", Value: GOARCH },
      { Key: "GOOS", Value: GOOS },
    ],
  };
}
