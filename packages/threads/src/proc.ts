/**
 * Threads as Go's Ms.
 *
 * A thread is an M; each M has its event loop, its goroutines and its run loop (@gort/scheduler). A P is the right to
 * run goroutines: gomaxprocs of them exist. A task is a goroutine that has not started, in a form that any thread can
 * start. All of this is shared through linear memory (layout.ts); each thread has one `Threads` object.
 *
 *     layout.ts   the shared block, drawn            inbox.ts   nodes that one M gives to another
 *     park.ts     how an M sleeps and is woken       stops.ts   stops of the world, commands
 *     ps.ts       Ps, and the Ms that wait for one   runq.ts    rings and the global queue
 *     ms.ts       Ms come and go, their figures      host.ts    Atomics.wait, waitAsync, time
 *     threads.ts  the object that a thread has       proc.ts    this file: finding tasks, waking Ms for them
 *
 * How tasks find threads, as in Go's proc.go:
 *   1. putTask puts the task into runnext of the own P, and the previous one into the ring. If a P is idle and no M
 *      spins, it wakes an M.
 *   2. takeTask takes from the own P, and from the global queue at each 61st call, so that no task starves there. Then
 *      it takes a batch from the global queue. Then it steals half of another P's ring.
 *   3. An M that searches spins: SCHED.nmspinning counts it. At most half as many Ms spin as Ps are busy.
 *   4. A spinning M that finds a task wakes another M if there are more tasks. So Ms are woken one after the other, as
 *      long as there is work for them.
 *   5. An M that finds nothing looks for some microseconds more (`spin`), also at its inbox. Then it sleeps: it gives
 *      its P away, and looks at all queues once more.
 *
 * No task is left behind while a P is idle. The thread with the task stores the task, then loads npidle and nmspinning.
 * The M that stops to look decrements nmspinning or increments npidle, then loads the queues. Atomics have one order.
 * So the thread with the task sees no spinning M and an idle P, and wakes an M; or the other M sees the task.
 *
 * An M that has goroutines to run takes a task at each 61st switch, so that no task starves. But it leaves them to an M
 * that is about to search, for a time (`leavesTasks`).
 *
 * A woken M counts as spinning until it looks (the word `woken`). It looks when its event loop calls it, and keeps the
 * task that it finds for its next takeTask: in runnext, an M that is slow could lose it to another one, and that one
 * too, without end. But if the M has goroutines to run first (`handOver`), the task goes into runnext, and another M is
 * woken for it. An M that runs already when it learns that it was woken takes none, and wakes another M.
 *
 * Which M is woken: the idle one of the lowest index above 0. Few Ms stay warm, and M 0, which serves the program's
 * event loop, comes last. If none is idle, `startM` starts one, unless as many are starting as tasks wait or Ps are
 * idle: a starting M is one that will search, as a spinning one.
 *
 * Unlike Go: an M is bound to its goroutines, so it can have goroutines and no P. It then waits in a FIFO, and an M
 * with a P gives it away at the end of its slice. An M that returns to its event loop so holds no P, and there is no
 * sysmon that retakes it. If a slice does not end, an M that waits borrows the P (ps.ts).
 *
 * Rejected: sleep in Atomics.wait, which is 3 us faster a round trip and stops the event loop.
 *
 * Invariants are in ps.ts, park.ts and stops.ts; verifyThreads (testing.ts) checks them. test/*-model.test.ts walk
 * through all interleavings of small programs.
 *
 * Sources: Go's runtime/proc.go; D. Vyukov, "Scalable Go Scheduler Design Doc" (2012); R. D. Blumofe and C. E.
 * Leiserson, "Scheduling multithreaded computations by work stealing" (1999).
 */
import { MAX_MS, MREC_AT, SCHED_AT, WOKEN_IN_VAIN, WOKEN_SPINNING } from "./layout.ts";
import type { Ms } from "./ms.ts";
import type { Parking } from "./park.ts";
import type { Ps } from "./ps.ts";
import {
  globrunqget,
  globrunqput,
  globrunqtake,
  runqcount,
  runqempty,
  runqget,
  runqput,
  runqsteal,
  runqtake,
} from "./runq.ts";
import type { SharedState } from "./shared-state.ts";

