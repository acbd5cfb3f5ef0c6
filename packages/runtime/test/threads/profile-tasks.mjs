// Tasks of profile-cases.mjs.
import {
  defaultRuntime,
  gosched,
  setBlockProfileRate,
  setMutexProfileFraction,
  sleep,
  task,
} from "@gort/runtime";
import { setMaxStack, setTraceback } from "@gort/runtime/debug";

const { url } = import.meta;

/**
 * Returns when `n` tasks have come here, each on a thread of its own: a task that waits here does not let others run on
 * its thread. `at` is a word that is 0 at first.
 */
export function meet(at, n) {
  const { kernel } = defaultRuntime().memory;
  kernel.add(at, 1);
  const end = performance.now() + 10_000;
  while (kernel.load(at) < n) if (performance.now() > end) throw new Error(`not ${n} threads`);
}

/** Waits until the word at `at` is `value`. */
export function* until(at, value) {
  const { kernel } = defaultRuntime().memory;
  while (kernel.load(at) !== value) yield* sleep(1);
}

/** The settings of this thread, as numbers. */
export function settingsHere() {
  const rt = defaultRuntime();
  const { block, mutex, memProfileRate } = rt.profiler;
  return [block.rate, mutex.fraction, memProfileRate, rt.maxStack, rt.scheduler.tracebackAll ? 1 : 0];
}

/**
 * One of `n` tasks, each on a thread. When the word after `at` is 1, it stores the settings of its thread at `to`.
 * Then, if `changes`, it changes them.
 */
export const settings = task(url, function* settings(at, n, to, changes) {
  const rt = defaultRuntime();
  const { kernel, f64 } = rt.memory;
  meet(at, n);
  yield* until(at + 4, 1);
  settingsHere().forEach((value, i) => {
    f64[(to >>> 3) + i] = value;
  });
  kernel.add(at + 8, 1);
  yield* until(at + 4, 2);
  if (changes) {
    setBlockProfileRate(7);
    setMutexProfileFraction(8);
    rt.memProfileRate = 9;
    setMaxStack(1 << 20);
    setTraceback("all");
    kernel.store(at + 4, 3);
  }
  yield* until(at + 4, 3);
  settingsHere().forEach((value, i) => {
    f64[(to >>> 3) + i] = value;
  });
  yield* gosched();
});
