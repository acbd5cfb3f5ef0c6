/**
 * RWMutex: many readers or one writer.
 *
 * Writers have priority. While a writer waits, new readers queue behind it, so readers cannot starve it. When the
 * writer unlocks, all readers that queued meanwhile go before the next writer, so writers cannot starve readers either.
 *
 * A writer waits twice. First it waits until it is the first of the writers, with the wait reason sync.Mutex.Lock,
 * since Go has a mutex there. Then it waits for the readers that are inside, with the reason sync.RWMutex.Lock.
 */

import { currentScheduler } from "../default.ts";
import { arm, disarm, type Operation, PhasedOp, parkIn, unpark } from "../op.ts";
import { type AnyOp, type G, m0, type Schedt, type Sudog, WaitQ } from "../runtime2.ts";
import {
  waitReasonSyncMutexLock,
  waitReasonSyncRWMutexLock,
  waitReasonSyncRWMutexRLock,
} from "../wait-reasons.ts";
import { Contention } from "./contention.ts";
import { fatal, type Locker } from "./mutex.ts";

function park(g: G, op: AnyOp, q: WaitQ, reason: number): Sudog {
  const sg = parkIn(g, op, q, reason);
  sg.parkedAt = g.sched.clock.now();
  sg.waits = g.sched.lockWaits.begin(sg.parkedAt);
  return sg;
}

export class RWMutex implements Locker {
  /** Readers inside. */
  private readers = 0;
  /** There is a first writer: it is inside, or waits until the readers leave. */
  private writer = false;
  /** The first writer is inside. */
  private writing = false;
  private readonly readerSem = new WaitQ();
  private readonly writerSem = new WaitQ();
  /** Writers behind the first. */
  private readonly w = new WaitQ();
  /** Waits for readers. Made when a writer first waits for readers while the mutex profile is on. */
  private readersContention: Contention | null = null;
  /** Waits for a writer. Made when a goroutine first waits for a writer while the mutex profile is on. */
  private writersContention: Contention | null = null;

  /** Takes the lock for writing. */
  lock(): Operation<void> {
    if (m0.armed !== null) disarm();
    const op = wlockOp;
    op.rw = this;
    return arm(op);
  }

  /** Takes the lock for reading. Do not nest it: with a writer in between, both would wait for each other for ever. */
  rLock(): Operation<void> {
    if (m0.armed !== null) disarm();
    const op = rlockOp;
    op.rw = this;
    return arm(op);
  }

  tryLock(): boolean {
    if (this.writer || this.readers > 0) return false;
    this.writer = true;
    this.writing = true;
    return true;
  }

  tryRLock(): boolean {
    if (this.writer) return false;
    this.readers++;
    return true;
  }

  unlock(): void {
    if (!this.writing) fatal("sync: Unlock of unlocked RWMutex");
    this.writer = false;
    this.writing = false;
    const charged = this.writersContention;
    let sg = this.readerSem.first ?? this.w.first;
    if (charged !== null && sg !== null) {
      charged.charge(sg, "sync.(*RWMutex).Unlock", RWMutex.prototype.unlock);
    }
    if (sg === null) return;
    const now = sg.g.sched.clock.now();
    for (sg = this.readerSem.dequeue(); sg !== null; sg = this.readerSem.dequeue()) {
      charged?.leave(sg);
      sg.g.sched.lockWaitOver(sg, now);
      this.readers++;
      sg.success = true;
      sg.g.sched.ready(sg.g);
    }
    const next = this.w.dequeue();
    if (next === null) return;
    charged?.leave(next);
    next.g.sched.lockWaitOver(next, now);
    // `next` becomes the first writer. Its op then checks whether readers are inside.
    this.writer = true;
    next.g.sched.ready(next.g);
  }

  rUnlock(): void {
    if (this.readers === 0) fatal("sync: RUnlock of unlocked RWMutex");
    this.readers--;
    if (this.readers > 0 || !this.writer) return;
    const sg = this.writerSem.dequeue();
    if (sg === null) return;
    const charged = this.readersContention;
    if (charged !== null) {
      charged.charge(sg, "sync.(*RWMutex).RUnlock", RWMutex.prototype.rUnlock);
      charged.leave(sg);
    }
    this.writing = true;
    sg.success = true;
    sg.g.sched.lockWaitOver(sg);
    sg.g.sched.ready(sg.g);
  }

  /** A Locker whose lock and unlock are rLock and rUnlock. */
  rLocker(): Locker {
    return { lock: () => this.rLock(), unlock: () => this.rUnlock() };
  }

  /** For the op: makes the goroutine the first writer. If there is one, queues the goroutine and returns false. */
  enterWriters(g: G, op: AnyOp): boolean {
    if (!this.writer) {
      this.writer = true;
      return true;
    }
    this.waitForWriter(park(g, op, this.w, waitReasonSyncMutexLock));
    return false;
  }

  /** For the op of the first writer: takes the lock. If readers are inside, queues the goroutine and returns false. */
  enterAlone(g: G, op: AnyOp): boolean {
    if (this.readers === 0) {
      this.writing = true;
      return true;
    }
    const sg = park(g, op, this.writerSem, waitReasonSyncRWMutexLock);
    if (g.sched.mutexProfileEnabled) (this.readersContention ??= new Contention()).join(sg);
    return false;
  }

  /** For the op: queues a reader behind the writers. */
  waitToRead(g: G, op: AnyOp): void {
    this.waitForWriter(park(g, op, this.readerSem, waitReasonSyncRWMutexRLock));
  }

  private waitForWriter(sg: Sudog): void {
    if (sg.g.sched.mutexProfileEnabled) (this.writersContention ??= new Contention()).join(sg);
  }
}

class WLockOp extends PhasedOp<void> {
  rw: RWMutex = null as never;
  /** The goroutine is the first writer. */
  private first = false;
  get what(): string {
    return "rwmutex lock";
  }
  protected start(g: G): boolean {
    const rw = this.rw;
    if (rw.tryLock()) return true;
    this.replace();
    this.first = rw.enterWriters(g, this);
    return this.first && rw.enterAlone(g, this);
  }
  protected override finish(g: G): boolean {
    unpark(g);
    if (this.first) return true;
    this.first = true;
    return this.rw.enterAlone(g, this);
  }
  protected hostScheduler(): Schedt {
    return currentScheduler();
  }
  protected replace(): void {
    if (wlockOp === this) wlockOp = new WLockOp();
  }
}

class RLockOp extends PhasedOp<void> {
  rw: RWMutex = null as never;
  get what(): string {
    return "rwmutex rlock";
  }
  protected start(g: G): boolean {
    if (this.rw.tryRLock()) return true;
    this.rw.waitToRead(g, this);
    return false;
  }
  protected override finish(g: G): boolean {
    unpark(g);
    return true;
  }
  protected hostScheduler(): Schedt {
    return currentScheduler();
  }
  protected replace(): void {
    if (rlockOp === this) rlockOp = new RLockOp();
  }
}

let wlockOp = new WLockOp();
let rlockOp = new RLockOp();
