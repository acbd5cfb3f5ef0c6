/**
 * The records that the scheduler is made of, as in Go's runtime2.go: G (a goroutine), M (a thread), P (the right to
 * run goroutines, with its run queue), Sudog (a G's place in one wait queue), and Schedt (the scheduler as all of them
 * know it). The names and states are Go's.
 *
 * These records refer to each other, so their types stand in one file. All other files import this one, and it imports
 * none that knows of goroutines.
 */

import type { FatalError } from "@gort/base";
import type { Frame, StackHolder, Symbolize } from "./frames.ts";
import type { Clock } from "./host.ts";
import type { LockWaits } from "./lock-waits.ts";
import type { GStack, GStacks } from "./stack-tree.ts";
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

/** Text of a status in a goroutine dump; a waiting goroutine shows its wait reason instead. */
export const gStatusStrings: readonly string[] = [
  "idle",
  "runnable",
  "running",
  "syscall",
  "waiting",
  "",
  "dead",
  "",
  "copystack",
  "preempted",
];

/** Kinds of goroutine, as bits of `G.flags`. */
export const gMain = 1;
/** Serves the runtime: not counted, does not keep the process alive, no party to a deadlock. */
export const gSystem = 2;
/** Stands for host code that awaits an op: not counted, and a reason why there is no deadlock. */
export const gHost = 4;
/** Deferred calls of the goroutine itself are running. */
export const gUnwinding = 8;
/** One of the runtime that runs a finalizer, or a cleanup, of the user. */
export const gFinalizer = 16;
export const gCleanup = 32;

/**
 * A goroutine. Gs are pooled: one that has ended is used again under a new `goid`, so anything that holds a
 * G for longer than a wait holds its `goid` beside it.
 *
 * All fields are set in the constructor, in this order, and keep their representation: small integers,
 * or an object or null. A field that held a fraction would cost an allocation a store.
 */
export class G {
  readonly sched: Schedt;
  goid = 0;
  atomicstatus: number = Gidle;
  waitreason: number = waitReasonZero;
  /**
   * When the wait began, in whole seconds of the scheduler's coarse clock; once `stack` is that of the wait, -1 minus that
   * (see gstack.ts).
   */
  waitsince = 0;
  /** The suspended body; null before the first run. */
  gen: Generator<undefined, unknown, unknown> | null = null;
  fn: ((...args: never[]) => unknown) | null = null;
  /** The single argument, or the array of all arguments when there are more. */
  arg: unknown = undefined;
  /** Number of arguments, and a bit for a generator function. */
  nargs = 0;
  /** The op it is suspended in. Null while it runs. */
  waitOp: AnyOp | null = null;
  /** Sudogs of the wait, linked by `waitlink`. */
  waiting: Sudog | null = null;
  /** In a select: the sudog that won. */
  param: Sudog | null = null;
  /** Its sudog of the last wait, for the next one. */
  sudog: Sudog | null = null;
  /** Next in the global run queue. */
  schedlink: G | null = null;
  parentGoid = 0;
  /** Captured stack of the `go` call, or null where the budget for captures was spent. */
  site: { stack?: unknown } | null = null;
  flags = 0;
  /** Index in `Scheduler.allgs`. */
  allIndex = 0;
  /** Innermost frame with deferred calls. */
  defers: DeferFrame | null = null;
  /** Innermost panic in progress. */
  panic: Panic | null = null;
  /** The panic that an inner frame has thrown on. */
  unwinding: Panic | null = null;
  timer: RuntimeTimer | null = null;
  /** Goroutines that wait for this one to end. */
  doneq: WaitQ | null = null;
  /** Called when it has ended. */
  onExit: (() => void) | null = null;
  /** lockOSThread calls not yet undone. */
  lockedCount = 0;
  /**
   * The goroutine's stack slots in a heap, kept by whoever gives it one: their address, 0 if there are none, and how far they
   * are in use. An offset, as the stack may move inside of a frame, whose end restores rootSp.
   */
  rootSp = 0;
  rootLo = 0;
  /** Profiler labels, or null. */
  labels: ReadonlyMap<string, string> | null = null;
  /** Start of a wait in ms while block profiling is on. */
  blockStart = 0;
  /** The stack it was last seen with. */
  stack: GStack | null = null;
  /** Where the time is kept at which it became runnable, if that is sampled; else 0. See counters.ts. */
  tracking = 0;

  constructor(sched: Schedt) {
    this.sched = sched;
  }
}

/** The deferred calls of one frame. */
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

