/**
 * The structs of the collector's state, and views that read and write them by field. gc-state.ts has the essay: who may
 * touch what.
 */
import type { LinearMemory } from "@gort/memory";
import { defineStruct, f64s, lock, unlock } from "@gort/memory/internal";
import type { Cycle } from "./gc-controller.ts";
import { NO_MEMORY_LIMIT } from "./mgcpacer.ts";

/** The running cycle; see `Cycle`. Only the first four words have a meaning before the first cycle. */
export const CYCLE = defineStruct("gcCycle", {
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
  /**
   * Tickets of threads that wait for a cycle which begins after they asked (gc-client.ts): those given out, those that
   * the running cycle serves, and those whose cycle has ended, sweep included.
   */
  asked: "u32",
  serving: "u32",
  served: "u32",
  /** 1: a ticket since the last begin of a cycle asks for a forced cycle. */
  askedForced: "u32",
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

export const PACER = defineStruct("gcPacer", {
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

export const ASSIST = defineStruct("gcAssist", {
  /** Guards the rest, in a heap that threads share. */
  lock: "u32",
  /** Scan work in bytes that the background has done ahead, so that assists need not do it: Go's bgScanCredit. */
  credit: "f64",
  /** heapLive up to which scan work was charged. */
  chargedLive: "f64",
});

export const SWEEP = defineStruct("gcSweep", {
  /** 1: spans of the last cycle are left to sweep. The thread that finds that none is left changes it by CAS. */
  pending: "u32",
  /** 1: the lists of unswept spans are empty, but threads may have taken spans that they sweep. */
  drained: "u32",
  /** 1: the sweep has ended, and the driver has not reported so yet; endRatio was the ratio in force. */
  ended: "u32",
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
  endRatio: "f64",
});

export const ROOTS = defineStruct("gcRoots", {
  /**
   * The list of ranges of globals, oldest first: its first and its last entry; and the list of free entries
   * (mark-roots.ts).
   */
  globals: "u32",
  globalsTail: "u32",
  globalsFree: "u32",
  /** Bytes of all ranges. */
  globalsBytes: "u32",
  /** The next block of ref slots to scan, 0 if none is left. Any thread takes a block by CAS. */
  refBlock: "u32",
  /** Index of the next span whose specials are looked at, and the index at which to stop. Taken by CAS, too. */
  spanCursor: "u32",
  spanEnd: "u32",
  /** Bytes of stacks and of globals scanned in this cycle. Added to atomically. */
  stackScan: "u32",
  globalsScan: "u32",
});

/** A struct of the state, read and written by field. */
class View {
  protected readonly mem: LinearMemory;
  protected readonly u32: Uint32Array;
  protected readonly f64: Float64Array;
  protected readonly base: number;

  constructor(mem: LinearMemory, base: number) {
    this.mem = mem;
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
  /** `marking` by an atomic load: it, and loads after it, come after this thread's last atomic store. */
  marksNow(): boolean {
    return this.mem.kernel.load(this.base + CYCLE_AT.marking) !== 0;
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
  set stw(v: boolean) {
    this.u32[(this.base + CYCLE_AT.stw) >>> 2] = v ? 1 : 0;
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

  /** Draws a ticket for the next cycle: see `isServed`. Any thread. */
  ask(forced: boolean): number {
    const { kernel } = this.mem;
    if (forced) kernel.store(this.base + CYCLE_AT.askedForced, 1);
    return (kernel.add(this.base + CYCLE_AT.asked, 1) + 1) | 0;
  }

  /** Whether a cycle that began after the ticket was drawn has ended, sweep included. */
  isServed(ticket: number): boolean {
    return ((this.mem.kernel.load(this.base + CYCLE_AT.served) - ticket) | 0) >= 0;
  }

  /** Whether a thread waits for a cycle that has not begun. */
  get askedFor(): boolean {
    return this.u32[(this.base + CYCLE_AT.asked) >>> 2] !== this.u32[(this.base + CYCLE_AT.serving) >>> 2];
  }

  get askedForced(): boolean {
    return this.u32[(this.base + CYCLE_AT.askedForced) >>> 2] !== 0;
  }

  /** All of the running cycle is swept: its tickets are served. */
  noteServed(): void {
    this.mem.kernel.store(this.base + CYCLE_AT.served, this.u32[(this.base + CYCLE_AT.serving) >>> 2]);
  }

  /** A cycle marks from now on. Times and counts of nanoseconds start at 0. */
  begin(c: Pick<Cycle, "forced" | "stw" | "procs" | "start" | "heapStart" | "goal" | "expectedWork">): void {
    const { u32, f64, base } = this;
    u32[(base + CYCLE_AT.forced) >>> 2] = c.forced ? 1 : 0;
    u32[(base + CYCLE_AT.stw) >>> 2] = c.stw ? 1 : 0;
    u32[(base + CYCLE_AT.procs) >>> 2] = c.procs;
    u32[(base + CYCLE_AT.serving) >>> 2] = u32[(base + CYCLE_AT.asked) >>> 2];
    u32[(base + CYCLE_AT.askedForced) >>> 2] = 0;
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

/** ASSIST. A thread of a shared heap holds the lock while it reads and changes them. */
export class AssistState extends View {
  lock(): void {
    lock(this.mem, this.base + ASSIST_AT.lock);
  }
  unlock(): void {
    unlock(this.mem, this.base + ASSIST_AT.lock);
  }
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
  /** Ends the sweep: true for the one thread that does so. */
  end(): boolean {
    return this.mem.kernel.cas(this.base + SWEEP_AT.pending, 1, 0) === 1;
  }
  get drained(): boolean {
    return this.mem.kernel.load(this.base + SWEEP_AT.drained) !== 0;
  }
  set drained(v: boolean) {
    // A full barrier: the loads of the lists, which were empty, come before it.
    this.mem.kernel.xchg(this.base + SWEEP_AT.drained, v ? 1 : 0);
  }
  /** The driver has to report the end of the sweep. */
  noteEnded(ratio: number): void {
    this.f64[(this.base + SWEEP_AT.endRatio) >>> 3] = ratio;
    this.mem.kernel.store(this.base + SWEEP_AT.ended, 1);
  }
  /** The ratio in force at the end of a sweep that is to be reported, once; otherwise -1. */
  takeEnded(): number {
    if (this.u32[(this.base + SWEEP_AT.ended) >>> 2] === 0) return -1;
    if (this.mem.kernel.xchg(this.base + SWEEP_AT.ended, 0) === 0) return -1;
    return this.f64[(this.base + SWEEP_AT.endRatio) >>> 3];
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
  get globalsBytes(): number {
    return this.u32[(this.base + ROOTS_AT.globalsBytes) >>> 2];
  }
  set globalsBytes(v: number) {
    this.u32[(this.base + ROOTS_AT.globalsBytes) >>> 2] = v;
  }
  get refBlock(): number {
    return this.u32[(this.base + ROOTS_AT.refBlock) >>> 2];
  }
  set refBlock(v: number) {
    this.u32[(this.base + ROOTS_AT.refBlock) >>> 2] = v;
  }
  /** Takes the block, before the block `next`. False if another thread was faster. */
  takeRefBlock(block: number, next: number): boolean {
    return this.mem.kernel.cas(this.base + ROOTS_AT.refBlock, block, next) >>> 0 === block;
  }
  get spanCursor(): number {
    return this.u32[(this.base + ROOTS_AT.spanCursor) >>> 2];
  }
  set spanCursor(v: number) {
    this.u32[(this.base + ROOTS_AT.spanCursor) >>> 2] = v;
  }
  /** Takes the spans [from, to). False if another thread was faster. */
  takeSpans(from: number, to: number): boolean {
    return this.mem.kernel.cas(this.base + ROOTS_AT.spanCursor, from, to) === from;
  }
  get spanEnd(): number {
    return this.u32[(this.base + ROOTS_AT.spanEnd) >>> 2];
  }
  set spanEnd(v: number) {
    this.u32[(this.base + ROOTS_AT.spanEnd) >>> 2] = v;
  }
  get stackScan(): number {
    return this.u32[(this.base + ROOTS_AT.stackScan) >>> 2];
  }
  get globalsScan(): number {
    return this.u32[(this.base + ROOTS_AT.globalsScan) >>> 2];
  }
  addStackScan(bytes: number): void {
    this.mem.kernel.add(this.base + ROOTS_AT.stackScan, bytes);
  }
  addGlobalsScan(bytes: number): void {
    this.mem.kernel.add(this.base + ROOTS_AT.globalsScan, bytes);
  }
  /** A cycle begins: nothing is scanned. */
  resetScan(): void {
    this.u32[(this.base + ROOTS_AT.stackScan) >>> 2] = 0;
    this.u32[(this.base + ROOTS_AT.globalsScan) >>> 2] = 0;
  }
}