/** The global queue comes first at each call that this divides. Go's figure; a prime beats with no period. */
const GLOBAL_TICK = 61;
/** Rounds over all Ps in a search; only the last one takes a runnext. Go's figure. */
const STEAL_ROUNDS = 4;
/**
 * How long an M looks for something to run before it sleeps, in ms. To fall asleep and to be woken takes some 30 us of
 * processor time, most of it in the event loop.
 *
 * The long time is that of an M whose last look was not in vain. It bridges the 25 us or more in which another M
 * wakes up: if two Ms call each other in turn, both stay awake from then on. After a look in vain come short ones, and
 * a long one again after LONG_EVERY of them. So an M that is called at long intervals loses 8 us each time.
 */
const LONG_SPIN_MS = 0.05;
const SHORT_SPIN_MS = 0.005;
const LONG_EVERY = 16;
/**
 * How long an M with other goroutines leaves its tasks to an M that is about to search, in ms: longer than a thread
 * takes to start.
 */
const LEAVE_MS = 100;
/** Looks at the inbox between two readings of the clock, which takes as long as 20 of them. */
const SPIN_LOOKS = 64;
/** Largest batch that takeTask takes from the global queue, as the queue itself limits it. */
const ANY = 1 << 30;
const MS_WORDS = MAX_MS / 32;

export class Proc {
  private readonly s: SharedState;
  private readonly ms: Ms;
  private readonly ps: Ps;
  private readonly parking: Parking;
  private tick = 0;
  /** Looks in vain (`spin`) since the last one that was not. */
  private vain = 0;
  /** Goroutines have locked this M: it takes no tasks. */
  locked = false;
  /** This M takes no tasks for now. */
  private busy = false;
  /** This M is among the idle Ms, or a thread that took it from there has not woken it yet. */
  offered = false;
  /** The task that this M has found when it was woken; 0: none. It is in no queue. */
  private found = 0;
  /** When this M began to leave tasks to others (leavesTasks); -1: it leaves none. */
  private leftAt = -1;
  /** Called with the index of an M that is registered: its thread has to be started. null: no thread is started. */
  startM: ((m: number) => void) | null = null;

  constructor(s: SharedState, ms: Ms, ps: Ps, parking: Parking) {
    this.s = s;
    this.ms = ms;
    this.ps = ps;
    this.parking = parking;
  }

  private get nmspinning(): number {
    return this.s.kernel.load(this.s.sched + SCHED_AT.nmspinning);
  }

  private addSpinning(n: number): void {
    this.s.kernel.add(this.s.sched + SCHED_AT.nmspinning, n);
  }

  putTask(task: number): void {
    const { p } = this.s;
    if (p === 0) globrunqput(this.s, task);
    else runqput(this.s, p, task);
    this.wakeP();
  }

  /** `steal`: also from other Ps. */
  takeTask(steal: boolean): number {
    const { s } = this;
    const { p } = s;
    if (p === 0) return 0;
    const { found } = this;
    if (found !== 0) {
      this.found = 0;
      return found;
    }
    const task = this.own(p);
    if (task !== 0 || !steal || s.gomaxprocs === 1 || !this.maySearch) return task;
    for (;;) {
      this.addSpinning(1);
      const found = this.search(p);
      this.addSpinning(-1);
      // A task that another thread has put meanwhile woke no M, because this one was spinning.
      const more = this.anyTask();
      if (found !== 0 && more) this.wakeP();
      if (found !== 0 || !more || this.parking.called) return found;
    }
  }

  /** Whether this M may search too: at most half as many Ms do as Ps are busy. */
  private get maySearch(): boolean {
    return 2 * this.nmspinning < this.s.gomaxprocs - this.ps.npidle;
  }

  /**
   * This M has nothing to run. Before it sleeps, it looks for some microseconds whether its inbox is called or, with
   * `tasks`, whether a queue has a task. Returns whether that is so.
   *
   * It does so only while another M is awake, which may call it, if each M that is awake has a processor of its own.
   * And not while an M waits for a P. An M that looks for tasks counts as spinning, so that no other M is woken for
   * them.
   */
  spin(tasks: boolean): boolean {
    const { s } = this;
    if (s.host.cpus < 2 || !this.spinPays()) return false;
    const searches = tasks && s.gomaxprocs > 1 && s.p !== 0 && this.maySearch;
    if (searches) this.addSpinning(1);
    let found = this.look(searches);
    if (searches) {
      this.addSpinning(-1);
      // A task that another thread has put meanwhile woke no M, because this one was spinning.
      found ||= this.anyTask();
    }
    this.vain = found ? 0 : this.vain + 1;
    return found;
  }

