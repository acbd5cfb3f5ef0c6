/** The goroutines of tasks of one runtime, on one thread. task.ts says what a task is. */
import { show } from "@gort/base";
import type { Goroutine, Scheduler } from "@gort/scheduler";
import { Slice, type TypedHeap } from "@gort/types";
import type { TaskEntry } from "./task.ts";
import type { RuntimeHooks } from "./wiring.ts";

/**
 * Starts a goroutine of a task. `below` is a function on the stack; its caller is the place of the `go` statement.
 *
 * @throws TypeError if another thread could not run the task
 */
export function goTask(
  scheduler: Scheduler,
  entry: TaskEntry,
  args: readonly unknown[],
  below: unknown,
): Goroutine {
  const { tasks } = scheduler.hooks as RuntimeHooks;
  // A scheduler without a runtime has one thread.
  if (tasks !== undefined) tasks.check(entry, args);
  return scheduler.newproc(entry.f, args, below);
}

export class Tasks {
  readonly #types: TypedHeap;

  constructor(types: TypedHeap) {
    this.#types = types;
  }

  /**
   * Checks a `go` statement. The rules hold on one thread too, so that a program does not fail when GOMAXPROCS grows.
   *
   * @throws TypeError if another thread could not run the task with these arguments
   */
  check(entry: TaskEntry, args: readonly unknown[]): void {
    const { name, url, inMain } = entry;
    if (inMain) {
      throw new TypeError(
        `runtime: task ${name || "without a name"} is in the program's main module, which a worker would run again: ` +
          `move it to a module of its own (${url})`,
      );
    }
    for (let i = 0; i < args.length; i++) {
      if (this.#isShareable(args[i])) continue;
      throw new TypeError(
        `runtime: argument ${i + 1} of task ${name || "without a name"} must be a number, boolean, bigint, string, ` +
          `null, undefined or a value of this heap (got ${show(args[i])})`,
      );
    }
  }

  #isShareable(x: unknown): boolean {
    if (typeof x === "object") return x === null || x instanceof Slice || this.#types.addressOf(x) !== 0;
    return typeof x !== "function" && typeof x !== "symbol";
  }
}
