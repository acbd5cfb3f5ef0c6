/**
 * The scheduler.
 *
 * Three records, as in Go: G is a goroutine, M a thread, P the right to run goroutines. Here is one M, the thread
 * that loaded the package, and its event loop; and one working P a scheduler. Schedulers can live side by side.
 *
 * Who runs next, exactly as Go on one P:
 *   1. `go` puts the new goroutine in `runnext`, and so does readying a waiting one; who was there moves to the
 *      tail of the P's ring of 256. When the ring is full, half of it moves to the global queue.
 *   2. gosched puts the goroutine at the tail of the global queue.
 *   3. The loop takes: every 61st tick the head of the global queue; else `runnext`, which inherits the time slice
 *      and so does not count as a tick; else the head of the ring; else a batch from the global queue.
 *   4. Two goroutines that hand to each other through `runnext` would keep everybody else out. When the tick has not moved
 *      for 10 ms, the goroutine in `runnext` goes to the global queue, as one that sysmon preempts does.
 * Goroutines that host code starts or readies go to the tail of the ring: there is no goroutine whose turn they
 * could inherit.
 *
 * The host loop:
 *   1. Whatever makes a goroutine runnable while the scheduler sleeps wakes it: by a microtask, or, when the last
 *      event loop turn began over 10 ms ago, by a task, so that promises and goroutines together cannot starve the host.
 *   2. A slice runs goroutines for `sliceMs`, then the rest waits for the next task: timers, I/O and rendering come
 *      first. The clock is read every few switches; how many adapts to how long they take, down to one.
 *   3. When nothing can run, one host timer is set for the earliest sleeper and the scheduler costs nothing. A process
 *      whose goroutines all wait for nothing that can come ends.
 *
 * Deadlock. While `main` has not returned and nothing is runnable, the goroutines are asleep for ever unless something
 * outside can wake them: a pending timer, a system call (`syscall`, `hostSource`), host code that awaits an op, or any
 * callback of the host. Of the last nobody can be sure, so the scheduler waits for one turn of the event loop and
 * compares what keeps the loop alive (sockets, timers, ...) with what did when main began. If there is
 * more than then, the verdict is put off; it is final when the process would otherwise exit.
 *
 * main() is the program: when its goroutine returns the others end with it, and a panic in any goroutine ends it with
 * that panic. Goroutines ended so do not run their deferred calls, as in Go.
 *
 * Safepoints: between two goroutines no JavaScript frame holds a raw heap pointer of this thread, so that is where
 * `hooks.safepoint` runs when asked for.
 *
 * Rejected: a microtask per switch (49 ns, and no say in the order); setTimeout per sleeper (no virtual
 * time, one host timer each).
 *
 * Sources: Go's runtime/proc.go and its scheduler design document; measurements in the project's performance notes.
 */

import { type Chan, isGenerator, makechan, type RecvChan } from "./chan.ts";
import {
  type LatencyRecorder,
  LatencySampler,
  LockWaits,
  schedCounters,
  schedCountersLength,
  shortPeriod,
} from "./counters.ts";
import { FatalError, GoexitSignal, isFatalError, PanicError } from "./errors.ts";
import {
  type Clock,
  hostClock,
  hostResources,
  hostStderr,
  hostTasks,
  nodeProcess,
  type TaskQueue,
} from "./host.ts";
import {
  arm,
  begin,
  disarm,
  gopark,
  Op,
  type Operation,
  OwnOp,
  parkIn,
  probed,
  unpark,
  wakeOne,
} from "./op.ts";
import { type DeferFrame, goexitSignal, Panic, panicOf, printpanicval, runDeferred } from "./panic.ts";
import {
  G,
  Gdead,
  GQueue,
  Grunnable,
  Grunning,
  Gsyscall,
  gHost,
  gMain,
  gSystem,
  gUnwinding,
  type M,
  m0,
  P,
  type Sudog,
  WaitQ,
  waitReasonChanReceive,
  waitReasonZero,
} from "./runtime2.ts";
import { schedtraceText } from "./schedtrace.ts";
import { type CaseValue, type SelectCase, type SelectResult, selectgo } from "./select.ts";
import {
  type RuntimeTimer,
  type Ticker,
  type Timer,
  TimerHeap,
  timeAfterFunc,
  timeNewTicker,
  timeNewTimer,
  timeSleep,
} from "./time.ts";
import {
  capture,
  creationSite,
  type Frame,
  fatalReport,
  panicReport,
  type Symbolize,
  setCrashReport,
  stack,
} from "./traceback.ts";

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

/** A goroutine that kept the thread for longer than a time slice. */
export interface LongRun {
  goid: number;
  ms: number;
  /** Where the goroutine was started, as `func file:line`. */
  site: string;
}

export interface SchedulerOptions {
  clock?: Clock;
  tasks?: TaskQueue;
  /** Seed of all random choices. */
  seed?: number;
  stderr?: (text: string) => void;
  gomaxprocs?: number;
  /** `schedtrace`, `scheddetail`, `sysmon`: Go's syntax, `name=value,name=value`, or an object. */
  godebug?: string | Readonly<Record<string, string | number>>;
  hooks?: SchedulerHooks;
  /** Turns a V8 call site into a Go-like frame: source maps, names. */
  symbolize?: Symbolize;
  /** When to believe in a deadlock that a host callback could still undo: see proc.ts. Default "host". */
  deadlock?: "host" | "eager" | "off";
  /**
   * Lets goroutines that wait for something nobody can reach any more be collected, and reports them. Costs a few
   * microseconds a goroutine.
   */
  leakDetection?: boolean;
  /** Where the counters are kept: `schedCountersLength` numbers, which may lie in shared memory. Default: an array of its own. */
  counters?: Float64Array;
  /** Takes the times that goroutines are runnable before they run; without one, none are taken. */
  latencies?: LatencyRecorder;
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

/**
 * Holds goroutines weakly. Whoever can wake a waiting goroutine holds it: a channel through its queue, a timer through the
 * heap, a promise through its callback. If nobody does, it is leaked, and the engine's collector finds out.
 */
class LeakDetector {
  readonly refs = new Map<WeakRef<G>, Leak>();
  readonly leaks: Leak[] = [];
  private readonly refOf = new WeakMap<G, WeakRef<G>>();
  private readonly registry: FinalizationRegistry<WeakRef<G>>;
  private readonly onLeak: (leak: Leak) => void;

  constructor(onLeak: (leak: Leak) => void) {
    this.onLeak = onLeak;
    this.registry = new FinalizationRegistry((ref) => this.found(ref));
  }

  private found(ref: WeakRef<G>): void {
    const leak = this.refs.get(ref);
    if (leak === undefined) return;
    this.refs.delete(ref);
    this.leaks.push(leak);
    this.onLeak(leak);
  }

  /** Finds those that are collected already, ahead of the engine's call. */
  sweep(): void {
    for (const ref of this.refs.keys()) if (ref.deref() === undefined) this.found(ref);
  }

  add(g: G, leak: Leak): void {
    const ref = new WeakRef(g);
    this.refs.set(ref, leak);
    this.refOf.set(g, ref);
    this.registry.register(g, ref, g);
  }

