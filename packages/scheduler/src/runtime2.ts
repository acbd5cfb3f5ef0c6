/**
 * The records that the scheduler is made of, as in Go's runtime2.go. The names and states are Go's.
 *
 *     G       a goroutine
 *     M       a thread
 *     P       the right to run goroutines, with its run queue
 *     Sudog   a G's place in one wait queue
 *     Schedt  the scheduler as the other records know it
 *
 * These records refer to each other, so their types stand in one file. The files with code for them import this
 * one, and it imports none that knows of goroutines.
 */

import type { FatalError } from "@gort/base";
import type { Frame, StackHolder, Symbolize } from "./frames.ts";
import type { Clock } from "./host.ts";
import type { LockWaits } from "./lock-waits.ts";
import type { GStack, GStacks } from "./stack-tree.ts";
import type { ThreadLink } from "./thread-link.ts";
import type { RuntimeTimer, TimerHeap } from "./timer-heap.ts";
import { waitReasonZero } from "./wait-reasons.ts";

/** Statuses of a G. `Gscan` and `Gcopystack` have no meaning here: no thread scans or moves our stacks. */
export const Gidle = 0;
export const Grunnable = 1;
export const Grunning = 2;
export const Gsyscall = 3;
export const Gwaiting = 4;
export const Gdead = 6;
export const Gpreempted = 9;

/** Kinds of goroutine, as bits of `G.flags`. */
export const G_MAIN = 1;
/** Serves the runtime: not counted, does not keep the process alive, takes no part in a deadlock. */
export const G_SYSTEM = 2;
/** Runs an op that host code awaits: not counted. While one exists there is no deadlock. */
export const G_HOST = 4;
/** Deferred calls of the goroutine itself are running. */
export const G_UNWINDING = 8;
/** A goroutine of the runtime that runs a finalizer, or a cleanup, of the user. */
export const G_FINALIZER = 16;
export const G_CLEANUP = 32;

/**
 * A goroutine. Gs are pooled: an ended G is used again under a new `goid`. Code that holds a G for longer than a wait
 * therefore keeps its `goid` beside it.
 *
 * All fields are set in the constructor, in this order, and keep their representation: small integers, or an object or
 * null. If a field held a fraction, each store would cost an allocation.
 */
export class G {
  readonly sched: Schedt;
  goid = 0;
  atomicstatus: number = Gidle;
  waitreason: number = waitReasonZero;
  /**
   * When the wait began, in whole seconds of the scheduler's coarse clock. Once `stack` is the stack of this wait, -1
   * minus that number (see gstack.ts).
   */
  waitsince = 0;
  /** The suspended body; null before the first run. */
  gen: Generator<undefined, unknown, unknown> | null = null;
  fn: ((...args: never[]) => unknown) | null = null;
  /** The single argument, or the array of all arguments when there are more. */
  arg: unknown = undefined;
  /** Number of arguments, and a bit for a generator function. */
  nargs = 0;
  /** The op in which it is suspended. Null while it runs. */
  waitOp: AnyOp | null = null;
  /** Sudogs of the wait, linked by `waitlink`. */
  waiting: Sudog | null = null;
  /** In a select: the sudog that won. */
  param: Sudog | null = null;
  /** The sudog of its last wait, kept for the next one. */
  sudog: Sudog | null = null;
  /** Next in the global run queue, or in the list of ended Gs. */
  schedlink: G | null = null;
  parentGoid = 0;
  /** Captured stack of the `go` call, or null where the budget for captures was spent. */
  site: { stack?: unknown } | null = null;
  flags = 0;
  /** Index in the pool's list of all Gs; -1 if the pool holds it weakly (gpool.ts). */
  allIndex = 0;
  /** Innermost frame with deferred calls. */
  defers: DeferFrame | null = null;
  /** Innermost panic in progress. */
  panic: Panic | null = null;
  /** The panic that an inner frame has rethrown. */
  unwinding: Panic | null = null;
  timer: RuntimeTimer | null = null;
  /** Goroutines that wait for this one to end. */
  doneq: WaitQ | null = null;
  /** Called when it has ended. */
  onExit: (() => void) | null = null;
  /** Calls of lockOSThread less calls of unlockOSThread. */
  lockedCount = 0;
  /**
   * The goroutine's shadow stack in a heap. The facade owns both fields. `rootLo` is its address, 0 without one.
   * `rootSp` is the offset up to which it is in use; the end of a frame restores it. It is an offset because the shadow
   * stack may move while a frame runs.
   */
  rootSp = 0;
  rootLo = 0;
  /** Profiler labels, or null. */
  labels: ReadonlyMap<string, string> | null = null;
  /** When the wait began, in ms, while block profiling is on; else 0. */
  blockStart = 0;
  /** The stack that was captured last. */
  stack: GStack | null = null;
  /** If the latency until it runs is sampled, its position in the sampler (counters.ts); else 0. */
  tracking = 0;
  /** Its wait in memory that threads share, or null. */
  shared: SharedWait | null = null;

