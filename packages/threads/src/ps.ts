/**
 * Ps, and the Ms that wait for one. SCHED.lock guards all of it:
 *
 *     a P below gomaxprocs is idle (its bit in idlePs is set, m = 0) or held by one M (p of the M, m of the P)
 *     npidle > 0  =>  the FIFO is empty
 *     an M in the FIFO holds no P
 *
 * If another M waits, a P that is given away goes to that M at once, with its ring: it is not idle in between.
 *
 * Loans. An M holds a P for one slice, about 2 ms. If it holds it for RETAKE_MS, a goroutine computes or a host call
 * blocks, which nothing can interrupt. Go's sysmon takes the P of an M in a long system call, and preempts goroutines.
 * Here the P stays where it is, with its ring, and an M that waits for one borrows the right to run:
 *
 *     an M in the FIFO looks at all stamps    RETAKE_MS later, some P still has its stamp and is held     it borrows it
 *     the borrower's slice ends, and the stamp is still that of the loan      the first M of the FIFO borrows it next,
 *                                                                             or this M again, if none waits
 *
 * So at most gomaxprocs Ms run that are not stuck: a P has one borrower, unless the borrower is stuck too. When the
 * holder comes back, its slice ends and it gives the P away as ever. The borrower may then run on to the end of its
 * slice. A borrower takes no tasks, and its own go to the global queue. No clock of another thread is read.
 *
 * A change of gomaxprocs needs the stopped world. Tasks of a P that goes out of use move to the global queue. An M that
 * held the P gets an idle one, if there is any. Otherwise it ends its slice without a P: `wanted` tells it to.
 */
import { lock, unlock } from "@gort/memory/internal";
import { LINE, MAX_PS, MREC_AT, PREC, PREC_AT, SCHED_AT } from "./layout.ts";
import type { Parking } from "./park.ts";
import { runqdrainLocked } from "./runq.ts";
import type { SharedState } from "./shared-state.ts";

const IDLE_WORDS = MAX_PS / 32;

/**
 * How long an M may hold a P before others may borrow it, in ms: Go's sysmon preempts a goroutine after that time. The
 * run loop of an M that waits for a P asks again after it.
 */
const RETAKE_MS = 10;

export class Ps {
  private readonly s: SharedState;
  private readonly parking: Parking;
  /** This M is in the FIFO, or was until another M gave it a P or a loan. */
  waits = false;
  /** The stamps of the Ps when this M looked at them last, and when that was. */
  private readonly stamps = new Uint32Array(MAX_PS);
  private lookedAt = 0;
  /** The P of this M's last loan, while no other M wanted it, and its stamp then. */
  private lastLoan = 0;
  private lastStamp = 0;

  constructor(s: SharedState, parking: Parking) {
    this.s = s;
    this.parking = parking;
  }

  private get(field: number): number {
    return this.s.u32[(this.s.sched + field) >>> 2];
  }

  private set(field: number, value: number): void {
    this.s.u32[(this.s.sched + field) >>> 2] = value;
  }

  lock(): void {
    lock(this.s.mem, this.s.sched + SCHED_AT.lock);
  }

  unlock(): void {
    unlock(this.s.mem, this.s.sched + SCHED_AT.lock);
  }

  /** Idle Ps. It orders with what this thread has stored before: see Proc.wakeP. */
  get npidle(): number {
    return this.s.kernel.load(this.s.sched + SCHED_AT.npidle);
  }

  /** Whether an M waits for a P, or this one has none: then its slice ends. */
  get wanted(): boolean {
    return this.get(SCHED_AT.npwait) !== 0 || this.s.p === 0;
  }

  // ---- the idle Ps. The caller holds the lock.

  private setIdle(p: number): void {
    const { s } = this;
    const id = s.u32[(p + PREC_AT.id) >>> 2];
    s.u32[(p + PREC_AT.m) >>> 2] = 0;
    const word = SCHED_AT.idlePs + ((id >>> 5) << 2);
    this.set(word, this.get(word) | (1 << (id & 31)));
    s.kernel.add(s.sched + SCHED_AT.npidle, 1);
  }

  private clearIdle(id: number): void {
    const word = SCHED_AT.idlePs + ((id >>> 5) << 2);
    this.set(word, this.get(word) & ~(1 << (id & 31)));
    this.s.kernel.add(this.s.sched + SCHED_AT.npidle, -1);
  }

  private isIdle(id: number): boolean {
    return (this.get(SCHED_AT.idlePs + ((id >>> 5) << 2)) & (1 << (id & 31))) !== 0;
  }

