/** The object that a thread has: it connects the parts. proc.ts has the essay. */
import { show, throwFatal, wrongNumber } from "@gort/base";
import type { Addr, LinearMemory } from "@gort/memory";
import { ROOT_THREADS } from "@gort/memory/internal";
import { type ThreadHost, threadHost } from "./host.ts";
import { close, push, setSignal, takeAll } from "./inbox.ts";
import { LINE, M_RUNNING, M_STARTING, MAX_PS, MREC_AT, SCHED, SCHED_AT } from "./layout.ts";
import { Ms, newRecord } from "./ms.ts";
import { Parking } from "./park.ts";
import { Proc } from "./proc.ts";
import { Ps } from "./ps.ts";
import { NODE_NEXT, type Procs, type Threads } from "./runtime2.ts";
import { SharedState } from "./shared-state.ts";
import { forEachTask, procsOf } from "./snapshot.ts";
import { Stops } from "./stops.ts";

const nothing = (): void => {};

class MThreads implements Threads {
  readonly mem: LinearMemory;
  readonly m: number;
  private readonly s: SharedState;
  private readonly parking: Parking;
  private readonly ms: Ms;
  private readonly ps: Ps;
  private readonly proc: Proc;
  private readonly stops: Stops;
  private readonly u32: Uint32Array;
  private readonly inboxAt: number;
  /** Nodes taken from the inbox that onNode has not got yet, oldest first. */
  private undelivered = 0;
  private delivered = 0;
  private wake = nothing;
  /** What a poll in the event loop has thrown. The next poll throws it. */
  private failure: { readonly error: unknown } | null = null;

  onNode: (node: Addr) => void = nothing;
  onCommand: (command: number, arg: number) => void = nothing;
  onStop: () => void = nothing;
  onAllIdle: () => void = nothing;

  constructor(mem: LinearMemory, sched: number, m: number, host: ThreadHost) {
    this.mem = mem;
    this.m = m;
    this.s = new SharedState(mem, sched, m, host);
    this.parking = new Parking(this.s, () => this.wakened());
    this.ms = new Ms(this.s, this.parking);
    this.ps = new Ps(this.s, this.parking);
    this.proc = new Proc(this.s, this.ms, this.ps, this.parking);
    this.stops = new Stops(this.s, this.parking, this);
    this.u32 = mem.u32;
    const lockAt = sched + SCHED_AT.lock;
    mem.rankLocks((addr) => (addr === lockAt ? "sched" : undefined));
    this.inboxAt = (this.s.rec + MREC_AT.inbox) >>> 2;
  }

  /** Of the first thread: its M runs at once. */
  begin(): void {
    this.s.kernel.store(this.s.rec + MREC_AT.state, M_RUNNING);
  }

  /** Of a registered M: it runs when the world runs. */
  enter(): void {
    this.ms.attach();
    this.stops.stopped(false);
  }

  // ---- Ms

  get count(): number {
    return this.ms.count;
  }
  get cpus(): number {
    return this.s.host.cpus;
  }
  registerM(): number {
    return this.ms.register(Number.POSITIVE_INFINITY);
  }
  threadOf(m: number): number {
    return this.ms.threadOf(m);
  }
  died(m: number, thread: number): boolean {
    return this.ms.died(m, thread);
  }

  leave(): void {
    this.awake();
    this.proc.setLocked(false);
    // A thread that has taken this M from the idle Ms is about to signal it.
    for (this.poll(); this.proc.offered; this.poll()) this.stops.stopped(true);
    if (this.ps.forgo() && this.proc.anyTask()) this.proc.wakeP();
    while (!close(this.s)) this.poll();
    this.ms.leave();
  }

  abandon(): void {
    this.stops.abandon();
  }

  // ---- inboxes

  post(m: number, node: Addr): void {
    push(this.s, m, node);
    this.parking.unpark(this.s.mrec(m));
  }

  signal(m: number): void {
    this.parking.signal(this.s.mrec(m));
  }

  private deliver(): void {
    while (this.undelivered !== 0) {
      const node = this.undelivered;
      this.undelivered = this.u32[(node + NODE_NEXT) >>> 2];
      this.delivered++;
      this.onNode(node as Addr);
    }
  }