  constructor(sched: Schedt) {
    this.sched = sched;
  }
}

/**
 * A wait of a goroutine in memory that threads share, which a goroutine of another thread can end at any moment. The
 * package threads implements it.
 */
export interface SharedWait {
  /** Gives up the wait. Returns false if another goroutine has ended it: then the goroutine will be readied. */
  cancel(): boolean;
  /** Gives up the wait of a goroutine that does not go on with it, also if another goroutine has ended it. */
  abandon(): void;
  /**
   * Decides a select for a case outside of that memory. Returns false if another goroutine has chosen a case inside:
   * then the goroutine will be readied.
   */
  claim(): boolean;
  /** The objects for which the goroutine waits. They live as long as the wait. */
  readonly hold: unknown;
}

/** The deferred calls of one frame (panic.ts). */
export class DeferFrame {
  readonly parent: DeferFrame | null;
  readonly calls: (() => unknown)[] = [];
  /** The panic for which the deferred calls run. */
  panicking: Panic | null = null;
  running = false;

  constructor(parent: DeferFrame | null) {
    this.parent = parent;
  }
}

/** A panic in progress (panic.ts). */
export class Panic {
  /** The value that is thrown. */
  readonly error: unknown;
  /** The argument of panic. */
  readonly value: unknown;
  /** The panic that was in progress when this one began. */
  readonly link: Panic | null;
  readonly goexit: boolean;
  /** The Goexit whose deferred call this panic has interrupted. It goes on once the panic is recovered. */
  exiting: Panic | null = null;
  recovered = false;
  /** Recovered, then raised again with the same value. Both are printed as one. */
  repanicked = false;

  constructor(error: unknown, value: unknown, goexit: boolean, link: Panic | null) {
    this.error = error;
    this.value = value;
    this.link = link;
    this.goexit = goexit;
  }
}

/**
 * A thread. Each thread loads this module anew, so it knows one M: its own, `m0`. While `curg` is null, host code runs.
 */
export class M {
  curg: G | null = null;
  /** The op that was made last, until it is used. */
  armed: AnyOp | null = null;
  /** Set in probe mode: suspended goroutines are resumed only to show their stacks (gstack.ts). */
  probe: ((op: AnyOp) => void) | null = null;
}

export const m0 = new M();

/** The records of all copies of the package on this thread. */
const copies: M[] = ((globalThis as unknown as Record<symbol, M[] | undefined>)[Symbol.for("gort.m0")] ??=
  []);
copies.push(m0);

/** Whether a goroutine of another copy of the package runs now. */
export function inForeignGoroutine(): boolean {
  return copies.some((m) => m !== m0 && m.curg !== null);
}

/** The goroutine that runs now, or null in host code. */
export function getg(): G | null {
  return m0.curg;
}

/** Length of a P's ring, as in Go: a power of two. If it is full, half of it moves to the global queue. */
const RUNQ_SIZE = 256;
const RUNQ_MASK = RUNQ_SIZE - 1;

