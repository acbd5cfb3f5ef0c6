/**
 * Settings that programs change while they run. In Go they belong to the process, so every thread has them.
 *
 * Each thread keeps its own copy, which its hot paths read without a look at shared memory. The values in force also
 * lie in linear memory:
 *
 *     thread that changes one      stops the world    changes its copy, stores it    commands all others    starts it
 *     other thread, in the stop                                                      loads the values
 *     new worker, once it runs     loads the values
 *
 * A change is made in a stop, so the changing thread already has all earlier changes: it may store all its values. A
 * worker runs only while the world does. If a stop comes before it has loaded the values, it loads later ones.
 *
 * GOGC, the memory limit, the rate of the memory profile and the limit of threads have one copy, in linear memory.
 */
import type { LinearMemory } from "@gort/memory";
import { defineStruct } from "@gort/memory/internal";
import type { Profiler } from "@gort/profiling";
import type { Scheduler } from "@gort/scheduler";
import type { GoroutineRoots } from "./roots.ts";

export const SETTINGS = defineStruct("settings", {
  maxStack: "f64",
  blockProfileRate: "f64",
  mutexProfileFraction: "f64",
  tracebackAll: "u32",
});
const O = SETTINGS.offsets;

/** The parts of one thread that keep a copy of a setting. */
export interface SettingsParts {
  readonly scheduler: Scheduler;
  readonly profiler: Profiler;
  readonly roots: GoroutineRoots;
}

/** Stores this thread's values at `at`. */
export function storeSettings({ u32, f64 }: LinearMemory, at: number, parts: SettingsParts): void {
  const { scheduler, profiler, roots } = parts;
  f64[(at + O.maxStack) >>> 3] = roots.maxStack;
  f64[(at + O.blockProfileRate) >>> 3] = profiler.block.rate;
  f64[(at + O.mutexProfileFraction) >>> 3] = profiler.mutex.fraction;
  u32[(at + O.tracebackAll) >>> 2] = scheduler.tracebackAll ? 1 : 0;
}

/** Gives this thread the values at `at`. */
export function loadSettings({ u32, f64 }: LinearMemory, at: number, parts: SettingsParts): void {
  const { scheduler, roots } = parts;
  roots.maxStack = f64[(at + O.maxStack) >>> 3];
  setBlockProfileRate(parts, f64[(at + O.blockProfileRate) >>> 3]);
  setMutexProfileFraction(parts, f64[(at + O.mutexProfileFraction) >>> 3]);
  scheduler.tracebackAll = u32[(at + O.tracebackAll) >>> 2] !== 0;
}

type ProfiledThread = Pick<SettingsParts, "profiler" | "scheduler">;

export function setBlockProfileRate({ profiler, scheduler }: ProfiledThread, rate: number): void {
  profiler.setBlockProfileRate(rate);
  scheduler.blockProfileEnabled = rate > 0;
}

/** Returns the previous fraction. */
export function setMutexProfileFraction({ profiler, scheduler }: ProfiledThread, fraction: number): number {
  const old = profiler.setMutexProfileFraction(fraction);
  scheduler.mutexProfileEnabled = profiler.mutex.fraction > 0;
  return old;
}
