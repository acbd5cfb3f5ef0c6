/** Several Ms on one JavaScript thread: each has a scheduler of its own, and posts to the others. */
import type { Addr } from "@gort/memory";
import { createTestScheduler, type TestScheduler, verifyScheduler } from "@gort/scheduler/testing";
import { createTypes } from "@gort/types";
import { HeapChans } from "../src/chans.ts";
import { SUDOG_AT, Waiters } from "../src/sudog.ts";
import { heap } from "./kit.ts";

export class Machines {
  readonly schedulers: TestScheduler[] = [];
  readonly chans: HeapChans[] = [];
  readonly waiters: Waiters[] = [];
  /** Sudogs that were posted to an M, and not delivered yet. */
  readonly inboxes: Addr[][] = [];

  constructor(n: number, seed: number) {
    for (let m = 0; m < n; m++) {
      const s = createTestScheduler({ seed: seed + m });
      const waiters = new Waiters(heap.mem, { m, post: (to, node) => void this.inboxes[to].push(node) });
      this.schedulers.push(s);
      this.waiters.push(waiters);
      this.inboxes.push([]);
      this.chans.push(new HeapChans(createTypes(heap), s, waiters));
    }
  }

  /** Delivers what was posted to M m. */
  deliver(m: number): void {
    for (const node of this.inboxes[m].splice(0)) this.waiters[m].deliver(node);
  }

  /** Runs all goroutines until none can run and nothing is under way. */
  run(): void {
    do {
      for (const [m, s] of this.schedulers.entries()) {
        this.deliver(m);
        s.run();
      }
    } while (this.inboxes.some((box) => box.length > 0) || this.schedulers.some((s) => !s.isIdle));
  }

  /** The number of the goroutine whose sudog it is, and its M. */
  owner(sg: Addr): { m: number; goid: number } {
    const m = heap.mem.u32[(sg + SUDOG_AT.m) >>> 2];
    const { table } = this.waiters[m] as unknown as { table: { g: { goid: number } }[] };
    return { m, goid: table[heap.mem.u32[(sg + SUDOG_AT.slot) >>> 2]].g.goid };
  }

  end(): void {
    for (const s of this.schedulers) verifyScheduler(s);
    for (const s of this.schedulers) s.close();
    this.run();
    for (const w of this.waiters) {
      if (w.stats().inUse > 0) throw new Error(`${w.stats().inUse} sudogs were not freed`);
      w.close();
    }
  }
}