  remove(g: G): void {
    this.registry.unregister(g);
    this.refs.delete(this.refOf.get(g)!);
  }
}

/**
 * Time that goroutines run before the event loop gets its turn. The clock is read every `maxBatch` switches at worst, which, if
 * each takes half a millisecond for once, end 8 ms later: within the 10 ms of the promise. A turn of the event loop costs
 * microseconds, so a longer slice would gain little, a shorter one lose some tenths of a percent.
 */
const sliceMs = 2;
/** A goroutine that runs longer is worth a mark, and a `runnext` chain that lasts longer is broken. */
const forcePreemptMs = 10;
/** The same, counted in readings of the clock, for a clock that stands still. */
const chainReadsMax = 8192;
/** Aim of the adaptive clock reading, and bounds of the number of switches between readings. */
const readMs = 0.25;
const maxBatch = 16;
/** Every so many ticks the global queue comes first. A prime, so that it does not beat with anything. */
const globalTick = 61;
/** Go's int32. */
const maxProcs = 2 ** 31 - 1;
/** A countdown that does not end, while nobody wants latencies. */
const neverSample = 2 ** 30 - 1;
/** Ended Gs kept for reuse; more are left to the collector. */
const gfreeMax = 16384;
/**
 * Creation sites: a capture takes over a microsecond, ten times what a goroutine costs. So the first ones are captured,
 * then as many as take about a hundredth of the running time.
 */
const siteBurst = 512;
const sitesPerMs = 6;

const idle = 0;
const scheduled = 1;
const running = 2;

/** In `G.nargs`: the function is a generator function. */
const genFlag = 1 << 30;

type GeneratorObject = Generator<undefined, unknown, unknown>;
const generatorFunction = Object.getPrototypeOf(function* () {}) as { prototype: GeneratorObject };
/**
 * `next` of all generators. Called through this constant it need not be looked up, which would be slow where goroutines
 * have many different bodies.
 */
const resume = generatorFunction.prototype.next as (
  this: GeneratorObject,
) => IteratorResult<unknown, unknown>;
const asyncFunction = Object.getPrototypeOf(async () => {}) as object;
const asyncGenerator = Object.getPrototypeOf(async function* () {}) as object;

/** What `go` returns. */
export class Goroutine {
  readonly id: number;
  private readonly g: G;

  constructor(g: G) {
    this.g = g;
    this.id = g.goid;
  }

  /** Waits until the goroutine has ended. */
  done(): Operation<void> {
    return new DoneOp(this.g, this.id);
  }
}

class DoneOp extends OwnOp<void> {
  private readonly target: G;
  private readonly id: number;
  constructor(target: G, id: number) {
    super();
    this.target = target;
    this.id = id;
  }
  get what(): string {
    return "goroutine end";
  }
  protected start(g: G): boolean {
    const t = this.target;
    if (t.goid !== this.id || t.atomicstatus === Gdead) return true;
    parkIn(g, this as Op<unknown>, (t.doneq ??= new WaitQ()), waitReasonChanReceive);
    return false;
  }
  protected override finish(g: G): boolean {
    unpark(g);
    return true;
  }
  protected hostScheduler(): Scheduler {
    return this.target.sched;
  }
}

class GoschedOp extends Op<void> {
  sched: Scheduler = null as never;
  get what(): string {
    return "gosched";
  }
  override next(): this {
    const m = m0;
    const g = m.curg;
    if (g !== null && g.waitOp === this) {
      if (m.probe !== null) return probed(this, m.probe);
      g.waitOp = null;
      this.done = true;
      return this;
    }
    const caller = begin(this);
    caller.atomicstatus = Grunnable;
    caller.waitOp = this as Op<unknown>;
    caller.sched.globq.pushBack(caller);
    this.done = false;
    return this;
  }
  protected start(): boolean {
    return true;
  }
  protected hostScheduler(): Scheduler {
    return this.sched;
  }
  protected replace(): void {
    if (goschedOp === this) goschedOp = new GoschedOp();
  }
}

let goschedOp = new GoschedOp();

/** Completes at once, unless the time slice is over. */
class CheckpointOp extends Op<void> {
  sched: Scheduler = null as never;
  get what(): string {
    return "checkpoint";
  }
  protected start(g: G): boolean {
    if (!g.sched.shouldYield()) return true;
    g.atomicstatus = Grunnable;
    g.waitOp = this as Op<unknown>;
    g.sched.globq.pushBack(g);
    return false;
  }
  protected hostScheduler(): Scheduler {
    return this.sched;
  }
  protected replace(): void {
    if (checkpointOp === this) checkpointOp = new CheckpointOp();
  }
}

let checkpointOp = new CheckpointOp();

/** A promise awaited by a goroutine. The goroutine's status is Gsyscall: outside of the scheduler's view. */
class SyscallOp<T> extends OwnOp<T> {
  private readonly sched: Scheduler;
  private readonly promise: PromiseLike<T>;
  private failed = false;
  private error: unknown;
  constructor(sched: Scheduler, promise: PromiseLike<T>) {
    super();
    this.sched = sched;
    this.promise = promise;
  }
  get what(): string {
    return "syscall";
  }
  protected start(g: G): boolean {
    const s = g.sched;
    const id = g.goid;
    s.enterSyscall(g);
    gopark(g, this as Op<unknown>, waitReasonZero);
    g.atomicstatus = Gsyscall;
    const settled = () => {
      if (g.goid !== id || g.waitOp !== (this as Op<unknown>)) return;
      s.leaveSyscall(g);
      s.ready(g);
    };
    this.promise.then(
      (v) => {
        this.value = v;
        settled();
      },
      (e: unknown) => {
        this.failed = true;
        this.error = e;
        settled();
      },
    );
    return false;
  }
  protected override finish(): boolean {
    if (this.failed) throw this.error;
    return true;
  }
  protected hostScheduler(): Scheduler {
    return this.sched;
  }
}

/** Settles the promise of host code that awaits an op. */
function* hostBody<T>(op: Op<T>, resolve: (v: T) => void, reject: (e: unknown) => void) {
  try {
    resolve(yield* op);
  } catch (e) {
    reject(e);
  }
}

interface Main {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  /** What kept the event loop alive when main began. */
  baseline: Map<string, number> | null;
  exited: boolean;
  onBeforeExit: (() => void) | null;
}

export class Scheduler {
  readonly clock: Required<Clock>;
  readonly hooks: SchedulerHooks;
  readonly symbolize: Symbolize | undefined;
  readonly stderr: (text: string) => void;
  readonly seed: number;
  /** Prints all goroutines with a panic, as GOTRACEBACK=all does. */
  tracebackAll = false;
  /** Waits for locks are timed, and reported to `hooks.mutexEvent` when the lock is released. */
  mutexProfileEnabled = false;
  /** Called with the goroutine that runs from now on, or null for host code. For profilers, while they sample. */
  onSwitch: ((g: G | null) => void) | null = null;
  /** Waits are timed and reported to `hooks.blockEvent`. */
  private blockProfile = false;