  // ---- safepoints

  get pending(): boolean {
    return this.u32[this.inboxAt] !== 0;
  }

  poll(): void {
    const { failure } = this;
    if (failure !== null) {
      this.failure = null;
      throw failure.error;
    }
    try {
      this.lookAround(false);
    } finally {
      this.handOver();
    }
  }

  private lookAround(idle: boolean): void {
    try {
      while (this.pending || this.undelivered !== 0) {
        if (this.undelivered === 0) this.undelivered = takeAll(this.s);
        if (this.stops.requested) this.stop();
        this.proc.settle(idle);
        this.deliver();
      }
    } finally {
      // If a command or onNode has thrown, the next poll goes on.
      if (this.undelivered !== 0) setSignal(this.s, this.s.rec);
    }
  }

  /** Another M has stopped the world, and waits for this one: also if this one fails, as under a lock that is lost. */
  private stop(): void {
    try {
      this.handOver();
    } finally {
      this.stops.stopped(false);
    }
  }

  // ---- sleeping

  sleep(wake: () => void): void {
    this.wake = wake;
    this.fallAsleep();
  }

  private fallAsleep(): void {
    const { parking, ps, proc } = this;
    try {
      proc.share();
      if (!ps.waits) {
        proc.offer();
        ps.release();
        // A thread with a task may have found no idle M just before. A parked M wakes no other: it would have to count
        // as busy.
        if (ps.npidle !== 0 && proc.anyTask()) proc.wakeP();
      }
    } finally {
      // Also if a lock is lost: otherwise nothing would call this thread for a stop of the world.
      parking.park();
      parking.arm();
    }
  }

  awake(): void {
    if (!this.parking.asleep) return;
    this.parking.asleep = false;
    this.proc.retract();
    this.parking.unparkSelf();
  }

  /** In the event loop: another thread has woken this one, or may have. */
  private wakened(): void {
    const { parking } = this;
    if (!parking.asleep) return;
    parking.unparkSelf();
    parking.asleep = false;
    const before = this.delivered;
    try {
      this.lookAround(true);
    } catch (e) {
      // The host would take it for an uncaught exception. In the run loop it ends the program with a report.
      this.failure = { error: e };
      setSignal(this.s, this.s.rec);
    }
    if (this.delivered !== before) this.handOver();
    if (this.failure !== null || this.delivered !== before || this.ps.mayRun) {
      this.proc.retract();
      this.wake();
      // If a slice was queued already, `wake` has done nothing.
      this.handOver();
    } else {
      this.fallAsleep();
      // Another M may have parked while this one was awake, and taken it for busy.
      if (this.m === 0 && parking.othersBusy === 0) this.onAllIdle();
    }
  }

  block(done: () => boolean): void {
    const { asleep } = this.parking;
    if (asleep) this.awake();
    try {
      const had = this.s.p !== 0;
      this.releaseP();
      for (this.poll(); !done(); this.poll()) this.stops.stopped(true);
      if (had) for (; !this.ps.acquire(); this.poll()) this.stops.stopped(true);
    } finally {
      // Also after an error of a node or a command: only an M that sleeps is called back in its event loop.
      if (asleep) this.sleep(this.wake);
    }
  }

  // ---- Ps

  acquireP(): boolean {
    return this.ps.acquire();
  }

  releaseP(ticks?: number): void {
    this.proc.share();
    if (this.ps.release(ticks) && this.proc.anyTask()) this.proc.wakeP();
  }

  get wanted(): boolean {
    return this.ps.wanted;
  }
  get gomaxprocs(): number {
    return this.s.gomaxprocs;
  }

  setGomaxprocs(n: number): void {
    checkGomaxprocs(n);
    if (this.count > 1 && !this.stops.stopping) {
      throwFatal("threads: setGomaxprocs while the world runs", `M ${this.m}, gomaxprocs ${this.gomaxprocs}`);
    }
    this.ps.resize(n);
  }

  // ---- tasks

