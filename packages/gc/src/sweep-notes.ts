/**
 * What a sweep has to tell when the operation that it runs in has ended: the end of the sweep, finalizers that are due,
 * freed samples, threads to be notified. A sweep runs in the middle of an allocation, and only takes notes. `tell`
 * passes them on; it runs callbacks of the program, so no operation of the allocator is in progress.
 *
 * Notes belong to one thread. What concerns another thread lies in that thread's inbox (gc-threads.ts), and `tell`
 * notifies it.
 */
import type { Allocator } from "@gort/allocator";
import { driverThread, notifyThread, notifyWaiting } from "./gc-threads.ts";
import type { Finalizers } from "./mfinal.ts";
import type { Sweeper } from "./mgcsweep.ts";
import type { CycleState, SweepState } from "./state-views.ts";
import type { WorldThreads } from "./world.ts";

/** The parts that notes are about, and what becomes of them. */
export interface NoteParts {
  readonly allocator: Allocator;
  readonly sweeper: Sweeper;
  readonly finalizers: Finalizers;
  readonly cycle: CycleState;
  readonly sweep: SweepState;
  /** The other threads, once there are some. */
  readonly threads: WorldThreads | undefined;
  readonly driver: boolean;
  freeProfile(data: number, size: number): void;
  /** Functions of this thread wait to run. */
  ready(): void;
  /** Recomputes goal and trigger: while the sweep ran, they had a floor. */
  commit(): void;
  /** The driver: reports the end of a sweep, with the ratio in force. */
  sweepDone(pagesPerByte: number): void;
}

export class SweepNotes {
  #parts: NoteParts | null = null;
  #noted = false;
  #wake = false;
  /** Addresses of the GCTHREADs of threads to notify, each once. */
  readonly #notify: number[] = [];

  /** Sets the parts, which are made with callbacks that take notes. */
  bind(parts: NoteParts): void {
    this.#parts = parts;
  }

  /** Whether `tell` has something to do. */
  get any(): boolean {
    return this.#noted;
  }

  /** Called in the middle of a sweep: there is something to tell. */
  note(): void {
    this.#noted = true;
    const allocator = this.#parts?.allocator;
    if (allocator?.idle === false) allocator.deferReport();
  }

  /** A queue of this thread has got its first entry. */
  wake(): void {
    this.#wake = true;
    this.note();
  }

  /** The inbox of the thread of this GCTHREAD has an entry. */
  notify(thread: number): void {
    if (!this.#notify.includes(thread)) this.#notify.push(thread);
    this.note();
  }

  /** Passes the notes on. No operation of the allocator is in progress. */
  tell(): void {
    const parts = this.#parts;
    if (parts === null) return;
    const elsewhere = parts.driver ? parts.sweep.takeEnded() : -1;
    if (elsewhere >= 0) parts.sweepDone(elsewhere);
    if (!this.#noted) return;
    this.#noted = false;
    const { sweeper, finalizers } = parts;
    sweeper.takeFreed(parts.freeProfile);
    finalizers.takeDue();
    this.#notifyThreads(parts);
    const wake = this.#wake;
    this.#wake = false;
    const ratio = sweeper.takeDone();
    if (ratio >= 0) this.#ended(parts, ratio);
    if (wake && finalizers.queued > 0) parts.ready();
  }

  /**
   * Passes on the freed samples only. The driver does it also for threads that have ended. The world is stopped, or
   * this thread ends.
   */
  takeSamples(): void {
    const parts = this.#parts;
    if (parts === null) return;
    const { sweeper, driver, freeProfile } = parts;
    if (driver) sweeper.takeOrphans(freeProfile);
    sweeper.takeFreed(freeProfile);
  }

  #notifyThreads({ threads, allocator }: NoteParts): void {
    const { mem } = allocator;
    for (const t of this.#notify.splice(0)) if (threads !== undefined) notifyThread(mem, threads, t);
  }

  /** This thread has found the end of a sweep. */
  #ended(parts: NoteParts, ratio: number): void {
    const { cycle, threads } = parts;
    const { mem } = parts.allocator;
    parts.commit();
    cycle.noteServed();
    if (threads !== undefined) notifyWaiting(mem, threads);
    if (parts.driver) {
      parts.sweepDone(ratio);
      return;
    }
    parts.sweep.noteEnded(ratio);
    if (threads !== undefined) notifyThread(mem, threads, driverThread(mem));
  }
}
