/**
 * The driver's side of mark threads: workers that only mark (mark-worker.ts). They are no threads of the world, so a
 * stop of the world needs a handshake with them:
 *
 *     driver        pause = 1, then it waits until no GCWORK has the status RUNNING
 *     mark thread   status = RUNNING, then it looks at pause, and goes back to PARKED if that is 1
 *
 * Both stores and both loads are atomic, so at least one of the two sees the other: when `pause` returns, no mark
 * thread is in a step, and none begins one before `resume`. A mark thread looks at `pause` after each step of some ten
 * microseconds.
 *
 * A mark thread that has died in a step is found out by its number in the table of threads, or `lost` reports it. Then
 * marking goes on without it, and all marked objects are scanned once more (THREAD_LOST).
 */
import { throwFatal } from "@gort/base";
import type { GCHeap } from "./heap.ts";
import { GCWORK_AT, MARK_AT, type MarkState, THREAD_LOST, WORK_LOST, WORK_RUNNING } from "./mark-state.ts";

/** Looks at a running mark thread before the driver checks whether the thread lives: about 10 milliseconds. */
const SPINS = 500_000;

export class MarkHelpers {
  readonly #heap: GCHeap;
  readonly #state: MarkState;

  constructor(heap: GCHeap, state: MarkState) {
    this.#heap = heap;
    this.#state = state;
  }

  /** Mark threads that are attached. */
  get count(): number {
    return this.#state.get(MARK_AT.helpers);
  }

  /** Returns when no mark thread is in a step. */
  pause(): void {
    if (!this.#heap.shared) return;
    const { kernel } = this.#heap.mem;
    kernel.xchg(this.#state.mark + MARK_AT.pause, 1);
    this.#state.forEachWork((w) => this.#await(w));
  }

  #await(w: number): void {
    const { mem } = this.#heap;
    const start = performance.now();
    for (let k = 1; mem.kernel.load(w + GCWORK_AT.status) === WORK_RUNNING; k++) {
      if (k % SPINS !== 0) continue;
      const thread = mem.u32[(w + GCWORK_AT.thread) >>> 2];
      if (mem.threadGone(thread)) this.#lose(w);
      else if (performance.now() - start > mem.lockTimeoutMs) {
        throwFatal(
          "gc: a mark worker does not stop: its thread was terminated, or is stopped",
          `runtime: thread ${thread} did not end a step of marking for ${mem.lockTimeoutMs} ms`,
        );
      }
    }
  }

  /** Mark threads may go on. */
  resume(): void {
    if (!this.#heap.shared) return;
    const { mem } = this.#heap;
    mem.kernel.store(this.#state.mark + MARK_AT.pause, 0);
    this.#state.wake();
  }

  /** Reports that the thread of this GCWORK is gone. False if its end was known, or if no thread had it. */
  lost(w: number): boolean {
    const { u32 } = this.#heap.mem;
    const status = u32[(w + GCWORK_AT.status) >>> 2];
    if (status === WORK_LOST || status === 0) return false;
    this.#lose(w);
    return true;
  }

  /** The work that the thread has in hand is lost: see markOverflow. */
  #lose(w: number): void {
    const { kernel } = this.#heap.mem;
    kernel.store(w + GCWORK_AT.status, WORK_LOST);
    kernel.or(this.#state.mark + MARK_AT.overflow, THREAD_LOST);
  }
}