  putTask(task: Addr): void {
    this.proc.putTask(task);
  }
  takeTask(steal = true): Addr {
    return this.proc.takeTask(steal) as Addr;
  }
  leavesTasks(): boolean {
    return this.proc.leavesTasks();
  }
  spin(tasks: boolean): boolean {
    return this.proc.spin(tasks);
  }
  handOver(): void {
    if (this.proc.share()) this.proc.wakeP();
  }
  takeAnyTask(): Addr {
    return this.proc.takeAnyTask() as Addr;
  }
  setBusy(busy: boolean): void {
    this.proc.setBusy(busy);
  }
  setLocked(locked: boolean): void {
    this.proc.setLocked(locked);
  }
  get startM(): ((m: number) => void) | null {
    return this.proc.startM;
  }
  set startM(start: ((m: number) => void) | null) {
    this.proc.startM = start;
  }

  // ---- stops

  stopTheWorld(reason: string): void {
    this.stops.stop(reason);
  }

  startTheWorld(): void {
    this.stops.start();
    if (!this.stops.stopping && this.ps.npidle !== 0 && this.proc.anyTask()) this.proc.wakeP();
  }

  command(command: number, arg: number): void {
    this.stops.command(command, arg);
  }

  // ---- figures

  nextGoids(): number {
    return this.ms.nextGoids();
  }
  setGoid(goid: number): void {
    this.ms.setGoid(goid);
  }
  setCounts(goroutines: number, schedtick: number): void {
    this.ms.setCounts(goroutines, schedtick);
  }
  figure(m: number, name: "goid" | "goroutines" | "schedtick"): number {
    return this.ms.figure(m, name);
  }
  sum(name: "goroutines" | "schedtick"): number {
    return this.ms.sum(name);
  }
  get othersBusy(): number {
    return this.parking.othersBusy;
  }
  procs(): Procs {
    return procsOf(this.s);
  }
  forEachTask(visit: (task: Addr) => void): void {
    forEachTask(this.s, visit);
  }
}

function checkGomaxprocs(n: number): void {
  if (Number.isInteger(n) && n >= 1 && n <= MAX_PS) return;
  throw wrongNumber("threads", n, `gomaxprocs must be a whole number from 1 to ${MAX_PS}`);
}

function checkMember(mem: LinearMemory): void {
  if (mem.thread === 0) throw new TypeError("threads: the memory must have a number for this thread (got 0)");
}

/** Makes the shared block of a memory. This thread is M 0. It has no P yet. */
export function createThreads(
  mem: LinearMemory,
  gomaxprocs: number,
  host: ThreadHost = threadHost(),
): Threads {
  checkGomaxprocs(gomaxprocs);
  checkMember(mem);
  if (mem.root(ROOT_THREADS) !== 0)
    throw new TypeError("threads: the memory has threads already: attachThreads");
  const sched = mem.persistentAlloc(SCHED.size, LINE, "otherSys");
  if (sched === 0) throw new RangeError("threads: no memory for the shared block");
  const rec = newRecord(mem, sched, 0);
  mem.u32[(rec + MREC_AT.thread) >>> 2] = mem.thread;
  mem.u32[(sched + SCHED_AT.mcount) >>> 2] = 1;
  const threads = new MThreads(mem, sched, 0, host);
  threads.begin();
  threads.setGomaxprocs(gomaxprocs);
  mem.setRoot(ROOT_THREADS, sched);
  return threads;
}

/** Attaches this thread as M m, which another thread has registered. Returns when the world runs. */
export function attachThreads(mem: LinearMemory, m: number, host: ThreadHost = threadHost()): Threads {
  checkMember(mem);
  const sched = mem.root(ROOT_THREADS);
  if (sched === 0) throw new TypeError("threads: the memory has no threads: createThreads");
  const nms = mem.u32[(sched + SCHED_AT.nms) >>> 2];
  const known = Number.isInteger(m) && m > 0 && m < nms;
  const rec = known ? mem.u32[(sched + SCHED_AT.ms + 4 * m) >>> 2] : 0;
  if (rec === 0 || mem.kernel.load(rec + MREC_AT.state) !== M_STARTING) {
    throw new RangeError(`threads: m must be an index from registerM (got ${show(m)})`);
  }
  const threads = new MThreads(mem, sched, m, host);
  threads.enter();
  return threads;
}
