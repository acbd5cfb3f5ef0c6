/**
 * A double for several threads. All of them run on this one, a task of an event loop at a time, in an order that the
 * test chooses. While one of them runs a slice, `World.interrupt` may let others run a step, so that they compete for
 * Ps, tasks and nodes.
 */

import { SCHED_COUNTERS_LENGTH, schedCounters } from "../src/counters.ts";
import { Scheduler, type SchedulerOptions } from "../src/index.ts";
import { threadFigures } from "../src/schedtrace.ts";
import {
  GOID_BLOCK,
  type GoroutineDump,
  type SchedFigures,
  type TaskOrigin,
  THREADS_HOPE,
  THREADS_RUN,
  type ThreadLink,
} from "../src/thread-link.ts";
import { dumpHere, dumpTask } from "../src/traceback.ts";

type Body = (...args: never[]) => unknown;

interface Task extends TaskOrigin {
  f: Body;
  args: unknown[];
}

export class World {
  readonly threads: FakeThread[] = [];
  gomaxprocs: number;
  /** Threads that wait for a P, first come first served. */
  readonly queue: FakeThread[] = [];
  /** Tasks that no thread has taken. */
  readonly tasks: Task[] = [];
  goids = 1;
  now = 0;
  /** Called where other threads may run meanwhile. */
  interrupt: () => void = () => {};
  /** Reasons of stops; "" for each start. */
  readonly stops: string[] = [];

  constructor(gomaxprocs: number) {
    this.gomaxprocs = gomaxprocs;
  }

  /** Makes a thread, attached or not, with the time of the world or of the host. */
  thread(options: SchedulerOptions = {}, { attach = true, hostTime = false } = {}): FakeThread {
    const t = new FakeThread(this, this.threads.length, options, hostTime);
    this.threads.push(t);
    if (attach) t.s.attachLink(t);
    return t;
  }

  /** Threads that hold a P. */
  get running(): number {
    return this.threads.filter((t) => t.hasP).length;
  }

  /** Puts a task into the queue, and wakes the first sleeping thread. */
  go(from: FakeThread, f: Body, ...args: unknown[]): number {
    const goid = from.s.newGoid();
    const parentGoid = from.s.getg()?.goid ?? 0;
    this.tasks.push({ f, args, goid, parentGoid, site: { func: "main.main", file: "main.ts", line: 7 } });
    this.threads.find((t) => t.sleeping && !t.waiting && !t.locked)?.call();
    return goid;
  }

  /** Lets threads run, `pick` among those with a task of the event loop, until none has one. */
  run(pick: (n: number) => number = () => 0): void {
    for (;;) {
      const ready = this.threads.filter((t) => t.loop.length > 0);
      if (ready.length === 0) return;
      ready[pick(ready.length)].step();
    }
  }

  /** Moves time to the earliest timer of the threads and fires it. Returns false if there is none. */
  fireNext(): boolean {
    const timers = this.threads.flatMap((t) => [...t.timers]);
    if (timers.length === 0) return false;
    const first = timers.reduce((a, b) => (b.when < a.when ? b : a));
    this.now = Math.max(this.now, first.when);
    for (const t of this.threads) t.timers.delete(first);
    first.fn();
    return true;
  }
}

interface FakeTimer {
  when: number;
  fn: () => void;
}

export class FakeThread implements ThreadLink {
  readonly s: Scheduler;
  readonly world: World;
  readonly m: number;
  /** Tasks of the event loop. */
  readonly loop: (() => void)[] = [];
  readonly timers = new Set<FakeTimer>();
  readonly counters = new Float64Array(SCHED_COUNTERS_LENGTH);
  /** Text on standard error. */
  readonly errors: string[] = [];
  /** Calls of the scheduler, each as `name(argument)`, if a test wants them. */
  log: string[] | null = null;
  /** Nodes: code that `poll` runs. */
  readonly inbox: (() => void)[] = [];
  hasP = false;
  /** It is in the queue for a P. */
  waiting = false;
  sleeping = false;
  locked = false;
  hopes = false;
  goid = 0;
  ticks = 0;
  /** The answer to `activityOfOthers`; computed without one. */
  activity: number | null = null;
  private wake: () => void = () => {};

  constructor(world: World, m: number, options: SchedulerOptions, hostTime: boolean) {
    this.world = world;
    this.m = m;
    const clock = {
      now: () => (world.now += 1 / 128),
      setTimer: (fn: () => void, ms: number) => {
        const timer = { fn, when: world.now + ms };
        this.timers.add(timer);
        return timer;
      },
      clearTimer: (timer: unknown) => this.timers.delete(timer as FakeTimer),
    };
    this.s = new Scheduler({
      seed: 1,
      deadlock: "off",
      counters: this.counters,
      stderr: (text) => this.errors.push(text),
      ...(hostTime ? {} : { clock }),
      ...options,
      tasks: { task: (f) => this.loop.push(f), microtask: (f) => this.loop.unshift(f) },
    });
  }

  /** Runs a task of the event loop. */
  step(): void {
    this.loop.shift()!();
  }

