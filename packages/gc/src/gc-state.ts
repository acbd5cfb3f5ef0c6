/**
 * The collector's state that all threads share, in one block of the linear memory.
 *
 *     ROOT_GC -> COLLECTOR   cycle     CYCLE         the running cycle, and whether one is wanted
 *                            pacer     PACER         the settings, and what the last cycles have shown
 *                            assist    ASSIST        what the background has marked ahead of the assists
 *                            sweep     SWEEP         the running sweep
 *                            roots     ROOTS         globals, and how far the scan of the roots has come
 *                            mark      -> MARK       marking (mark-state.ts)
 *                            refTable  -> REFTABLE   root slots outside of the heap (ref-table.ts)
 *                            finq      -> FINQ       finalizers, cleanups and weak cells (mfinal.ts)
 *     ROOT_GCSTATS -> GCSTATS                        figures that outlive a cycle (gc-stats.ts)
 *     GCCONTROL, of the allocator                    phase, write barrier, heapLive, trigger, goal, sweepgen
 *
 * The thread that makes the collector makes the block: the first constructor that needs it does. A thread that attaches
 * later finds it.
 *
 * ## Who may touch what
 * The thread that runs the cycle writes CYCLE, PACER, ASSIST and ROOTS. The thread that sweeps writes SWEEP. Every
 * thread may read every word at any time. Words that belong together are consistent only while the world is stopped.
 *
 * `start`, `markStart` and `lastEnd` are times of the clock of the thread that runs the cycle (`Clock.nanotime`). The
 * clocks of two threads have different origins, so another thread can only compare these times with each other.
 *
 * ## What is not here
 * - JavaScript values cannot lie in linear memory: callbacks, the world, functions of finalizers, errors, stacks as
 *   text, the records of allocfreetrace.
 * - These figures belong to one thread: the re-entrancy guard, notes of a sweep for its own thread, the length of a
 *   batch and the time of the next slice (mark-slices.ts), the watch for safepoints, the marking kernel of the thread.
 * - The debug switches are options of the thread that makes the collector. What other threads need of them is here
 *   (`clobberfree`) and in MARK (`invalidptr`).
 */
import { defineStruct, f64s, type LinearMemory } from "@gort/memory";
import { ROOT_GC } from "@gort/memory/internal";
import type { Cycle } from "./gc-controller.ts";
import { NO_MEMORY_LIMIT } from "./mgcpacer.ts";

/** The running cycle; see `Cycle`. Only the first four words have a meaning before the first cycle. */
const CYCLE = defineStruct("gcCycle", {
  /** 1: a cycle marks. */
  marking: "u32",
  /** 1: the next safepoint has to begin a cycle. */
  requested: "u32",
  /** 1: the collector has stopped the world. */
  stopped: "u32",
  /** 1: a fatal error has ended the collector. */
  dead: "u32",
  forced: "u32",
  stw: "u32",
  procs: "u32",
  start: "f64",
  markStart: "f64",
  sweepTermNs: "f64",
  pauseNs: "f64",
  assistNs: "f64",
  backgroundNs: "f64",
  idleNs: "f64",
  heapStart: "f64",
  goal: "f64",
  expectedWork: "f64",
});

const PACER = defineStruct("gcPacer", {
  /** GOGC, -1 when off. */
  gcPercent: "i32",
  /** 1: a cycle marks, so commit leaves the trigger alone. */
  running: "u32",
  /** 1: the memory limit decides the goal. */
  limited: "u32",
  /** NO_MEMORY_LIMIT less the memory limit in bytes, a 64-bit integer. So 0, as in new memory, means no limit. */
  belowNoLimit: f64s(1),
  /** heapLive when the running cycle was triggered, 0 outside of a cycle. */
  triggered: "f64",
  /** heapLive at which the next cycle starts. */
  trigger: "f64",
  /**
   * nanotime of the end of the last cycle, 0 before the first; and nanoseconds that the cycle took of the program's
   * time. A program at its memory limit gets as much time for itself before the next cycle.
   */
  lastEnd: "f64",
  lastNs: "f64",
  /** The figures of ConsMark: the last four estimates, then the one in use. */
  consMark: f64s(5),
});

