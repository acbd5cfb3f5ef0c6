/**
 * How a thread shares the work of marking with the others.
 *
 * Work that waits lies in three places. Any thread takes pages from any ring, by CAS of its head, and workbufs from the
 * list of full ones. The two workbufs in hand belong to their thread alone. So a thread that turns to other work puts
 * them on the list (`leave`), unless they hold next to nothing.
 *
 *     hungry     threads that look for work in vain. While there are some, a busy thread shares half of its stack
 *     active     status of the GCWORK of a thread in a slice: it may still find work, whatever lists and rings hold
 *
 * ## When all is marked
 * `quiet` says that rings and lists are empty and that no other thread is active. That is a guess: a write barrier may
 * have left work in the hands of its thread, and may do so at any time. It is made exact by a stop of the world: a
 * thread stops only between two slices. In the stop `adopt` takes what the stopped threads have in their hands. If that
 * is more than a little, marking goes on after the stop, on all threads (gc-cycle.ts).
 */
import { GCWORK_AT, MARK_AT, type MarkState, WORK_ACTIVE, WORK_OWNED, WORK_RUNNING } from "./mark-state.ts";
import type { WorkBufs } from "./mgcwork.ts";

/** Most pages taken from another thread's ring at a time; half of its pages, if that is less. */
const STEAL_MAX = 64;

/** Longest sleep of a thread that waits for work. No thread wakes it. A stop of the world may have to wait as long. */
const NAP_MS = 0.1;

export class MarkShare {
  readonly #state: MarkState;
  readonly #bufs: WorkBufs;
  readonly #work: number;
  readonly #u32: Uint32Array;
  #maySleep = true;

  constructor(state: MarkState, bufs: WorkBufs, work: number) {
    this.#state = state;
    this.#bufs = bufs;
    this.#work = work;
    this.#u32 = state.mem.u32;
  }

  /** A slice begins. */
  enter(): void {
    this.#state.mem.kernel.store(this.#work + GCWORK_AT.status, WORK_ACTIVE);
  }

  /** A slice ends. */
  leave(): void {
    this.#bufs.shareAll(this.#work);
    this.#state.mem.kernel.store(this.#work + GCWORK_AT.status, WORK_OWNED);
  }

  /** Shares a part of the stack if a thread looks for work and finds none. */
  feed(): void {
    if (this.#state.get(MARK_AT.hungry) !== 0 && this.#bufs.noneFull) this.#bufs.share(this.#work);
  }

  /** Pages in the ring of a thread. */
  #waiting(w: number): number {
    const { kernel } = this.#state.mem;
    return (kernel.load(w + GCWORK_AT.qtail) - kernel.load(w + GCWORK_AT.qhead)) | 0;
  }

  /** Moves pages from another thread's ring into its own. */
  steal(): boolean {
    const { kernel } = this.#state.mem;
    const u32 = this.#u32;
    const mask = this.#state.ringMask;
    for (let w = this.#state.get(MARK_AT.workers); w !== 0; w = u32[(w + GCWORK_AT.next) >>> 2]) {
      if (w === this.#work) continue;
      const head = kernel.load(w + GCWORK_AT.qhead);
      const n = Math.min(STEAL_MAX, ((kernel.load(w + GCWORK_AT.qtail) - head + 1) | 0) >> 1);
      if (n <= 0) continue;
      const theirs = u32[(w + GCWORK_AT.ring) >>> 2] >>> 2;
      const mine = u32[(this.#work + GCWORK_AT.ring) >>> 2] >>> 2;
      const tail = u32[(this.#work + GCWORK_AT.qtail) >>> 2];
      for (let i = 0; i < n; i++) u32[mine + ((tail + i) & mask)] = u32[theirs + ((head + i) & mask)];
      // No other thread sees the copies yet: if a thief was faster they are overwritten.
      if (kernel.cas(w + GCWORK_AT.qhead, head, head + n) !== head) continue;
      kernel.store(this.#work + GCWORK_AT.qtail, tail + n);
      return true;
    }
    return false;
  }

  /** Whether no page waits in the ring of this thread. */
  get ringEmpty(): boolean {
    return this.#waiting(this.#work) <= 0;
  }

  /** Whether there seems to be work that this thread can take. */
  get inSight(): boolean {
    if (!this.#bufs.noneFull) return true;
    const u32 = this.#u32;
    for (let w = this.#state.get(MARK_AT.workers); w !== 0; w = u32[(w + GCWORK_AT.next) >>> 2]) {
      if (w !== this.#work && this.#waiting(w) > 0) return true;
    }
    return false;
  }

  /** Whether no other thread seems to have work, or to be about to find some. */
  get quiet(): boolean {
    const { kernel } = this.#state.mem;
    const u32 = this.#u32;
    for (let w = this.#state.get(MARK_AT.workers); w !== 0; w = u32[(w + GCWORK_AT.next) >>> 2]) {
      if (w === this.#work) continue;
      const status = kernel.load(w + GCWORK_AT.status);
      if (status === WORK_ACTIVE || status === WORK_RUNNING) return false;
    }
    return !this.inSight;
  }

  /**
   * Moves what the other threads, which are stopped, have in their hands to this thread's stack. A stopped thread is
   * between two slices, and its stack is whole. Otherwise it has died: what it held is marked again, see
   * Marker.markOverflow.
   */
  adopt(): void {
    const u32 = this.#u32;
    const { kernel } = this.#state.mem;
    for (let w = this.#state.get(MARK_AT.workers); w !== 0; w = u32[(w + GCWORK_AT.next) >>> 2]) {
      if (w === this.#work) continue;
      const inSlice = kernel.cas(w + GCWORK_AT.status, WORK_ACTIVE, WORK_OWNED) === WORK_ACTIVE;
      if (inSlice || !this.#bufs.isWhole(w)) this.#state.threadLost();
      else if (!this.#bufs.adopt(this.#work, w)) this.#state.overflowed();
    }
  }

  /** Waits for a moment for work of other threads. */
  nap(): void {
    const { mem, mark } = this.#state;
    const { kernel } = mem;
    kernel.add(mark + MARK_AT.hungry, 1);
    const hungry = mark + MARK_AT.hungry;
    if (this.#maySleep) {
      try {
        Atomics.wait(mem.i32 as Int32Array<SharedArrayBuffer>, hungry >>> 2, kernel.load(hungry), NAP_MS);
      } catch {
        this.#maySleep = false;
      }
    }
    kernel.add(hungry, -1);
  }
}
