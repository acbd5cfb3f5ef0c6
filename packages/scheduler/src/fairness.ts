/**
 * Keeps goroutines from starving others, at readings of the clock: points 4 and 5 of the order in which goroutines run
 * (proc.ts).
 */

import type { G, GQueue, P } from "./runtime2.ts";

/** A goroutine that runs longer is worth a mark, and a `runnext` chain that lasts longer is broken. */
export const forcePreemptMs = 10;
/** The same, counted in readings of the clock, for a clock that stands still. */
const chainReadsMax = 8192;
export class Fairness {
  private readonly p: P;
  private readonly globq: GQueue;
  private chainTick = -1;
  private chainStart = 0;
  private chainReads = 0;
  /** The head of the global queue, and since when it has been that. */
  private globHead: G | null = null;
  private globSince = 0;

  constructor(p: P, globq: GQueue) {
    this.p = p;
    this.globq = globq;
  }

  /** Called when nothing can run: the next chain begins with the next slice. */
  endChain(): void {
    this.chainTick = ~this.p.schedtick;
  }

  check(now: number): void {
    const { p, globq } = this;
    if (p.schedtick !== this.chainTick) {
      this.chainTick = p.schedtick;
      this.chainStart = now;
      this.chainReads = 0;
    } else if (now - this.chainStart >= forcePreemptMs || ++this.chainReads >= chainReadsMax) {
      this.chainStart = now;
      this.chainReads = 0;
      if (p.runnext !== null) {
        globq.pushBack(p.runnext);
        p.runnext = null;
      }
    }
    const { head } = globq;
    if (head !== this.globHead) {
      this.globHead = head;
      this.globSince = now;
    } else if (head !== null && now - this.globSince >= forcePreemptMs) {
      this.globHead = null;
      p.runqput(globq.pop()!, false, globq);
    }
  }
}