const ASSIST = defineStruct("gcAssist", {
  /** Scan work in bytes that the background has done ahead, so that assists need not do it: Go's bgScanCredit. */
  credit: "f64",
  /** heapLive up to which scan work was charged. */
  chargedLive: "f64",
});

const SWEEP = defineStruct("gcSweep", {
  /** 1: spans of the last cycle are left to sweep. */
  pending: "u32",
  /** The cycle whose garbage is swept. */
  cycle: "u32",
  /** 1: freed objects are filled (GODEBUG=clobberfree=1). */
  clobberfree: "u32",
  /** Proportional sweep: pages to sweep for each byte by which heapLive exceeds liveBasis, less those of pagesBasis. */
  pagesPerByte: "f64",
  liveBasis: "f64",
  pagesBasis: "f64",
  /** heapLive when the sweep began. */
  startLive: "f64",
});

const ROOTS = defineStruct("gcRoots", {
  /**
   * The list of ranges of globals, oldest first: its first and its last entry; and the list of free entries
   * (mark-roots.ts).
   */
  globals: "u32",
  globalsTail: "u32",
  globalsFree: "u32",
  /** The next block of ref slots to scan, 0 if none is left. */
  refBlock: "u32",
  /** Index of the next span whose specials are looked at, and the index at which to stop. */
  spanCursor: "u32",
  spanEnd: "u32",
  /** Bytes of stacks and of globals scanned in this cycle. */
  stackScan: "f64",
  globalsScan: "f64",
});

/** One block a memory, found through ROOT_GC. */
const COLLECTOR = defineStruct("collector", {
  cycle: CYCLE,
  pacer: PACER,
  assist: ASSIST,
  sweep: SWEEP,
  roots: ROOTS,
  mark: "u32",
  refTable: "u32",
  finq: "u32",
});
const COLLECTOR_AT = COLLECTOR.offsets;

/** Returns the block that another thread has made, or makes it. */
function collectorBlock(mem: LinearMemory): number {
  const found = mem.root(ROOT_GC);
  if (found !== 0) return found;
  const block = mem.reserveControl(COLLECTOR.size);
  mem.setRoot(ROOT_GC, block);
  return block;
}

/** Parts of the state that have a block of their own. */
export type StateBlock = "mark" | "refTable" | "finq";

/** Address of such a block: another thread has made it, or `make` returns it. */
export function stateBlock(mem: LinearMemory, name: StateBlock, make: () => number): number {
  const at = (collectorBlock(mem) + COLLECTOR_AT[name]) >>> 2;
  const found = mem.u32[at];
  if (found !== 0) return found;
  const made = make();
  mem.u32[at] = made;
  return made;
}

/** A struct of the state, read and written by field. */
class View {
  protected readonly u32: Uint32Array;
  protected readonly f64: Float64Array;
  protected readonly base: number;

  constructor(mem: LinearMemory, base: number) {
    this.u32 = mem.u32;
    this.f64 = mem.f64;
    this.base = base;
  }
}

const CYCLE_AT = CYCLE.offsets;