  readonly p: P;
  /** GOMAXPROCS. One thread uses one P; of the others only the number exists. */
  nprocs = 1;
  readonly globq = new GQueue();
  /** All Gs, ended ones in the pool too; `gs` also gives those held weakly. */
  private readonly allgs: G[] = [];
  private readonly leak: LeakDetector | null;
  private readonly gfree: G[] = [];
  readonly timers = new TimerHeap();

  /** Goroutines of the user that exist. */
  ngoroutines = 0;
  /** Goroutines in a system call, and host sources kept open. */
  nsyscall = 0;
  /** Goroutines of the user in a system call. */
  nnotInGo = 0;
  /** Host code that awaits an op. */
  nhost = 0;
  /** Seconds of the clock when it was last read. */
  coarseSec = 0;
  /** Marks of goroutines that ran for long, one a creation site. */
  readonly longRuns: LongRun[] = [];

  private readonly tasks: TaskQueue;
  private readonly deadlockMode: "host" | "eager" | "off";
  private readonly debug: Readonly<Record<string, number>>;
  private readonly startMs: number;
  private goidgen = 1;
  /** Main goroutines started; their number 1 is not of goidgen's. */
  private nmains = 0;
  private rng: number;
  private state = idle;
  private readonly counters: Float64Array;
  private readonly latencies: LatencySampler | null;
  /**
   * Transitions to runnable until the next one that is sampled, while makeRunnable and ready may take their short path: in
   * the run loop, without block profiling. Otherwise 0, and `sampleLeft` has the number.
   */
  private countdown = 0;
  private sampleLeft = shortPeriod;
  /** The same for goroutines that yield, of which the run loop learns when it reads the clock. */
  private yieldsLeft = shortPeriod;
  /** Switches between the reading of the clock that comes and the one before. */
  private span = 1;
  readonly lockWaits = new LockWaits();
  /** Switches until the clock is read. */
  private credit = 0;
  private batch = 1;
  private tickAt = 0;
  private sliceEnd = 0;
  private lastTurn = Number.NEGATIVE_INFINITY;
  private traceStart = -1;
  private chainTick = -1;
  private chainStart = 0;
  private chainReads = 0;
  private safepointRequested = false;
  private worldStopped = false;
  private hostTimer: unknown = null;
  private hostTimerWhen = Infinity;
  private hostTimerRef = true;
  private siteCredit = siteBurst;
  private siteRefill = 0;
  private siteFn: unknown = null;
  private siteLast: G["site"] = null;
  private mainState: Main | null = null;
  private deadlockRetries = 0;
  private dying: unknown = undefined;
  private lastExit: { goid: number; site: G["site"]; sched: Scheduler } | null = null;
  private readonly longSites = new Set<string>();
  private closed = false;
  private readonly onTask = () => {
    this.lastTurn = this.clock.now();
    this.runSlice();
  };
  private readonly onMicrotask = () => this.runSlice();

  constructor(options: SchedulerOptions = {}) {
    this.clock = { ...hostClock, ...bindClock(options.clock) };
    this.tasks = options.tasks ?? hostTasks;
    this.hooks = options.hooks ?? {};
    this.symbolize = options.symbolize;
    this.stderr = options.stderr ?? hostStderr;
    this.deadlockMode = options.deadlock ?? "host";
    this.debug = parseGodebug(options.godebug);
    this.seed = (options.seed ?? Math.floor(Math.random() * 0x100000000)) >>> 0;
    // A xorshift generator must not start at 0, and small seeds give poor first values.
    this.rng = Math.imul(this.seed ^ 0x9e3779b9, 0x85ebca6b) | 1;
    this.startMs = this.clock.now();
    this.leak = options.leakDetection
      ? new LeakDetector((leak) => {
          this.ngoroutines--;
          this.hooks.leak?.(leak);
          if (this.state === idle) this.settle();
        })
      : null;
    this.p = new P(0);
    this.counters = options.counters ?? new Float64Array(schedCountersLength);
    if (this.counters.length < schedCountersLength) {
      throw new RangeError(
        `scheduler: counters must have ${schedCountersLength} elements (got ${this.counters.length})`,
      );
    }
    this.latencies = options.latencies === undefined ? null : new LatencySampler(options.latencies);
    if (this.latencies === null) this.sampleLeft = neverSample;
    this.gomaxprocs(options.gomaxprocs ?? 1);
  }

  // ---- goroutines ----

  /** Starts a goroutine: a generator function, or an ordinary function that never blocks. */
  go<A extends readonly unknown[]>(f: (...args: A) => unknown, ...args: A): Goroutine;
  go(f: (...args: never[]) => unknown, arg?: unknown): Goroutine {
    // A rest parameter would be allocated for every goroutine; forwarded like this, the arguments are not.
    // biome-ignore lint/complexity/noArguments: see above
    const n = arguments.length - 1;
    if (n <= 1) return new Goroutine(this.newg(f, n, arg, this.go, null));
    // biome-ignore lint/complexity/noArguments: see above
    return this.goMany.apply(this, arguments as unknown as [never, ...unknown[]]);
  }

  private goMany(f: (...args: never[]) => unknown, ...args: unknown[]): Goroutine {
    return this.newproc(f, args, this.goMany);
  }

  /** As go; the creation site is the caller of `below`. `onExit` is called when the goroutine has ended. */
  newproc(
    f: (...args: never[]) => unknown,
    args: readonly unknown[],
    below: unknown,
    onExit: (() => void) | null = null,
  ): Goroutine {
    const n = args.length;
    return new Goroutine(this.newg(f, n, n === 1 ? args[0] : args, below, onExit));
  }

  /** Makes a goroutine and lets it run; `arg` is the argument, or for `n` > 1 all of them. */
  newg(
    f: (...args: never[]) => unknown,
    n: number,
    arg: unknown,
    below: unknown,
    onExit: (() => void) | null,
  ): G {
    const isGen = checkGoroutineFunction(f);
    const g = this.leak === null ? this.gfget() : this.newWeak();
    g.fn = f;
    g.arg = n > 0 ? arg : undefined;
    g.nargs = isGen ? n | genFlag : n;
    g.onExit = onExit;
    if (this.leak !== null) {
      const site = capture(below, 4);
      const createdBy = creationSite({ site, sched: this } as unknown as G);
      this.leak.add(g, { goid: g.goid, func: f.name, site: siteText(createdBy), createdBy });
    }
    const parent = m0.curg;
    if (parent === null) {
      g.parentGoid = 0;
    } else {
      g.parentGoid = parent.goid;
      if (parent.labels !== null) g.labels = parent.labels;
    }
    // A captured stack holds functions, and with them what they can reach.
    if (this.siteCredit > 0 && this.leak === null) this.recordSite(g, f, below);
    else if (this.siteFn === f) g.site = this.siteLast;
    this.ngoroutines++;
    this.makeRunnable(g);
    return g;
  }

  /** Captures where a goroutine is started. Without credit the last site of the same function has to do. */
  private recordSite(g: G, f: unknown, below: unknown): void {
    this.siteCredit--;
    g.site = capture(below, 4);
    this.siteFn = f;
    this.siteLast = g.site;
  }

