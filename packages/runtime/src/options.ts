/**
 * The options of a runtime, and the environment's values for options that are not set. A wrong value is refused before
 * anything is made: a value of the wrong kind with a TypeError, a number out of range with a RangeError.
 */
import { writeStderr } from "@gort/base";
import type { Clock, DeadlockMode } from "@gort/scheduler";
import { checkDeadlockMode } from "@gort/scheduler/internal";
import { type Environment, noMemoryLimit, parseGOGC, parseGOMAXPROCS, parseMemoryLimit } from "./env.ts";
import { checkGodebug, type Godebug, parseGodebug } from "./godebug.ts";

export interface RuntimeOptions {
  /** Bytes reserved for the linear memory, 64 MiB to 4 GiB. Default 4 GiB under Node, 1 GiB elsewhere. */
  maxMemory?: number;
  /** Whether worker threads may share the memory. Default: where SharedArrayBuffer exists. */
  shared?: boolean;
  /** Growth of the heap, in percent of the live heap, that starts a collection; "off" for none. Default: GOGC. */
  gogc?: number | "off";
  /** The runtime tries to use fewer bytes than this. Default: GOMEMLIMIT. */
  memoryLimit?: number;
  /**
   * Number of Ps: how many threads run goroutines at the same time. More than one needs tasks (`task`), since any other
   * goroutine stays on its thread. Default: GOMAXPROCS, else 1.
   */
  gomaxprocs?: number;
  /**
   * Makes a worker, in a bundled program or a browser: `() => new Worker(new URL("./worker.ts", import.meta.url), {
   * type: "module" })`. The worker's module imports `@gort/runtime/worker` and the modules of the tasks. Default: under
   * Node, a worker that loads the modules of the tasks by their URLs.
   */
  workers?: () => object;
  /**
   * Starts a worker that only collects: it marks and sweeps beside the program, whose thread then only stops twice a
   * cycle, shortly. If the program allocates faster than the worker marks, allocations help. Needs shared memory, and
   * `workers` where `gomaxprocs` needs them. Default false.
   */
  collectorThread?: boolean;
  /** Debug switches as in GODEBUG. Default: GODEBUG. */
  godebug?: string | Partial<Godebug>;
  /** Where traces and crash reports go. Default: the process's standard error, or the console. */
  stderr?: (text: string) => void;
  /**
   * The part of the time that samples of the memory profile may take, above 0 to 1. If they would take more, fewer are
   * taken, and each counts for more; 1 takes all. Default: 0.02 at the default rate, 1 at any other.
   */
  memProfileBudget?: number;
  /**
   * After 64 identical stacks from one goroutine, the block profile captures the stack of only one wait in
   * `blockStackPeriod`, at random, and of every wait of 0.1 ms and more. Default 1: the stack of every wait. Above 1,
   * all waits are still counted and timed, at a fraction of the cost. But on average fewer than `blockStackPeriod`
   * short waits of a goroutine may appear at a place where it waited before. 16 is a good choice.
   */
  blockStackPeriod?: number;
  /**
   * Lets V8 collect leaked goroutines, which nothing can wake, whenever it collects: not only while the profile
   * `goroutineleak` is written. Costs some 20 us a goroutine. That profile needs the option only where a program cannot
   * make V8 collect. Default false.
   */
  leakDetection?: boolean;
  /**
   * When a program ends as deadlocked. `"certain"`, the default: when the event loop would end, so that nothing can
   * wake a goroutine. `"eager"`: as soon as all goroutines wait for each other; only for tests and for programs
   * without callbacks of the host. `"warn"`: like `"certain"`, with one dump after five seconds in which all
   * goroutines wait for each other. `"off"`: never.
   */
  deadlock?: DeadlockMode;
  /** Time, for tests. Other threads do not have it, so all tasks run on one thread. */
  clock?: Clock;
  /** Seed of all random choices: select, sampling. */
  seed?: number;
}

function resolveGodebug(
  option: RuntimeOptions["godebug"],
  env: Environment,
  warn: (line: string) => void,
): Godebug {
  if (option === undefined) return parseGodebug(env.GODEBUG ?? "", warn);
  if (typeof option === "string") return parseGodebug(option, warn);
  if (option === null || typeof option !== "object") {
    throw new TypeError(`runtime: godebug must be a string or an object (got ${String(option)})`);
  }
  return checkGodebug(option);
}

/** Checks the number of an option. */
function number(name: string, value: unknown, ok: (n: number) => boolean, what: string): number {
  const fault = `runtime: ${name} must be ${what} (got ${String(value)})`;
  if (typeof value !== "number") throw new TypeError(fault);
  if (!ok(value)) throw new RangeError(fault);
  return value;
}

