/**
 * The lines that `GODEBUG=gctrace=1` and `gcpacertrace=1` print: pure functions from figures to text, in Go's grammar.
 * Bytes are printed as MiB (`bytes >> 20`, labelled MB as in Go), times as milliseconds.
 */

/** The figures of one collection, in nanoseconds and bytes. */
export interface GCTrace {
  /** MemStats.NumGC after this collection. */
  n: number;
  /** From the runtime's start to the start of the collection. */
  atNs: number;
  /** MemStats.GCCPUFraction, 0..1. */
  cpuFraction: number;
  clockSweepTermNs: number;
  clockMarkNs: number;
  clockMarkTermNs: number;
  cpuSweepTermNs: number;
  cpuAssistNs: number;
  /** Dedicated and fractional workers. */
  cpuBackgroundNs: number;
  cpuIdleNs: number;
  cpuMarkTermNs: number;
  /** Live heap when the cycle was triggered. */
  heapStart: number;
  /** Heap when marking ended, garbage included. */
  heapEnd: number;
  /** Bytes marked. */
  heapLive: number;
  /** Heap goal of this cycle. */
  goal: number;
  stackScan: number;
  globalsScan: number;
  /** GOMAXPROCS when the cycle started. */
  procs: number;
  forced: boolean;
  /** The cycle served the goroutine-leak profile. */
  leakCheck?: boolean;
}

/** `value / 10^decimals` with exactly that many decimals, cut. */
export function itoaDiv(value: number, decimals: number): string {
  const digits = String(Math.trunc(value)).padStart(decimals + 1, "0");
  const cut = digits.length - decimals;
  return decimals === 0 ? digits : `${digits.slice(0, cut)}.${digits.slice(cut)}`;
}

/**
 * Nanoseconds as milliseconds: whole milliseconds from 10 ms on; below, two significant digits with at most three
 * decimals; `0` under a microsecond.
 */
export function fmtNSAsMS(ns: number): string {
  if (ns >= 10e6) return itoaDiv(ns / 1e6, 0);
  let x = Math.trunc(ns / 1e3);
  if (x <= 0) return "0";
  let decimals = 3;
  while (x >= 100) {
    x = Math.trunc(x / 10);
    decimals--;
  }
  return itoaDiv(x, decimals);
}

/**
 * A float as Go 1.27's `print` writes it: the shortest decimal that reads back equal, in `%e` below 1e-4 and from 1e6
 * on (strconv 'g', -1).
 */
export function fmtFloat(x: number): string {
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x < 0 ? "-Inf" : "+Inf";
  if (x === 0) return Object.is(x, -0) ? "-0" : "0";
  const [mantissa, exponent] = x.toExponential().split("e") as [string, string];
  const exp = Number(exponent);
  if (exp < -4 || exp >= 6) {
    return `${mantissa}e${exp < 0 ? "-" : "+"}${String(Math.abs(exp)).padStart(2, "0")}`;
  }
  return String(x);
}

const mb = (bytes: number): number => Math.floor(bytes / 1048576);

/** The line of `gctrace=1`, without a line end. */
export function formatGCTrace(t: GCTrace): string {
  const ms = fmtNSAsMS;
  return (
    `gc ${t.n} @${itoaDiv(t.atNs / 1e6, 3)}s ${Math.trunc(t.cpuFraction * 100)}%` +
    `${t.leakCheck ? " (checking for goroutine leaks)" : ""}: ` +
    `${ms(t.clockSweepTermNs)}+${ms(t.clockMarkNs)}+${ms(t.clockMarkTermNs)} ms clock, ` +
    `${ms(t.cpuSweepTermNs)}+${ms(t.cpuAssistNs)}/${ms(t.cpuBackgroundNs)}/${ms(t.cpuIdleNs)}` +
    `+${ms(t.cpuMarkTermNs)} ms cpu, ` +
    `${mb(t.heapStart)}->${mb(t.heapEnd)}->${mb(t.heapLive)} MB, ${mb(t.goal)} MB goal, ` +
    `${mb(t.stackScan)} MB stacks, ${mb(t.globalsScan)} MB globals, ${t.procs} P${t.forced ? " (forced)" : ""}`
  );
}

/** `gcpacertrace`, at the start of a cycle. */
export function formatPacerAssist(t: {
  assistRatio: number;
  scanBytes: number;
  heapLive: number;
  goal: number;
  dedicated: number;
  fractional: number;
}): string {
  return (
    `pacer: assist ratio=${fmtFloat(t.assistRatio)} ` +
    `(scan ${mb(t.scanBytes)} MB in ${mb(t.heapLive)}->${mb(t.goal)} MB) ` +
    `workers=${t.dedicated}+${fmtFloat(t.fractional)}`
  );
}

/** `gcpacertrace`, at the end of marking. */
export function formatPacerCycle(t: {
  cpuPercent: number;
  heapWork: number;
  stackWork: number;
  globalsWork: number;
  expectedWork: number;
  trigger: number;
  heapLive: number;
  overGoal: number;
  consMark: number;
}): string {
  return (
    `pacer: ${t.cpuPercent}% CPU (25 exp.) ` +
    `for ${t.heapWork}+${t.stackWork}+${t.globalsWork} B work (${t.expectedWork} B exp.) ` +
    `in ${t.trigger} B -> ${t.heapLive} B (∆goal ${t.overGoal}, cons/mark ${fmtFloat(t.consMark)})`
  );
}

/** `gcpacertrace`, when the sweep of a cycle is done. */
export function formatPacerSweep(t: {
  heapLive: number;
  allocated: number;
  pagesSwept: number;
  pagesPerByte: number;
}): string {
  return (
    `pacer: sweep done at heap size ${mb(t.heapLive)}MB; allocated ${mb(t.allocated)}MB during sweep; ` +
    `swept ${t.pagesSwept} pages at ${fmtFloat(t.pagesPerByte)} pages/byte`
  );
}

/** How the marker reached the objects of a size class: one by one, or with their span. */
export interface ScanStats {
  sparse: number;
  spanSparse: number;
  spanDense: number;
  spansSparse: number;
  spansDense: number;
}

/** A line of `gctrace=2`; `label` is `total`, `class 16B` or `class L`. */
export function formatScanStats(label: string, s: ScanStats): string {
  return (
    `scan: ${label} ${s.sparse}+${s.spanSparse}+${s.spanDense}=${s.sparse + s.spanSparse + s.spanDense} objs, ` +
    `${s.spansSparse}+${s.spansDense}=${s.spansSparse + s.spansDense} spans`
  );
}