/** CYCLE. Its figures stay as they are when the cycle ends, until the next one begins. */
export class CycleState extends View implements Cycle {
  get marking(): boolean {
    return this.u32[(this.base + CYCLE_AT.marking) >>> 2] !== 0;
  }
  set marking(v: boolean) {
    this.u32[(this.base + CYCLE_AT.marking) >>> 2] = v ? 1 : 0;
  }
  get requested(): boolean {
    return this.u32[(this.base + CYCLE_AT.requested) >>> 2] !== 0;
  }
  set requested(v: boolean) {
    this.u32[(this.base + CYCLE_AT.requested) >>> 2] = v ? 1 : 0;
  }
  get stopped(): boolean {
    return this.u32[(this.base + CYCLE_AT.stopped) >>> 2] !== 0;
  }
  set stopped(v: boolean) {
    this.u32[(this.base + CYCLE_AT.stopped) >>> 2] = v ? 1 : 0;
  }
  get dead(): boolean {
    return this.u32[(this.base + CYCLE_AT.dead) >>> 2] !== 0;
  }
  set dead(v: boolean) {
    this.u32[(this.base + CYCLE_AT.dead) >>> 2] = v ? 1 : 0;
  }
  get forced(): boolean {
    return this.u32[(this.base + CYCLE_AT.forced) >>> 2] !== 0;
  }
  get stw(): boolean {
    return this.u32[(this.base + CYCLE_AT.stw) >>> 2] !== 0;
  }
  get procs(): number {
    return this.u32[(this.base + CYCLE_AT.procs) >>> 2];
  }
  get start(): number {
    return this.f64[(this.base + CYCLE_AT.start) >>> 3];
  }
  get markStart(): number {
    return this.f64[(this.base + CYCLE_AT.markStart) >>> 3];
  }
  set markStart(v: number) {
    this.f64[(this.base + CYCLE_AT.markStart) >>> 3] = v;
  }
  get sweepTermNs(): number {
    return this.f64[(this.base + CYCLE_AT.sweepTermNs) >>> 3];
  }
  set sweepTermNs(v: number) {
    this.f64[(this.base + CYCLE_AT.sweepTermNs) >>> 3] = v;
  }
  get pauseNs(): number {
    return this.f64[(this.base + CYCLE_AT.pauseNs) >>> 3];
  }
  set pauseNs(v: number) {
    this.f64[(this.base + CYCLE_AT.pauseNs) >>> 3] = v;
  }
  get assistNs(): number {
    return this.f64[(this.base + CYCLE_AT.assistNs) >>> 3];
  }
  set assistNs(v: number) {
    this.f64[(this.base + CYCLE_AT.assistNs) >>> 3] = v;
  }
  get backgroundNs(): number {
    return this.f64[(this.base + CYCLE_AT.backgroundNs) >>> 3];
  }
  set backgroundNs(v: number) {
    this.f64[(this.base + CYCLE_AT.backgroundNs) >>> 3] = v;
  }
  get idleNs(): number {
    return this.f64[(this.base + CYCLE_AT.idleNs) >>> 3];
  }
  set idleNs(v: number) {
    this.f64[(this.base + CYCLE_AT.idleNs) >>> 3] = v;
  }
  get heapStart(): number {
    return this.f64[(this.base + CYCLE_AT.heapStart) >>> 3];
  }
  get goal(): number {
    return this.f64[(this.base + CYCLE_AT.goal) >>> 3];
  }
  set goal(v: number) {
    this.f64[(this.base + CYCLE_AT.goal) >>> 3] = v;
  }
  get expectedWork(): number {
    return this.f64[(this.base + CYCLE_AT.expectedWork) >>> 3];
  }

  /** A cycle marks from now on. Times and counts of nanoseconds start at 0. */
  begin(c: Pick<Cycle, "forced" | "stw" | "procs" | "start" | "heapStart" | "goal" | "expectedWork">): void {
    const { u32, f64, base } = this;
    u32[(base + CYCLE_AT.forced) >>> 2] = c.forced ? 1 : 0;
    u32[(base + CYCLE_AT.stw) >>> 2] = c.stw ? 1 : 0;
    u32[(base + CYCLE_AT.procs) >>> 2] = c.procs;
    f64.fill(0, (base + CYCLE_AT.start) >>> 3, (base + CYCLE_AT.expectedWork) >>> 3);
    f64[(base + CYCLE_AT.start) >>> 3] = c.start;
    f64[(base + CYCLE_AT.heapStart) >>> 3] = c.heapStart;
    f64[(base + CYCLE_AT.goal) >>> 3] = c.goal;
    f64[(base + CYCLE_AT.expectedWork) >>> 3] = c.expectedWork;
    this.marking = true;
  }
}

const PACER_AT = PACER.offsets;

/** PACER. */
export class PacerState extends View {
  readonly #bi64: BigInt64Array;
  /** The words of ConsMark. */
  readonly consMark: Float64Array;

  constructor(mem: LinearMemory, base: number) {
    super(mem, base);
    this.#bi64 = mem.bi64;
    this.consMark = mem.f64.subarray(
      (base + PACER_AT.consMark) >>> 3,
      ((base + PACER_AT.consMark) >>> 3) + 5,
    );
  }

