/**
 * The default scheduler, made on first use, and functions that use it where no goroutine runs. Those that are
 * methods of `Scheduler` too are in default.generated.ts.
 */

import type { RecvChan, RecvResult, SendChan } from "./chan-types.ts";
import { close as closeChan, recv2From, recvFrom, sendTo } from "./nil-chan.ts";
import type { Operation } from "./op.ts";
import { type G, getg, m0 } from "./runtime2.ts";
import { createScheduler, type Scheduler } from "./scheduler.ts";

let instance: Scheduler | null = null;
let make = (): Scheduler => createScheduler();

/** The default scheduler. */
export function defaultScheduler(): Scheduler {
  return (instance ??= make());
}

/** Sets the function that makes the default scheduler on first use. For a facade, whose scheduler has a heap. */
export function setDefaultSchedulerMaker(f: () => Scheduler): void {
  make = f;
}

/** Makes `s` the scheduler behind the package's functions, and returns the one before. For a facade. */
export function setDefaultScheduler(s: Scheduler): Scheduler | null {
  const old = instance;
  instance = s;
  return old;
}

/** The scheduler of the running goroutine, or the default one. */
export function currentScheduler(): Scheduler {
  const g = m0.curg;
  // A G's scheduler is of this class: the record leaves out what goroutines do not need.
  return g !== null ? (g.sched as Scheduler) : (instance ??= make());
}

/** `c <- value`, also for a null channel, which blocks for ever. */
export function send<T>(c: SendChan<T> | null, value: T): Operation<void> {
  return sendTo(currentScheduler, c, value);
}

/** `<-c`, also for a null channel, which blocks for ever. */
export function recv<T>(c: RecvChan<T> | null): Operation<T | undefined> {
  return recvFrom(currentScheduler, c);
}

/** `v, ok := <-c`, also for a null channel, which blocks for ever. */
export function recv2<T>(c: RecvChan<T> | null): Operation<RecvResult<T>> {
  return recv2From(currentScheduler, c);
}

/** `close(c)`, also for a null channel, which panics. */
export const close: (c: SendChan<never> | null) => void = closeChan;

/** Number of the running goroutine; 0 in host code. */
export function goid(): number {
  const g: G | null = getg();
  return g === null ? 0 : g.goid;
}
