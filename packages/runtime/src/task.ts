/**
 * Tasks: goroutines that any thread can run.
 *
 * A closure stays on the thread that made it. So `go(f)` starts a goroutine on the caller's thread. A task is a
 * function that every thread finds by itself: at the top of a module, `task(import.meta.url, function* ...)` gives it
 * an identity. Another thread imports the module, which calls `task` again, and knows the function by the same
 * identity.
 *
 *     identity     of a call of `task`         the module's URL, and the number of the call among those of the module;
 *                                              or, in bundled programs, the name of the function
 *                  of a call of `parallel`     the module's URL, and the name of an export
 *
 * `task` returns the function itself, with a mark. So a task can also be called, and `go` knows it by one load. A
 * program without tasks does not even pay for that load.
 *
 * This file has the registry of a thread. tasks.ts starts goroutines of tasks.
 */
import { show } from "@gort/base";
import type { NotAsync } from "@gort/scheduler";
import { checkFunction, checkResult, isBody, syscall } from "@gort/scheduler/internal";
import { isMainModule, loadExport, moduleURL } from "./modules.ts";

/** The mark of a task: its entry in the registry. */
const mark: unique symbol = Symbol("gort.task");

/** A function that any thread can run as a goroutine: `go(t, ...args)`. Called, it runs as any other function. */
export interface Task<A extends readonly unknown[], R = unknown> {
  (...args: A): R;
  readonly [mark]: TaskEntry;
}

/** What every other function is: `go` takes its arguments as they are. */
export interface NotTask {
  readonly [mark]?: never;
}

export type TaskFunction = (...args: never[]) => unknown;

/** A task as this thread knows it. */
export interface TaskEntry {
  /** URL of the module that has the function. */
  readonly url: string;
  /** Name of the function, for messages and for the search in bundled programs. "" if it has none. */
  readonly name: string;
  /** Number of the call of `task` among those with this URL, from 0; -1 for an export. */
  readonly index: number;
  readonly f: TaskFunction;
  /** Whether the module is the program's main module. */
  readonly inMain: boolean;
}

export interface TaskOptions {
  /**
   * Name by which other threads find the task in a bundled program (see the option `workers` of `createRuntime`).
   * Default: the function's name. Give one if the bundler shortens names.
   */
  name?: string;
}

/** Entries of a module, in the order of the calls of `task`. */
const byModule = new Map<string, TaskEntry[]>();
const byName = new Map<string, TaskEntry | "several">();
/** Whether this thread has a task: `go` looks for the mark only then. */
let any = false;

function addMark(f: TaskFunction, entry: TaskEntry): void {
  Object.defineProperty(f, mark, { value: entry });
  any = true;
}

/**
 * Makes a function a task, which any thread can run: `go(t, ...args)`. Call it at the top of a module that is not the
 * program's main module, each time the module is loaded, with `import.meta.url`. The function gets its arguments on
 * another thread. So `go` takes numbers, strings and the like, values of the heap, and copies of other values:
 * `clone(x)`.
 *
 *     // sums.ts
 *     export const sum = task(import.meta.url, function* (numbers: Slice<typeof int>, result: Ref<typeof Total>) {
 *       for (const n of numbers) result.value += n;
 *     });
 *
 *     // main.ts
 *     go(sum, numbers, total);
 *
 * @throws TypeError for a URL that is none, or a function that `go` would refuse too
 */
export function task<A extends readonly unknown[], R = unknown>(
  url: string | URL,
  f: (...args: A) => NotAsync<R>,
  options: TaskOptions = {},
): Task<A, R> {
  const module = moduleURL("task", url);
  checkFunction("task", f, "runtime");
  const name = nameOf(f, options);
  if (!Object.isExtensible(f) || mark in f) {
    const why = mark in f ? "is a task already" : "is frozen, so it cannot be marked";
    throw new TypeError(`runtime: task needs a function of its own (${name || "the function"} ${why})`);
  }
  const entries = byModule.get(module) ?? [];
  byModule.set(module, entries);
  const entry: TaskEntry = { url: module, name, index: entries.length, f, inMain: isMainModule(module) };
  entries.push(entry);
  byName.set(name, byName.has(name) ? "several" : entry);
  addMark(f, entry);
  return f as unknown as Task<A, R>;
}

function nameOf(f: TaskFunction, options: unknown): string {
  if (options === null || typeof options !== "object") {
    throw new TypeError(`runtime: options of task must be an object (got ${show(options)})`);
  }
  const { name = f.name } = options as TaskOptions;
  if (typeof name !== "string") {
    throw new TypeError(`runtime: name of task must be a string (got ${show(name)})`);
  }
  return name;
}

/**
 * A task that is an exported function of a module. The module is loaded when a thread first runs the task, so the
 * caller need not import it. `F` is the type of the export.
 *
 *     const sum = parallel<typeof import("./sums.ts").sum>(new URL("./sums.ts", import.meta.url), "sum");
 *     go(sum, numbers, total);
 *
 * If the module cannot be loaded or has no such function, the goroutine panics.
 *
 * @throws TypeError for a URL that is none
 */
export function parallel<F extends (...args: never[]) => unknown>(
  url: string | URL,
  name: string,
): Task<Parameters<F>, Generator<undefined, unknown>> {
  const module = moduleURL("parallel", url);
  if (typeof name !== "string" || name === "") {
    throw new TypeError(`runtime: parallel needs the name of an export (got ${show(name)})`);
  }
  // A call of its own runs the export, too: the generator function loads the module first.
  const f = exportRunner(() => loadExport(module, name));
  addMark(f, { url: module, name, index: -1, f, inMain: isMainModule(module) });
  return f as unknown as Task<Parameters<F>, Generator<undefined, unknown>>;
}

/** The task's entry; null if `f` is no task. */
export function taskOf(f: unknown): TaskEntry | null {
  if (!any || typeof f !== "function") return null;
  return (f as { [mark]?: TaskEntry })[mark] ?? null;
}

/** A function that loads the export of a module and runs it. */
export function exportRunner(load: () => Promise<(...args: never[]) => unknown>): TaskFunction {
  return function* (...args: never[]): Generator<undefined, unknown> {
    return yield* runBody(yield* syscall(load()), args);
  };
}

/** The name of `runBody` on V8's stacks. */
export const BODY_MARKER = "gort:body";

/**
 * Runs a function as `go` does, in a goroutine that exists. In profiles its stack ends here, so that a task has the
 * same stack whether its goroutine has loaded the module or not.
 */
export const { [BODY_MARKER]: runBody } = {
  *[BODY_MARKER](f: TaskFunction, args: never[]): Generator<undefined, unknown> {
    const r = f(...args);
    if (isBody(r)) return yield* r;
    checkResult("go", f, r, "runtime");
    return r;
  },
};

/** The tasks that a module has made on this thread, in their order. */
export function tasksOf(url: string): readonly TaskEntry[] {
  return byModule.get(url) ?? [];
}

/** The task of this thread that has the name, if there is one. */
export function taskNamed(name: string): TaskEntry | "several" | undefined {
  return byName.get(name);
}