  get gcPercent(): number {
    return this.u32[(this.base + PACER_AT.gcPercent) >>> 2] | 0;
  }
  set gcPercent(v: number) {
    this.u32[(this.base + PACER_AT.gcPercent) >>> 2] = v;
  }
  get running(): boolean {
    return this.u32[(this.base + PACER_AT.running) >>> 2] !== 0;
  }
  set running(v: boolean) {
    this.u32[(this.base + PACER_AT.running) >>> 2] = v ? 1 : 0;
  }
  get limited(): boolean {
    return this.u32[(this.base + PACER_AT.limited) >>> 2] !== 0;
  }
  set limited(v: boolean) {
    this.u32[(this.base + PACER_AT.limited) >>> 2] = v ? 1 : 0;
  }
  /** The memory limit, NO_MEMORY_LIMIT for none. */
  get memoryLimit(): bigint {
    return NO_MEMORY_LIMIT - this.#bi64[(this.base + PACER_AT.belowNoLimit) >>> 3];
  }
  set memoryLimit(v: bigint) {
    this.#bi64[(this.base + PACER_AT.belowNoLimit) >>> 3] = NO_MEMORY_LIMIT - v;
  }
  /** The limit as a number: Infinity if there is none. */
  get limitBytes(): number {
    const limit = this.memoryLimit;
    return limit === NO_MEMORY_LIMIT ? Number.POSITIVE_INFINITY : Number(limit);
  }
  get triggered(): number {
    return this.f64[(this.base + PACER_AT.triggered) >>> 3];
  }
  set triggered(v: number) {
    this.f64[(this.base + PACER_AT.triggered) >>> 3] = v;
  }
  get trigger(): number {
    return this.f64[(this.base + PACER_AT.trigger) >>> 3];
  }
  set trigger(v: number) {
    this.f64[(this.base + PACER_AT.trigger) >>> 3] = v;
  }
  get lastEnd(): number {
    return this.f64[(this.base + PACER_AT.lastEnd) >>> 3];
  }
  set lastEnd(v: number) {
    this.f64[(this.base + PACER_AT.lastEnd) >>> 3] = v;
  }
  get lastNs(): number {
    return this.f64[(this.base + PACER_AT.lastNs) >>> 3];
  }
  set lastNs(v: number) {
    this.f64[(this.base + PACER_AT.lastNs) >>> 3] = v;
  }
}

const ASSIST_AT = ASSIST.offsets;

/** ASSIST. */
export class AssistState extends View {
  get credit(): number {
    return this.f64[(this.base + ASSIST_AT.credit) >>> 3];
  }
  set credit(v: number) {
    this.f64[(this.base + ASSIST_AT.credit) >>> 3] = v;
  }
  get chargedLive(): number {
    return this.f64[(this.base + ASSIST_AT.chargedLive) >>> 3];
  }
  set chargedLive(v: number) {
    this.f64[(this.base + ASSIST_AT.chargedLive) >>> 3] = v;
  }
}

const SWEEP_AT = SWEEP.offsets;

/** SWEEP. */
export class SweepState extends View {
  get pending(): boolean {
    return this.u32[(this.base + SWEEP_AT.pending) >>> 2] !== 0;
  }
  set pending(v: boolean) {
    this.u32[(this.base + SWEEP_AT.pending) >>> 2] = v ? 1 : 0;
  }
  get cycle(): number {
    return this.u32[(this.base + SWEEP_AT.cycle) >>> 2];
  }
  set cycle(v: number) {
    this.u32[(this.base + SWEEP_AT.cycle) >>> 2] = v;
  }
  get clobberfree(): boolean {
    return this.u32[(this.base + SWEEP_AT.clobberfree) >>> 2] !== 0;
  }
  set clobberfree(v: boolean) {
    this.u32[(this.base + SWEEP_AT.clobberfree) >>> 2] = v ? 1 : 0;
  }
  get pagesPerByte(): number {
    return this.f64[(this.base + SWEEP_AT.pagesPerByte) >>> 3];
  }
  set pagesPerByte(v: number) {
    this.f64[(this.base + SWEEP_AT.pagesPerByte) >>> 3] = v;
  }
  get liveBasis(): number {
    return this.f64[(this.base + SWEEP_AT.liveBasis) >>> 3];
  }
  set liveBasis(v: number) {
    this.f64[(this.base + SWEEP_AT.liveBasis) >>> 3] = v;
  }
  get pagesBasis(): number {
    return this.f64[(this.base + SWEEP_AT.pagesBasis) >>> 3];
  }
  set pagesBasis(v: number) {
    this.f64[(this.base + SWEEP_AT.pagesBasis) >>> 3] = v;
  }
  get startLive(): number {
    return this.f64[(this.base + SWEEP_AT.startLive) >>> 3];
  }
  set startLive(v: number) {
    this.f64[(this.base + SWEEP_AT.startLive) >>> 3] = v;
  }
}