  /** Gives the thread a node. */
  post(f: () => void): void {
    this.inbox.push(f);
    this.call();
  }

  /** Wakes the thread if it sleeps. */
  call(): void {
    if (!this.sleeping) return;
    this.sleeping = false;
    this.loop.push(this.wake);
  }

  private note(text: string): void {
    this.log?.push(text);
  }

  // ---- as the scheduler sees it

  get threads(): number {
    return this.world.threads.length;
  }

  get pending(): boolean {
    return this.inbox.length > 0;
  }

  poll(): void {
    this.note("poll");
    for (const f of this.inbox.splice(0)) f();
  }

  stopTheWorld(reason: string): void {
    this.world.stops.push(reason);
  }

  startTheWorld(): void {
    this.world.stops.push("");
  }

  acquireP(): boolean {
    const { world } = this;
    if (!this.hasP && world.running < world.gomaxprocs) {
      this.hasP = true;
      if (this.waiting) world.queue.splice(world.queue.indexOf(this), 1);
      this.waiting = false;
    } else if (!this.hasP && !this.waiting) {
      this.waiting = true;
      world.queue.push(this);
    }
    this.note(`acquireP(${this.hasP})`);
    return this.hasP;
  }

  get gomaxprocs(): number {
    return this.world.gomaxprocs;
  }

  /** Threads that hold a P too many lose it. */
  setGomaxprocs(n: number): void {
    const { world } = this;
    world.stops.push(`GOMAXPROCS ${n}`);
    world.gomaxprocs = n;
    for (const t of world.threads.filter((x) => x.hasP).slice(n)) t.hasP = false;
    for (const t of world.queue) t.call();
  }

  releaseP(ticks: number): void {
    this.note(`releaseP(${ticks})`);
    this.ticks += ticks;
    if (!this.hasP) return;
    this.hasP = false;
    this.world.queue[0]?.call();
  }

  /** What `spin` does. */
  spin: (tasks: boolean) => boolean = () => false;

  nextTask(idle: boolean): boolean {
    this.note(`nextTask(${idle})`);
    this.world.interrupt();
    const task = this.world.tasks.shift();
    if (task === undefined) return false;
    this.s.startTask(task.f, task.args, task);
    return true;
  }

  handOver(): void {
    this.note("handOver");
  }

  setLocked(locked: boolean): void {
    this.note(`setLocked(${locked})`);
    this.locked = locked;
  }

  sleep(wake: () => void): void {
    this.note("sleep");
    this.wake = wake;
    this.sleeping = true;
    const { world } = this;
    const free = this.waiting && world.running < world.gomaxprocs;
    if (this.pending || free || (!this.waiting && !this.locked && world.tasks.length > 0)) this.call();
  }

  awake(): void {
    this.sleeping = false;
  }

  setHopes(on: boolean): void {
    this.hopes = on;
  }

  activityOfOthers(_exact: boolean): number {
    if (this.activity !== null) return this.activity;
    let all = this.world.tasks.length > 0 ? THREADS_RUN : 0;
    for (const t of this.world.threads) {
      if (t === this) continue;
      if (!t.sleeping || t.waiting || t.pending) all |= THREADS_RUN;
      if (t.hopes) all |= THREADS_HOPE;
    }
    return all;
  }

  running(goid: number): void {
    this.goid = goid;
    this.world.interrupt();
  }

  nextGoids(after: number): number {
    const { world } = this;
    const first = Math.max(world.goids, after) + 1;
    world.goids = first + GOID_BLOCK - 1;
    return first;
  }

  /** The other threads, as in a stopped world. */
  private get others(): FakeThread[] {
    return this.world.threads.filter((t) => t !== this);
  }

  get goroutines(): number {
    return this.others.reduce((n, t) => n + t.s.ngoroutines, this.world.tasks.length);
  }

  get cgoCalls(): number {
    return this.others.reduce((n, t) => n + t.s.ncgocall, 0);
  }

  addCounters(sum: Float64Array): void {
    for (const t of this.others) {
      for (let i = 0; i < sum.length; i++) if (i !== schedCounters.gomaxprocs) sum[i] += t.counters[i];
    }
    sum[schedCounters.goroutines] += this.world.tasks.length;
    sum[schedCounters.goroutinesRunnable] += this.world.tasks.length;
  }

  dumps(all: boolean): GoroutineDump[] {
    const tasks = this.world.tasks.map((task) => dumpTask(task, task.f.name));
    return this.others.flatMap((t) => dumpHere(t.s, null, all)).concat(tasks);
  }

  /** All tasks are in the global queue, and the threads that hold a P come first. */
  figures(detail: boolean): SchedFigures {
    const { threads, gomaxprocs, tasks } = this.world;
    const holders = threads.filter((t) => t.hasP);
    const ps = Array.from({ length: gomaxprocs }, (_, i) => ({
      m: holders[i]?.m ?? -1,
      tasks: 0,
      schedtick: holders[i]?.ticks ?? 0,
    }));
    return { ps, ms: this.others.map((t) => threadFigures(t.s, detail)), tasks: tasks.length, spinning: 0 };
  }
}