/** The right to run goroutines: a ring of runnable Gs and, ahead of it, `runnext`. */
export class P {
  readonly id: number;
  /** Switches to goroutines, without switches through `runnext`, which inherit the time slice. */
  schedtick = 0;
  runqhead = 0;
  runqtail = 0;
  /** The goroutine that the running one has readied or started last. It runs next and inherits the time slice. */
  runnext: G | null = null;
  readonly runq: (G | null)[];

  constructor(id: number) {
    this.id = id;
    const q: (G | null)[] = [];
    for (let i = 0; i < RUNQ_SIZE; i++) q.push(null);
    this.runq = q;
  }

  /** Goroutines in the ring, without `runnext`. */
  get runqLength(): number {
    return this.runqtail - this.runqhead;
  }

  /**
   * Makes `g` the `runnext` if `next`; the old one goes to the tail of the ring. Otherwise `g` goes there. If the ring
   * is full, half of it and the G move to the global queue.
   */
  runqput(g: G, next: boolean, global: GQueue): void {
    if (next) {
      const old = this.runnext;
      this.runnext = g;
      if (old === null) return;
      g = old;
    }
    const t = this.runqtail;
    if (t - this.runqhead < RUNQ_SIZE) {
      this.runq[t & RUNQ_MASK] = g;
      this.runqtail = t + 1;
    } else {
      this.runqputslow(g, global);
    }
  }

  private runqputslow(g: G, global: GQueue): void {
    for (let i = 0; i < RUNQ_SIZE / 2; i++) global.pushBack(this.runqget()!);
    global.pushBack(g);
  }

  /** Takes the G at the head of the ring. */
  runqget(): G | null {
    const h = this.runqhead;
    if (h === this.runqtail) return null;
    const i = h & RUNQ_MASK;
    const g = this.runq[i];
    this.runq[i] = null;
    if (h + 1 === this.runqtail) {
      // An empty ring starts again at 0, so that the counters always stay small integers.
      this.runqhead = 0;
      this.runqtail = 0;
    } else {
      this.runqhead = h + 1;
    }
    return g;
  }
}

/** A queue of Gs linked through `schedlink`. */
export class GQueue {
  head: G | null = null;
  tail: G | null = null;
  size = 0;

  pushBack(g: G): void {
    g.schedlink = null;
    if (this.tail === null) this.head = g;
    else this.tail.schedlink = g;
    this.tail = g;
    this.size++;
  }

  pop(): G | null {
    const g = this.head;
    if (g === null) return null;
    const next = g.schedlink;
    this.head = next;
    if (next === null) this.tail = null;
    g.schedlink = null;
    this.size--;
    return g;
  }
}

/** A timer as its channel knows it. */
export interface ChanTimer {
  /** Fires the timer if it is due and not in the heap. */
  maybeRunChan(): void;
  /** A goroutine starts to wait in the channel. */
  blockTimerChan(): void;
  /** A goroutine stops waiting in the channel. */
  unblockTimerChan(): void;
}

/** A wait for a lock, as far as the sum of the times of such waits needs it: see lock-waits.ts. */
export interface LockWait {
  /** When it began, in ms. */
  parkedAt: number;
  /** How many waits it stands for; 0 if it is not timed. */
  waits: number;
}

/** A G's place in one wait queue. A select has one sudog for each case, any other wait has one in all. */
export class Sudog implements LockWait {
  g: G = null as never;
  /** The value to send, or the received value, which the partner stores here. */
  elem: unknown = undefined;
  next: Sudog | null = null;
  prev: Sudog | null = null;
  /** The queue that it is in, or null. */
  q: WaitQ | null = null;
  isSelect = false;
  /** In a select: its queue is a `sendq`. */
  sending = false;
  /** Position of the case in the select. Otherwise free for the owner of the queue. */
  index = 0;
  /** Woken by a partner, not by close. */
  success = false;
  waitlink: Sudog | null = null;
  /** The timer whose channel it waits in. */
  timer: ChanTimer | null = null;
  /** When it began to wait for a lock, in ms, while the mutex profile is on; else -1. See sync/contention.ts. */
  acquiretime = -1;
  parkedAt = Number.NaN;
  waits = 0;
}

