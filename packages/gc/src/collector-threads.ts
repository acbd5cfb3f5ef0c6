/**
 * A thread's collector among those of other threads: what the world calls (world.ts), and the end of a thread. None of
 * these calls throws an error of the collector's work: it would reach code of another purpose. The next entry of the
 * collector throws it.
 */
import type { CollectorParts } from "./collector-parts.ts";
import { GC_LIST_STACKS, GC_SCAN_STACKS } from "./gc-cycle.ts";
import {
  forEachThread,
  GCTHREAD_AT,
  isAttached,
  releaseThread,
  takeNotification,
  threadById,
} from "./gc-threads.ts";
import { GCWORK_AT, WORK_FREE } from "./mark-state.ts";

export class CollectorThreads {
  readonly #parts: CollectorParts;
  readonly #tell: () => void;

  /** @param tell passes on the notes of sweeps */
  constructor(parts: CollectorParts, tell: () => void) {
    this.#parts = parts;
    this.#tell = tell;
  }

  /** Other threads that have a collector. */
  get others(): number {
    const { mem } = this.#parts.allocator;
    let n = 0;
    forEachThread(mem, (t) => {
      if (t !== this.#parts.thread && isAttached(mem, t)) n++;
    });
    return n;
  }

  /** This thread is going to stop: its mcache is emptied, and its grey objects are where other threads find them. */
  prepareStop(): void {
    const { allocator, cycle, marker } = this.#parts;
    allocator.flushAll();
    if (cycle.marking) marker.bufs.shareAll(marker.work);
  }

  /** The driver's command to this thread. The world is stopped. */
  command(command: number, _arg: number): void {
    const { roots, thread, guard } = this.#parts;
    try {
      if (command === GC_SCAN_STACKS) this.#scanStacks();
      else if (command === GC_LIST_STACKS) roots.listStacks(thread);
      else throw new TypeError(`gc: unknown command (got ${command})`);
    } catch (err) {
      guard.shutQuietly(err);
    }
  }

  /** A cycle begins to mark. */
  #scanStacks(): void {
    const { roots, marker, work, events, record, cycle, onRequest, notes } = this.#parts;
    // Samples that the last sweep has freed count in the profile's cycle that ends now.
    notes.takeSamples();
    work.restart();
    roots.scanStacks(marker);
    marker.bufs.shareAll(marker.work);
    events.gcStart(record.numGC + 1, cycle.forced);
    onRequest();
  }

  /**
   * Tells `freeProfile` of all sampled objects that are known to be freed. For a reader of the memory profile: on every
   * thread, in a stopped world.
   */
  takeSamples(): void {
    const { guard, notes } = this.#parts;
    if (!guard.closed) notes.takeSamples();
  }

  /**
   * Call this after each `poll` of the world, at a safepoint, and once when the thread has attached. It is a load if no
   * thread has notified this one.
   */
  polled(): void {
    const { allocator, thread, guard, cycle, sweeper, notes, onRequest } = this.#parts;
    if (!takeNotification(allocator.mem, thread)) return;
    if (guard.shut || guard.closed) return;
    notes.note();
    if (!guard.busy) this.#tellQuietly();
    if (cycle.marksNow() || cycle.requested || !sweeper.done) onRequest();
  }

  #tellQuietly(): void {
    try {
      this.#tell();
    } catch (err) {
      this.#parts.guard.shutQuietly(err);
    }
  }

  /**
   * Call this before the thread ends, at a safepoint. Its root slots are freed. Its finalizers and cleanups never run,
   * as their functions end with the thread. What it had in hand of marking goes to the other threads. Close the
   * allocator after it.
   *
   * @throws TypeError on the thread that made the collector, and from within the collector
   */
  close(): void {
    const { driver, guard, allocator, refs, finalizers, id, marker, thread, notes } = this.#parts;
    if (driver) throw new TypeError("gc: close() called on the thread that made the collector");
    if (guard.closed) return;
    if (guard.busy) throw new TypeError("gc: close() called from within the collector");
    allocator.mustBeIdle("close()");
    notes.takeSamples();
    finalizers.close();
    refs.freeAll(id);
    guard.closed = true;
    const { mem } = allocator;
    marker.bufs.shareAll(marker.work);
    // In this order: a thread that ends in between must not be reported as lost with a GCWORK of another thread.
    releaseThread(mem, thread);
    mem.kernel.store(marker.work + GCWORK_AT.status, WORK_FREE);
  }

  /**
   * The driver: reports that a thread has ended without `close`. If a cycle marks, it marks everything again that the
   * thread may have had in hand. Call allocator.threadExited first: that recovers a span that the thread was sweeping.
   * False if no thread has the id (Collector.id).
   */
  lost(id: number): boolean {
    const { driver, allocator, marker, refs, finalizers } = this.#parts;
    if (!driver) throw new TypeError("gc: lost() called on a thread that did not make the collector");
    const { mem } = allocator;
    const t = id === 0 ? 0 : threadById(mem, id);
    if (t === 0) return false;
    marker.state.lose(mem.u32[(t + GCTHREAD_AT.work) >>> 2]);
    refs.freeAll(id);
    finalizers.dropEntries(t);
    releaseThread(mem, t);
    return true;
  }
}
