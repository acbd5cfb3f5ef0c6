/**
 * The pacer: when a collection starts, and how large the heap may be when it ends.
 *
 * This file is pure arithmetic over figures of the collector and of MemStats. So tests can check it against recorded
 * figures of real Go, and simulate it without a heap.
 *
 * 1. *Percent goal*. After a cycle that marked `live` bytes the heap may grow by GOGC percent of everything that has to
 *    be scanned: `live + (live + stacks + globals) * GOGC / 100`, at least 4 MiB * GOGC / 100. GOGC=off: infinite.
 * 2. *Limit goal*. The part of the memory limit that is not used by other things than heap objects, less 3 % (at least
 *    1 MiB) of headroom, since the limit is soft and the figures are moments old. It is computed on demand, because
 *    mapping and releasing memory moves it.
 * 3. *Goal*: the limit goal if it is the smaller one. Otherwise the percent goal, with two floors: `live + 1 MiB` while
 *    the last cycle's sweep is unfinished (the sweep needs a distance to be proportional to); and 64 KiB beyond the
 *    trigger during a cycle. Unlike Go, a goal for which the linear memory has no room is lowered (`roomGoal`).
 *    Otherwise a program with more than half of the memory live would fill the memory before a collection begins.
 *    And unlike Go, the least goal grows with the number of threads (`threadsMinimum`), unless there is a memory limit.
 *    A stop waits until every thread comes to a safepoint of its own, while Go interrupts its threads. Two threads can
 *    allocate 4 MiB in the time of a few such waits. NextGC stays Go's figure.
 * 4. *Trigger*: marking must finish when the heap reaches the goal. The runway is the number of bytes that the program
 *    will allocate while the collector scans as much as the last cycle did: `consMark * (1-u)/u * scan work`. Here u =
 *    25 % is the collector's share of the CPU, and `consMark` the bytes allocated for each byte scanned, each per CPU
 *    time. The trigger is the goal less the runway, between 70 % and 95 % of the way from live heap to goal (in 64ths:
 *    45, 61).
 * 5. *Assists*. If allocation outruns marking all the same, every allocated byte costs its allocator `scan work left /
 *    heap left to the goal` bytes of marking.
 *
 * `consMark` is the greatest estimate of the last five cycles. Too early a trigger costs a little CPU; too late a
 * trigger costs assists, or the heap exceeds its goal.
 *
 * Unlike Go: heaps are below 4 GiB, so bytes are exact as JS numbers. Only the limit goal leaves their exact range (no
 * limit is 2^63-1 bytes), so it exists twice, in numbers and in bigints.
 *
 * Sources: Go's "GC pacer redesign" (proposal 44167), "Soft memory limit" (proposal 48409), runtime/mgcpacer.go.
 */

/** No limit: math.MaxInt64, as in Go. A number cannot hold it; 2^63 as a number means the same. */
export const NO_MEMORY_LIMIT = 0x7fff_ffff_ffff_ffffn;

/**
 * Heap size below which no collection starts at GOGC=100. Less: tiny programs collect all the time; more: they waste
 * memory.
 */
export const DEFAULT_HEAP_MINIMUM = 4 << 20;

/** The collector's share of GOMAXPROCS that the pacer aims at. */
export const GC_BACKGROUND_UTILIZATION = 0.25;

/** Least heap growth after a cycle during which the sweep has to finish, in bytes. */
export const SWEEP_MIN_HEAP_DISTANCE = 1 << 20;

/** Least distance from a trigger to the goal of the running cycle, in bytes. */
export const MIN_TRIGGER_DISTANCE = 64 << 10;

/** Part of the memory limit that stays free, in percent, and its least size in bytes. */
const LIMIT_HEADROOM_PERCENT = 3;
const LIMIT_MIN_HEADROOM = 1 << 20;

/** Inputs of the goal, in bytes. */
export interface GoalInputs {
  /** GOGC; negative is off. */
  gcPercent: number;
  /** Bytes marked by the last cycle (slot sizes). */
  heapMarked: number;
  /** Stack bytes scanned by the last cycle. */
  stackScan: number;
  /** Bytes of globals that hold pointers. */
  globalsScan: number;
  /** Memory limit, {@link NO_MEMORY_LIMIT} for none. */
  memoryLimit: bigint;
  /** Memory taken from the operating system and not returned: `Sys - HeapReleased`. */
  mapped: number;
  /** Of that, idle heap spans: `HeapIdle - HeapReleased`. */
  heapFree: number;
  /** Bytes of heap objects, swept or not: `HeapAlloc`. */
  heapAlloc: number;
  /** The sweep of the last cycle is unfinished. */
  sweepPending?: boolean;
  /** Heap size at which the running cycle was triggered; 0 or absent outside of a cycle. */
  triggered?: number;
}

