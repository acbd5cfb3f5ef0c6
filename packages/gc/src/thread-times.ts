/**
 * The times that threads spend marking. The driver's are in CYCLE. Any other thread adds to those in its GCTHREAD; the
 * driver adds them up in the stop that ends the cycle.
 */
import type { LinearMemory } from "@gort/memory";
import { driverThread, forEachThread, GCTHREAD_AT } from "./gc-threads.ts";
import { CycleState } from "./state-views.ts";

const names = ["assistNs", "backgroundNs", "idleNs"] as const;

/** The running cycle as a thread that is not the driver sees it: the times are its own. */
export class ThreadCycle extends CycleState {
  readonly #thread: number;

  constructor(mem: LinearMemory, base: number, thread: number) {
    super(mem, base);
    this.#thread = thread;
  }

  override get assistNs(): number {
    return this.f64[(this.#thread + GCTHREAD_AT.assistNs) >>> 3];
  }
  override set assistNs(v: number) {
    this.f64[(this.#thread + GCTHREAD_AT.assistNs) >>> 3] = v;
  }
  override get backgroundNs(): number {
    return this.f64[(this.#thread + GCTHREAD_AT.backgroundNs) >>> 3];
  }
  override set backgroundNs(v: number) {
    this.f64[(this.#thread + GCTHREAD_AT.backgroundNs) >>> 3] = v;
  }
  override get idleNs(): number {
    return this.f64[(this.#thread + GCTHREAD_AT.idleNs) >>> 3];
  }
  override set idleNs(v: number) {
    this.f64[(this.#thread + GCTHREAD_AT.idleNs) >>> 3] = v;
  }
}

/** The times of all threads but the driver, in a stop of the world. */
export class ThreadTimes {
  readonly #mem: LinearMemory;

  constructor(mem: LinearMemory) {
    this.#mem = mem;
  }

  /** A cycle begins. */
  reset(): void {
    const { f64 } = this.#mem;
    forEachThread(this.#mem, (t) => {
      for (const name of names) f64[(t + GCTHREAD_AT[name]) >>> 3] = 0;
    });
  }

  /** Adds them to those of the cycle, which are the driver's. */
  addTo(cycle: Record<(typeof names)[number], number>): void {
    const { f64 } = this.#mem;
    const driver = driverThread(this.#mem);
    forEachThread(this.#mem, (t) => {
      if (t === driver) return;
      for (const name of names) cycle[name] += f64[(t + GCTHREAD_AT[name]) >>> 3];
    });
  }
}
