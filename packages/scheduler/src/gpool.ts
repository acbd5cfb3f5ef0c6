/** The Gs of a scheduler: those that are in use, and ended ones that wait to be used again. */

import type { LeakDetector } from "./leak.ts";
import type { Scheduler } from "./proc.ts";
import { G, Gdead } from "./runtime2.ts";

/** Ended Gs kept for reuse; more are left to the collector. */
const gfreeMax = 16384;

export class GPool {
  /** Number of the goroutine that was made last. */
  goidgen = 1;
  private readonly sched: Scheduler;
  private readonly leak: LeakDetector | null;
  /** All Gs but those held weakly, ended ones in the pool too. */
  private readonly all: G[] = [];
  /** Ended Gs that wait to be used again, linked by `schedlink`. */
  private free: G | null = null;
  freeCount = 0;

  constructor(sched: Scheduler, leak: LeakDetector | null) {
    this.sched = sched;
    this.leak = leak;
  }

  /** A G with a new number. */
  get(): G {
    let g = this.free;
    if (g !== null) {
      this.free = g.schedlink;
      this.freeCount--;
      g.schedlink = null;
    } else {
      g = new G(this.sched);
      g.allIndex = this.all.length;
      this.all.push(g);
    }
    g.goid = ++this.goidgen;
    return g;
  }

  /** A G that only those who can wake it hold. */
  getWeak(): G {
    const g = new G(this.sched);
    g.goid = ++this.goidgen;
    g.allIndex = -1;
    return g;
  }

  /** Takes an ended G back; `forget` leaves it to the collector, for one whose generator may still be referenced. */
  put(g: G, forget: boolean): void {
    g.atomicstatus = Gdead;
    g.gen = null;
    g.fn = null;
    g.arg = undefined;
    g.waitOp = null;
    g.waiting = null;
    g.param = null;
    g.site = null;
    g.flags = 0;
    g.defers = null;
    g.panic = null;
    g.unwinding = null;
    g.doneq = null;
    g.onExit = null;
    g.lockedCount = 0;
    g.rootSp = 0;
    g.rootLo = 0;
    g.labels = null;
    g.blockStart = 0;
    if (g.allIndex < 0) {
      this.leak!.remove(g);
      return;
    }
    if (!forget && this.freeCount < gfreeMax) {
      g.schedlink = this.free;
      this.free = g;
      this.freeCount++;
      return;
    }
    const last = this.all.pop()!;
    if (last !== g) {
      this.all[g.allIndex] = last;
      last.allIndex = g.allIndex;
    }
  }

  /** A new list of all Gs. */
  list(): G[] {
    const list = this.all.slice();
    if (this.leak !== null) {
      for (const ref of this.leak.refs.keys()) {
        const g = ref.deref();
        if (g !== undefined) list.push(g);
      }
    }
    return list;
  }
}