/** The rule that decided the goal. */
export type GoalRule =
  | "gogc"
  | "minimum"
  | "sweep_floor"
  | "triggered"
  | "limit"
  | "limit_live"
  | "limit_exceeded"
  | "off";

/** `4 MiB * GOGC / 100`, the least goal; 0 when GOGC is off. */
export function heapMinimum(gcPercent: number): number {
  return gcPercent < 0 ? 0 : Math.floor((DEFAULT_HEAP_MINIMUM * gcPercent) / 100);
}

/** Threads beyond this number do not raise the least goal: memory without use is at most 64 MiB at GOGC=100. */
const MINIMUM_THREADS = 16;

/** The least goal of a heap that so many threads allocate from. */
export function threadsMinimum(gcPercent: number, threads: number): number {
  return heapMinimum(gcPercent) * Math.min(threads, MINIMUM_THREADS);
}

/**
 * The goal of rule 1, and the rule that made it; Infinity when GOGC is off. Products above 2^53 are computed with
 * bigints, so it is exact.
 */
export function percentGoal(inp: GoalInputs): { goal: number; rule: GoalRule } {
  if (inp.gcPercent < 0) return { goal: Number.POSITIVE_INFINITY, rule: "off" };
  const scannable = inp.heapMarked + inp.stackScan + inp.globalsScan;
  const product = scannable * inp.gcPercent;
  const growth =
    product <= Number.MAX_SAFE_INTEGER
      ? Math.floor(product / 100)
      : Number((BigInt(scannable) * BigInt(inp.gcPercent)) / 100n);
  const goal = inp.heapMarked + growth;
  const minimum = heapMinimum(inp.gcPercent);
  return goal < minimum ? { goal: minimum, rule: "minimum" } : { goal, rule: "gogc" };
}

/** The goal of rule 2. */
export function limitGoal(inp: GoalInputs): { goal: bigint; rule: GoalRule } {
  const live = BigInt(inp.heapMarked);
  const mapped = BigInt(inp.mapped);
  const nonHeap = mapped - BigInt(inp.heapFree) - BigInt(inp.heapAlloc);
  const overage = mapped > inp.memoryLimit ? mapped - inp.memoryLimit : 0n;
  if (nonHeap + overage >= inp.memoryLimit) return { goal: live, rule: "limit_exceeded" };
  const left = inp.memoryLimit - nonHeap - overage;
  let headroom = (left / 100n) * BigInt(LIMIT_HEADROOM_PERCENT);
  if (headroom < LIMIT_MIN_HEADROOM) headroom = BigInt(LIMIT_MIN_HEADROOM);
  const goal = left - headroom < headroom ? headroom : left - headroom;
  return goal < live ? { goal: live, rule: "limit_live" } : { goal, rule: "limit" };
}

/** The exact heap goal: `MemStats.NextGC`. */
export function heapGoalExact(inp: GoalInputs): { goal: bigint; rule: GoalRule } {
  const limit = limitGoal(inp);
  let { goal, rule } = percentGoal(inp);
  if (rule === "off") return limit;
  if (limit.goal < BigInt(goal)) return limit;
  if (inp.sweepPending && inp.heapMarked + SWEEP_MIN_HEAP_DISTANCE > goal) {
    goal = inp.heapMarked + SWEEP_MIN_HEAP_DISTANCE;
    rule = "sweep_floor";
  }
  if (inp.triggered && inp.triggered + MIN_TRIGGER_DISTANCE > goal) {
    goal = inp.triggered + MIN_TRIGGER_DISTANCE;
    rule = "triggered";
  }
  return { goal: BigInt(goal), rule };
}

/** The heap goal as a number. Above 2^53 it is rounded, but a trigger in a 4 GiB heap is far below. */
export function heapGoal(inp: GoalInputs): number {
  return Number(heapGoalExact(inp).goal);
}

/**
 * The goal in a memory that has room for `room` bytes of heap. A sixteenth is left for fragmentation. If more than that
 * is live, the heap may fill half of the rest, and may grow by at least a 64th of the room: a full heap soon ends the
 * program, instead of collecting without end.
 */
export function roomGoal(live: number, room: number): number {
  const growth = Math.max((room - live) / 2, room / 64);
  return Math.floor(Math.max(room - room / 16, live + growth));
}

/** Inputs of the trigger, with the goal. */
export interface TriggerInputs {
  heapMarked: number;
  goal: number;
  /** The greatest of the last estimates; see {@link ConsMark}. */
  consMark: number;
  /** Scan work of the last cycle: heap, stacks, globals, in bytes. */
  scanWork: number;
  sweepPending?: boolean;
}