const ROOTS_AT = ROOTS.offsets;

/** ROOTS. */
export class RootsState extends View {
  get globals(): number {
    return this.u32[(this.base + ROOTS_AT.globals) >>> 2];
  }
  set globals(v: number) {
    this.u32[(this.base + ROOTS_AT.globals) >>> 2] = v;
  }
  get globalsTail(): number {
    return this.u32[(this.base + ROOTS_AT.globalsTail) >>> 2];
  }
  set globalsTail(v: number) {
    this.u32[(this.base + ROOTS_AT.globalsTail) >>> 2] = v;
  }
  get globalsFree(): number {
    return this.u32[(this.base + ROOTS_AT.globalsFree) >>> 2];
  }
  set globalsFree(v: number) {
    this.u32[(this.base + ROOTS_AT.globalsFree) >>> 2] = v;
  }
  get refBlock(): number {
    return this.u32[(this.base + ROOTS_AT.refBlock) >>> 2];
  }
  set refBlock(v: number) {
    this.u32[(this.base + ROOTS_AT.refBlock) >>> 2] = v;
  }
  get spanCursor(): number {
    return this.u32[(this.base + ROOTS_AT.spanCursor) >>> 2];
  }
  set spanCursor(v: number) {
    this.u32[(this.base + ROOTS_AT.spanCursor) >>> 2] = v;
  }
  get spanEnd(): number {
    return this.u32[(this.base + ROOTS_AT.spanEnd) >>> 2];
  }
  set spanEnd(v: number) {
    this.u32[(this.base + ROOTS_AT.spanEnd) >>> 2] = v;
  }
  get stackScan(): number {
    return this.f64[(this.base + ROOTS_AT.stackScan) >>> 3];
  }
  set stackScan(v: number) {
    this.f64[(this.base + ROOTS_AT.stackScan) >>> 3] = v;
  }
  get globalsScan(): number {
    return this.f64[(this.base + ROOTS_AT.globalsScan) >>> 3];
  }
  set globalsScan(v: number) {
    this.f64[(this.base + ROOTS_AT.globalsScan) >>> 3] = v;
  }
}

/** The state of the collector of a memory, as one thread sees it. */
export class GCState {
  readonly cycle: CycleState;
  readonly pacer: PacerState;
  readonly assist: AssistState;
  readonly sweep: SweepState;
  readonly roots: RootsState;

  /** Finds the state that another thread has made, or makes it. */
  constructor(mem: LinearMemory) {
    const block = collectorBlock(mem);
    this.cycle = new CycleState(mem, block + COLLECTOR_AT.cycle);
    this.pacer = new PacerState(mem, block + COLLECTOR_AT.pacer);
    this.assist = new AssistState(mem, block + COLLECTOR_AT.assist);
    this.sweep = new SweepState(mem, block + COLLECTOR_AT.sweep);
    this.roots = new RootsState(mem, block + COLLECTOR_AT.roots);
  }

  /**
   * The state of a new collector. If another collector has worked on the memory, the new one takes nothing over from
   * it: neither its running cycle nor its globals, ref slots and queued finalizers.
   */
  static create(mem: LinearMemory): GCState {
    const block = collectorBlock(mem);
    mem.u32.fill(0, block >>> 2, (block + COLLECTOR.size) >>> 2);
    return new GCState(mem);
  }

  /** The state of the collector that works on the memory, or null if there is none. */
  static attach(mem: LinearMemory): GCState | null {
    return mem.root(ROOT_GC) === 0 ? null : new GCState(mem);
  }
}
