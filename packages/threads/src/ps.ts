/**
 * Ps, and the Ms that wait for one. SCHED.lock guards all of it:
 *
 *     a P below gomaxprocs is idle (its bit in idlePs is set, m = 0) or held by one M (p of the M, m of the P)
 *     npidle > 0  =>  the FIFO is empty
 *     an M in the FIFO holds no P
 *
 * If another M waits, a P that is given away goes to that M at once, with its ring: it is not idle in between.
 *
 * A change of gomaxprocs needs the stopped world. Tasks of a P that goes out of use move to the global queue. An M that
 * held the P gets an idle one, if there is any. Otherwise it ends its slice without a P: `wanted` tells it to.
 */
import { lock, unlock } from "@gort/memory";
import { LINE, MAX_PS, MREC_AT, PREC, PREC_AT, SCHED_AT } from "./layout.ts";
import type { Parking } from "./park.ts";
import { runqdrainLocked } from "./runq.ts";
import type { SharedState } from "./shared-state.ts";

const IDLE_WORDS = MAX_PS / 32;

export class Ps {
  private readonly s: SharedState;
  private readonly parking: Parking;
  /** This M is in the FIFO, or was until another M gave it a P. */
  waits = false;

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
    this.s.kernel.store(rec + MREC_AT.p, p);
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

  /** Takes an idle P, unless this M has one. False: all are in use, and this M is in the FIFO. */
  acquire(): boolean {
    const { s } = this;
    if (s.kernel.load(s.rec + MREC_AT.p) === 0) {
      this.lock();
      // Another M may have handed its P over since.
      const has = s.p !== 0 || this.takeIdleLocked(s.rec, s.m);
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
    if (p === 0) return false;
    this.lock();
    s.mem.f64[(p + PREC_AT.schedtick) >>> 3] += ticks;
    s.kernel.store(s.rec + MREC_AT.p, 0);
    const rec = this.giveLocked(p);
    this.unlock();
    if (rec !== 0) this.parking.signal(rec);
    return rec === 0;
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
