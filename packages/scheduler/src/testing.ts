/**
 * `@gort/scheduler/testing`: virtual time, and checks for tests.
 *
 * A test scheduler runs synchronously: goroutines run only in `run`, `advance` and `runMain`, and as far as they can.
 * Time stands still while goroutines run. `advance` moves it, and `runMain` moves it to the next timer whenever all
 * goroutines wait, as a bubble of Go's testing/synctest does.
 */

import { schedCounters } from "./counters.ts";
import type { Clock, TaskQueue } from "./host.ts";
import { gopark, type Operation, OwnOp } from "./op.ts";
import type { SchedulerOptions } from "./options.ts";
import { type G, G_HOST, G_SYSTEM, Gdead, Gsyscall, Gwaiting } from "./runtime2.ts";
import { Scheduler } from "./scheduler.ts";
import { dumpOthers } from "./traceback.ts";
import { waitReasonSynctestWait } from "./wait-reasons.ts";

// This export makes the entry need the whole package. The build then makes one chunk, and a program loads fewer files.
export { currentScheduler } from "./default.ts";

interface FakeTimer {
  when: number;
  seq: number;
  fn: () => void;
}

/** A clock that moves only when a test sets it. */
export class FakeClock implements Required<Clock> {
  private t = 0;
  private readonly epoch: number;
  private seq = 0;
  private readonly timers = new Set<FakeTimer>();

  /** `epoch`: the value of `wall` at time 0. The default is the first day of 2000, as in synctest. */
  constructor(epoch = Date.UTC(2000, 0, 1)) {
    this.epoch = epoch;
  }

  now(): number {
    return this.t;
  }
  wall(): number {
    return this.epoch + this.t;
  }
  setTimer(fn: () => void, ms: number, _ref: boolean): unknown {
    const timer = { when: this.t + ms, seq: this.seq++, fn };
    this.timers.add(timer);
    return timer;
  }
  clearTimer(handle: unknown): void {
    this.timers.delete(handle as FakeTimer);
  }

  /** Time of the earliest timer, or Infinity. */
  get next(): number {
    let t = Infinity;
    for (const x of this.timers) t = Math.min(t, x.when);
    return t;
  }

  /** Moves time without firing timers. */
  set(t: number): void {
    if (t < this.t) throw new RangeError(`scheduler: time does not go back (got ${t}, it is ${this.t})`);
    this.t = t;
  }

  /** Fires the earliest timer if it is due. */
  fireNext(): boolean {
    let first: FakeTimer | null = null;
    for (const x of this.timers) {
      if (first === null || x.when < first.when || (x.when === first.when && x.seq < first.seq)) first = x;
    }
    if (first === null || first.when > this.t) return false;
    this.timers.delete(first);
    first.fn();
    return true;
  }
}

class FakeTasks implements TaskQueue {
  private readonly queue: (() => void)[] = [];
  task(fn: () => void): void {
    this.queue.push(fn);
  }
  microtask(fn: () => void): void {
    this.queue.push(fn);
  }
  runAll(): void {
    for (let f = this.queue.shift(); f !== undefined; f = this.queue.shift()) f();
  }
}

class SynctestWaitOp extends OwnOp<void> {
  private readonly t: TestScheduler;
  constructor(t: TestScheduler) {
    super();
    this.t = t;
  }
  get what(): string {
    return "synctest wait";
  }
  protected start(g: G): boolean {
    if (this.t.waiter !== null) throw new Error("scheduler: wait is already in progress");
    this.t.waiter = g;
    // `run` wakes it when all others wait, so that is no deadlock.
    this.t.hostWaits(1);
    gopark(g, this, waitReasonSynctestWait);
    return false;
  }
  protected hostScheduler(): Scheduler {
    return this.t;
  }
}

/** A scheduler under virtual time. Its own methods are synchronous; Scheduler has the others. */
export class TestScheduler extends Scheduler {
  readonly fakeClock: FakeClock;
  /** Text written to standard error. */
  readonly errors: string[];
  private readonly fakeTasks: FakeTasks;
  /** The goroutine in `wait`. */
  waiter: G | null = null;

  constructor(options: SchedulerOptions = {}) {
    const clock = new FakeClock();
    const tasks = new FakeTasks();
    const errors: string[] = [];
    super({ seed: 1, deadlock: "eager", stderr: (text) => errors.push(text), ...options, clock, tasks });
    this.fakeClock = clock;
    this.fakeTasks = tasks;
    this.errors = errors;
  }

  /** A `wait` begins (1) or ends (-1). It counts as host code that awaits an op, so that it is no deadlock. */
  hostWaits(change: 1 | -1): void {
    this.nhost += change;
  }