  /** Starts a goroutine of the runtime itself: not counted, no party to a deadlock, outlives main. */
  goSystem(f: () => unknown, _name = f.name): Goroutine {
    const isGen = checkGoroutineFunction(f);
    const g = this.gfget();
    g.fn = f;
    g.nargs = isGen ? genFlag : 0;
    g.flags = gSystem;
    const h = new Goroutine(g);
    this.makeRunnable(g);
    return h;
  }

  /** Runs an op for host code. */
  goHost<T>(op: Op<T>, resolve: (v: T) => void, reject: (e: unknown) => void): void {
    const g = this.gfget();
    g.fn = hostBody as never;
    g.nargs = 3 | genFlag;
    g.arg = [op, resolve, reject];
    g.flags = gHost;
    this.nhost++;
    this.makeRunnable(g);
  }

  private makeRunnable(g: G): void {
    if (--this.countdown > 0) {
      g.atomicstatus = Grunnable;
      const p = this.p;
      const next = p.runnext;
      p.runnext = g;
      if (next !== null) p.runqput(next, this.globq);
      return;
    }
    this.makeRunnableSlow(g);
  }

  private makeRunnableSlow(g: G): void {
    if (this.state === running && !this.blockProfile) {
      this.countdown = this.sample(g);
    } else {
      this.countdown = 0;
      if (--this.sampleLeft <= 0) this.sampleLeft = this.sample(g);
    }
    g.atomicstatus = Grunnable;
    const p = this.p;
    if (this.state === running) {
      const next = p.runnext;
      p.runnext = g;
      if (next !== null) p.runqput(next, this.globq);
    } else {
      p.runqput(g, this.globq);
      this.wake();
    }
  }

  /** Times how long `g`, which becomes runnable, waits until it runs. Returns when the next is due. */
  private sample(g: G): number {
    const { latencies } = this;
    if (latencies === null) return neverSample;
    latencies.start(g, this.clock.now(), latencies.period);
    return latencies.next();
  }

  /** Makes a waiting goroutine runnable. */
  ready(g: G): void {
    if (--this.countdown > 0) {
      g.atomicstatus = Grunnable;
      const p = this.p;
      const next = p.runnext;
      p.runnext = g;
      if (next !== null) p.runqput(next, this.globq);
      return;
    }
    if (g.blockStart !== 0) {
      if (this.blockProfile) {
        this.hooks.blockEvent?.(g, (this.clock.now() - g.blockStart) * 1e6, g.waitreason);
      }
      g.blockStart = 0;
    }
    this.makeRunnableSlow(g);
  }

  /** `runtime.Gosched`. */
  gosched(): Operation<void> {
    if (m0.armed !== null) disarm();
    const op = goschedOp;
    op.sched = this;
    return arm(op);
  }

  /** A place where a long loop lets others run if it has had its time: `yield* checkpoint()`. */
  checkpoint(): Operation<void> {
    if (m0.armed !== null) disarm();
    const op = checkpointOp;
    op.sched = this;
    return arm(op);
  }

  /** Whether the running goroutine has used up its time slice: `if (shouldYield()) yield* gosched()`. */
  shouldYield(): boolean {
    // The clock is read on every 16th call; a call costs about a nanosecond.
    if ((++this.polls & 15) !== 0 && !this.safepointRequested) return false;
    return this.safepointRequested || this.clock.now() >= this.sliceEnd;
  }
  private polls = 0;

  numGoroutine(): number {
    return this.ngoroutines;
  }

  /** Sets the number of Ps if `n` >= 1, and returns the number before. One thread uses one of them. */
  gomaxprocs(n = 0): number {
    const old = this.nprocs;
    if (!Number.isInteger(n) || n > maxProcs) {
      throw new RangeError(`scheduler: gomaxprocs must be an integer up to ${maxProcs} (got ${String(n)})`);
    }
    if (n >= 1) this.nprocs = n;
    return old;
  }

  /** Ties the goroutine to its thread. There is one thread, so this shows in dumps only. Calls nest. */
  lockOSThread(): void {
    const g = m0.curg;
    if (g !== null) g.lockedCount++;
  }

  unlockOSThread(): void {
    const g = m0.curg;
    if (g !== null && g.lockedCount > 0) g.lockedCount--;
  }

  /** Waits for a promise; other goroutines run meanwhile. A function is called in the host's context. */
  syscall<T>(work: PromiseLike<T> | (() => PromiseLike<T> | T)): Operation<T> {
    let promise: PromiseLike<T> | T;
    if (typeof work === "function") {
      const m = m0;
      const g = m.curg;
      m.curg = null;
      try {
        promise = work();
      } finally {
        m.curg = g;
      }
    } else {
      promise = work;
    }
    const p = promise as PromiseLike<T>;
    if ((typeof p !== "object" && typeof p !== "function") || p === null || typeof p.then !== "function") {
      return new SyscallOp(this, Promise.resolve(promise));
    }
    return new SyscallOp(this, p);
  }

  enterSyscall(g: G): void {
    this.nsyscall++;
    if ((g.flags & (gSystem | gHost)) === 0) this.nnotInGo++;
  }

  leaveSyscall(g: G): void {
    this.nsyscall--;
    if ((g.flags & (gSystem | gHost)) === 0) this.nnotInGo--;
  }

  /** Calls into native code or WebAssembly, and counts it. */
  cgocall<A extends readonly unknown[], R>(f: (...args: A) => R, ...args: A): R {
    m0.ncgocall++;
    return f(...args);
  }

  numCgoCall(): number {
    return m0.ncgocall;
  }

  /**
   * Announces that host code will wake goroutines through callbacks. Until the function it returns has been
   * called, waiting goroutines are no deadlock.
   */
  hostSource(): () => void {
    this.nsyscall++;
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      this.nsyscall--;
      if (this.state === idle) this.wake();
    };
  }

  // ---- channels, time ----

  makeChan<T>(n = 0): Chan<T> {
    return makechan<T>(this, n);
  }

  select<const C extends readonly SelectCase[]>(cases: C): Operation<SelectResult<CaseValue<C>>> {
    return selectgo(this, cases) as Operation<SelectResult<CaseValue<C>>>;
  }

  sleep(ms: number): Operation<void> {
    return timeSleep(this, ms);
  }

  /** A channel that gets the time after `ms`. */
  after(ms: number): RecvChan<number> {
    return timeNewTimer(this, ms).C!;
  }

  newTimer(ms: number): Timer & { readonly C: RecvChan<number> } {
    return timeNewTimer(this, ms) as Timer & { readonly C: RecvChan<number> };
  }

  newTicker(ms: number): Ticker {
    return timeNewTicker(this, ms);
  }

  /** Calls `f` in a goroutine of its own after `ms`. */
  afterFunc(ms: number, f: () => unknown): Timer {
    return timeAfterFunc(this, ms, f);
  }

  addTimer(t: RuntimeTimer, when: number): void {
    this.timers.add(t, when);
    if (this.state === idle) this.armHostTimer();
  }

