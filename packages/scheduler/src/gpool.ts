/** The Gs of a scheduler: those in use, and ended ones that wait to be used again. */

import type { LeakDetector } from "./leak.ts";
import { G, Gdead, type Schedt } from "./runtime2.ts";
import { GOID_BLOCK } from "./thread-link.ts";

/** Ended Gs kept for reuse at most. The collector takes the others. */
const GFREE_MAX = 16384;

/** Stands in `loose` for a G that has ended. */
const ended = null;

export class GPool {
  /** Number of the goroutine that was made last. */
  private goidgen = 1;
  /** The last number of the block. The first block is a small integer's range: it lasts for one thread. */
  private goidEnd = 2 ** 30 - 1;
  /** Number of the last goroutine before the block, and the goroutines made before the block. */
  private blockStart = 1;
  private createdBefore = 0;
  /** Main goroutines made. They all have number 1, which `goidgen` does not give. */
  private nmains = 0;
  private readonly sched: Schedt;
  private readonly leak: LeakDetector | null;
  /** All Gs that are held strongly, also ended ones that wait for reuse. */
  private readonly all: G[] = [];
  /** Gs that `loosen` holds weakly, by goid. */
  private readonly loose = new Map<number, WeakRef<G> | typeof ended>();
  /** Ended Gs that wait for reuse, linked by `schedlink`. */
  private free: G | null = null;
  freeCount = 0;

  constructor(sched: Schedt, leak: LeakDetector | null) {
    this.sched = sched;
    this.leak = leak;
  }

  /** A G with a new number. */
  get(): G {
    const g = this.take();
    g.goid = this.newGoid();
    return g;
  }

  /** A G without a number. */
  take(): G {
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
    return g;
  }

  /** The number of a new goroutine. */
  newGoid(): number {
    if (this.goidgen >= this.goidEnd) this.nextBlock();
    return ++this.goidgen;
  }

  /** Takes the next block of numbers. With several threads all blocks come from the link (thread-link.ts). */
  nextBlock(): void {
    const { link } = this.sched;
    if (link === null) {
      this.goidEnd = Number.MAX_SAFE_INTEGER;
      return;
    }
    const first = link.nextGoids(this.goidgen);
    this.createdBefore += this.goidgen - this.blockStart;
    this.blockStart = first - 1;
    this.goidgen = first - 1;
    this.goidEnd = first - 1 + GOID_BLOCK;
  }

  /** A G with number 1, for main. */
  getMain(): G {
    const g = this.take();
    this.nmains++;
    g.goid = 1;
    return g;
  }

  /** Goroutines made so far. */
  get created(): number {
    return this.createdBefore + this.goidgen - this.blockStart + this.nmains;
  }

  /** A G that the pool holds weakly: only code that can wake it keeps it alive. */
  getWeak(): G {
    const g = new G(this.sched);
    g.goid = this.newGoid();
    g.allIndex = -1;
    return g;
  }

  /** Takes back an ended G. `forget` leaves it to the collector, because its generator may still be referenced. */
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
    g.rootSp = 0;
    g.rootLo = 0;
    g.labels = null;
    g.blockStart = 0;
    if (g.lockedCount !== 0) this.sched.unlock(g);
    if (g.allIndex < 0) {
      if (this.loose.has(g.goid)) this.loose.set(g.goid, ended);
      else this.leak!.remove(g);
      return;
    }
    if (!forget && this.freeCount < GFREE_MAX) {
      g.schedlink = this.free;
      this.free = g;
      this.freeCount++;
      return;
    }
    this.drop(g);
  }

  private drop(g: G): void {
    const last = this.all.pop()!;
    if (last !== g) {
      this.all[g.allIndex] = last;
      last.allIndex = g.allIndex;
    }
  }

  /** Holds a G in use weakly until `tighten`. Returns false if it is held weakly already. */
  loosen(g: G): boolean {
    if (g.allIndex < 0) return false;
    this.drop(g);
    g.allIndex = -1;
    this.loose.set(g.goid, new WeakRef(g));
    return true;
  }

  /** Ends `loosen`. Returns false if the engine has collected the G. */
  tighten(goid: number): boolean {
    const ref = this.loose.get(goid);
    this.loose.delete(goid);
    if (ref === ended) return true;
    const g = ref?.deref();
    if (g === undefined) return false;
    g.allIndex = this.all.length;
    this.all.push(g);
    return true;
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
    for (const ref of this.loose.values()) {
      const g = ref?.deref();
      if (g !== undefined) list.push(g);
    }
    return list;
  }
}
