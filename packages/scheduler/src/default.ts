/**
 * The default scheduler, made on first use, and functions that use it in host code. The functions that are methods of
 * `Scheduler` too are in default.generated.ts.
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

/** Makes `s` the scheduler of the package's functions, and returns the previous one. For a facade. */
export function setDefaultScheduler(s: Scheduler): Scheduler | null {
  const old = instance;
  instance = s;
  return old;
}

/** The scheduler of the running goroutine, or the default one. */
export function currentScheduler(): Scheduler {
  const g = m0.curg;
  // Every Schedt is a Scheduler: RunLoop has no other subclass.
  return g !== null ? (g.sched as Scheduler) : (instance ??= make());
}

/** `c <- value`. A send to a null channel blocks for ever. */
export function send<T>(c: SendChan<T> | null, value: T): Operation<void> {
  return sendTo(currentScheduler, c, value);
}

/** `<-c`. A receive from a null channel blocks for ever. */
export function recv<T>(c: RecvChan<T> | null): Operation<T | undefined> {
  return recvFrom(currentScheduler, c);
}

/** `v, ok := <-c`. A receive from a null channel blocks for ever. */
export function recv2<T>(c: RecvChan<T> | null): Operation<RecvResult<T>> {
  return recv2From(currentScheduler, c);
}

/** `close(c)`. Panics for a null channel. */
export const close: (c: SendChan<never> | null) => void = closeChan;

/** Number of the running goroutine, 0 in host code. */
export function goid(): number {
  const g: G | null = getg();
  return g === null ? 0 : g.goid;
}