  /** Gives the idle P of the lowest index to the M of the record. False if no P is idle. */
  takeIdleLocked(rec: number, m: number): boolean {
    for (let k = 0; k < IDLE_WORDS; k++) {
      const bits = this.get(SCHED_AT.idlePs + 4 * k);
      if (bits === 0) continue;
      const id = 32 * k + 31 - Math.clz32(bits & -bits);
      this.clearIdle(id);
      this.bindLocked(this.s.prec(id), rec, m);
      return true;
    }
    return false;
  }

  private bindLocked(p: number, rec: number, m: number): void {
    this.s.u32[(p + PREC_AT.m) >>> 2] = m + 1;
    this.s.u32[(p + PREC_AT.stamp) >>> 2]++;
    this.s.kernel.store(rec + MREC_AT.p, p);
  }

  // ---- loans. The caller holds the lock.

  private lendLocked(p: number, rec: number): void {
    const { u32 } = this.s;
    u32[(rec + MREC_AT.loan) >>> 2] = p;
    u32[(rec + MREC_AT.loanStamp) >>> 2] = ++u32[(p + PREC_AT.stamp) >>> 2];
  }

  /** Whether an M holds the P since `stamp`. */
  private heldSince(p: number, stamp: number): boolean {
    const { u32 } = this.s;
    return u32[(p + PREC_AT.stamp) >>> 2] === stamp && u32[(p + PREC_AT.m) >>> 2] !== 0;
  }

  /** Lends this M a P that its M holds since RETAKE_MS or longer. False if there is none. */
  private borrowLocked(): boolean {
    const { s, stamps } = this;
    if (this.lastLoan !== 0 && this.heldSince(this.lastLoan, this.lastStamp)) {
      this.lendLocked(this.lastLoan, s.rec);
      return true;
    }
    this.lastLoan = 0;
    const now = s.host.now();
    const late = this.waits && now - this.lookedAt >= RETAKE_MS;
    if (this.waits && !late) return false;
    this.lookedAt = now;
    let stuck = 0;
    for (let id = 0, n = s.gomaxprocs; id < n; id++) {
      const p = s.prec(id);
      if (late && this.heldSince(p, stamps[id])) stuck = p;
      stamps[id] = s.u32[(p + PREC_AT.stamp) >>> 2];
    }
    if (stuck === 0) return false;
    this.removeLocked();
    this.lendLocked(stuck, s.rec);
    return true;
  }

  /** Ends the loan of this M. Returns the record of the M that borrows the P next, to signal; 0: none. */
  private endLoanLocked(): number {
    const { s } = this;
    const { u32 } = s;
    const p = u32[(s.rec + MREC_AT.loan) >>> 2];
    u32[(s.rec + MREC_AT.loan) >>> 2] = 0;
    const stamp = u32[(s.rec + MREC_AT.loanStamp) >>> 2];
    if (!this.heldSince(p, stamp)) return 0;
    const m = this.dequeueLocked();
    if (m < 0) {
      this.lastLoan = p;
      this.lastStamp = stamp;
      return 0;
    }
    this.lendLocked(p, s.mrec(m));
    return s.mrec(m);
  }

  /** Whether this M runs in the place of another one. */
  private get borrows(): boolean {
    return this.s.u32[(this.s.rec + MREC_AT.loan) >>> 2] !== 0;
  }

  /** Whether this M has a P or a loan. Another M may have given it. */
  get mayRun(): boolean {
    return this.s.p !== 0 || this.borrows;
  }

  // ---- the FIFO. The caller holds the lock.

  private enqueueLocked(): void {
    const { s } = this;
    const tail = this.get(SCHED_AT.pwaitTail);
    s.u32[(s.rec + MREC_AT.pwaitNext) >>> 2] = 0;
    if (tail === 0) this.set(SCHED_AT.pwaitHead, s.m + 1);
    else s.u32[(s.mrec(tail - 1) + MREC_AT.pwaitNext) >>> 2] = s.m + 1;
    this.set(SCHED_AT.pwaitTail, s.m + 1);
    s.kernel.add(s.sched + SCHED_AT.npwait, 1);
  }

  /** Takes the first M off the FIFO; -1 if none waits. */
  private dequeueLocked(): number {
    const { s } = this;
    const head = this.get(SCHED_AT.pwaitHead);
    if (head === 0) return -1;
    const next = s.u32[(s.mrec(head - 1) + MREC_AT.pwaitNext) >>> 2];
    this.set(SCHED_AT.pwaitHead, next);
    if (next === 0) this.set(SCHED_AT.pwaitTail, 0);
    s.kernel.add(s.sched + SCHED_AT.npwait, -1);
    return head - 1;
  }

