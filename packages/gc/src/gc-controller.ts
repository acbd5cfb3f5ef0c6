/**
 * The pacer's decisions: when a cycle starts, which heap size it aims at, and how much scan work an allocation owes.
 * The formulas are those of mgcpacer.ts; here they meet the heap, the settings and the figures of the last cycles. Its
 * state is PACER (gc-state.ts). Goal and trigger, which the allocator reads, are words of GCCONTROL.
 */
import type { HeapStats } from "@gort/allocator";
import { newHeapStats } from "@gort/allocator/internal";
import type { GCRecord } from "./gc-stats.ts";
import { threadCount } from "./gc-threads.ts";
import type { GCHeap } from "./heap.ts";
import {
  assistRatios,
  ConsMark,
  type GoalInputs,
  type GoalRule,
  heapGoalExact,
  NO_MEMORY_LIMIT,
  roomGoal,
  threadsMinimum,
  trigger as triggerOf,
} from "./mgcpacer.ts";
import type { Sweeper } from "./mgcsweep.ts";
import type { PacerState } from "./state-views.ts";

/** The figures of the running cycle. */
export interface Cycle {
  forced: boolean;
  stw: boolean;
  procs: number;
  /** nanotime when sweep termination began, and when marking began. */
  start: number;
  markStart: number;
  sweepTermNs: number;
  pauseNs: number;
  assistNs: number;
  backgroundNs: number;
  idleNs: number;
  heapStart: number;
  /** The heap goal; changes of the settings move it. */
  goal: number;
  expectedWork: number;
}

export class GCController {
  readonly #heap: GCHeap;
  readonly #record: GCRecord;
  readonly #sweeper: Sweeper;
  readonly #state: PacerState;
  readonly #consMark: ConsMark;
  /** This thread's scratch record for the allocator's statistics. */
  readonly #scratch: HeapStats = newHeapStats();

  /** @param gcPercent, memoryLimit the settings; without them, those of the collector that another thread has made */
  constructor(
    heap: GCHeap,
    record: GCRecord,
    sweeper: Sweeper,
    state: PacerState,
    gcPercent?: number,
    memoryLimit?: number | bigint,
  ) {
    this.#heap = heap;
    this.#record = record;
    this.#sweeper = sweeper;
    this.#state = state;
    this.#consMark = new ConsMark(state.consMark);
    if (gcPercent !== undefined) state.gcPercent = checkPercent(gcPercent);
    if (memoryLimit === undefined) return;
    state.memoryLimit = checkLimit(memoryLimit);
    heap.limitMemory(state.limitBytes);
  }

  get gcPercent(): number {
    return this.#state.gcPercent;
  }
  set gcPercent(percent: number) {
    this.#state.gcPercent = checkPercent(percent);
  }

  get memoryLimit(): bigint {
    return this.#state.memoryLimit;
  }
  set memoryLimit(limit: number | bigint) {
    this.#state.memoryLimit = checkLimit(limit);
    this.#heap.limitMemory(this.#state.limitBytes);
  }

  /** heapLive at which the next cycle starts. */
  get trigger(): number {
    return this.#state.trigger;
  }

  /** nanotime of the end of the last cycle, 0 before the first. */
  get lastEnd(): number {
    return this.#state.lastEnd;
  }

