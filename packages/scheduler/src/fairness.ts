/** Keeps goroutines from starving others: points 4 and 5 of the order in which goroutines run (proc.ts). */

import type { G, GQueue, P } from "./runtime2.ts";

/** Longest chain through `runnext`, and longest wait at the head of the global queue, in ms. As sysmon's in Go. */
export const FORCE_PREEMPT_MS = 10;
/** Longest chain in readings of the clock: it also ends if the clock stands still. */
const CHAIN_READS_MAX = 8192;

export class Fairness {
  private readonly p: P;
  private readonly globq: GQueue;
  /** The tick that has not moved since `chainStart`. */
  private chainTick = -1;
  private chainStart = 0;
  private chainReads = 0;
  private globHead: G | null = null;
  /** When `globHead` was first seen as the head of the global queue, in ms. */
  private globSince = 0;

  constructor(p: P, globq: GQueue) {
    this.p = p;
    this.globq = globq;
  }

  /** Called when no goroutine can run: the next chain begins with the next slice. */
  endChain(): void {
    this.chainTick = ~this.p.schedtick;
  }

  /** Called at each reading of the clock; `now` in ms. */
  check(now: number): void {
    const { p, globq } = this;
    if (p.schedtick !== this.chainTick) {
      this.chainTick = p.schedtick;
      this.chainStart = now;
      this.chainReads = 0;
    } else if (now - this.chainStart >= FORCE_PREEMPT_MS || ++this.chainReads >= CHAIN_READS_MAX) {
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
    } else if (head !== null && now - this.globSince >= FORCE_PREEMPT_MS) {
      this.globHead = null;
      p.runqput(globq.pop()!, false, globq);
    }
  }
}
