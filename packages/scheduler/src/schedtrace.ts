/** The lines of GODEBUG=schedtrace and scheddetail. */

import { Gdead, m0, type Schedt } from "./runtime2.ts";
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

/** One line, or with `detail` one block, with final newlines. `atMs`: time since the first. */
export function schedtraceText(s: Schedt, atMs: number, detail: boolean): string {
  const n = s.nprocs;
  const idle = s.isIdle;
  const idleprocs = idle ? n : n - 1;
  let out =
    `SCHED ${Math.floor(atMs)}ms: gomaxprocs=${n} idleprocs=${idleprocs} threads=1 spinningthreads=0 ` +
    `needspinning=0 idlethreads=${idle ? 1 : 0} runqueue=${s.globq.size}`;
  if (!detail) {
    const rest = " 0".repeat(n - 1);
    const local = `${s.p.runqLength}${rest}`;
    const ticks = `${s.p.schedtick >>> 0}${rest}`;
    return `${out} [ ${local} ] schedticks=[ ${ticks} ]\n`;
  }
  const g = m0.curg?.sched === s ? m0.curg : null;
  out += " gcwaiting=false nmidlelocked=0 stopwait=0 sysmonwait=false\n";
  const { p } = s;
  out +=
    `  P0: status=${idle ? 0 : 1} schedtick=${p.schedtick >>> 0} syscalltick=0 m=${idle ? "nil" : 0} ` +
    `runqsize=${p.runqLength} gfreecnt=${s.gfreeCount} timerslen=${s.timers.size}\n`;
  for (let i = 1; i < n; i++) {
    out += `  P${i}: status=0 schedtick=0 syscalltick=0 m=nil runqsize=0 gfreecnt=0 timerslen=0\n`;
  }
  const lockedg = g !== null && g.lockedCount > 0 ? g.goid : "nil";
  out +=
    `  M0: p=${idle ? "nil" : 0} curg=${g?.goid ?? "nil"} mallocing=0 throwing=0 preemptoff= locks=0 dying=0 ` +
    `spinning=false blocked=${idle} lockedg=${lockedg}\n`;
  for (const x of s.gs()) {
    if (x.atomicstatus === Gdead) continue;
    const reason = waitReasonStrings[x.waitreason];
    const lockedm = x.lockedCount > 0 ? 0 : "nil";
    out += `  G${x.goid}: status=${x.atomicstatus}(${reason}) m=${x === g ? 0 : "nil"} lockedm=${lockedm}\n`;
  }
  return out;
}