  #goalInputs(): GoalInputs {
    const { gcPercent, memoryLimit, triggered } = this.#state;
    const inputs: GoalInputs = {
      gcPercent,
      heapMarked: this.#heap.heapMarked,
      stackScan: this.#record.stackScan,
      globalsScan: this.#record.globalsScan,
      memoryLimit,
      mapped: 0,
      heapFree: 0,
      heapAlloc: 0,
      sweepPending: !this.#sweeper.done,
      triggered,
    };
    // With GOGC and without a memory limit, these figures do not change the goal. The rest of a current run counts
    // as allocated, as it does in heapLive; Go counts whole spans of an mcache.
    if (memoryLimit !== NO_MEMORY_LIMIT || gcPercent < 0) {
      const stats = this.#heap.allocator.readStatsUnflushed(this.#scratch);
      inputs.mapped = stats.sys - stats.heapReleased;
      inputs.heapFree = stats.heapIdle - stats.heapReleased;
      inputs.heapAlloc = stats.heapAlloc;
    }
    return inputs;
  }

  /** The heap size that the collector aims at: MemStats.NextGC, exact above 2^53 too. */
  nextGC(): bigint {
    return heapGoalExact(this.#goalInputs()).goal;
  }

  /** Recomputes the goal, and the trigger of the next cycle. */
  commit(): void {
    const heap = this.#heap;
    const state = this.#state;
    state.limited = isLimit(this.#setGoal());
    if (state.running) return;
    const record = this.#record;
    state.trigger = triggerOf({
      heapMarked: heap.heapMarked,
      goal: heap.heapGoal,
      consMark: this.#consMark.value,
      scanWork: record.heapScan + record.stackScan + record.globalsScan,
      sweepPending: !this.#sweeper.done,
    });
  }

  /** Sets both goals, and returns the rule that has decided Go's. */
  #setGoal(): GoalRule {
    const exact = heapGoalExact(this.#goalInputs());
    this.#record.goGoal = Number(exact.goal);
    this.#heap.heapGoal = this.#ownGoal(exact);
    return exact.rule;
  }

  /** The goal that this heap has in place of Go's: see rule 3 of mgcpacer.ts. */
  #ownGoal({ goal, rule }: { goal: bigint; rule: GoalRule }): number {
    const exact = Number(goal);
    const { gcPercent, memoryLimit } = this.#state;
    const { shared, mem } = this.#heap;
    // A limit of any size: with one, more garbage than Go has might be too much.
    if (!shared || rule === "off" || memoryLimit !== NO_MEMORY_LIMIT) return this.#within(exact);
    return this.#within(Math.max(exact, threadsMinimum(gcPercent, threadCount(mem))));
  }

  /** Lowers the goal to what the memory has room for: see roomGoal. GOGC=off stays off. */
  #within(goal: number): number {
    const heap = this.#heap;
    const { mem } = heap;
    // Reading the statistics costs time, and most heaps are small.
    if (this.#state.gcPercent < 0 || goal <= mem.size / 2) return goal;
    const { heapInuse, heapIdle } = heap.allocator.readStatsUnflushed(this.#scratch);
    return Math.min(goal, roomGoal(heap.heapMarked, heapInuse + heapIdle + mem.unreserved));
  }

  /** Scan work that each allocated byte costs. */
  assistRatio(cycle: Cycle, scanWorkDone: number): number {
    const { heapLive } = this.#heap;
    return assistRatios({
      heapLive,
      goal: cycle.goal,
      triggered: cycle.heapStart,
      scanWorkDone,
      scanWorkExpected: cycle.expectedWork,
      scanWorkMax: Math.max(heapLive, scanWorkDone),
      gcPercent: this.#state.gcPercent,
    }).workPerByte;
  }

  /**
   * Whether the limiter puts a cycle off. If more is live than the limit allows, a program at its limit would collect
   * without end. The limiter gives it at least half of the time, and lets the heap grow over its goal until then.
   */
  limited(now: number): boolean {
    const state = this.#state;
    if (!state.limited) return false;
    if (now - state.lastEnd >= state.lastNs) return false;
    this.#record.noteLimited();
    return true;
  }

  /** A cycle begins to mark. From now on only changes of the settings move the goal. Returns the expected scan work. */
  beginCycle(globalsBytes: number): number {
    const state = this.#state;
    state.running = true;
    state.triggered = this.#heap.heapLive;
    this.#setGoal();
    return this.#record.heapScan + this.#record.stackScan + globalsBytes;
  }

  /** Bytes allocated for each byte scanned, each per CPU time, as the last cycles have shown it. */
  get consMark(): number {
    return this.#consMark.value;
  }

  /** Marking has ended at heapEnd bytes, after markNs. Updates cons/mark. */
  endCycle(cycle: Cycle, heapEnd: number, scanWork: number, markNs: number): void {
    this.#consMark.update({
      heapAtTrigger: cycle.heapStart,
      heapAtEnd: heapEnd,
      scanWork,
      utilization: utilization(cycle, markNs),
      idleUtilization: cycle.stw ? 0 : share(cycle, cycle.idleNs, markNs),
    });
    this.#state.running = false;
    this.#state.triggered = 0;
  }

  /** Notes how long the cycle kept the program from running, in stops, slices and assists. */
  noteEnd(now: number, ns: number): void {
    this.#state.lastEnd = now;
    this.#state.lastNs = ns;
  }
}

/** Whether the memory limit made the goal. */
function isLimit(rule: GoalRule): boolean {
  return rule === "limit" || rule === "limit_live" || rule === "limit_exceeded";
}

function share(cycle: Cycle, ns: number, markNs: number): number {
  return markNs <= 0 ? 1 : Math.min(1, ns / (markNs * cycle.procs));
}

/** The part of the program's CPU time that marking took, without idle marking. */
export function utilization(cycle: Cycle, markNs: number): number {
  return cycle.stw ? 1 : share(cycle, cycle.assistNs + cycle.backgroundNs, markNs);
}

function checkPercent(percent: number): number {
  const fault = `gc: gogc must be an integer below 2^31 (got ${String(percent)})`;
  if (typeof percent !== "number") throw new TypeError(fault);
  if (!Number.isInteger(percent) || percent >= 2 ** 31) throw new RangeError(fault);
  return percent < 0 ? -1 : percent;
}

function checkLimit(limit: number | bigint): bigint {
  if (typeof limit === "number" && limit >= 2 ** 63) return NO_MEMORY_LIMIT;
  const fault = `gc: memoryLimit must be a whole number of bytes (got ${String(limit)})`;
  if (typeof limit !== "bigint" && typeof limit !== "number") throw new TypeError(fault);
  if (typeof limit === "number" && !Number.isInteger(limit)) throw new RangeError(fault);
  const v = BigInt(limit);
  if (v < 0n) throw new RangeError(`gc: memoryLimit must not be negative (got ${v})`);
  return v > NO_MEMORY_LIMIT ? NO_MEMORY_LIMIT : v;
}
