/**
 * The collector's own lines: every recorded sample is parsed with the recorded expression, its figures are given to our
 * formatter, and the text must come back. Printed figures are cut (MiB, two digits of milliseconds), so the values
 * given are the least that print so. Further, lines made of arbitrary figures must match the expression.
 *
 * Not counted: the scheduler's, scavenger's, init and checkfinalizers lines, which other packages print.
 */
import {
  formatGCTrace,
  formatPacerAssist,
  formatPacerCycle,
  formatPacerSweep,
  formatScanStats,
  type GCTrace,
} from "../src/gc-trace.ts";
import type { Result } from "./result.ts";

interface Line {
  id: string;
  regexp: string;
  samples: string[];
}

type Groups = Record<string, string | undefined>;

const ns = (ms: string | undefined): number => Math.round(Number(ms) * 1e6);
const MB = 1 << 20;

/** Numbers as Go prints them back to numbers. */
const float = (s: string | undefined): number =>
  Number((s ?? "").replace("+Inf", "Infinity").replace("-Inf", "-Infinity"));

const formatters: Record<string, (g: Groups) => string> = {
  gctrace: (g) =>
    formatGCTrace({
      n: Number(g.n),
      atNs: Math.round(Number(g.at) * 1e9),
      cpuFraction: (Number(g.util) + 0.5) / 100,
      clockSweepTermNs: ns(g.clock_sweepterm),
      clockMarkNs: ns(g.clock_mark),
      clockMarkTermNs: ns(g.clock_markterm),
      cpuSweepTermNs: ns(g.cpu_sweepterm),
      cpuAssistNs: ns(g.cpu_assist),
      cpuBackgroundNs: ns(g.cpu_background),
      cpuIdleNs: ns(g.cpu_idle),
      cpuMarkTermNs: ns(g.cpu_markterm),
      heapStart: Number(g.heap_start) * MB,
      heapEnd: Number(g.heap_end) * MB,
      heapLive: Number(g.heap_live) * MB,
      goal: Number(g.goal) * MB,
      stackScan: Number(g.stacks) * MB,
      globalsScan: Number(g.globals) * MB,
      procs: Number(g.procs),
      forced: g.forced !== undefined,
      leakCheck: g.leakcheck !== undefined,
    }),
  gctrace2_total: (g) => formatScanStats("total", scanStats(g)),
  gctrace2_class: (g) => formatScanStats(`class ${g.class}`, scanStats(g)),
  gcpacertrace_assist: (g) =>
    formatPacerAssist({
      assistRatio: float(g.ratio),
      scanBytes: Number(g.scan) * MB,
      heapLive: Number(g.from) * MB,
      goal: Number(g.to) * MB,
      dedicated: Number(g.dedicated),
      fractional: float(g.fractional),
    }),
  gcpacertrace_cycle: (g) =>
    formatPacerCycle({
      cpuPercent: Number(g.cpu),
      heapWork: Number(g.heap_work),
      stackWork: Number(g.stack_work),
      globalsWork: Number(g.globals_work),
      expectedWork: Number(g.work_expected),
      trigger: Number(g.trigger),
      heapLive: Number(g.live),
      overGoal: Number(g.over_goal),
      consMark: float(g.consmark),
    }),
  gcpacertrace_sweep: (g) =>
    formatPacerSweep({
      heapLive: Number(g.heap) * MB,
      allocated: Number(g.allocated) * MB,
      pagesSwept: Number(g.pages),
      pagesPerByte: float(g.ratio),
    }),
  gc_forced_by_time: () => "GC forced",
};

function scanStats(g: Groups) {
  return {
    sparse: Number(g.sparse),
    spanSparse: Number(g.span_sparse),
    spanDense: Number(g.span_dense),
    spansSparse: Number(g.spans_sparse),
    spansDense: Number(g.spans_dense),
  };
}

/** Figures of every magnitude, from a fixed sequence. */
function* traces(): Generator<GCTrace> {
  let x = 12345;
  const next = (max: number): number => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return Math.floor((x / 2 ** 32) * max);
  };
  for (let i = 0; i < 64; i++) {
    const t = () => next(10 ** (1 + (i % 11)));
    yield {
      n: 1 + next(1e6),
      atNs: next(1e13),
      cpuFraction: next(1000) / 1000,
      clockSweepTermNs: t(),
      clockMarkNs: t(),
      clockMarkTermNs: t(),
      cpuSweepTermNs: t(),
      cpuAssistNs: t(),
      cpuBackgroundNs: t(),
      cpuIdleNs: t(),
      cpuMarkTermNs: t(),
      heapStart: next(2 ** 32),
      heapEnd: next(2 ** 32),
      heapLive: next(2 ** 32),
      goal: i % 8 === 0 ? 8.9e18 : next(2 ** 32),
      stackScan: next(2 ** 30),
      globalsScan: next(2 ** 30),
      procs: 1 + next(64),
      forced: i % 2 === 0,
      leakCheck: i % 5 === 0,
    };
  }
}

export function run(vectors: unknown): Result {
  const out: Result = { passed: 0, total: 0, failures: [] };
  const check = (ok: boolean, failure: () => string): void => {
    out.total++;
    if (ok) out.passed++;
    else out.failures.push(failure());
  };
  for (const line of (vectors as { lines: Line[] }).lines) {
    const format = formatters[line.id];
    if (!format) continue;
    const re = new RegExp(line.regexp, "u");
    for (const sample of line.samples) {
      const groups = re.exec(sample)?.groups ?? (re.test(sample) ? {} : null);
      const got = groups && format(groups);
      check(got === sample, () => `${line.id}: want ${sample}\n${" ".repeat(line.id.length)}   got ${got}`);
    }
    if (line.id === "gctrace") {
      for (const t of traces()) {
        const text = formatGCTrace(t);
        check(re.test(text), () => `${line.id}: ${text} does not match`);
      }
    }
  }
  return out;
}
