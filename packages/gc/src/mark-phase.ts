/**
 * The parallel mark phase: which threads take part, which are out of work, and when all is marked.
 *
 * One word, the gate, holds the state, so that every change is one CAS:
 *
 *     0..7   nwait     threads without work        8..15  nproc  threads that take part
 *     16..19 era       losses of threads, modulo 16
 *     20..31 phase     odd: running
 *
 *     begin   the owner: phase + 1, nproc = 1
 *     join    a helper:  nproc + 1, if the phase is running
 *     wait    a thread that finds no work in its ring, its stack, the list of full workbufs and the other
 *             rings: nwait + 1. If nwait would become nproc: phase + 1, nwait = nproc = 0: *marking is over*
 *     resume  a waiting thread that sees work in one of these: nwait - 1. Only then may it take work
 *     lose    for a thread that is gone: nproc - 1, nwait = 0, era + 1. The gate does not tell whether that
 *             thread was counted as waiting. So all waiting threads are counted anew; the era tells them
 *
 * Why marking is over then: only its own thread adds to a ring, and a thread waits only with an empty ring. A working
 * thread puts workbufs on the list, and looks at the list again before it waits. So a thread that was working took the
 * last workbuf. No thread works, hence no work is left. A helper that comes later finds the phase even.
 *
 * ## Threads that die
 * A thread that throws while it marks reports its own end. If a thread is terminated, its owner learns that from an
 * `exit` event and calls `lost(id)`. In both cases the gate stops counting the thread, and THREAD_LOST is set. The work
 * that it held is dropped. The owner's `markOverflow` scans every marked object again, which covers all that the thread
 * had marked and not scanned. That costs a plain walk over the heap; no mark is missing.
 *
 * A thread that stops without a report keeps the owner waiting. It may go on to mark at any time, so the owner cannot
 * finish without it. After STALL_MS without any progress `finish` throws; a further call waits on.
 *
 * An owner that has to see events calls `step`, and returns to its event loop in between; `finish` does all at once.
 */

import type { Allocator } from "@gort/allocator";
import { throwFatal } from "@gort/base";
import { GCHeap } from "./heap.ts";
import type { MarkerKind } from "./mark-drainer.ts";
import { MarkParallelJS } from "./mark-parallel.ts";
import { MarkShare } from "./mark-share.ts";
import {
  GCWORK_AT,
  MARK_AT,
  MarkState,
  THREAD_LOST,
  WORK_FREE,
  WORK_JOINING,
  WORK_LOST,
  WORK_PARKED,
  WORK_RUNNING,
} from "./mark-state.ts";
import type { MarkTwin } from "./mark-twin.ts";
import { markWasm } from "./mark-wasm.ts";
import type { Marker } from "./mgcmark.ts";
import { WorkBufs } from "./mgcwork.ts";

/** Bytes scanned between two checks for waiting threads: about 40 microseconds of work. */
const STEP_BYTES = 64 << 10;

/** Readings of the gate before a waiting thread sleeps: some microseconds, less than a wake-up takes. */
const SPINS = 300;
/** Longest sleep of a waiting thread. No thread wakes it. */
const NAP_MS = 0.2;

/** Longest time that `finish` waits without progress: as long as a lock waits for its holder. */
const STALL_MS = 10_000;

const ONE_WAIT = 1;
const ONE_PROC = 1 << 8;
const ONE_ERA = 1 << 16;
const ERAS = 15 << 16;
const ONE_PHASE = 1 << 20;
const nwait = (gate: number): number => gate & 255;
const nproc = (gate: number): number => (gate >>> 8) & 255;
const eraOf = (gate: number): number => gate & ERAS;
const phaseOf = (gate: number): number => gate >>> 20;
const running = (gate: number): boolean => (gate & ONE_PHASE) !== 0;
/** The gate after the phase of this gate is over, or before the next one begins. */
const nextPhase = (gate: number): number => (phaseOf(gate) + 1) << 20;
/** The gate after the loss of a thread: one participant less, and no thread counted as waiting. */
const without = (gate: number): number => (gate & ~(ERAS | 255)) - ONE_PROC + ((gate + ONE_ERA) & ERAS);

