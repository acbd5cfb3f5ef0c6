/**
 * Timers.
 *
 * Pending timers are in one heap (timer-heap.ts). The run loop fires due timers between goroutines. If no goroutine can
 * run, one timer of the host is set for the earliest. A timer of the runtime itself does not keep the process alive.
 *
 * Channel timers (`newTimer`, `newTicker`, `after`) follow Go 1.23. They are in the heap only while a goroutine waits
 * in their channel, so an unreferenced timer can be collected. Otherwise an operation on the channel decides whether
 * the timer is due. stop() and reset() take back a value that was not received: a receive that begins after them never
 * sees an old value. The channel shows length and capacity 0.
 *
 * Values sent are times: milliseconds since 1970.
 */

import { HChan } from "./chan.ts";
import type { RecvChan } from "./chan-types.ts";
import { usedAfterClose } from "./errors.ts";
import { checkFunction } from "./functions.ts";
import { arm, disarm, gopark, type Operation, PhasedOp } from "./op.ts";
import { type ChanTimer, type G, G_SYSTEM, m0, type Schedt } from "./runtime2.ts";
import { RuntimeTimer } from "./timer-heap.ts";
import { waitReasonSleep } from "./wait-reasons.ts";

/** Go's shortest period, 1 ns. Shorter periods count as this one. */
const MIN_PERIOD_MS = 1e-6;

/**
 * The first tick after `now` of a ticker whose tick was due at `when`. Always later than `now`, also for huge times.
 */
function nextTick(when: number, period: number, now: number): number {
  const next = when + period * (1 + Math.floor((now - when) / period));
  if (next > now) return next;
  const soon = now + period;
  return soon > now ? soon : now + Math.abs(now) * Number.EPSILON;
}

/** Checks that a duration is a number. A duration that is not positive means "now". */
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
    t.system = (g.flags & G_SYSTEM) !== 0;
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

/** A timer whose channel receives the time: once if `period` is 0, otherwise each period. */
class TimeChan implements ChanTimer {
  readonly c: HChan<number>;
  private readonly sched: Schedt;
  private readonly timer: RuntimeTimer;
  /** When it fires next, or NaN if it does not: clocks may give any number. */
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

  /** Ends the timer. Returns whether it would still have delivered a value. */
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
    // If it is in the heap, the run loop fires it.
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

  /** Puts the timer into the heap or takes it out, by `when` and `blocked`. */
  private place(): void {
    const t = this.timer;
    // The comparison is true for NaN.
    if (t.index >= 0 && (this.blocked === 0 || t.when !== this.when)) this.sched.delTimer(t);
    if (t.index < 0 && this.blocked > 0 && !Number.isNaN(this.when)) this.sched.addTimer(t, this.when);
  }

  private fire(now: number): void {
    const late = now - this.when;
    const value = this.sched.clock.wall() - late;
    this.when = this.period > 0 ? nextTick(this.when, this.period, now) : Number.NaN;
    // If the buffer is full, the last tick was not received, and this one is dropped.
    this.c.sendNow(value);
    this.place();
  }
}

/** `time.Timer`. `C` is null for one made by afterFunc. */
export class Timer {
  readonly C: RecvChan<number> | null;
  private readonly impl: TimeChan | FuncTimer;

  /** Programs call newTimer or afterFunc instead. */
  constructor(impl: TimeChan | FuncTimer) {
    this.impl = impl;
    this.C = impl instanceof TimeChan ? impl.c : null;
  }

  /** Ends the timer. Returns true if it had not fired, or if its value was not received. */
  stop(): boolean {
    return this.impl.clear();
  }

  /** Lets it fire `ms` from now. Returns true if it had not fired, or if its value was not received. */
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

  /** Sets a new period. The first tick is one period from now. */
  reset(ms: number): void {
    checkDuration("Ticker.reset", ms);
    if (ms <= 0) throw new Error("non-positive interval for Ticker.Reset");
    this.impl.set(ms, Math.max(ms, MIN_PERIOD_MS));
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
  t.set(ms, Math.max(ms, MIN_PERIOD_MS));
  return new Ticker(t);
}

export function timeAfterFunc(sched: Schedt, ms: number, f: () => unknown): Timer {
  // Check here, where the caller gets the error: an async function would fail when the timer fires.
  checkFunction("afterFunc", f);
  const t = new FuncTimer(sched, f);
  t.set(checkDuration("afterFunc", ms));
  return new Timer(t);
}
