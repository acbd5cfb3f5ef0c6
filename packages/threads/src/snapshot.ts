/** The Ps and the tasks in their queues, as dumps and traces show them. */
import type { Addr } from "@gort/memory";
import { PREC_AT, RING, SCHED_AT } from "./layout.ts";
import { NODE_NEXT, type Procs } from "./runtime2.ts";
import type { SharedState } from "./shared-state.ts";

/** See Threads.procs. */
export function procsOf(s: SharedState): Procs {
  const { u32, mem } = s;
  const ps: Procs["ps"][number][] = [];
  for (let id = 0; id < s.gomaxprocs; id++) {
    const p = s.prec(id);
    const next = u32[(p + PREC_AT.runnext) >>> 2] === 0 ? 0 : 1;
    ps.push({
      m: u32[(p + PREC_AT.m) >>> 2] - 1,
      tasks: ringSize(s, p) + next,
      schedtick: mem.f64[(p + PREC_AT.schedtick) >>> 3],
    });
  }
  const tasks = u32[(s.sched + SCHED_AT.runqsize) >>> 2];
  return { ps, tasks, spinning: u32[(s.sched + SCHED_AT.nmspinning) >>> 2] };
}

/** Tasks in the ring of the P. The head is read first, so they are not too few. */
function ringSize({ kernel }: SharedState, p: number): number {
  const head = kernel.load(p + PREC_AT.head);
  return Math.min((kernel.load(p + PREC_AT.tail) - head) | 0, RING);
}

/** See Threads.forEachTask. */
export function forEachTask(s: SharedState, visit: (task: Addr) => void): void {
  const { u32 } = s;
  for (let id = 0; id < s.gomaxprocs; id++) {
    const p = s.prec(id);
    const next = u32[(p + PREC_AT.runnext) >>> 2];
    if (next !== 0) visit(next as Addr);
    const head = u32[(p + PREC_AT.head) >>> 2];
    const n = ringSize(s, p);
    for (let k = 0; k < n; k++) visit(u32[(p + PREC_AT.ring + (((head + k) % RING) << 2)) >>> 2] as Addr);
  }
  let task = u32[(s.sched + SCHED_AT.runqHead) >>> 2];
  for (; task !== 0; task = u32[(task + NODE_NEXT) >>> 2]) visit(task as Addr);
}