  /** Runs goroutines until all wait. */
  run(): void {
    for (;;) {
      this.fakeTasks.runAll();
      const g = this.waiter;
      if (g === null || !this.isIdle) return;
      this.waiter = null;
      this.hostWaits(-1);
      this.ready(g);
    }
  }

  /** Runs goroutines until all wait, and moves time by `ms`, stopping at every timer on the way. */
  advance(ms: number): void {
    const end = this.fakeClock.now() + ms;
    this.run();
    while (this.fakeClock.next <= end) {
      this.fakeClock.set(this.fakeClock.next);
      this.fakeClock.fireNext();
      this.run();
    }
    this.fakeClock.set(end);
  }

  /**
   * Runs `f` as the main goroutine to its end. Moves time whenever all goroutines wait. Returns its result or throws.
   */
  runMain<T>(f: () => Generator<undefined, T, unknown> | T): T {
    let end: { value: T } | { error: unknown } | null = null;
    this.startMain(
      f,
      (value) => {
        end = { value };
      },
      (error) => {
        end = { error };
      },
    );
    for (;;) {
      this.run();
      const e = end as { value: T } | { error: unknown } | null;
      if (e !== null) {
        if ("error" in e) throw e.error;
        return e.value;
      }
      const next = this.fakeClock.next;
      if (next === Infinity) {
        throw new Error(
          `scheduler: main waits for something outside of virtual time\n\n${dumpOthers(this, null)}`,
        );
      }
      this.fakeClock.set(next);
      this.fakeClock.fireNext();
    }
  }

  /** In a goroutine: waits until every other goroutine waits. */
  wait(): Operation<void> {
    return new SynctestWaitOp(this);
  }
}

/** A scheduler under virtual time. */
export function createTestScheduler(options: SchedulerOptions = {}): TestScheduler {
  return new TestScheduler(options);
}

/** Runs `f` as a main goroutine under virtual time. */
export function synctest<T>(f: (t: TestScheduler) => Generator<undefined, T, unknown> | T): T {
  const t = new TestScheduler();
  return t.runMain(() => f(t));
}

/** Throws with a dump if more than `allowed` goroutines exist. */
export function expectNoLeakedGoroutines(s: Scheduler, allowed = 0): void {
  if (s.numGoroutine() <= allowed) return;
  throw new Error(`scheduler: ${s.numGoroutine()} goroutines left\n\n${dumpOthers(s, null)}`);
}

/** Checks the invariants of a scheduler that is not running. */
export function verifyScheduler(s: Scheduler): void {
  const fail = (what: string): never => {
    throw new Error(`scheduler: ${what}`);
  };
  let users = 0;
  let notInGo = 0;
  for (const [i, g] of s.gs().entries()) {
    if (g.allIndex >= 0 && g.allIndex !== i) fail(`g ${g.goid} is at ${i}, not at ${g.allIndex}`);
    if (g.sudog !== null && (g.sudog.q !== null || g.sudog.g !== g)) {
      fail(`sudog that g ${g.goid} keeps is in use`);
    }
    if (g.atomicstatus === Gdead) {
      if (g.gen !== null || g.waiting !== null || g.shared !== null) {
        fail(`dead g ${g.goid} holds a body or a wait`);
      }
      continue;
    }
    if ((g.flags & (G_SYSTEM | G_HOST)) === 0) {
      users++;
      if (g.atomicstatus === Gsyscall) notInGo++;
    }
    if (g.atomicstatus === Gwaiting && g.waitOp === null) fail(`waiting g ${g.goid} has no op`);
    for (let sg = g.waiting; sg !== null; sg = sg.waitlink) {
      if (sg.g !== g) fail(`sudog of g ${g.goid} names another goroutine`);
      if (sg.q !== null) {
        let found = false;
        for (let x = sg.q.first; x !== null; x = x.next) found ||= x === sg;
        if (!found) fail(`sudog of g ${g.goid} is not in its queue`);
      }
    }
  }
  if (users !== s.ngoroutines) fail(`${s.ngoroutines} goroutines counted, ${users} found`);
  if (notInGo !== s.nnotInGo) fail(`${s.nnotInGo} goroutines in system calls counted, ${notInGo} found`);
  const c = s.readCounters();
  const states =
    c[schedCounters.goroutinesNotInGo] +
    c[schedCounters.goroutinesRunnable] +
    c[schedCounters.goroutinesRunning] +
    c[schedCounters.goroutinesWaiting];
  // The states also count runnable goroutines of the runtime and of host code.
  if (states < c[schedCounters.goroutines]) {
    fail(`${c[schedCounters.goroutines]} goroutines, ${states} in all states`);
  }
}