  delTimer(t: RuntimeTimer): void {
    this.timers.remove(t);
    if (this.state === idle) this.armHostTimer();
  }

  // ---- main ----

  /**
   * Runs `f` as the main goroutine. Resolves with what it returns, when every other goroutine has ended with it; rejects with
   * a FatalError, or with the panic of any goroutine (a PanicError if its value is no object).
   */
  main<T>(f: () => Generator<undefined, T, unknown> | T): Promise<T> {
    return new Promise<T>((resolve, reject) => this.startMain(f, resolve, reject));
  }

  /** As main, with callbacks in place of the promise; exactly one is called, from the run loop. */
  startMain<T>(
    f: () => Generator<undefined, T, unknown> | T,
    resolve: (value: T) => void,
    reject: (error: unknown) => void,
  ): void {
    const isGen = checkGoroutineFunction(f);
    if (this.mainState !== null) throw new Error("scheduler: main is already running");
    if (this.closed) throw new Error("scheduler: main after close");
    this.mainState = {
      resolve: resolve as (v: unknown) => void,
      reject,
      baseline: this.deadlockMode === "host" ? hostResources() : null,
      exited: false,
      onBeforeExit: null,
    };
    const g = this.gfget();
    g.goid = 1;
    this.goidgen--;
    this.nmains++;
    g.fn = f;
    g.nargs = isGen ? genFlag : 0;
    g.flags = gMain;
    this.ngoroutines++;
    this.makeRunnable(g);
  }

  /** Ends all goroutines and drops all timers; the scheduler cannot be used again. */
  close(): void {
    this.closed = true;
    const main = this.mainState;
    this.endMain();
    this.killAll(gSystem | gHost);
    if (this.hostTimer !== null) this.clock.clearTimer(this.hostTimer);
    this.hostTimer = null;
    main?.reject(new Error("scheduler: closed"));
  }

  private endMain(): void {
    const main = this.mainState;
    this.mainState = null;
    if (main?.onBeforeExit) nodeProcess()?.off("beforeExit", main.onBeforeExit);
  }

  /** Ends every goroutine whose kind is not in `spare`, as the end of the process does: nothing of them runs any more. */
  private killAll(kinds = 0): void {
    const p = this.p;
    const keep: G[] = [];
    if (p.runnext !== null) keep.push(p.runnext);
    p.runnext = null;
    for (let g = p.runqget(); g !== null; g = p.runqget()) keep.push(g);
    for (let g = this.globq.pop(); g !== null; g = this.globq.pop()) keep.push(g);
    const spared = (gSystem | gHost) & ~kinds;
    for (const g of this.gs()) {
      if (g.atomicstatus === Gdead || (g.flags & spared) !== 0) continue;
      if (g.atomicstatus === Gsyscall) this.leaveSyscall(g);
      if (g.timer !== null && g.timer.index >= 0) this.timers.remove(g.timer);
      for (let sg = g.waiting; sg !== null; sg = sg.waitlink) {
        if (sg.q !== null) sg.q.remove(sg);
        if (sg.timer !== null) {
          sg.timer.unblockTimerChan();
          sg.timer = null;
        }
      }
      if (g.rootLo !== 0) this.hooks.gExit?.(g);
      this.gput(g, true);
    }
    for (const g of keep) if (g.atomicstatus !== Gdead) p.runqput(g, this.globq);
  }

  /** Ends the program with `error`: a panic, or a fatal error. */
  private crash(error: unknown, text: string): void {
    const e =
      typeof error === "object" && error !== null ? error : new PanicError(error, printpanicval(error));
    setCrashReport(e, text);
    const main = this.mainState;
    this.endMain();
    this.killAll();
    this.dying = undefined;
    if (main !== null) {
      main.reject(e);
      return;
    }
    this.stderr(text);
    // No main to tell: the host's handler of uncaught errors decides.
    this.tasks.task(() => {
      throw e;
    });
  }

  /**
   * A fault that no goroutine may survive: throws it, and ends the program even if something on the way catches it.
   */
  fatal(error: FatalError): never {
    if (this.state === running) {
      this.dying = error;
      this.credit = 0;
    }
    throw error;
  }

  // ---- for the facade ----

  get blockProfileEnabled(): boolean {
    return this.blockProfile;
  }

  set blockProfileEnabled(on: boolean) {
    this.blockProfile = on;
    if (this.state === running) this.shortPath(!on);
  }

  /** Lets makeRunnable and ready take their short path, or not. */
  private shortPath(on: boolean): void {
    if (on) {
      this.countdown = this.sampleLeft;
    } else {
      if (this.countdown > 0) this.sampleLeft = this.countdown;
      this.countdown = 0;
    }
  }

  /** The counters, brought up to date: see counters.ts. */
  readCounters(): Float64Array {
    const c = this.counters;
    const p = this.p;
    const notInGo = this.nnotInGo;
    const runnable = p.runqLength + (p.runnext === null ? 0 : 1) + this.globq.size;
    const running = m0.curg?.sched === this ? 1 : 0;
    c[schedCounters.goroutines] = this.ngoroutines;
    c[schedCounters.goroutinesCreated] = this.goidgen - 1 + this.nmains;
    c[schedCounters.goroutinesNotInGo] = notInGo;
    c[schedCounters.goroutinesRunnable] = runnable;
    c[schedCounters.goroutinesRunning] = running;
    c[schedCounters.goroutinesWaiting] = Math.max(0, this.ngoroutines - notInGo - runnable - running);
    c[schedCounters.threads] = 1;
    c[schedCounters.gomaxprocs] = this.nprocs;
    return c;
  }

  /** A goroutine has left a lock's queue. */
  lockWaitOver(sg: Sudog, now = sg.waits > 0 ? this.clock.now() : 0): void {
    if (sg.waits > 0) this.counters[schedCounters.mutexWaitNs] += (now - sg.parkedAt) * sg.waits * 1e6;
  }

  /** Has `hooks.safepoint` called as soon as the running goroutine suspends. */
  requestSafepoint(): void {
    this.safepointRequested = true;
    this.credit = 0;
    if (this.state === idle) this.wake();
  }

  /** Everything stands still already: one thread, and this is it. */
  stopTheWorld(_reason: string): void {
    if (this.worldStopped) throw new FatalError("stopTheWorld: world is already stopped", "STW", "throw");
    this.worldStopped = true;
  }

  startTheWorld(): void {
    this.worldStopped = false;
  }

  forEachG(fn: (g: G) => void): void {
    for (const g of this.gs()) if (g.atomicstatus !== Gdead) fn(g);
  }

  /** A new list of all Gs. */
  gs(): G[] {
    const list = this.allgs.slice();
    if (this.leak !== null) {
      for (const ref of this.leak.refs.keys()) {
        const g = ref.deref();
        if (g !== undefined) list.push(g);
      }
    }
    return list;
  }

  /** Goroutines found to be leaked, with `leakDetection`. */
  get leaks(): readonly Leak[] {
    return this.leak?.leaks ?? [];
  }

  /** The leaked goroutines that the engine has collected by now, without waiting for its finalizers. */
  findLeaks(): readonly Leak[] {
    this.leak?.sweep();
    return this.leaks;
  }

