/**
 * Go's environment variables. A value that does not parse never stops a program: the default stays. Where Go prints a
 * message about it, so do we.
 */
import { parseSize } from "@gort/base";

/** The value of GOGC or GOMEMLIMIT that means no limit. */
export const off = "off";

export interface Environment {
  readonly GOGC?: string | undefined;
  readonly GOMEMLIMIT?: string | undefined;
  readonly GOMAXPROCS?: string | undefined;
  readonly GODEBUG?: string | undefined;
  readonly GOROOT?: string | undefined;
  readonly GOTRACEBACK?: string | undefined;
}

/** The process's environment; empty where there is none (a browser). */
export function processEnvironment(): Environment {
  return (globalThis as { process?: { env?: Environment } }).process?.env ?? {};
}

/**
 * GOGC: a percentage, or `off`. Any other text means 100, without a message, as in Go. A negative number means `off`.
 *
 * @returns percent >= 0, or -1 for off
 */
export function parseGOGC(text: string | undefined): number {
  if (text === off) return -1;
  if (text !== undefined && /^[+-]?\d+$/.test(text)) {
    const n = Number(text);
    if (n >= -(2 ** 31) && n < 2 ** 31) return Math.max(n, -1);
  }
  return 100;
}

/** The limit that no program reaches: one more than Go's math.MaxInt64. */
export const noMemoryLimit = 2 ** 63;

/**
 * GOMEMLIMIT: bytes with an optional unit of B, KiB, MiB, GiB or TiB, or `off`.
 *
 * @returns bytes, or undefined if the text is malformed
 */
export function parseMemoryLimit(text: string | undefined): number | undefined {
  if (text === undefined || text === "" || text === off) return noMemoryLimit;
  const bytes = parseSize(text.replace(/^\+/, ""));
  return bytes < noMemoryLimit ? bytes : undefined;
}

/** GOMAXPROCS: a positive integer. Any other text is ignored, as in Go. */
export function parseGOMAXPROCS(text: string | undefined): number | undefined {
  if (text === undefined || !/^\+?\d+$/.test(text)) return undefined;
  const n = Number(text);
  return n > 0 && n < 2 ** 31 ? n : undefined;
}

/** The meaning of a GOTRACEBACK value. */
export interface Traceback {
  /** 0: no goroutine, 1: goroutines of the program, 2: also those of the runtime. */
  level: number;
  /** Whether all goroutines are shown, or only the goroutine that failed. */
  all: boolean;
  /** Whether the process crashes in the operating system's way after the report. */
  crash: boolean;
}

/**
 * GOTRACEBACK: none, single, all, system, crash, or the number of a level. Other text means `all` of level 0, as in
 * Go.
 */
export function parseTraceback(text: string | undefined): Traceback {
  switch (text) {
    case "none":
      return { level: 0, all: false, crash: false };
    case undefined:
    case "":
    case "single":
      return { level: 1, all: false, crash: false };
    case "all":
      return { level: 1, all: true, crash: false };
    case "system":
      return { level: 2, all: true, crash: false };
    case "crash":
    case "wer":
      return { level: 2, all: true, crash: true };
    default: {
      const n = /^\d+$/.test(text) ? Number(text) : 0;
      return { level: n < 2 ** 32 ? n : 0, all: true, crash: false };
    }
  }
}
