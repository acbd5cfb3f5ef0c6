/** The goroutines of tasks of one runtime, as one thread sees them. task.ts says what a task is. */
import type { Addr } from "@gort/memory";
import { lock, unlock } from "@gort/memory/internal";
import { labels as makeLabels } from "@gort/profiling/internal";
import type { Goroutine, Scheduler } from "@gort/scheduler";
import { syscall, TaskGoroutine, type TaskOrigin } from "@gort/scheduler/internal";
import type { Threads } from "@gort/threads";
import { HANDLE_CHAN, NODE_CALL, NODE_KIND, NODE_NEXT, NODE_TASK, TaskArgs } from "@gort/threads/internal";
import type { Type } from "@gort/types";
import type { Parts } from "./parts.ts";
import { type SharedBlock, WHAT_ENDED } from "./shared-block.ts";
import { runBody, type TaskEntry, type TaskFunction } from "./task.ts";
import { TaskFunctions, type Unloaded } from "./task-functions.ts";
import { TASK_AT, TaskPool, WAITER_AT } from "./task-records.ts";
import { Texts } from "./texts.ts";
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
  return tasks === undefined ? scheduler.newproc(entry.f, args, below) : tasks.start(entry, args, below);
}

/** What the threads share about tasks, once there are several. */
interface Shared {
  readonly threads: Threads;
  readonly block: SharedBlock;
  readonly texts: Texts;
  readonly pool: TaskPool;
  readonly functions: TaskFunctions;
}

export class Tasks {
  readonly #parts: Parts;
  readonly #args: TaskArgs;
  #shared: Shared | null = null;
  #ended = (): void => {};
  /** Records of the tasks that this thread runs. */
  readonly #running = new Set<number>();
  /** Arguments of tasks whose modules this thread loads. */
  readonly #undecoded = new Map<number, Addr>();
  /** Places of `go` calls, by the number of their text. */
  readonly #sites = new Map<number, NonNullable<TaskOrigin["site"]>>();
  /** What to call when a goroutine ends that another thread may run, by goid. */
  readonly #waiting = new Map<number, (() => void)[]>();

  constructor(parts: Parts) {
    this.#parts = parts;
    const openers = new Map([[HANDLE_CHAN, (addr: Addr, type: Type | null) => parts.chans.at(addr, type!)]]);
    this.#args = new TaskArgs(parts.types, openers, "runtime");
  }

  /** The runtime has several threads from now on. `ended` is called before a goroutine of a task ends here. */
  share(threads: Threads, block: SharedBlock, byName: boolean, ended: () => void): void {
    this.#ended = ended;
    const mem = threads.mem;
    const texts = new Texts(mem, block.texts);
    const pool = new TaskPool(mem, block.pool);
    const functions = new TaskFunctions(texts, byName, (loading) => threads.setBusy(loading));
    this.#shared = { threads, block, texts, pool, functions };
  }

  // ---- from the thread that starts a task

  /** See goTask. The rules hold on one thread too, so that a program does not fail when GOMAXPROCS grows. */
  start(entry: TaskEntry, args: readonly unknown[], below: unknown): Goroutine {
    const { machines, scheduler } = this.#parts;
    checkPlace(entry, machines.ownWorkers);
    const threads = machines.forTasks();
    if (threads === null || threads.gomaxprocs === 1) {
      return scheduler.newproc(entry.f, this.#args.local(nameOf(entry), args), below);
    }
    const shared = this.#shared!;
    const { block, pool, functions } = shared;
    const { u32, f64 } = threads.mem;
    const argsBlock = this.#args.encode(nameOf(entry), args);
    const labels = this.#encodeLabels(argsBlock);
    const task = pool.alloc();
    const goid = scheduler.newGoid();
    u32[(task + NODE_KIND) >>> 2] = NODE_TASK;
    u32[(task + TASK_AT.fn) >>> 2] = functions.numberOf(entry);
    u32[(task + TASK_AT.args) >>> 2] = argsBlock;
    u32[(task + TASK_AT.labels) >>> 2] = labels;
    f64[(task + TASK_AT.goid) >>> 3] = goid;
    f64[(task + TASK_AT.parentGoid) >>> 3] = scheduler.getg()?.goid ?? 0;
    u32[(task + TASK_AT.site) >>> 2] = this.#site(shared, entry, below);
    // The goroutine that starts it may have computed past the end of its program: no thread runs the task then.
    u32[(task + TASK_AT.program) >>> 2] = block.programOf(threads.m);
    u32[(task + TASK_AT.waiters) >>> 2] = 0;
    block.addQueued(1);
    threads.putTask(task);
    return new TaskGoroutine(scheduler, goid, (ended) => this.#watch(shared, task, goid, ended));
  }

  /** A task inherits the labels of the goroutine that starts it. If there is no memory, its arguments are dropped. */
  #encodeLabels(argsBlock: Addr): Addr {
    const labels = this.#parts.scheduler.getg()?.labels ?? null;
    if (labels === null) return 0 as Addr;
    try {
      const texts = [...labels].flat().map(String);
      return this.#args.encode("labels", texts);
    } catch (e) {
      this.#args.drop(argsBlock);
      throw e;
    }
  }

  #site({ texts }: Shared, entry: TaskEntry, below: unknown): number {
    const site = this.#parts.scheduler.taskSite(entry.f, below);
    return site === null ? 0 : texts.numberOf(JSON.stringify(site));
  }

