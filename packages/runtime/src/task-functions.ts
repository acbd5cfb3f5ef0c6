/**
 * The functions of tasks on the thread that runs them. task.ts says what identifies a task; the identity is a text that
 * all threads know by number:
 *
 *     ["url", index, "name"]
 *
 * A thread looks for the function among the tasks of its own modules. If the module is not loaded yet, the goroutine
 * loads it. Until then the thread takes no more tasks (`onLoading`): they would wait here for the same module, and then
 * run one after the other, while other threads are idle. In a program with its own `workers` the modules are bundled
 * and cannot be loaded by their URL. There the worker's module imports them, and the name counts.
 */
import { loadExport, loadModule } from "./modules.ts";
import { type TaskEntry, type TaskFunction, taskNamed, tasksOf } from "./task.ts";
import type { Texts } from "./texts.ts";

/** A function of a module that this thread may not have loaded yet. */
export interface Unloaded {
  load(): Promise<TaskFunction>;
}

export class TaskFunctions {
  readonly #texts: Texts;
  readonly #byName: boolean;
  readonly #numbers = new Map<TaskEntry, number>();
  readonly #functions = new Map<number, TaskFunction>();

  readonly #onLoading: (loading: boolean) => void;
  #loading = 0;

  /**
   * @param byName the program has its own `workers`
   * @param onLoading called when this thread begins to load modules of tasks, and when it has loaded them
   */
  constructor(texts: Texts, byName: boolean, onLoading: (loading: boolean) => void) {
    this.#texts = texts;
    this.#byName = byName;
    this.#onLoading = onLoading;
  }

  /** Whether this thread loads a module of a task. */
  get loading(): boolean {
    return this.#loading > 0;
  }

  /** The goroutine that waits may be ended meanwhile, so the promise counts. */
  #load<T>(loaded: Promise<T>): Promise<T> {
    if (++this.#loading === 1) this.#onLoading(true);
    const end = (): void => {
      if (--this.#loading === 0) this.#onLoading(false);
    };
    loaded.then(end, end);
    return loaded;
  }

  numberOf(entry: TaskEntry): number {
    let number = this.#numbers.get(entry);
    if (number === undefined) {
      const { url, index, name } = entry;
      number = this.#texts.numberOf(JSON.stringify([url, index, name]));
      this.#numbers.set(entry, number);
      // The function of a call of `parallel` is in a module that this thread need not have loaded.
      if (index >= 0) this.#functions.set(number, entry.f);
    }
    return number;
  }

  /** The function of a task that any thread has started. If it cannot be found, its loading fails. */
  functionOf(number: number): TaskFunction | Unloaded {
    const known = this.#functions.get(number);
    if (known !== undefined) return known;
    try {
      return this.#find(number);
    } catch (e) {
      return { load: () => Promise.reject(e) };
    }
  }

  /** The name of the function, for dumps. */
  nameOf(number: number): string {
    return (JSON.parse(this.#texts.textOf(number)) as [string, number, string])[2];
  }

  #find(number: number): TaskFunction | Unloaded {
    const [url, index, name] = JSON.parse(this.#texts.textOf(number)) as [string, number, string];
    const keep = (f: TaskFunction): TaskFunction => {
      this.#functions.set(number, f);
      return f;
    };
    if (this.#byName) return keep(namedTask(url, name));
    if (index < 0) return this.#unloaded(async () => keep(await loadExport(url, name)));
    const known = tasksOf(url)[index];
    if (known !== undefined) return keep(sameTask(known, name));
    return this.#unloaded(async () => {
      await loadModule(url);
      const loaded = tasksOf(url)[index];
      if (loaded !== undefined) return keep(sameTask(loaded, name));
      const n = tasksOf(url).length;
      throw new TypeError(
        `runtime: module ${url} has made ${n} task${n === 1 ? "" : "s"} on this thread, but task ` +
          `${name || "without a name"} is number ${index + 1}: make tasks at the top of the module, on every thread`,
      );
    });
  }

  /** Loading begins when the goroutine of the task runs. */
  #unloaded(load: () => Promise<TaskFunction>): Unloaded {
    return { load: () => this.#load(load()) };
  }
}

function sameTask(found: TaskEntry, name: string): TaskFunction {
  if (found.name === name) return found.f;
  const shown = (n: string): string => n || "one without a name";
  throw new TypeError(
    `runtime: number ${found.index + 1} of the tasks of ${found.url} is ${shown(found.name)} on this thread, ` +
      `but ${shown(name)} on another: make the same tasks on every thread`,
  );
}

function namedTask(url: string, name: string): TaskFunction {
  const found = taskNamed(name);
  if (found === "several") {
    throw new TypeError(
      `runtime: several tasks are named ${name}: give each a name, as in task(import.meta.url, f, { name: "sum" })`,
    );
  }
  if (found === undefined) {
    throw new TypeError(
      `runtime: this worker has no task named ${name} (of ${url}): import its module in the module of the workers`,
    );
  }
  return found.f;
}