  private spinPays(): boolean {
    const { s } = this;
    const others = this.parking.othersBusy;
    return others > 0 && others < s.host.cpus && !this.ps.wanted;
  }

  private look(tasks: boolean): boolean {
    const { parking } = this;
    const { host } = this.s;
    const end = host.now() + (this.vain % LONG_EVERY === 0 ? LONG_SPIN_MS : SHORT_SPIN_MS);
    do {
      for (let i = 0; i < SPIN_LOOKS; i++) if (parking.called) return true;
      if (tasks && this.anyTask()) return true;
    } while (this.spinPays() && host.now() < end);
    return parking.called;
  }

  /** See Threads.leavesTasks. */
  leavesTasks(): boolean {
    const { s } = this;
    // Only the tasks that takeTask would take here: to look at all Ps costs as much as several switches.
    const some = s.p !== 0 && (s.kernel.load(s.sched + SCHED_AT.runqsize) !== 0 || !runqempty(s, s.p));
    if (!some || (this.ps.npidle === 0 && this.nmspinning === 0)) {
      this.leftAt = -1;
      return false;
    }
    const now = s.host.now();
    if (this.leftAt < 0) this.leftAt = now;
    return now - this.leftAt < LEAVE_MS;
  }

  /** See Threads.takeAnyTask. */
  takeAnyTask(): number {
    const { s } = this;
    this.share();
    let task = globrunqtake(s);
    for (let id = 0; id < s.gomaxprocs && task === 0; id++) task = runqtake(s, s.prec(id));
    return task;
  }

  /** A task of the own P or of the global queue. */
  private own(p: number): number {
    const { s } = this;
    if (++this.tick % GLOBAL_TICK === 0) {
      const task = globrunqget(s, p, 1);
      if (task !== 0) return task;
    }
    const task = runqget(s, p);
    return task !== 0 ? task : globrunqget(s, p, ANY);
  }

  /** Looks at the other Ps, each round from another one on. */
  private search(p: number): number {
    const { s } = this;
    const n = s.gomaxprocs;
    for (let round = 1; round <= STEAL_ROUNDS; round++) {
      const start = s.host.random() % n;
      for (let k = 0; k < n; k++) {
        const from = s.prec((start + k) % n);
        const task = from === p ? 0 : runqsteal(s, p, from, round === STEAL_ROUNDS);
        if (task !== 0) return task;
      }
      const task = globrunqget(s, p, ANY);
      if (task !== 0 || this.parking.called) return task;
    }
    return 0;
  }

  /** Whether any queue has a task. */
  anyTask(): boolean {
    const { s } = this;
    if (s.kernel.load(s.sched + SCHED_AT.runqsize) !== 0) return true;
    for (let id = 0, n = s.gomaxprocs; id < n; id++) if (!runqempty(s, s.prec(id))) return true;
    return false;
  }

  /** Tasks in all queues, as far as the loads are of one moment. */
  private countTasks(): number {
    const { s } = this;
    let n = s.kernel.load(s.sched + SCHED_AT.runqsize);
    for (let id = 0; id < s.gomaxprocs; id++) n += runqcount(s, s.prec(id));
    return n;
  }

  /** Wakes or starts an M for a P that is idle, unless an M spins already. */
  wakeP(): void {
    const { s, ps } = this;
    // An M that releases a P or goes to sleep wakes none while this one counts as spinning. So after an attempt in vain
    // this thread has to look again.
    for (;;) {
      if (ps.npidle === 0 || this.nmspinning !== 0) return;
      if (s.kernel.cas(s.sched + SCHED_AT.nmspinning, 0, 1) !== 0) return;
      const m = this.popIdleM();
      if (m >= 0) {
        if (this.wakeM(m) || !this.anyTask()) return;
        continue;
      }
      this.addSpinning(-1);
      if (this.hasIdleM) continue;
      const fresh = this.startM === null ? -1 : this.ms.register(this.countTasks());
      if (fresh >= 0) this.startM?.(fresh);
      return;
    }
  }