/** A FIFO of waiting Gs. */
export class WaitQ {
  first: Sudog | null = null;
  last: Sudog | null = null;

  enqueue(sg: Sudog): void {
    sg.q = this;
    const x = this.last;
    sg.next = null;
    sg.prev = x;
    if (x === null) this.first = sg;
    else x.next = sg;
    this.last = sg;
  }

  /** Puts a waiter ahead of all others. */
  pushFront(sg: Sudog): void {
    sg.q = this;
    const y = this.first;
    sg.prev = null;
    sg.next = y;
    if (y === null) this.last = sg;
    else y.prev = sg;
    this.first = sg;
  }

  /**
   * Takes the first waiter. If it waits in a select that has chosen another case, it is dropped, and the next one is
   * considered. If its select has chosen none, this queue's case is chosen.
   */
  dequeue(): Sudog | null {
    for (;;) {
      const sg = this.first;
      if (sg === null) return null;
      const y = sg.next;
      this.first = y;
      if (y === null) {
        this.last = null;
      } else {
        y.prev = null;
        sg.next = null;
      }
      sg.q = null;
      if (sg.isSelect) {
        const { g } = sg;
        if (g.param !== null || (g.shared !== null && !g.shared.claim())) continue;
        g.param = sg;
      }
      return sg;
    }
  }

  /** Takes out a waiter at any place. */
  remove(sg: Sudog): void {
    const x = sg.prev;
    const y = sg.next;
    if (x === null) this.first = y;
    else x.next = y;
    if (y === null) this.last = x;
    else y.prev = x;
    sg.next = null;
    sg.prev = null;
    sg.q = null;
  }
}

/**
 * The scheduler as its goroutines, ops, timers and reports know it: Go's `schedt`. The class Scheduler is this record.
 * The counts change only through the methods here.
 */
export interface Schedt {
  readonly clock: Required<Clock>;
  readonly hooks: SchedulerHooks;
  readonly symbolize: Symbolize | undefined;
  readonly stacks: GStacks;
  readonly stderr: (text: string) => void;
  readonly tracebackAll: boolean;
  readonly blockProfileEnabled: boolean;
  readonly mutexProfileEnabled: boolean;
  /** The other threads; null on one thread. */
  readonly link: ThreadLink | null;
  readonly p: P;
  readonly globq: GQueue;
  readonly timers: TimerHeap;
  readonly lockWaits: LockWaits;
  /** GOMAXPROCS. */
  readonly nprocs: number;
  /** Calls of `cgocall` on this thread. */
  readonly ncgocall: number;
  /** Goroutines of the user that exist on this thread. */
  readonly ngoroutines: number;
  /** Goroutines in a system call, and host sources kept open. */
  readonly nsyscall: number;
  /** Goroutines of the user in a system call. */
  readonly nnotInGo: number;
  /** Ops that host code awaits. */
  readonly nhost: number;
  /** Whether something that the scheduler knows of can wake a waiting goroutine: a timer, a promise, host code. */
  readonly hopes: boolean;
  /** Ended Gs that wait to be used again. */
  readonly gfreeCount: number;
  /** Captured stack of the last call of main. */
  readonly mainSite: StackHolder | null;
  /** Whether `close` was called. */
  readonly closed: boolean;
  /** Whether no goroutine is running or runnable. */
  readonly isIdle: boolean;
  /** The coarse clock: seconds since the scheduler was made, as of the last reading between two goroutines. */
  readonly coarseSec: number;
  /** Switches between two readings of the clock; 1 if steps take long. */
  readonly batch: number;
  /** When the clock was last read between two goroutines, in ms. A requested safepoint runs there. */
  readonly lastSafepoint: number;