/** One thread's part in a phase. */
class PhaseThread {
  readonly state: MarkState;
  readonly #bufs: WorkBufs;
  readonly work: number;
  readonly #share: MarkShare;
  readonly #kind: MarkerKind;
  readonly #u32: Uint32Array;
  readonly #gate: number;
  #twin: MarkTwin | undefined;
  readonly #onFallback: (err: unknown) => void;
  #maySleep = true;

  /** @param onFallback called if the host refuses the WebAssembly twin */
  constructor(
    state: MarkState,
    bufs: WorkBufs,
    work: number,
    kind: MarkerKind,
    onFallback: (err: unknown) => void = () => {},
  ) {
    this.state = state;
    this.#bufs = bufs;
    this.work = work;
    this.#share = new MarkShare(state, bufs, work);
    this.#kind = kind;
    this.#onFallback = onFallback;
    this.#u32 = state.mem.u32;
    this.#gate = state.mark + MARK_AT.gate;
  }

  gate(): number {
    return this.state.mem.kernel.load(this.#gate);
  }

  /** Replaces the gate by `to` if it is `from`. */
  pass(from: number, to: number): boolean {
    return this.state.mem.kernel.cas(this.#gate, from, to) === from;
  }

  set(field: number, value: number): void {
    this.#u32[(this.work + field) >>> 2] = value;
  }

  /**
   * Scans about STEP_BYTES. If a thread waits, it shares a part of its stack. Returns 0 if this thread has no work of
   * its own.
   */
  step(): number {
    this.#twin ??= this.#makeTwin();
    const n = this.#twin.drain(STEP_BYTES);
    const at = (this.work + GCWORK_AT.heapScanWork) >>> 3;
    this.state.mem.f64[at] = this.state.mem.f64[at] + n;
    if (n > 0 && nwait(this.gate()) > 0 && this.#bufs.noneFull) this.#bufs.share(this.work);
    return n;
  }

  #makeTwin(): MarkTwin {
    if (this.#kind === "wasm") {
      try {
        return markWasm(this.state, this.#bufs, this.work, true);
      } catch (err) {
        // The host may have refused the kernel to this thread alone. The twins work together.
        this.#onFallback(err);
      }
    }
    return new MarkParallelJS(this.state, this.#bufs, this.work);
  }

  /** Moves pages from another thread's ring into its own. */
  steal(): boolean {
    return this.#share.steal();
  }

  #nap(gate: number): void {
    if (!this.#maySleep || !this.state.mem.shared) return;
    try {
      Atomics.wait(this.state.mem.i32 as Int32Array<SharedArrayBuffer>, this.#gate >>> 2, gate, NAP_MS);
    } catch {
      this.#maySleep = false;
    }
  }

  /** Counts this thread as waiting until there is work, or for `naps` naps: `over` if all is marked. */
  wait(phase: number, naps: number): "over" | "work" | "timeout" {
    let era = -1;
    for (let spin = 0; ; spin++) {
      const gate = this.gate();
      if (phaseOf(gate) !== phase) return "over";
      if (eraOf(gate) !== era) {
        // This thread is not counted yet, or it was counted before a thread was lost.
        if (nwait(gate) + 1 === nproc(gate)) {
          if (this.pass(gate, nextPhase(gate))) return "over";
        } else if (this.pass(gate, gate + ONE_WAIT)) era = eraOf(gate);
        continue;
      }
      const work = this.#share.inSight;
      if (work || spin >= SPINS + naps) {
        if (!this.pass(gate, gate - ONE_WAIT)) continue;
        return work ? "work" : "timeout";
      }
      if (spin >= SPINS) this.#nap(gate);
    }
  }
}

/** The mark phase of a stopped world, for the collector's thread. Its roots are grey before `begin`. */
export class ParallelMarker {
  readonly #thread: PhaseThread;
  readonly #state: MarkState;
  #phase = 0;

  /** Default kind: that of the memory's kernel. */
  constructor(marker: Marker, kind: MarkerKind = marker.state.mem.kernel.kind) {
    this.#state = marker.state;
    if (!this.#state.mem.shared)
      throw new TypeError("gc: a parallel mark phase needs a shared memory (got an unshared one)");
    this.#thread = new PhaseThread(marker.state, marker.bufs, marker.work, kind, (err) =>
      marker.onFallback(err),
    );
  }

  /** Opens the phase to helpers. */
  begin(): void {
    const thread = this.#thread;
    const gate = thread.gate();
    if (running(gate)) throw new TypeError("gc: begin() called in a mark phase");
    const next = nextPhase(gate) + ONE_PROC;
    this.#phase = phaseOf(next);
    thread.pass(gate, next);
    const { mem, mark } = this.#state;
    Atomics.notify(mem.i32, (mark + MARK_AT.gate) >>> 2);
  }

  /** Threads in the phase, this one included. */
  get nproc(): number {
    return nproc(this.#thread.gate());
  }

  /** Whether the phase that begin opened is over. */
  get over(): boolean {
    return phaseOf(this.#thread.gate()) !== this.#phase;
  }

  /** Does a bounded piece of work, or waits a moment for the others. True: the phase is over and no object is grey. */
  step(): boolean {
    const thread = this.#thread;
    let whole = false;
    try {
      const busy = thread.step() > 0 || thread.steal();
      whole = true;
      if (busy) return false;
    } finally {
      if (!whole) this.#abort();
    }
    return thread.wait(this.#phase, 5) === "over";
  }

  /** Ends the phase while marking is unfinished: the helpers leave after their next piece. */
  #abort(): void {
    const thread = this.#thread;
    for (;;) {
      const gate = thread.gate();
      if (phaseOf(gate) !== this.#phase || thread.pass(gate, nextPhase(gate))) return;
    }
  }

  /**
   * Marks to the end. Throws a FatalError if the others make no progress for stallMs. The phase is not over then, as a
   * thread that only stopped may go on at any time.
   */
  finish(stallMs: number = STALL_MS): void {
    let progress = -1;
    let since = 0;
    while (!this.step()) {
      const now = this.#progress();
      if (now !== progress) {
        progress = now;
        since = performance.now();
      } else if (performance.now() - since > stallMs) {
        throwFatal(
          "gc: a mark worker does not go on: its thread was terminated, or is stopped",
          `runtime: ${nwait(this.#thread.gate())} of ${this.nproc} threads wait, no progress for ${stallMs} ms`,
        );
      }
    }
  }

  #progress(): number {
    let n = this.#thread.gate() >>> 0;
    this.#state.forEachWork((w) => {
      n += this.#state.mem.f64[(w + GCWORK_AT.heapScanWork) >>> 3];
    });
    return n;
  }

  /**
   * Reports that the thread of the helper with this id is gone. False if the id is unknown or the helper's end was
   * known. Marking may go on. If the helper took part in the phase, marking ends with `overflow`.
   */
  lost(id: number): boolean {
    let known = false;
    this.#state.forEachWork((w) => {
      if (this.#state.mem.u32[(w + GCWORK_AT.id) >>> 2] === id) known = loseWork(this.#thread, w);
    });
    return known;
  }
}

/** Takes the thread of w out of the phase and drops its work. */
function loseWork(thread: PhaseThread, w: number): boolean {
  const { mem, mark } = thread.state;
  const { u32, kernel } = mem;
  const status = kernel.xchg(w + GCWORK_AT.status, WORK_LOST);
  if (status === WORK_PARKED) {
    kernel.store(w + GCWORK_AT.status, WORK_FREE);
    return true;
  }
  if (status !== WORK_RUNNING && status !== WORK_JOINING) {
    kernel.store(w + GCWORK_AT.status, status);
    return false;
  }
  kernel.or(mark + MARK_AT.overflow, THREAD_LOST);
  const phase = u32[(w + GCWORK_AT.phase) >>> 2];
  for (;;) {
    const gate = thread.gate();
    if (phaseOf(gate) !== phase) return true;
    if (status === WORK_JOINING && !hadJoined(thread.state, gate)) {
      if (thread.gate() === gate) return true;
    } else if (thread.pass(gate, without(gate))) return true;
  }
}

/** Whether the gate counts a helper beyond those whose GCWORK says that they are in the phase. */
function hadJoined(state: MarkState, gate: number): boolean {
  const { u32, kernel } = state.mem;
  let joined = 1;
  state.forEachWork((w) => {
    const status = kernel.load(w + GCWORK_AT.status);
    if (status !== WORK_RUNNING && status !== WORK_JOINING) return;
    if (u32[(w + GCWORK_AT.phase) >>> 2] === phaseOf(gate)) joined++;
  });
  return nproc(gate) > joined;
}

/** A helper: a thread that takes part in the mark phases of a collector that another thread runs. */
export class MarkWorker {
  /** Argument of the owner's `lost`. */
  readonly id: number;
  readonly #thread: PhaseThread;

  constructor(allocator: Allocator, kind: MarkerKind = allocator.mem.kernel.kind) {
    const state = new MarkState(new GCHeap(allocator));
    const work = state.newWork(WORK_PARKED);
    this.#thread = new PhaseThread(state, new WorkBufs(state), work, kind);
    this.id = allocator.mem.u32[(work + GCWORK_AT.id) >>> 2];
  }

  /**
   * Waits up to timeoutMs for a running mark phase, and takes part until it is over. Returns the bytes that this thread
   * scanned, or -1 if there was no phase. Throws the errors of marking; then the phase goes on without this thread.
   */
  run(timeoutMs: number = Number.POSITIVE_INFINITY): number {
    const thread = this.#thread;
    const { mem, mark } = thread.state;
    const at = (mark + MARK_AT.gate) >>> 2;
    for (;;) {
      const gate = thread.gate();
      if (running(gate)) {
        thread.set(GCWORK_AT.phase, phaseOf(gate));
        mem.kernel.store(thread.work + GCWORK_AT.status, WORK_JOINING);
        if (thread.pass(gate, gate + ONE_PROC)) {
          mem.kernel.store(thread.work + GCWORK_AT.status, WORK_RUNNING);
          return this.#mark(phaseOf(gate));
        }
        mem.kernel.store(thread.work + GCWORK_AT.status, WORK_PARKED);
        continue;
      }
      const slept = Atomics.wait(mem.i32 as Int32Array<SharedArrayBuffer>, at, gate, timeoutMs);
      if (slept === "timed-out") return -1;
    }
  }

  #mark(phase: number): number {
    const thread = this.#thread;
    const { kernel } = thread.state.mem;
    let bytes = 0;
    let whole = false;
    try {
      for (;;) {
        const n = thread.step();
        bytes += n;
        if (phaseOf(thread.gate()) !== phase) break;
        if (n > 0 || thread.steal()) continue;
        if (thread.wait(phase, Number.POSITIVE_INFINITY) === "over") break;
      }
      whole = true;
    } finally {
      if (!whole) loseWork(thread, thread.work);
    }
    kernel.store(thread.work + GCWORK_AT.status, WORK_PARKED);
    return bytes;
  }

  /** Ends the thread's part: it joins no further phase. */
  close(): void {
    this.#thread.state.mem.kernel.store(this.#thread.work + GCWORK_AT.status, WORK_FREE);
  }
}

/**
 * Makes a helper of this thread. Its allocator is attached to the heap of another thread's collector. Default kind:
 * that of the memory's kernel.
 */
export function attachMarkWorker(allocator: Allocator, kind?: MarkerKind): MarkWorker {
  return new MarkWorker(allocator, kind);
}
