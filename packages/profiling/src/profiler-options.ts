/** The options of a profiler, and the sources of stacks that a scheduler provides. */
import { wrongNumber } from "@gort/base";
import type { ProfArena } from "./bucket.ts";
import { DEFAULT_STACK_PERIOD } from "./contention.ts";
import { DEFAULT_MAX_STACK_DEPTH } from "./extern.ts";
import type { LabelSet, LabelStore } from "./labels.ts";
import type { PCTableOptions } from "./pc-table.ts";
import { DEFAULT_BUDGET } from "./sample-budget.ts";
import type { MemProfileSampler } from "./sampler.ts";
import type { MemStatsLike } from "./text.ts";

export interface ProfilerOptions extends PCTableOptions {
  /** Memory for the buckets; default: a buffer of the profiler's own. */
  arena?: ProfArena;
  /**
   * The allocator's sampler, which owns the rate of the memory profile: the profiler reads and sets the rate there.
   * Without it, the profiler owns the rate.
   */
  memProfileSampler?: MemProfileSampler;
  /** Mean bytes between two samples of the memory profile; 0 off, 1 all. Default 512 KiB, or the sampler's rate. */
  memProfileRate?: number;
  /**
   * The part of the time that the memory profile's samples may take, above 0 to 1; 1 takes every sample. If samples
   * would take more, fewer are taken, and each counts for more. A rate of 1 records everything at any budget.
   * Default: 0.02 at the default rate, and 1 at every other rate.
   */
  memProfileBudget?: number;
  /**
   * For waits of a goroutine whose last 64 stacks were equal: the block profile takes the stack of one wait in
   * `blockStackPeriod`, at random. Default 1: of every wait. Above 1, every wait is still counted and timed, at a
   * fraction of the cost. On average, fewer than `blockStackPeriod` short waits of a goroutine then stand at an
   * earlier place of its waits. 16 is a good choice.
   */
  blockStackPeriod?: number;
  /** Milliseconds of a clock, for the budget; default performance.now. */
  now?: () => number;
  /** Frames kept of each stack in profiles, 1 to 1024; default 128. */
  maxStackDepth?: number;
  /** Uniform in [0, 1); default Math.random. */
  random?: () => number;
  /** The MemStats at the end of the heap profile's text; without it, the text has none. */
  memStats?: () => MemStatsLike;
  /** The scheduler's goroutines; without it there is no profile `goroutine`. */
  goroutines?: StackSource;
  /** Goroutines that are blocked for ever; without it there is no profile `goroutineleak`. */
  leakedGoroutines?: StackSource;
  /** The stacks that started threads; without it there is no profile `threadcreate`. */
  threads?: StackSource;
  /** Keeps the labels of the running goroutine; default: Node's asynchronous context keeps them. */
  labels?: LabelStore;
  /** Whether CPU profiles of Node's main thread include all worker threads. Default true. */
  cpuWorkers?: boolean;
  /**
   * For an arena that threads share. Returns the result of `read`, which reads the profiles of all threads: the other
   * threads do nothing meanwhile, and have published the frames of their buckets (`publishFrames`).
   */
  readAll?: <T>(read: () => T) => T;
  /** Takes the CPU profiles in place of this thread, which cannot reach the other threads. */
  remoteCPUProfile?: RemoteCPUProfile;
  /** Called when a CPU profile begins and when it ends: for a scheduler that notes labels in between. */
  onCPUProfile?: (active: boolean) => void;
  /** Takes the complaints that Go prints; default standard error. */
  stderr?: (text: string) => void;
}

/** CPU profiles that another thread takes. */
export interface RemoteCPUProfile {
  /** Begins a profile with `hz` samples a second, 0: the other thread's rate. Throws if one is being taken. */
  start(hz: number): void;
  /** Ends it. Resolves to the profile, gzipped. */
  stop(): Promise<Uint8Array>;
}

/** A frame that the owner of its stack has symbolized. */
export interface StackFrame {
  func: string;
  file: string;
  line: number;
}

/** Stacks that are kept outside of the profiler, such as those of a scheduler's goroutines. */
export interface StackSource {
  /** Calls `visit` for each stack, innermost frame first: PCs of this profiler, or symbolized frames. */
  forEach(visit: (stack: readonly number[] | readonly StackFrame[], labels?: LabelSet | null) => void): void;
  /** How many stacks there are, if this is known without taking them. */
  count?(): number;
  /** All stacks as a panic prints them: the text of the profile with debug 2. */
  dump?(): string;
  /** Called before a profile is written, by callers that can wait: for a source that must first search. */
  prepare?(): Promise<void>;
}

/** Throws unless `options.maxStackDepth` is a depth; returns it or the default. */
export function stackDepthOf(options: ProfilerOptions): number {
  const depth = options.maxStackDepth ?? DEFAULT_MAX_STACK_DEPTH;
  if (!Number.isInteger(depth) || depth < 1 || depth > 1024) {
    throw wrongNumber("profiling", depth, "maxStackDepth must be an integer from 1 to 1024");
  }
  return depth;
}

/** Throws unless `options.blockStackPeriod` is a period; returns it or the default. */
export function stackPeriodOf({ blockStackPeriod: period = DEFAULT_STACK_PERIOD }: ProfilerOptions): number {
  if (Number.isInteger(period) && period >= 1) return period;
  throw wrongNumber("profiling", period, "blockStackPeriod must be an integer, 1 or more");
}

/** Throws unless `options.memProfileBudget` is a budget; returns it or the default. */
export function budgetOf({ memProfileBudget: budget = DEFAULT_BUDGET }: ProfilerOptions): number {
  if (typeof budget === "number" && budget > 0 && budget <= 1) return budget;
  throw wrongNumber("profiling", budget, "memProfileBudget must be above 0 and at most 1");
}