  /** Ended Gs that wait to be used again. */
  get gfreeCount(): number {
    return this.gfree.length;
  }

  /** When the clock was last read between two goroutines, in ms: where a safepoint that is asked for is run. */
  get lastSafepoint(): number {
    return this.tickAt;
  }

  getg(): G | null {
    return m0.curg;
  }

  /** `runtime.Stack`: writes the dump of the calling goroutine, or of all, and returns the bytes written. */
  stack(buf: Uint8Array | null, all: boolean): number {
    return stack(this, buf, all);
  }

  nowSec(): number {
    return Math.floor((this.clock.now() - this.startMs) / 1000);
  }

  /** A random integer in [0, n). */
  randn(n: number): number {
    let x = this.rng;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.rng = x;
    return ((x >>> 0) * (n * 2.3283064365386963e-10)) | 0;
  }

  /** Whether nothing can run now: no goroutine is running or runnable. */
  get isIdle(): boolean {
    return this.state === idle;
  }

  // ---- the loop ----

  private wake(): void {
    if (this.state !== idle || this.closed) return;
    this.state = scheduled;
    if (this.traceStart < 0 && this.debug.schedtrace > 0) this.schedtrace();
    if (this.clock.now() - this.lastTurn < forcePreemptMs) this.tasks.microtask(this.onMicrotask);
    else this.tasks.task(this.onTask);
  }

  private runSlice(): void {
    if (this.state !== scheduled) return;
    const m = m0;
    const p = this.p;
    const outer = m.curg;
    const limit = Error.stackTraceLimit;
    if (limit < 50) Error.stackTraceLimit = 50;
    this.state = running;
    if (!this.blockProfile) this.shortPath(true);
    const now = this.clock.now();
    if (this.latencies?.relax(now)) this.sampleSoon();
    this.tickAt = now;
    this.sliceEnd = now + sliceMs;
    this.coarseSec = Math.floor((now - this.startMs) / 1000);
    if (this.timers.nextWhen <= now) this.timers.run(now);
    // A safepoint that was asked for comes first, also when there is nothing to run.
    this.credit = this.safepointRequested ? 0 : this.batch;
    this.span = this.credit;
    let more = false;
    try {
      more = this["gort:run"](m, p);
    } catch (e) {
      // A hook, or what runs at the end of a goroutine, has failed: nobody else can answer for it.
      this.crash(e, this.faultReport(e));
      more = true;
    }
    m.curg = outer;
    this.shortPath(false);
    this.readCounters();
    this.onSwitch?.(outer);
    if (limit < 50) Error.stackTraceLimit = limit;
    if (more) {
      this.state = scheduled;
      this.tasks.task(this.onTask);
      return;
    }
    this.state = idle;
    // Nobody waits for a turn any more: the next chain begins with the next slice.
    this.chainTick = ~p.schedtick;
    this.settle();
  }

  /** Runs goroutines until the slice is over (true) or none can run (false). */
  private "gort:run"(m: M, p: P): boolean {
    for (;;) {
      if (--this.credit < 0 && this.tick()) return true;
      let g: G | null;
      if (p.schedtick % globalTick === 0 && this.globq.size > 0) {
        g = this.globq.pop()!;
        p.schedtick = (p.schedtick + 1) | 0;
      } else if ((g = p.runnext) !== null) {
        p.runnext = null;
      } else {
        g = p.runqget();
        if (g === null) {
          g = this.globrunqget();
          if (g === null) return false;
        }
        p.schedtick = (p.schedtick + 1) | 0;
      }
      m.curg = g;
      g.atomicstatus = Grunning;
      if (g.tracking !== 0) this.latencies!.ran(g, this.clock.now());
      if (this.onSwitch !== null) this.onSwitch(g);
      let r: IteratorResult<unknown, unknown>;
      try {
        const gen = g.gen;
        r = gen !== null ? resume.call(gen) : start(g);
      } catch (e) {
        this.gopanic(g, e);
        continue;
      }
      if (r.done === true) this.goexit0(g, r.value, false);
      else if (g.waitOp === null) this.badYield(g);
    }
  }

  /** Takes the head of the global queue, and moves up to half a ring more of it to the ring. */
  private globrunqget(): G | null {
    const q = this.globq;
    if (q.size === 0) return null;
    const g = q.pop();
    // As large a share as one of gomaxprocs Ps may take; here no other P takes any.
    for (let n = Math.min(q.size, 127); n > 0; n--) this.p.runqput(q.pop()!, q);
    return g;
  }

  /** Reads the clock and sees to all that waits for it. Returns whether the slice is over. */
  private tick(): boolean {
    const now = this.clock.now();
    const dt = now - this.tickAt;
    this.tickAt = now;
    this.coarseSec = Math.floor((now - this.startMs) / 1000);
    if (dt >= forcePreemptMs && this.batch === 1) this.longRun(dt);
    if (dt > readMs) this.batch = Math.max(1, Math.floor((this.batch * readMs) / dt));
    else if (this.batch < maxBatch) this.batch++;
    this.credit = this.batch - 1;
    if (this.latencies !== null) {
      this.yieldsLeft -= this.span;
      this.span = this.batch;
      if (this.yieldsLeft < this.batch) this.sampleYield(this.latencies, now);
    }
    if (this.siteCredit < siteBurst) {
      // An integer, or each decrement would allocate.
      const n = Math.floor((now - this.siteRefill) * sitesPerMs) | 0;
      if (n > 0) {
        this.siteCredit = Math.min(siteBurst, this.siteCredit + n);
        this.siteRefill = now;
      }
    }
    if (this.safepointRequested) {
      this.safepointRequested = false;
      m0.curg = null;
      try {
        this.hooks.safepoint?.();
      } catch (e) {
        // The collector has found the heap broken: no goroutine may go on.
        if (!isFatalError(e)) throw e;
        this.dying = e;
      }
    }
    if (this.dying !== undefined) {
      const e = this.dying as FatalError;
      this.crash(e, fatalReport(this, null, e, true));
    }
    if (this.timers.nextWhen <= now) this.timers.run(now);
    const p = this.p;
    if (p.schedtick !== this.chainTick) {
      this.chainTick = p.schedtick;
      this.chainStart = now;
      this.chainReads = 0;
    } else if (now - this.chainStart >= forcePreemptMs || ++this.chainReads >= chainReadsMax) {
      this.chainStart = now;
      this.chainReads = 0;
      if (p.runnext !== null) {
        this.globq.pushBack(p.runnext);
        p.runnext = null;
      }
    }
    return now >= this.sliceEnd;
  }

  /** Samples the goroutine that ran last if it has yielded and its turn has come. Sees that the clock is read at the next turn. */
  private sampleYield(latencies: LatencySampler, now: number): void {
    if (this.yieldsLeft <= 0) {
      const g = this.globq.tail;
      if (g !== null && g === m0.curg) latencies.start(g, now, latencies.period);
      this.yieldsLeft = latencies.next();
    }
    if (this.yieldsLeft < this.span) {
      this.span = this.yieldsLeft;
      this.credit = this.span - 1;
    }
  }