/** A panic in progress. */
export class Panic {
  /** What is thrown. */
  readonly error: unknown;
  /** The argument of panic. */
  readonly value: unknown;
  /** The panic that was in progress when this one began. */
  readonly link: Panic | null;
  readonly goexit: boolean;
  /** The Goexit whose deferred calls this panic has interrupted. It goes on once the panic is recovered. */
  exiting: Panic | null = null;
  recovered = false;
  /** Recovered, then panicked again with the same value: printed as one. */
  repanicked = false;

  constructor(error: unknown, value: unknown, goexit: boolean, link: Panic | null) {
    this.error = error;
    this.value = value;
    this.link = link;
    this.goexit = goexit;
  }
}

/**
 * A thread. There is one, the thread that loaded this module; `m0` is its record and answers "which goroutine
 * am I": what runs while `curg` is null is host code.
 */
export class M {
  curg: G | null = null;
  /** The op made last, while nobody has used it yet. */
  armed: AnyOp | null = null;
  /** Set while suspended goroutines are resumed only to show their stacks. */
  probe: ((op: AnyOp) => void) | null = null;
}

export const m0 = new M();

/** The records of all copies of the package on this thread, each one's own first made. */
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

/** Length of a P's run queue: a power of two. What does not fit goes to the global queue, half a queue at a time. */
const runqSize = 256;
const runqMask = runqSize - 1;

/** The right to run goroutines: a ring of runnable Gs and, ahead of it, `runnext`. */
export class P {
  readonly id: number;
  /** Goroutines switched to, not counting those that inherited the time slice through `runnext`. */
  schedtick = 0;
  runqhead = 0;
  runqtail = 0;
  /** Readied by the goroutine that runs now; runs next and inherits its time slice. */
  runnext: G | null = null;
  readonly runq: (G | null)[];

  constructor(id: number) {
    this.id = id;
    const q: (G | null)[] = [];
    for (let i = 0; i < runqSize; i++) q.push(null);
    this.runq = q;
  }

  /** Goroutines in the ring; `runnext` is not counted. */
  get runqLength(): number {
    return this.runqtail - this.runqhead;
  }

  /** Puts a G at the tail, or moves half of the ring and the G to the global queue. */
  runqput(g: G, global: GQueue): void {
    const t = this.runqtail;
    if (t - this.runqhead < runqSize) {
      this.runq[t & runqMask] = g;
      this.runqtail = t + 1;
    } else {
      this.runqputslow(g, global);
    }
  }

  private runqputslow(g: G, global: GQueue): void {
    for (let i = 0; i < runqSize / 2; i++) global.pushBack(this.runqget()!);
    global.pushBack(g);
  }

  /** Takes the G at the head of the ring. */
  runqget(): G | null {
    const h = this.runqhead;
    if (h === this.runqtail) return null;
    const i = h & runqMask;
    const g = this.runq[i];
    this.runq[i] = null;
    if (h + 1 === this.runqtail) {
      // Empty: start again at 0, so that the counters stay small integers for ever.
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

/** The part of a timer that its channel needs. */
export interface ChanTimer {
  /** Fires the timer if its time has come. */
  maybeRunChan(): void;
  /** A goroutine starts or stops waiting in the channel. */
  blockTimerChan(): void;
  unblockTimerChan(): void;
}

/** A G's place in one wait queue. A select has one for every case, any other wait has one. */
export class Sudog {
  g: G = null as never;
  /** The value to send, or the place where the partner puts what is received. */
  elem: unknown = undefined;
  next: Sudog | null = null;
  prev: Sudog | null = null;
  /** The queue it stands in; null when in none. */
  q: WaitQ | null = null;
  isSelect = false;
  /** In a select: it stands in a `sendq`. */
  sending = false;
  /** Position of the case in the select; elsewhere for the use of the queue's owner. */
  index = 0;
  /** Woken by a partner, not by close. */
  success = false;
  waitlink: Sudog | null = null;
  /** The timer whose channel it waits in. */
  timer: ChanTimer | null = null;
  /** When it began to wait for a lock, in ms; -1 where nobody counts. See sync/contention.ts. */
  acquiretime = -1;
  /** When this wait for a lock began, in ms, and how many waits it stands for; 0 of one that is not timed. */
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
   * Takes the first waiter. One that waits in a select whose other case has already been chosen is dropped; else
   * this queue's case becomes the chosen one.
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
        if (sg.g.param !== null) continue;
        sg.g.param = sg;
      }
      return sg;
    }
  }