  /**
   * Makes a goroutine that runs `f` with `n` arguments: `arg`, or for `n` > 1 the array `arg`. Its creation site is the
   * caller of the function `below`, which is on the stack. `onExit` is called when it has ended.
   */
  newg(
    f: (...args: never[]) => unknown,
    n: number,
    arg: unknown,
    below: unknown,
    onExit: (() => void) | null,
  ): G;
  /** Runs an op that host code awaits; exactly one of the callbacks is called. */
  goHost<T>(op: AnyOp<T>, resolve: (v: T) => void, reject: (e: unknown) => void): void;
  /** Makes a new or a waiting goroutine runnable. */
  ready(g: G): void;
  /** Counts a goroutine that begins. */
  gstarted(g: G): void;
  /** Counts a goroutine that has ended or is about to. Its flags say what it was. */
  gended(g: G): void;
  /** Takes a goroutine out of the run queues. */
  unqueue(g: G): void;
  /** Undoes all calls of lockOSThread of a goroutine. */
  unlock(g: G): void;
  enterSyscall(g: G): void;
  leaveSyscall(g: G): void;
  shouldYield(): boolean;
  addTimer(t: RuntimeTimer, when: number): void;
  delTimer(t: RuntimeTimer): void;
  /** Counts a wait for a lock that has ended. */
  lockWaitOver(sg: LockWait, now?: number): void;
  /** Throws `error`, and ends the program with it even if a `catch` stops it. */
  fatal(error: FatalError): never;
  /** A new list of all Gs of this thread. */
  gs(): G[];
  /** Whole seconds since the scheduler was made; reads the clock. */
  nowSec(): number;
  /** A random integer in [0, n). */
  randn(n: number): number;
}

/** An op as the records know it: a goroutine can block on it. See op.ts. */
export interface AnyOp<T = unknown> {
  /** A word for messages, such as `chan send`. */
  readonly what: string;
  [Symbol.iterator](): Iterator<undefined, T, unknown>;
  /** `yield*` calls it to start the operation, and again each time the goroutine is resumed. */
  next(): unknown;
  /** Makes the op independent of later ops of its kind. */
  detach(): void;
  /** Called when a wait in the op is given up. */
  abandoned(): void;
}

/** Functions that the scheduler calls at certain points. */
export interface SchedulerHooks {
  /** Called between two goroutines, after requestSafepoint(). */
  safepoint?(): void;
  /** A goroutine with stack slots (`g.rootLo` not 0) has ended. */
  gExit?(g: G): void;
  /** A wait has ended, while `blockProfileEnabled`. `reason` is a wait reason by number. */
  blockEvent?(g: G, ns: number, reason: number): void;
  /**
   * A lock was released for which goroutines had waited `ns` in all, while `mutexProfileEnabled`. `unlock` is Go's name
   * of the function that released it, `above` is ours. The caller of `above` is charged.
   */
  mutexEvent?(ns: number, unlock: string, above: (...args: never[]) => void): void;
  /** A goroutine ran long without suspending. */
  longRun?(run: LongRun): void;
  /** A leaked goroutine was found. */
  leak?(leak: Leak): void;
  /** A program begins: `main` was called. */
  programBegin?(): void;
  /**
   * The program has ended, and so have the goroutines of this thread. `main` settles after the call. It is also called
   * after a crash without a program.
   */
  programEnd?(): void;
}

/** A leaked goroutine: it could never have run again, and the engine has collected it. */
export interface Leak {
  goid: number;
  /** Name of its function. */
  func: string;
  /** Where it was started, as `func file:line`. */
  site: string;
  /** The same, as a frame. */
  createdBy: Frame | null;
}

/** A goroutine that kept the thread for longer than 10 ms. */
export interface LongRun {
  goid: number;
  ms: number;
  /** Where the goroutine was started, as `func file:line`. */
  site: string;
  /** The M that it ran on. Absent if the program has one thread. */
  m?: number;
}
