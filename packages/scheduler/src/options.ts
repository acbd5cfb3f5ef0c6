/** The options of a scheduler, and their checks. */

import { parseSwitches, type SwitchValues, wrongNumber } from "@gort/base";
import type { LatencyRecorder } from "./counters.ts";
import type { DeadlockMode } from "./deadlock.ts";
import type { Symbolize } from "./frames.ts";
import type { Clock, TaskQueue } from "./host.ts";
import type { SchedulerHooks } from "./runtime2.ts";

export interface SchedulerOptions {
  clock?: Clock;
  tasks?: TaskQueue;
  /** Seed of all random choices. */
  seed?: number;
  stderr?: (text: string) => void;
  /** Number of Ps, at most `procs.max`. Default: 1. */
  gomaxprocs?: number;
  /** The largest GOMAXPROCS, and why there is no larger one. Default: 1, because a scheduler alone has one thread. */
  procs?: { readonly max: number; readonly why: string };
  /** `schedtrace`, `scheddetail`, `sysmon`: Go's syntax, `name=value,name=value`, or an object. */
  godebug?: string | Readonly<Record<string, string | number>>;
  hooks?: SchedulerHooks;
  /** Turns a call site of V8 into a frame as Go's: applies source maps and names. */
  symbolize?: Symbolize;
  /**
   * When a program ends as deadlocked. `"certain"`, the default: when the event loop would end, so that nothing can
   * wake a goroutine. `"eager"`: as soon as all goroutines wait for each other; only for tests, and for programs
   * without callbacks of the host. `"warn"`: as `"certain"`, and one dump after 5 s in which all goroutines wait for
   * each other. `"off"`: never.
   */
  deadlock?: DeadlockMode;
  /**
   * Lets the engine collect goroutines that wait for an unreachable object, and reports them. Costs a few microseconds
   * for each goroutine.
   */
  leakDetection?: boolean;
  /**
   * The block for the counters: `SCHED_COUNTERS_LENGTH` numbers, also in shared memory. Default: an array of its own.
   */
  counters?: Float64Array;
  /**
   * Makes this the scheduler of a thread other than the program's first one: it has no main. A panic or a fatal error
   * in one of its goroutines ends them all and calls this function, which passes the error and the report on to the
   * first thread (`crashFrom`).
   */
  onCrash?: (error: object, report: string) => void;
  /** Takes the times from runnable to running. Without it they are not measured. */
  latencies?: LatencyRecorder;
}

/** The seed of the option, or a random one. */
export function checkSeed(seed: number | undefined): number {
  if (seed === undefined) return Math.floor(Math.random() * 0x100000000);
  if (Number.isInteger(seed)) return seed;
  throw wrongNumber("scheduler", seed, "seed must be a whole number");
}

/** The limit of a scheduler alone. */
export const ONE_PROC: NonNullable<SchedulerOptions["procs"]> = {
  max: 1,
  why: "this scheduler has one thread. @gort/runtime runs tasks on several threads",
};

/** The number of Ps of the option. Checks the lower bound; Scheduler.gomaxprocs checks the upper one. */
export function checkProcs(n: number | undefined): number {
  if (n === undefined) return 1;
  if (typeof n !== "number" || n < 0)
    throw wrongNumber("scheduler", n, "gomaxprocs must be a whole number, 0 or more");
  return n;
}

/** Returns a time that a clock has given. Throws if it is no finite number: timers could not be ordered by it. */
function checkTime(t: number, method: string): number {
  if (Number.isFinite(t)) return t;
  throw new TypeError(`scheduler: clock.${method} must return a finite number (got ${String(t)})`);
}

/** A clock's own methods, bound to it. */
export function bindClock(c: Clock | undefined): Partial<Required<Clock>> {
  if (c === undefined) return {};
  const out: Partial<Required<Clock>> = { now: () => checkTime(c.now(), "now") };
  if (c.wall !== undefined) out.wall = () => checkTime(c.wall!(), "wall");
  if (c.setTimer !== undefined) out.setTimer = (f, ms, ref) => c.setTimer!(f, ms, ref);
  if (c.clearTimer !== undefined) out.clearTimer = (h) => c.clearTimer!(h);
  return out;
}

/** The scheduler's debug switches. */
export const debugSwitches = [
  { name: "schedtrace", default: 0, meaning: "X > 0: the state of the scheduler every X milliseconds" },
  { name: "scheddetail", default: 0, meaning: "1: schedtrace shows every P, M and G" },
  { name: "sysmon", default: 0, meaning: "1: a line about each goroutine that ran long without yielding" },
] as const;

type Switches = SwitchValues<typeof debugSwitches>;

/**
 * The switches of the scheduler, from GODEBUG's text or an object. Other names and values that are no integers are
 * ignored.
 */
export function parseGodebug(d: SchedulerOptions["godebug"] = {}): Readonly<Switches> {
  const items = typeof d === "string" ? [d] : Object.entries(d).map(([name, value]) => `${name}=${value}`);
  return parseSwitches(debugSwitches, items.join(","));
}
