// Tasks of stress.mjs.
import { defaultRuntime, gosched, sleep, task } from "@gort/runtime";

/** Adds i to the word at `at`, and 1 to the next one. Some yield first, or sleep. */
export const add = task(import.meta.url, function* add(at, i) {
  if (i % 7 === 0) yield* gosched();
  if (i % 501 === 0) yield* sleep(1);
  const { kernel } = defaultRuntime().memory;
  kernel.add(at, i);
  kernel.add(at + 4, 1);
});

/** Starts the tasks from `from` to `to`. */
export const spread = task(import.meta.url, function* spread(at, from, to) {
  for (let i = from; i < to; i++) {
    defaultRuntime().go(add, at, i);
    if (i % 64 === 0) yield* gosched();
  }
});