  /** Wakes M m, which was idle and counts as spinning, with a P. False: no P is idle any more. */
  private wakeM(m: number): boolean {
    const { s, ps } = this;
    const rec = s.mrec(m);
    ps.lock();
    // It may have taken a P itself meanwhile.
    const runs = s.u32[(rec + MREC_AT.p) >>> 2] !== 0 || ps.takeIdleLocked(rec, m);
    ps.unlock();
    if (!runs) this.addSpinning(-1);
    s.kernel.store(rec + MREC_AT.woken, runs ? WOKEN_SPINNING : WOKEN_IN_VAIN);
    this.parking.signal(rec);
    return runs;
  }

  /**
   * Goroutines lock this M, or no longer: other Ms run the tasks of its P. One more M may start, since a locked one
   * does not count against gomaxprocs.
   */
  setLocked(locked: boolean): void {
    if (locked === this.locked) return;
    this.locked = locked;
    this.share();
    this.ms.countLocked(locked ? 1 : -1);
    if (locked && this.anyTask()) this.wakeP();
  }

  /** See Threads.setBusy. */
  setBusy(busy: boolean): void {
    if (busy === this.busy) return;
    this.busy = busy;
    this.share();
    if (busy) this.retract();
    else if (this.parking.asleep && !this.ps.waits) this.offer();
    if (this.ps.npidle !== 0 && this.anyTask()) this.wakeP();
  }

  /** This M is idle: others may wake it for a task, unless it is locked or busy. */
  offer(): void {
    const { s } = this;
    if (this.offered || this.locked || this.busy) return;
    this.offered = true;
    s.kernel.or(s.sched + SCHED_AT.idleMs + ((s.m >>> 5) << 2), 1 << (s.m & 31));
  }

  /**
   * This M is not idle. If another thread has taken it from the idle Ms already, `offered` stays true until `settle`.
   */
  retract(): void {
    const { s } = this;
    const bit = 1 << (s.m & 31);
    const at = s.sched + SCHED_AT.idleMs + ((s.m >>> 5) << 2);
    if (this.offered && (s.kernel.and(at, ~bit) & bit) !== 0) this.offered = false;
  }

  private get hasIdleM(): boolean {
    const { kernel, sched } = this.s;
    for (let k = 0; k < MS_WORDS; k++) if (kernel.load(sched + SCHED_AT.idleMs + 4 * k) !== 0) return true;
    return false;
  }

  /** Takes the idle M of the lowest index, M 0 last; -1 if there is none. */
  private popIdleM(): number {
    const { kernel, sched } = this.s;
    const at = sched + SCHED_AT.idleMs;
    for (let k = 0; k < MS_WORDS; k++) {
      for (;;) {
        const bits = kernel.load(at + 4 * k) & (k === 0 ? ~1 : ~0);
        if (bits === 0) break;
        const bit = bits & -bits;
        if ((kernel.and(at + 4 * k, ~bit) & bit) !== 0) return 32 * k + 31 - Math.clz32(bit);
      }
    }
    return (kernel.load(at) & 1) !== 0 && (kernel.and(at, ~1) & 1) !== 0 ? 0 : -1;
  }

  /**
   * If another thread has woken this M for a task, it looks for one. Not if it runs by itself meanwhile (`idle` false):
   * it may have goroutines that run first, so other Ms take the task.
   */
  settle(idle: boolean): void {
    const { s } = this;
    const woken = s.kernel.load(s.rec + MREC_AT.woken);
    if (woken === 0) return;
    s.kernel.store(s.rec + MREC_AT.woken, 0);
    this.offered = false;
    if (woken === WOKEN_IN_VAIN) return;
    const { p } = s;
    const takes = idle && p !== 0 && !this.busy && !this.locked;
    const own = takes && !runqempty(s, p);
    let task = 0;
    if (takes && !own) {
      task = globrunqget(s, p, ANY);
      if (task === 0) task = this.search(p);
    }
    this.addSpinning(-1);
    this.found = task;
    // A task of its own P runs next, so another M is woken only for further ones.
    const more = own ? this.countTasks() > 1 : this.anyTask();
    if (more) this.wakeP();
  }

  /** Makes the task that this M has found when it was woken one for all. Returns whether there was one. */
  share(): boolean {
    const { s, found } = this;
    if (found === 0) return false;
    this.found = 0;
    if (s.p === 0) globrunqput(s, found);
    else runqput(s, s.p, found);
    return true;
  }
}
