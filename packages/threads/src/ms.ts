/**
 * Ms come and go.
 *
 *     free -> starting    register, by the thread that is going to start the M's thread
 *     starting -> stopped attach, by the new thread, which then resumes by itself
 *     running -> free     leave, by the thread itself
 *     starting -> free, running -> dead    died, by a thread that has learnt of its end
 *     running -> gone -> dead              the same, after `abandon`, or after a stop that has waited for it in vain
 *
 * The index of a free M is used again. The index of a dead M is not: its goroutines, its P and its nodes are lost, and
 * the program ends.
 */
import { lock, unlock } from "@gort/memory/internal";
import { LINE, M_DEAD, M_FREE, M_STARTING, M_STOPPED, MAX_MS, MREC, MREC_AT, SCHED_AT } from "./layout.ts";
import type { Parking } from "./park.ts";
import type { SharedState } from "./shared-state.ts";

/** Goids that a thread takes at once. */
export const GOID_BLOCK = 16;

/** Allocates the record of M m. */
export function newRecord(mem: SharedState["mem"], sched: number, m: number): number {
  const rec = mem.persistentAlloc(MREC.size, LINE, "otherSys");
  if (rec === 0) throw new RangeError(`threads: no memory for M ${m}`);
  mem.u32[(sched + SCHED_AT.ms + 4 * m) >>> 2] = rec;
  mem.u32[(sched + SCHED_AT.nms) >>> 2] = m + 1;
  return rec;
}

export class Ms {
  private readonly s: SharedState;
  private readonly parking: Parking;

  constructor(s: SharedState, parking: Parking) {
    this.s = s;
    this.parking = parking;
  }

  private lock(): void {
    lock(this.s.mem, this.s.sched + SCHED_AT.lock);
  }

  private unlock(): void {
    unlock(this.s.mem, this.s.sched + SCHED_AT.lock);
  }

  get count(): number {
    return this.s.u32[(this.s.sched + SCHED_AT.mcount) >>> 2];
  }

  /**
   * Registers an M whose thread is going to start, for one of `tasks` tasks. Returns its index; -1 if there are
   * gomaxprocs Ms without those that goroutines have locked, or if as many Ms start as there are tasks or idle Ps. With
   * Infinity it registers an M in any case.
   */
  register(tasks: number): number {
    const { s } = this;
    this.lock();
    try {
      const { u32, sched } = s;
      const starting = u32[(sched + SCHED_AT.nstarting) >>> 2];
      const idle = u32[(sched + SCHED_AT.npidle) >>> 2];
      const unlocked = this.count - u32[(sched + SCHED_AT.nlocked) >>> 2];
      const enough = unlocked >= s.gomaxprocs || starting >= Math.min(idle, tasks);
      if (enough && tasks !== Number.POSITIVE_INFINITY) return -1;
      return this.registerLocked();
    } finally {
      this.unlock();
    }
  }

  private registerLocked(): number {
    const { s } = this;
    const { u32, kernel, sched } = s;
    let m = 1;
    while (m < s.nms && u32[(s.mrec(m) + MREC_AT.state) >>> 2] !== M_FREE) m++;
    if (m === MAX_MS) throw new RangeError(`threads: more than ${MAX_MS} threads`);
    const thread = s.mem.registerThread();
    const rec = m < s.nms ? s.mrec(m) : newRecord(s.mem, sched, m);
    u32.fill(0, rec >>> 2, (rec + MREC.size) >>> 2);
    u32[(rec + MREC_AT.thread) >>> 2] = thread;
    u32[(sched + SCHED_AT.nstarting) >>> 2]++;
    kernel.add(sched + SCHED_AT.mcount, 1);
    kernel.store(rec + MREC_AT.state, M_STARTING);
    kernel.add(sched + SCHED_AT.wakes, 1);
    return m;
  }

  /** The memory's number for the thread of M m. */
  threadOf(m: number): number {
    return this.s.u32[(this.s.mrec(m) + MREC_AT.thread) >>> 2];
  }

  /** This thread takes its M, which is registered, as a stopped one. The caller then resumes it: Stops.stopped. */
  attach(): void {
    const { s } = this;
    // M 0 may take a worker for dead that it has ended, while that still runs for some instructions.
    if (s.kernel.cas(s.rec + MREC_AT.state, M_STARTING, M_STOPPED) !== M_STARTING) {
      throw new RangeError(`threads: M ${s.m} is not registered any more`);
    }
    s.u32[(s.rec + MREC_AT.thread) >>> 2] = s.mem.thread;
    this.notStarting();
  }

  private notStarting(): void {
    this.lock();
    this.s.u32[(this.s.sched + SCHED_AT.nstarting) >>> 2]--;
    this.unlock();
  }

  /** Counts this M among those that goroutines have locked, or no longer. */
  countLocked(change: 1 | -1): void {
    this.lock();
    this.s.u32[(this.s.sched + SCHED_AT.nlocked) >>> 2] += change;
    this.unlock();
  }

  /** This M is free from now on. It holds nothing that others could want. */
  leave(): void {
    const { s } = this;
    s.kernel.add(s.sched + SCHED_AT.mcount, -1);
    s.kernel.store(s.rec + MREC_AT.state, M_FREE);
    s.notify(s.rec + MREC_AT.state);
    this.parking.tellIfAllIdle();
  }

  /** The thread of M m has ended. True if it had run and had not left: then the program cannot go on. */
  died(m: number, thread: number): boolean {
    const { s } = this;
    const { kernel } = s;
    const rec = s.mrec(m);
    s.mem.threadExited(thread);
    const state = kernel.load(rec + MREC_AT.state);
    if (state === M_FREE || state === M_DEAD || this.threadOf(m) !== thread) return false;
    const started = kernel.cas(rec + MREC_AT.state, M_STARTING, M_FREE) !== M_STARTING;
    if (started) kernel.store(rec + MREC_AT.state, M_DEAD);
    else this.notStarting();
    kernel.add(s.sched + SCHED_AT.mcount, -1);
    s.notify(rec + MREC_AT.state);
    this.parking.tellIfAllIdle();
    return started;
  }

  // ---- figures

  /** The first of GOID_BLOCK numbers for goroutines that no other thread gets. The first block begins at 0. */
  nextGoids(): number {
    return GOID_BLOCK * (this.s.kernel.add(this.s.sched + SCHED_AT.goids, 1) >>> 0);
  }

  /** Notes the goroutine that this thread runs; 0: none. */
  setGoid(goid: number): void {
    this.s.mem.f64[(this.s.rec + MREC_AT.goid) >>> 3] = goid;
  }

  /** Notes this thread's figures for readers on other threads. */
  setCounts(goroutines: number, schedtick: number): void {
    const { f64 } = this.s.mem;
    f64[(this.s.rec + MREC_AT.goroutines) >>> 3] = goroutines;
    f64[(this.s.rec + MREC_AT.schedtick) >>> 3] = schedtick;
  }

  /** A figure of M m; 0 for a free M. */
  figure(m: number, name: "goid" | "goroutines" | "schedtick"): number {
    return this.s.mem.f64[(this.s.mrec(m) + MREC_AT[name]) >>> 3];
  }

  /** The sum of a figure over all Ms that have not ended. */
  sum(name: "goroutines" | "schedtick"): number {
    let total = 0;
    for (let m = 0; m < this.s.nms; m++) {
      const state = this.s.u32[(this.s.mrec(m) + MREC_AT.state) >>> 2];
      if (state !== M_FREE && state !== M_DEAD) total += this.figure(m, name);
    }
    return total;
  }
}