function resolveGOGC(option: RuntimeOptions["gogc"], env: Environment): number {
  if (option === undefined) return parseGOGC(env.GOGC);
  if (option === "off") return -1;
  const fits = (n: number): boolean => Number.isInteger(n) && n < 2 ** 31;
  return Math.max(-1, number("gogc", option, fits, 'a whole number of percent or "off"'));
}

function resolveMemoryLimit(
  option: number | undefined,
  env: Environment,
  warn: (line: string) => void,
): number {
  if (option !== undefined) {
    const fits = (n: number): boolean => n >= 0 && (Number.isInteger(n) || n === Number.POSITIVE_INFINITY);
    return number("memoryLimit", option, fits, "a whole number of bytes, 0 or more, or Infinity");
  }
  const limit = parseMemoryLimit(env.GOMEMLIMIT);
  if (limit !== undefined) return limit;
  // Go's words. Unlike Go, which ends the program here, we keep the default.
  warn(`GOMEMLIMIT=${env.GOMEMLIMIT}`);
  warn("malformed GOMEMLIMIT; see `go doc runtime/debug.SetMemoryLimit`; no limit is set");
  return noMemoryLimit;
}

function resolveGOMAXPROCS(option: number | undefined, env: Environment): number {
  if (option === undefined) return parseGOMAXPROCS(env.GOMAXPROCS) ?? 1;
  return number("gomaxprocs", option, (n) => Number.isInteger(n) && n >= 1, "a whole number from 1");
}

const optionNames: ReadonlySet<string> = new Set<keyof RuntimeOptions>([
  "maxMemory",
  "shared",
  "gogc",
  "memoryLimit",
  "gomaxprocs",
  "godebug",
  "stderr",
  "memProfileBudget",
  "blockStackPeriod",
  "leakDetection",
  "deadlock",
  "clock",
  "seed",
  "workers",
  "collectorThread",
]);

/** Refuses wrong options that no part would notice; the parts check the values that they get. */
function checkOptions(options: RuntimeOptions): void {
  if (options === null || typeof options !== "object") {
    throw new TypeError(`runtime: options must be an object (got ${String(options)})`);
  }
  for (const name of Object.keys(options)) {
    if (!optionNames.has(name)) {
      throw new TypeError(
        `runtime: unknown option ${JSON.stringify(name)} (known: ${[...optionNames].join(", ")})`,
      );
    }
  }
  const { seed, stderr, leakDetection, deadlock, workers, collectorThread } = options;
  checkDeadlockMode(deadlock, "runtime");
  if (seed !== undefined) number("seed", seed, Number.isInteger, "a whole number");
  if (collectorThread !== undefined && typeof collectorThread !== "boolean") {
    throw new TypeError(`runtime: collectorThread must be a boolean (got ${String(collectorThread)})`);
  }
  if (leakDetection !== undefined && typeof leakDetection !== "boolean") {
    throw new TypeError(`runtime: leakDetection must be a boolean (got ${String(leakDetection)})`);
  }
  if (workers !== undefined && typeof workers !== "function") {
    throw new TypeError(`runtime: workers must be a function (got ${typeof workers})`);
  }
  if (stderr !== undefined && typeof stderr !== "function") {
    throw new TypeError(`runtime: stderr must be a function (got ${typeof stderr})`);
  }
}

/** The named options, without those that are not set. */
export function given<K extends keyof RuntimeOptions>(
  options: RuntimeOptions,
  ...names: K[]
): Partial<Pick<RuntimeOptions, K>> {
  const found: Partial<Pick<RuntimeOptions, K>> = {};
  for (const name of names) if (options[name] !== undefined) found[name] = options[name];
  return found;
}

/** The settings of a runtime: each an option's value, or else the environment's, or else the default. */
export interface Settings {
  readonly stderr: (text: string) => void;
  readonly godebug: Godebug;
  /** Percent, -1 for off. */
  readonly gogc: number;
  /** Bytes, `noMemoryLimit` or more for none. */
  readonly memoryLimit: number;
  readonly gomaxprocs: number;
  readonly collectorThread: boolean;
}

export function resolveOptions(options: RuntimeOptions, env: Environment): Settings {
  checkOptions(options);
  const stderr = options.stderr ?? writeStderr;
  const warn = (line: string): void => stderr(`${line}\n`);
  const godebug = resolveGodebug(options.godebug, env, warn);
  // At a negative rate Go samples every allocation, as at 1.
  if (godebug.memprofilerate < 0) godebug.memprofilerate = 1;
  // The trace sees only allocations that the profile samples.
  if (godebug.allocfreetrace !== 0) godebug.memprofilerate = 1;
  return {
    stderr,
    godebug,
    gogc: resolveGOGC(options.gogc, env),
    memoryLimit: resolveMemoryLimit(options.memoryLimit, env, warn),
    gomaxprocs: resolveGOMAXPROCS(options.gomaxprocs, env),
    collectorThread: options.collectorThread === true,
  };
}