  /** Takes one waiter out of the middle. */
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
  readonly p: P;
  readonly globq: GQueue;
  readonly timers: TimerHeap;
  readonly lockWaits: LockWaits;
  /** GOMAXPROCS. */
  readonly nprocs: number;
  /** Goroutines of the user that exist. */
  ngoroutines: number;
  /** Goroutines in a system call, and host sources kept open. */
  readonly nsyscall: number;
  /** Goroutines of the user in a system call. */
  readonly nnotInGo: number;
  /** Host code that awaits an op. */
  nhost: number;
  readonly gfreeCount: number;
  /** Where main was called last. */
  readonly mainSite: StackHolder | null;
  /** Whether `close` was called. */
  readonly closed: boolean;
  /** Whether nothing can run now: no goroutine is running or runnable. */
  readonly isIdle: boolean;
  /** Seconds of the clock when it was last read. */
  readonly coarseSec: number;
  /** Switches between two readings of the clock: 1 where steps take long. */
  readonly batch: number;
  /** When the clock was last read between two goroutines, in ms. */
  readonly lastSafepoint: number;

  /** Makes a goroutine and lets it run; `arg` is the argument, or for `n` > 1 all of them. */
  newg(
    f: (...args: never[]) => unknown,
    n: number,
    arg: unknown,
    below: unknown,
    onExit: (() => void) | null,
  ): G;
  /** Runs an op for host code. */
  goHost<T>(op: AnyOp<T>, resolve: (v: T) => void, reject: (e: unknown) => void): void;
  /** Makes a waiting goroutine runnable. */
  ready(g: G): void;
  /** Takes a goroutine out of the run queues, if it is in one. */
  unqueue(g: G): void;
  enterSyscall(g: G): void;
  leaveSyscall(g: G): void;
  shouldYield(): boolean;
  addTimer(t: RuntimeTimer, when: number): void;
  delTimer(t: RuntimeTimer): void;
  /** A goroutine has left a lock's queue. */
  lockWaitOver(sg: Sudog, now?: number): void;
  /** A fault that no goroutine may survive: throws it, and ends the program even if something on the way catches it. */
  fatal(error: FatalError): never;
  /** A new list of all Gs. */
  gs(): G[];
  /** Seconds since the scheduler was made. */
  nowSec(): number;
  /** A random integer in [0, n). */
  randn(n: number): number;
}

/** An op as the records know it: what a goroutine can block on (op.ts). */
export interface AnyOp<T = unknown> {
  /** A word for messages, such as `chan send`. */
  readonly what: string;
  [Symbol.iterator](): Iterator<undefined, T, unknown>;
  /** Called by `yield*`, first to start the operation and then each time the goroutine is resumed. */
  next(): unknown;
  /** Makes the op independent of later ops of the kind. */
  detach(): void;
  /** Called when a wait in the op was given up. */
  abandoned(): void;
}

/** Called by the scheduler at certain points; all optional. */
export interface SchedulerHooks {
  /** Between two goroutines, after requestSafepoint(). */
  safepoint?(): void;
  /** A goroutine with stack slots (`g.rootLo` not 0) has ended. */
  gExit?(g: G): void;
  /** A wait has ended, while `blockProfileEnabled`. `reason` is a wait reason by number. */
  blockEvent?(g: G, ns: number, reason: number): void;
  /**
   * A lock has been released for which goroutines had waited `ns` in all, while `mutexProfileEnabled`. `unlock` is Go's name of
   * the function that released it, `above` ours: the stack above it is the place to be charged.
   */
  mutexEvent?(ns: number, unlock: string, above: (...args: never[]) => void): void;
  /** A goroutine ran for long without suspending. */
  longRun?(run: LongRun): void;
  /** A goroutine was found to be leaked, with `leakDetection`. */
  leak?(leak: Leak): void;
}

/** A goroutine that could never have run again and was collected. */
export interface Leak {
  goid: number;
  /** Name of its function. */
  func: string;
  /** Where it was started, as `func file:line`. */
  site: string;
  /** The same, as a frame. */
  createdBy: Frame | null;
}

/** A goroutine that kept the thread for longer than a time slice. */
export interface LongRun {
  goid: number;
  ms: number;
  /** Where the goroutine was started, as `func file:line`. */
  site: string;
}

/** Whether dumps and profiles show a goroutine: the user's, and the runtime's while they run code of the user, as in Go. */
export function isShown(g: G): boolean {
  return (g.flags & (gSystem | gHost)) === 0 || (g.flags & (gFinalizer | gCleanup)) !== 0;
}

/** The function of the runtime that has called the user's, or "". */
export function systemFunc(g: G): string {
  if ((g.flags & gFinalizer) !== 0) return "runtime.runFinalizers";
  return (g.flags & gCleanup) !== 0 ? "runtime.runCleanups" : "";
}
