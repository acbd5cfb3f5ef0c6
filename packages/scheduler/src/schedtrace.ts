/** The lines of GODEBUG=schedtrace and scheddetail. */

import type { Scheduler } from "./proc.ts";
import { Gdead, m0, waitReasonStrings } from "./runtime2.ts";

/** One line, or with `detail` one block, with final newlines. `atMs` is the time since the first. */
export function schedtraceText(s: Scheduler, atMs: number, detail: boolean): string {
  const n = s.allp.length;
  const idle = s.isIdle;
  const idleprocs = idle ? n : n - 1;
  let out = `SCHED ${Math.floor(atMs)}ms: gomaxprocs=${n} idleprocs=${idleprocs} threads=1 spinningthreads=0 needspinning=0 idlethreads=${idle ? 1 : 0} runqueue=${s.globq.size}`;
  if (!detail) {
    const local = s.allp.map((p) => p.runqLength).join(" ");
    const ticks = s.allp.map((p) => p.schedtick >>> 0).join(" ");
    return `${out} [ ${local} ] schedticks=[ ${ticks} ]\n`;
  }
  const g = m0.curg?.sched === s ? m0.curg : null;
  out += " gcwaiting=false nmidlelocked=0 stopwait=0 sysmonwait=false\n";
  for (const p of s.allp) {
    const busy = p.id === 0 && !idle;
    const own = p.id === 0;
    out += `  P${p.id}: status=${busy ? 1 : 0} schedtick=${p.schedtick >>> 0} syscalltick=0 m=${busy ? 0 : "nil"} runqsize=${p.runqLength} gfreecnt=${own ? s.gfreeCount : 0} timerslen=${own ? s.timers.size : 0}\n`;
  }
  const lockedg = g !== null && g.lockedCount > 0 ? g.goid : "nil";
  out += `  M0: p=${idle ? "nil" : 0} curg=${g?.goid ?? "nil"} mallocing=0 throwing=0 preemptoff= locks=0 dying=0 spinning=false blocked=${idle} lockedg=${lockedg}\n`;
  for (const x of s.gs()) {
    if (x.atomicstatus === Gdead) continue;
    out += `  G${x.goid}: status=${x.atomicstatus}(${waitReasonStrings[x.waitreason]}) m=${x === g ? 0 : "nil"} lockedm=${x.lockedCount > 0 ? 0 : "nil"}\n`;
  }
  return out;
}