/** The heap size at which the next cycle starts (rule 4). */
export function trigger(inp: TriggerInputs): number {
  const { heapMarked, goal } = inp;
  if (heapMarked >= goal) return goal;
  const distance = Math.floor((goal - heapMarked) / 64);
  let lower = heapMarked + distance * 45;
  if (inp.sweepPending) lower = Math.max(lower, heapMarked + SWEEP_MIN_HEAP_DISTANCE);
  const upper = Math.max(heapMarked + distance * 61, goal - DEFAULT_HEAP_MINIMUM, lower);
  const share = (1 - GC_BACKGROUND_UTILIZATION) / GC_BACKGROUND_UTILIZATION;
  const runway = Math.floor(inp.consMark * share * inp.scanWork);
  return Math.min(Math.max(goal - runway, lower), upper);
}

/** Figures of one cycle, for the ratio of allocation to marking. */
export interface CycleFigures {
  /** Heap size when marking began, and when it ended. */
  heapAtTrigger: number;
  heapAtEnd: number;
  /** Bytes of heap, stacks and globals that were scanned. */
  scanWork: number;
  /** Fraction of GOMAXPROCS spent marking: background plus assists. */
  utilization: number;
  /** Fraction of GOMAXPROCS spent marking in idle time. */
  idleUtilization: number;
}

/**
 * Of one cycle: bytes allocated for each byte scanned, each per CPU time. It is 0 for a cycle in which the program
 * could not run (utilization 1, as in a stop-the-world collection), and for one without growth: these carry no
 * information.
 */
export function consMarkOf(c: CycleFigures): number {
  const growth = c.heapAtEnd - c.heapAtTrigger;
  if (growth <= 0 || c.scanWork <= 0 || c.utilization >= 1) return 0;
  return (growth * (c.utilization + c.idleUtilization)) / (c.scanWork * (1 - c.utilization));
}

/** The last four estimates and the newest. The estimate in use is the greatest of them. */
export class ConsMark {
  /** The last four estimates, then the one in use. */
  readonly #figures: Float64Array;

  /** @param figures five figures; in linear memory if threads share them. Default: a new array. */
  constructor(figures: Float64Array = new Float64Array(5)) {
    this.#figures = figures;
  }

  get value(): number {
    return this.#figures[4];
  }

  /** Adds a finished cycle and returns the estimate for the next. */
  update(c: CycleFigures): number {
    const current = consMarkOf(c);
    const figures = this.#figures;
    let greatest = current;
    for (let i = 0; i < 4; i++) if (figures[i] > greatest) greatest = figures[i];
    figures.copyWithin(0, 1, 4);
    figures[3] = current;
    figures[4] = greatest;
    return greatest;
  }
}

/** The price of an allocated byte in scan work (rule 5), and its inverse. */
export interface AssistRatios {
  /** Scan work for each allocated byte. */
  workPerByte: number;
  /** Allocated bytes for each byte of scan work. */
  bytesPerWork: number;
}

/**
 * The ratio of the scan work that is left to the bytes that may still be allocated.
 *
 * `scanWorkExpected` is the scan work of the last cycle, and so that of a steady program. If more has been scanned, the
 * program grows. Then the expected work is all of the scannable heap, and the goal moves out in proportion, up to GOGC
 * percent beyond it. A heap that has outgrown its goal gets 10 % more: it is better to exceed the goal than to do
 * nothing but assist.
 */
export function assistRatios(inp: {
  heapLive: number;
  goal: number;
  /** Heap size at which the cycle was triggered. */
  triggered: number;
  scanWorkDone: number;
  scanWorkExpected: number;
  /** All of the scannable heap, stacks and globals. */
  scanWorkMax: number;
  gcPercent: number;
}): AssistRatios {
  let { goal } = inp;
  let expected = inp.scanWorkExpected;
  if (inp.scanWorkDone > expected) {
    const stretched = inp.triggered + ((goal - inp.triggered) / Math.max(1, expected)) * inp.scanWorkMax;
    const hard = inp.gcPercent < 0 ? stretched : (1 + inp.gcPercent / 100) * goal;
    goal = Math.floor(Math.min(stretched, hard));
    expected = inp.scanWorkMax;
  }
  if (inp.heapLive > goal) {
    goal = Math.floor(goal * 1.1);
    expected = inp.scanWorkMax;
  }
  // At least 1000 bytes of work, since scanning always takes a little more than expected, and at least one byte of
  // heap.
  const workLeft = Math.max(1000, expected - inp.scanWorkDone);
  const heapLeft = Math.max(1, goal - inp.heapLive);
  return { workPerByte: workLeft / heapLeft, bytesPerWork: heapLeft / workLeft };
}
