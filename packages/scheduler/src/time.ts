/**
 * Timers.
 *
 * Pending timers stand in one 4-ary heap, ordered by time and, at equal times, by age. The run loop fires what is due
 * between goroutines; when no goroutine can run, one host timer is set for the earliest. A timer of the runtime's
 * own does not keep the process alive.
 *
 * Channel timers (`newTimer`, `newTicker`, `after`) follow Go 1.23: they stand in the heap only while a goroutine waits
 * in their channel, so one that nobody holds any more is collected; and whether their time has come is
 * decided when somebody looks. stop() and reset() take back a value that nobody has received, so a receive that
 * begins after them never sees an old one, and the channel shows length and capacity 0.
 *
 * Values sent are times: milliseconds since 1970.
 */

import { HChan } from "./chan.ts";
import type { RecvChan } from "./chan-types.ts";
import { usedAfterClose } from "./errors.ts";
import { checkFunction } from "./functions.ts";
import { arm, disarm, gopark, type Operation, PhasedOp } from "./op.ts";
import { type ChanTimer, type G, gSystem, m0, type Schedt } from "./runtime2.ts";
import { RuntimeTimer } from "./timer-heap.ts";
import { waitReasonSleep } from "./wait-reasons.ts";

/** Go's shortest period, a nanosecond; shorter ones are taken for it. */
const minPeriodMs = 1e-6;

/** The first tick after `now` of a ticker whose tick was due at `when`: always later than `now`, also beside huge times. */
function nextTick(when: number, period: number, now: number): number {
  const next = when + period * (1 + Math.floor((now - when) / period));
  if (next > now) return next;
  const soon = now + period;
  return soon > now ? soon : now + Math.abs(now) * Number.EPSILON;
}

/** A duration must be a number; what is not positive means "now". */
export function checkDuration(what: string, ms: number): number {
  if (typeof ms !== "number" || Number.isNaN(ms)) {
    throw new TypeError(`scheduler: ${what}: duration must be a number of milliseconds (got ${String(ms)})`);
  }
  return ms;
}

class SleepOp extends PhasedOp<void> {
  sched: Schedt = null as never;
  ms = 0;
  get what(): string {
    return "sleep";
  }
  protected start(g: G): boolean {
    if (this.ms <= 0) return true;
    const s = this.sched;
    const t = (g.timer ??= new RuntimeTimer(() => g.sched.ready(g)));
    t.system = (g.flags & gSystem) !== 0;
    s.addTimer(t, s.clock.now() + this.ms);
    gopark(g, this, waitReasonSleep);
    return false;
  }
  protected hostScheduler(): Schedt {
    return this.sched;
  }
  protected override get cancellable(): boolean {
    return true;
  }
  protected replace(): void {
    if (sleepOp === this) sleepOp = new SleepOp();
  }
}

let sleepOp = new SleepOp();

/** `time.Sleep`. */
export function timeSleep(sched: Schedt, ms: number): Operation<void> {
  checkDuration("sleep", ms);
  if (m0.armed !== null) disarm();
  const op = sleepOp;
  op.sched = sched;
  op.ms = ms;
  return arm(op);
}

/** A timer whose channel gets the time once (`period` 0) or again and again. */
class TimeChan implements ChanTimer {
  readonly c: HChan<number>;
  private readonly sched: Schedt;
  private readonly timer: RuntimeTimer;
  /** When it fires next; NaN when it does not. Clocks may give any number. */
  private when = Number.NaN;
  private period = 0;
  /** Goroutines that wait in the channel. */
  private blocked = 0;

  constructor(sched: Schedt) {
    this.sched = sched;
    this.c = new HChan<number>(sched, 1);
    this.c.timer = this;
    this.timer = new RuntimeTimer((now) => this.fire(now));
  }

  set(ms: number, period: number): boolean {
    if (this.sched.closed) throw usedAfterClose("timer");
    const pending = this.clear();
    this.when = this.sched.clock.now() + Math.max(ms, 0);
    this.period = period;
    this.place();
    return pending;
  }

