/**
 * The lines of GODEBUG=schedtrace and scheddetail.
 *
 * Unlike Go: the ring of a P holds tasks, and a thread has rings and timers of its own. A P shows those of the thread
 * that holds it, besides its tasks. `runqueue` also has the goroutines of threads that hold no P.
 */

import { Gdead, m0, type Schedt } from "./runtime2.ts";
import type { MFigures, PFigures, SchedFigures } from "./thread-link.ts";
import { waitReasonStrings } from "./wait-reasons.ts";

/** Prints the lines to the scheduler's standard error, beginning when it first has work. */
export class SchedTrace {
  private readonly sched: Schedt;
  private readonly periodMs: number;
  private readonly detail: boolean;
  private start = -1;
  private stopped = false;

  constructor(sched: Schedt, periodMs: number, detail: boolean) {
    this.sched = sched;
    this.periodMs = periodMs;
    this.detail = detail;
  }

  /** Called when there is work. The first call prints the first line. */
  begin(): void {
    if (this.start >= 0) return;
    this.start = this.sched.clock.now();
    this.print();
  }

  stop(): void {
    this.stopped = true;
  }

  /** Prints a line, and sets a timer for the next. */
  private print(): void {
    if (this.stopped) return;
    const { sched } = this;
    sched.stderr(schedtraceText(sched, sched.clock.now() - this.start, this.detail));
    sched.clock.setTimer(() => this.print(), this.periodMs, false);
  }
}

/** The figures of this thread. Without `detail` no goroutine is listed. */
export function threadFigures(s: Schedt, detail: boolean): MFigures {
  const g = m0.curg?.sched === s ? m0.curg : null;
  const gs = detail ? s.gs().filter((x) => x.atomicstatus !== Gdead) : [];
  return {
    m: s.link?.m ?? 0,
    idle: s.isIdle,
    curg: g?.goid ?? 0,
    locked: g !== null && g.lockedCount > 0,
    runq: s.p.runqLength,
    globq: s.globq.size,
    gfree: s.gfreeCount,
    timers: s.timers.size,
    gs: gs.map((x) => ({
      goid: x.goid,
      status: x.atomicstatus,
      waitreason: x.waitreason,
      locked: x.lockedCount > 0,
    })),
  };
}

/** The figures of one thread alone: it holds P 0 while it works. The other Ps, if the program wants more, are idle. */
function alone(s: Schedt): SchedFigures {
  const ps: PFigures[] = [{ m: s.isIdle ? -1 : 0, tasks: 0, schedtick: s.p.schedtick >>> 0 }];
  while (ps.length < s.nprocs) ps.push({ m: -1, tasks: 0, schedtick: 0 });
  return { ps, ms: [], tasks: 0, spinning: 0 };
}

/** One line, or with `detail` one block, with final newlines. `atMs`: time since the first. */
export function schedtraceText(s: Schedt, atMs: number, detail: boolean): string {
  const { ps, ms, tasks, spinning } = s.link?.figures(detail) ?? alone(s);
  const threads = [threadFigures(s, detail), ...ms].sort((a, b) => a.m - b.m);
  const holds = new Set(ps.map((p) => p.m));
  let runqueue = tasks;
  for (const t of threads) runqueue += t.globq + (holds.has(t.m) ? 0 : t.runq);
  const out =
    `SCHED ${Math.floor(atMs)}ms: gomaxprocs=${ps.length} idleprocs=${ps.filter((p) => p.m < 0).length} ` +
    `threads=${threads.length} spinningthreads=${spinning} needspinning=0 ` +
    `idlethreads=${threads.filter((t) => t.idle).length} runqueue=${runqueue}`;
  const byM = new Map(threads.map((t) => [t.m, t]));
  if (!detail) {
    const local = ps.map((p) => p.tasks + (byM.get(p.m)?.runq ?? 0));
    return `${out} [ ${local.join(" ")} ] schedticks=[ ${ps.map((p) => p.schedtick).join(" ")} ]\n`;
  }
  return (
    `${out} gcwaiting=false nmidlelocked=0 stopwait=0 sysmonwait=false\n` +
    ps.map((p, i) => pLine(p, i, byM.get(p.m))).join("") +
    threads.map((t) => mLine(t, ps)).join("") +
    threads.map(gLines).join("")
  );
}

const orNil = (n: number, none: number): string => (n === none ? "nil" : String(n));

function pLine(p: PFigures, id: number, t: MFigures | undefined): string {
  return (
    `  P${id}: status=${p.m < 0 ? 0 : 1} schedtick=${p.schedtick} syscalltick=0 m=${orNil(p.m, -1)} ` +
    `runqsize=${p.tasks + (t?.runq ?? 0)} gfreecnt=${t?.gfree ?? 0} timerslen=${t?.timers ?? 0}\n`
  );
}

function mLine(t: MFigures, ps: readonly PFigures[]): string {
  const p = ps.findIndex((x) => x.m === t.m);
  return (
    `  M${t.m}: p=${orNil(p, -1)} curg=${orNil(t.curg, 0)} mallocing=0 throwing=0 preemptoff= locks=0 dying=0 ` +
    `spinning=false blocked=${t.idle} lockedg=${t.locked ? t.curg : "nil"}\n`
  );
}

function gLines(t: MFigures): string {
  let out = "";
  for (const g of t.gs) {
    const m = g.goid === t.curg ? t.m : "nil";
    const reason = waitReasonStrings[g.waitreason];
    out += `  G${g.goid}: status=${g.status}(${reason}) m=${m} lockedm=${g.locked ? t.m : "nil"}\n`;
  }
  return out;
}