  /** Takes this M out of the FIFO. */
  private removeLocked(): void {
    const { s } = this;
    const nextOf = (m: number): number => (s.mrec(m - 1) + MREC_AT.pwaitNext) >>> 2;
    let before = 0;
    let m = this.get(SCHED_AT.pwaitHead);
    while (m !== 0 && m !== s.m + 1) {
      before = m;
      m = s.u32[nextOf(m)];
    }
    if (m === 0) return;
    const next = s.u32[nextOf(m)];
    if (before === 0) this.set(SCHED_AT.pwaitHead, next);
    else s.u32[nextOf(before)] = next;
    if (next === 0) this.set(SCHED_AT.pwaitTail, before);
    s.kernel.add(s.sched + SCHED_AT.npwait, -1);
  }

  // ---- what this M does

  /** Takes an idle P, unless this M has one, or borrows one. False: all are in use, and this M is in the FIFO. */
  acquire(): boolean {
    const { s } = this;
    if (s.kernel.load(s.rec + MREC_AT.p) === 0) {
      this.lock();
      // Another M may have handed its P over since, or lent it.
      const has = this.mayRun || this.takeIdleLocked(s.rec, s.m) || this.borrowLocked();
      if (!has && !this.waits) this.enqueueLocked();
      this.waits = !has;
      this.unlock();
      if (!has) return false;
    }
    this.waits = false;
    return true;
  }

  /**
   * Gives this M's P to the first M of the FIFO, or to the idle Ps. True if it is idle. This M has switched goroutines
   * `ticks` times.
   */
  release(ticks = 0): boolean {
    const { s } = this;
    const p = s.p;
    if (p === 0) {
      if (this.borrows) this.giveBack();
      return false;
    }
    this.lock();
    s.mem.f64[(p + PREC_AT.schedtick) >>> 3] += ticks;
    s.kernel.store(s.rec + MREC_AT.p, 0);
    const rec = this.giveLocked(p);
    this.unlock();
    if (rec !== 0) this.parking.signal(rec);
    return rec === 0;
  }

  private giveBack(): void {
    this.lock();
    const rec = this.endLoanLocked();
    this.unlock();
    if (rec !== 0) this.parking.signal(rec);
  }

  /** Gives the P to the first M of the FIFO, and returns its record to signal. 0: none waits, and the P is idle. */
  private giveLocked(p: number): number {
    const m = this.dequeueLocked();
    if (m < 0) {
      this.setIdle(p);
      return 0;
    }
    const rec = this.s.mrec(m);
    this.bindLocked(p, rec, m);
    return rec;
  }

  /** This M does not want a P, and has none afterwards. True if it had one that is idle now. */
  forgo(): boolean {
    if (this.waits) {
      this.lock();
      this.removeLocked();
      this.waits = false;
      this.unlock();
    }
    return this.release();
  }

  // ---- gomaxprocs

  /** Changes the number of Ps. The world is stopped, or there is one M. */
  resize(n: number): void {
    const { s } = this;
    const old = s.gomaxprocs;
    this.lock();
    this.set(SCHED_AT.gomaxprocs, n);
    const bereft: number[] = [];
    for (let id = n; id < old; id++) {
      const p = s.prec(id);
      runqdrainLocked(s, p);
      if (this.isIdle(id)) this.clearIdle(id);
      else bereft.push(s.u32[(p + PREC_AT.m) >>> 2] - 1);
      s.u32[(p + PREC_AT.m) >>> 2] = 0;
    }
    for (let id = old; id < n; id++) {
      const rec = this.giveLocked(this.recordOf(id));
      if (rec !== 0) this.parking.signal(rec);
    }
    for (const m of bereft) {
      const rec = s.mrec(m);
      s.kernel.store(rec + MREC_AT.p, 0);
      this.takeIdleLocked(rec, m);
    }
    this.unlock();
  }

  /** The record of P id. It is allocated at the first use. */
  private recordOf(id: number): number {
    const { s } = this;
    const found = s.prec(id);
    if (found !== 0) return found;
    const p = s.mem.persistentAlloc(PREC.size, LINE, "otherSys");
    if (p === 0) throw new RangeError(`threads: no memory for P ${id}`);
    s.u32[(p + PREC_AT.id) >>> 2] = id;
    s.u32[(s.sched + SCHED_AT.ps + 4 * id) >>> 2] = p;
    this.set(SCHED_AT.nps, Math.max(this.get(SCHED_AT.nps), id + 1));
    return p;
  }
}