  private sampleSoon(): void {
    this.yieldsLeft = shortPeriod;
    if (this.countdown > 0) this.countdown = shortPeriod;
    else this.sampleLeft = shortPeriod;
  }

  /** Prints a line of schedtrace, and sees to the next. */
  private schedtrace(): void {
    if (this.closed) return;
    const now = this.clock.now();
    if (this.traceStart < 0) this.traceStart = now;
    this.stderr(schedtraceText(this, now - this.traceStart, this.debug.scheddetail > 0));
    this.clock.setTimer(() => this.schedtrace(), this.debug.schedtrace, false);
  }

  /** What remains to be done when nothing can run. */
  private settle(): void {
    this.armHostTimer();
    if (this.mainState !== null) this.checkdead();
  }

  private armHostTimer(): void {
    if (this.closed) return;
    const when = this.timers.nextWhen;
    const ref = this.timers.nuser > 0;
    if (when === this.hostTimerWhen && ref === this.hostTimerRef) return;
    if (this.hostTimer !== null) this.clock.clearTimer(this.hostTimer);
    this.hostTimer = null;
    this.hostTimerWhen = when;
    this.hostTimerRef = ref;
    if (this.timers.size === 0) {
      this.hostTimerWhen = Infinity;
      return;
    }
    this.hostTimer = this.clock.setTimer(
      () => {
        this.hostTimer = null;
        this.hostTimerWhen = Infinity;
        if (this.state !== idle) return;
        this.lastTurn = this.clock.now();
        this.state = scheduled;
        this.runSlice();
      },
      Math.max(0, when - this.clock.now()),
      ref,
    );
  }

  // ---- deadlock ----

  private get hopeless(): boolean {
    return (
      this.state === idle &&
      this.mainState !== null &&
      this.nsyscall === 0 &&
      this.nhost === 0 &&
      this.timers.nuser === 0 &&
      this.deadlockMode !== "off"
    );
  }

  /** Called when nothing can run. */
  private checkdead(): void {
    this.deadlockRetries = 0;
    if (this.hopeless) this.tasks.task(() => this.confirmDeadlock(false));
  }

  /** Gives the verdict one event loop turn after checkdead, unless a host callback may still come. */
  private confirmDeadlock(final: boolean): void {
    if (!this.hopeless) return;
    const main = this.mainState!;
    if (!final && this.hostMayCall(main)) {
      const proc = nodeProcess();
      if (proc !== undefined && main.onBeforeExit === null) {
        main.onBeforeExit = () => this.confirmDeadlock(true);
        proc.on("beforeExit", main.onBeforeExit);
      }
      // What is left of a write or a lookup goes away soon; after that, only the end of the process tells.
      if (this.deadlockRetries < 8) {
        const delay = 1 << this.deadlockRetries++;
        this.clock.setTimer(() => this.confirmDeadlock(false), delay, false);
      }
      return;
    }
    const message = main.exited
      ? this.ngoroutines === 0
        ? "no goroutines (main called runtime.Goexit) - deadlock!"
        : "all goroutines are asleep - deadlock!"
      : "all goroutines are asleep - deadlock!";
    const e = new FatalError(message, "DEADLOCK");
    this.crash(e, fatalReport(this, null, e, true));
  }

  private hostMayCall(main: Main): boolean {
    if (main.baseline === null) return false;
    const now = hostResources();
    if (now === null) return false;
    for (const [kind, n] of now) if (n > (main.baseline.get(kind) ?? 0)) return true;
    return false;
  }

  // ---- ends of goroutines ----

  /** The goroutine returned. */
  private goexit0(g: G, value: unknown, viaGoexit: boolean): void {
    // Ended already: it closed the scheduler that runs it.
    if (g.atomicstatus === Gdead) return;
    if (g.defers !== null && (g.flags & gUnwinding) === 0) {
      this.unwind(g, viaGoexit ? panicOf(g, goexitSignal) : null, value);
      return;
    }
    const armed = m0.armed;
    if (armed !== null) this.unusedOp(g, armed);
    if (this.batch === 1) this.lastExit = { goid: g.goid, site: g.site, sched: this };
    const flags = g.flags;
    const doneq = g.doneq;
    if (doneq !== null) {
      while (wakeOne(doneq));
    }
    if (g.onExit !== null) {
      const f = g.onExit;
      g.onExit = null;
      try {
        f();
      } catch (e) {
        this.gopanic(g, e);
        return;
      }
    }
    if (g.rootLo !== 0) this.hooks.gExit?.(g);
    if (flags === 0) {
      this.ngoroutines--;
      this.gput(g, false);
      return;
    }
    if ((flags & gHost) !== 0) this.nhost--;
    if ((flags & gMain) !== 0) {
      const main = this.mainState!;
      this.ngoroutines--;
      if (viaGoexit) {
        main.exited = true;
      } else {
        this.gput(g, false);
        this.endMain();
        this.killAll();
        main.resolve(value);
        return;
      }
    } else if ((flags & (gHost | gSystem)) === 0) {
      this.ngoroutines--;
    }
    this.gput(g, false);
  }

  /** Goes on as the generator that runs the goroutine's own deferred calls. */
  private unwind(g: G, p: Panic | null, value: unknown): void {
    g.flags |= gUnwinding;
    g.gen = unwindBody(g, g.defers!, p, value);
    this.globalFirst(g);
  }

  /** Lets `g` go on at once, before anything else. */
  private globalFirst(g: G): void {
    g.atomicstatus = Grunnable;
    const next = this.p.runnext;
    this.p.runnext = g;
    if (next !== null) this.p.runqput(next, this.globq);
  }

  /** An exception has left the goroutine. */
  private gopanic(g: G, e: unknown): void {
    if (g.atomicstatus === Gdead) return;
    g.waitOp = null;
    if (isFatalError(e)) {
      this.crash(e, fatalReport(this, g, e, false));
      return;
    }
    if ((g.flags & gUnwinding) === 0 && g.defers !== null) {
      this.unwind(g, panicOf(g, e), undefined);
      return;
    }
    if (e instanceof GoexitSignal) {
      this.goexit0(g, undefined, true);
      return;
    }
    const p = g.unwinding !== null && g.unwinding.error === e ? g.unwinding : new Panic(e, g.panic);
    let text: string;
    let error = e;
    try {
      text = panicReport(this, g, p);
    } catch (fault) {
      if (!isFatalError(fault)) throw fault;
      error = fault;
      text = fatalReport(this, g, fault, false);
    }
    this.crash(error, text);
  }

  private faultReport(e: unknown): string {
    return isFatalError(e) ? fatalReport(this, null, e, true) : `panic: ${printpanicval(e)}\n`;
  }

  /** The goroutine has yielded something that is no op: it would never be woken. */
  private badYield(g: G): void {
    const e = new TypeError(
      `scheduler: goroutine ${g.goid} yielded a value that is no op; suspend with yield* on an op`,
    );
    const gen = g.gen!;
    try {
      const r = gen.throw === undefined ? undefined : gen.throw(e);
      if (r === undefined) throw e;
      if (r.done === true) this.goexit0(g, r.value, false);
      else if (g.waitOp === null) throw e;
    } catch (err) {
      this.gopanic(g, err);
    }
  }