  /** Calls `ended` when the goroutine has ended. */
  #watch({ threads, pool }: Shared, task: Addr, goid: number, ended: () => void): void {
    const { mem } = threads;
    const { u32, f64 } = mem;
    lock(mem, task + TASK_AT.lock);
    const lives = f64[(task + TASK_AT.goid) >>> 3] === goid;
    if (lives) {
      const waiter = pool.alloc();
      u32[(waiter + NODE_KIND) >>> 2] = NODE_CALL;
      u32[(waiter + WAITER_AT.what) >>> 2] = WHAT_ENDED;
      u32[(waiter + WAITER_AT.m) >>> 2] = threads.m;
      f64[(waiter + WAITER_AT.waitsFor) >>> 3] = goid;
      u32[(waiter + NODE_NEXT) >>> 2] = u32[(task + TASK_AT.waiters) >>> 2];
      u32[(task + TASK_AT.waiters) >>> 2] = waiter;
    }
    unlock(mem, task + TASK_AT.lock);
    if (!lives) {
      ended();
      return;
    }
    const waiting = this.#waiting.get(goid) ?? [];
    this.#waiting.set(goid, waiting);
    waiting.push(ended);
  }

  /** This thread has got a WAITER: the goroutine that it waits for has ended. */
  deliver(waiter: number): void {
    const { threads, pool } = this.#shared!;
    const goid = threads.mem.f64[(waiter + WAITER_AT.waitsFor) >>> 3];
    pool.free(waiter);
    const waiting = this.#waiting.get(goid);
    // Several WAITERs of one goroutine come one after the other: the first serves all.
    this.#waiting.delete(goid);
    for (const ended of waiting ?? []) ended();
  }

  // ---- on the thread that runs it

  /** Whether this thread may take a task. */
  get ready(): boolean {
    return this.#shared?.functions.loading !== true;
  }

  /** Starts the goroutine of a task that this thread has taken. */
  run(task: number): void {
    const { threads, block, functions } = this.#shared!;
    const { scheduler } = this.#parts;
    const { u32 } = threads.mem;
    if (u32[(task + TASK_AT.program) >>> 2] !== block.program) {
      this.drop(task);
      return;
    }
    const argsBlock = u32[(task + TASK_AT.args) >>> 2] as Addr;
    const found = functions.functionOf(u32[(task + TASK_AT.fn) >>> 2]);
    let f: TaskFunction;
    let args: unknown[] = [];
    if (typeof found === "function") {
      f = found;
      try {
        args = this.#args.decode(argsBlock);
      } catch (e) {
        f = () => {
          throw e;
        };
      }
    } else {
      f = this.#afterLoading(found, task, argsBlock);
    }
    const labelsBlock = u32[(task + TASK_AT.labels) >>> 2] as Addr;
    const labels = (labelsBlock as number) === 0 ? null : labelsOf(this.#args.decode(labelsBlock));
    this.#running.add(task);
    const onExit = (): void => {
      this.#ended();
      this.#running.delete(task);
      this.#dropUndecoded(task);
      this.#free(task);
    };
    scheduler.startTask(f, args, { ...this.#origin(task), labels, onExit });
  }

  /** Loads the module of a task and runs it. The module may declare the types of the arguments on this thread. */
  #afterLoading({ load }: Unloaded, task: number, argsBlock: Addr): TaskFunction {
    const undecoded = this.#undecoded;
    const args = this.#args;
    undecoded.set(task, argsBlock);
    return function* () {
      const f = yield* syscall(load());
      undecoded.delete(task);
      return yield* runBody(f, args.decode(argsBlock) as never[]);
    };
  }

  /** Drops the arguments of a task that ends before its module is loaded. */
  #dropUndecoded(task: number): void {
    const block = this.#undecoded.get(task);
    if (block === undefined) return;
    this.#undecoded.delete(task);
    this.#args.drop(block);
  }

  /** Frees a task of an ended program, which this thread has taken. */
  drop(task: number): void {
    const { u32 } = this.#shared!.threads.mem;
    for (const block of [TASK_AT.args, TASK_AT.labels]) this.#args.drop(u32[(task + block) >>> 2] as Addr);
    this.#free(task);
  }

  #origin(task: number): TaskOrigin {
    const { threads, texts } = this.#shared!;
    const { u32, f64 } = threads.mem;
    return {
      goid: f64[(task + TASK_AT.goid) >>> 3],
      parentGoid: f64[(task + TASK_AT.parentGoid) >>> 3],
      site: this.#siteOf(texts, u32[(task + TASK_AT.site) >>> 2]),
    };
  }

  #siteOf(texts: Texts, number: number): TaskOrigin["site"] {
    if (number === 0) return null;
    let site = this.#sites.get(number);
    if (site === undefined) {
      site = JSON.parse(texts.textOf(number)) as NonNullable<TaskOrigin["site"]>;
      this.#sites.set(number, site);
    }
    return site;
  }

  /** A task that no thread has taken, for a dump. The world is stopped. */
  describe(task: number): { origin: TaskOrigin; name: string } {
    const { threads, functions } = this.#shared!;
    const { u32 } = threads.mem;
    const name = functions.nameOf(u32[(task + TASK_AT.fn) >>> 2]);
    const labels = labelsOf(this.#args.peek(u32[(task + TASK_AT.labels) >>> 2] as Addr));
    return { origin: { ...this.#origin(task), labels }, name };
  }

  /** The goroutine of the task has ended: tells those that wait for it, and frees the record. */
  #free(task: number): void {
    const { threads, pool } = this.#shared!;
    const { mem, m } = threads;
    const { u32 } = mem;
    lock(mem, task + TASK_AT.lock);
    mem.f64[(task + TASK_AT.goid) >>> 3] = 0;
    let waiter = u32[(task + TASK_AT.waiters) >>> 2];
    unlock(mem, task + TASK_AT.lock);
    pool.free(task);
    while (waiter !== 0) {
      const next = u32[(waiter + NODE_NEXT) >>> 2];
      const to = u32[(waiter + WAITER_AT.m) >>> 2];
      if (to === m) this.deliver(waiter);
      else threads.post(to, waiter as Addr);
      waiter = next;
    }
  }

  /** This worker ends. */
  close(): void {
    this.#shared?.pool.close();
  }

  /** The program has ended, and all its goroutines with it. */
  endProgram(): void {
    this.#waiting.clear();
    const running = [...this.#running];
    this.#running.clear();
    for (const task of running) {
      this.#dropUndecoded(task);
      this.#free(task);
    }
  }
}

/** Labels from names and values in turn; null without any. */
function labelsOf(texts: readonly unknown[]): ReadonlyMap<string, string> | null {
  return texts.length === 0 ? null : makeLabels(...(texts as string[]));
}

function nameOf({ name }: TaskEntry): string {
  return name || "without a name";
}

/** @throws TypeError if another thread could not find the task */
function checkPlace(entry: TaskEntry, byName: boolean): void {
  if (byName) {
    if (entry.name !== "") return;
    throw new TypeError(
      `runtime: a task of ${entry.url} has no name, by which workers of the program find it: name the function, or ` +
        'give task(url, f, { name: "..." })',
    );
  }
  if (!entry.inMain) return;
  throw new TypeError(
    `runtime: task ${nameOf(entry)} is in the program's main module, which a worker would run again: ` +
      `move it to a module of its own (${entry.url})`,
  );
}