  /** Ends it, and says whether it would still have delivered a value. */
  clear(): boolean {
    this.maybeRunChan();
    let pending = !Number.isNaN(this.when);
    this.when = Number.NaN;
    this.place();
    const c = this.c;
    if (c.qcount > 0) {
      c.qcount = 0;
      c.recvx = c.sendx;
      c.buf[0] = undefined;
      pending = true;
    }
    return pending;
  }

  maybeRunChan(): void {
    // While it stands in the heap the run loop fires it.
    if (Number.isNaN(this.when) || this.timer.index >= 0) return;
    const now = this.sched.clock.now();
    if (this.when <= now) this.fire(now);
  }

  blockTimerChan(): void {
    this.blocked++;
    this.place();
  }

  unblockTimerChan(): void {
    this.blocked--;
    this.place();
  }

  /** Puts the timer into the heap or takes it out, as `when` and `blocked` demand. */
  private place(): void {
    const t = this.timer;
    // NaN equals nothing.
    if (t.index >= 0 && (this.blocked === 0 || t.when !== this.when)) this.sched.delTimer(t);
    if (t.index < 0 && this.blocked > 0 && !Number.isNaN(this.when)) this.sched.addTimer(t, this.when);
  }

  private fire(now: number): void {
    const late = now - this.when;
    const value = this.sched.clock.wall() - late;
    this.when = this.period > 0 ? nextTick(this.when, this.period, now) : Number.NaN;
    // A full buffer means that the last tick has not been received: this one is dropped.
    this.c.sendNow(value);
    this.place();
  }
}

/** `time.Timer`. `C` is null for one made by afterFunc. */
export class Timer {
  readonly C: RecvChan<number> | null;
  private readonly impl: TimeChan | FuncTimer;

  /** For the scheduler; users call newTimer or afterFunc. */
  constructor(impl: TimeChan | FuncTimer) {
    this.impl = impl;
    this.C = impl instanceof TimeChan ? impl.c : null;
  }

  /** Ends the timer; true if it was still to fire (or its value was not yet received). */
  stop(): boolean {
    return this.impl.clear();
  }

  /** Lets it fire `ms` from now; true if it was still to fire. */
  reset(ms: number): boolean {
    return this.impl.set(checkDuration("Timer.reset", ms), 0);
  }
}

/** `time.Ticker`. */
export class Ticker {
  readonly C: RecvChan<number>;
  private readonly impl: TimeChan;

  constructor(impl: TimeChan) {
    this.impl = impl;
    this.C = impl.c;
  }

  stop(): void {
    this.impl.clear();
  }

  /** Goes on with a new period, the first tick one period from now. */
  reset(ms: number): void {
    checkDuration("Ticker.reset", ms);
    if (ms <= 0) throw new Error("non-positive interval for Ticker.Reset");
    this.impl.set(ms, Math.max(ms, minPeriodMs));
  }
}

class FuncTimer {
  private readonly sched: Schedt;
  private readonly timer: RuntimeTimer;

  constructor(sched: Schedt, f: () => unknown) {
    this.sched = sched;
    this.timer = new RuntimeTimer(() => void sched.newg(f, 0, undefined, FuncTimer, null));
  }

  set(ms: number): boolean {
    if (this.sched.closed) throw usedAfterClose("afterFunc");
    const pending = this.clear();
    this.sched.addTimer(this.timer, this.sched.clock.now() + Math.max(ms, 0));
    return pending;
  }

  clear(): boolean {
    if (this.timer.index < 0) return false;
    this.sched.delTimer(this.timer);
    return true;
  }
}

export function timeNewTimer(sched: Schedt, ms: number): Timer {
  const t = new TimeChan(sched);
  t.set(checkDuration("newTimer", ms), 0);
  return new Timer(t);
}

export function timeNewTicker(sched: Schedt, ms: number): Ticker {
  checkDuration("newTicker", ms);
  if (ms <= 0) throw new Error("non-positive interval for NewTicker");
  const t = new TimeChan(sched);
  t.set(ms, Math.max(ms, minPeriodMs));
  return new Ticker(t);
}

export function timeAfterFunc(sched: Schedt, ms: number, f: () => unknown): Timer {
  // Here, where the caller can be told: an async function would fail when the timer fires.
  checkFunction("afterFunc", f);
  const t = new FuncTimer(sched, f);
  t.set(checkDuration("afterFunc", ms));
  return new Timer(t);
}