  private unusedOp(g: G, op: Op<unknown>): void {
    op.detach();
    const site = this.siteOf(g.site);
    const key = `${op.what} ${site}`;
    if (this.longSites.has(key)) return;
    this.longSites.add(key);
    this.stderr(
      `scheduler: goroutine ${g.goid} ended with a ${op.what} that it never used (write yield* before it)${site === "" ? "" : `\n\tcreated by ${site}`}\n`,
    );
  }

  private siteOf(site: G["site"]): string {
    if (site === null) return "";
    return siteText(creationSite({ site, sched: this } as unknown as G));
  }

  private longRun(ms: number): void {
    const g = m0.curg;
    if (g === null) return;
    const dead = g.atomicstatus === Gdead;
    const exit = this.lastExit;
    if (dead && exit === null) return;
    const site = this.siteOf(dead ? exit!.site : g.site);
    const goid = dead ? exit!.goid : g.goid;
    if (this.longSites.has(site)) return;
    this.longSites.add(site);
    const run: LongRun = { goid, ms, site };
    this.longRuns.push(run);
    this.hooks.longRun?.(run);
    if (this.debug.sysmon) {
      const by = site === "" ? "" : `\n\tcreated by ${site}`;
      this.stderr(`goroutine ${goid} ran ${Math.round(ms)} ms without yielding${by}\n`);
    }
  }

  /** A G that only those who can wake it hold. */
  private newWeak(): G {
    const g = new G(this);
    g.goid = ++this.goidgen;
    g.allIndex = -1;
    return g;
  }

  private gfget(): G {
    let g: G;
    if (this.gfree.length > 0) {
      g = this.gfree.pop()!;
    } else {
      g = new G(this);
      g.allIndex = this.allgs.length;
      this.allgs.push(g);
    }
    g.goid = ++this.goidgen;
    return g;
  }

  /** Puts an ended G into the pool; `forget` leaves it to the collector, for one whose generator may still be referenced. */
  private gput(g: G, forget: boolean): void {
    if (forget && (g.flags & (gSystem | gHost)) === 0) this.ngoroutines = Math.max(0, this.ngoroutines - 1);
    g.atomicstatus = Gdead;
    g.gen = null;
    g.fn = null;
    g.arg = undefined;
    g.waitOp = null;
    g.waiting = null;
    g.param = null;
    g.site = null;
    g.flags = 0;
    g.defers = null;
    g.panic = null;
    g.unwinding = null;
    g.doneq = null;
    g.onExit = null;
    g.lockedCount = 0;
    g.rootSp = 0;
    g.rootLo = 0;
    g.labels = null;
    g.blockStart = 0;
    if (g.tracking !== 0) this.latencies!.drop(g);
    if (g.allIndex < 0) {
      this.leak!.remove(g);
      return;
    }
    if (!forget && this.gfree.length < gfreeMax) {
      this.gfree.push(g);
      return;
    }
    const last = this.allgs.pop()!;
    if (last !== g) {
      this.allgs[g.allIndex] = last;
      last.allIndex = g.allIndex;
    }
  }
}

/** Runs the deferred calls of a goroutine that has returned, panicked or called goexit. */
function* unwindBody(g: G, f: DeferFrame, p: Panic | null, value: unknown): Generator<undefined, unknown> {
  const left = yield* runDeferred(g, f, p);
  g.defers = null;
  if (left === null) return p === null ? value : undefined;
  g.unwinding = left;
  throw left.error;
}

const finished: IteratorResult<unknown, unknown> = { done: true, value: undefined };

/**
 * First run of a goroutine: calls its function, and enters the body if that is a generator. Named by its key, like the run
 * loop, so that a stack ends at the same place in the first slice as in later ones.
 */
const { "gort:start": start } = {
  "gort:start"(g: G): IteratorResult<unknown, unknown> {
    const fn = g.fn as (...args: unknown[]) => unknown;
    const arg = g.arg;
    const n = g.nargs;
    g.arg = undefined;
    if ((n & genFlag) !== 0) {
      const gen = (
        n === genFlag ? fn() : n === (genFlag | 1) ? fn(arg) : fn(...(arg as unknown[]))
      ) as GeneratorObject;
      g.gen = gen;
      return resume.call(gen);
    }
    const r = n === 0 ? fn() : n === 1 ? fn(arg) : fn(...(arg as unknown[]));
    if (typeof r === "object" && r !== null) {
      if (isGenerator(r)) {
        const gen = adapt(r);
        g.gen = gen;
        return resume.call(gen);
      }
      if ("then" in r && typeof r.then === "function") {
        throw new TypeError(
          `scheduler: go needs a generator function or a function that does not block (${fn.name || "it"} returned a promise; wait for one with yield* syscall(promise))`,
        );
      }
    }
    finished.value = r;
    return finished;
  },
};

/** Makes a generator of this realm of an op, or of an iterator from elsewhere. */
function* adapt(r: Iterator<undefined, unknown, unknown>): Generator<undefined, unknown, unknown> {
  return yield* { [Symbol.iterator]: () => r };
}

/** Whether `f` is a generator function. Throws for what cannot be a goroutine. */
function checkGoroutineFunction(f: unknown): boolean {
  if (typeof f !== "function") {
    if (f === null || f === undefined) throw new FatalError("go of nil func value", "GO_NIL_FUNC");
    throw new TypeError(`scheduler: go needs a function (got ${typeof f})`);
  }
  const proto = Object.getPrototypeOf(f) as object;
  if (proto === generatorFunction) return true;
  if (proto === asyncFunction || proto === asyncGenerator) {
    throw new TypeError(
      `scheduler: go needs a generator function, not an async one (got ${f.name || "an async function"}; wait for promises with yield* syscall(promise))`,
    );
  }
  return false;
}

function siteText(f: Frame | null): string {
  return f === null ? "" : `${f.func} ${f.file}:${f.line}`;
}

function bindClock(c: Clock | undefined): Partial<Required<Clock>> {
  if (c === undefined) return {};
  const out: Partial<Required<Clock>> = { now: () => c.now() };
  if (c.wall !== undefined) out.wall = () => c.wall!();
  if (c.setTimer !== undefined) out.setTimer = (f, ms, ref) => c.setTimer!(f, ms, ref);
  if (c.clearTimer !== undefined) out.clearTimer = (h) => c.clearTimer!(h);
  return out;
}

function parseGodebug(d: SchedulerOptions["godebug"]): Readonly<Record<string, number>> {
  const out: Record<string, number> = {};
  if (d === undefined) return out;
  const entries = typeof d === "string" ? d.split(",").map((s) => s.split("=")) : Object.entries(d);
  for (const [k, v] of entries) if (k !== undefined && k !== "") out[k.trim()] = Number(v ?? 1);
  return out;
}

export function createScheduler(options: SchedulerOptions = {}): Scheduler {
  return new Scheduler(options);
}
