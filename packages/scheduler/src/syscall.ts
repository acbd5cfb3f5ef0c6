/** System calls: promises that goroutines wait for. */

import { gopark, type Operation, OwnOp } from "./op.ts";
import { rethrow } from "./rethrow.ts";
import { type G, Gsyscall, m0, type Schedt } from "./runtime2.ts";
import { waitReasonZero } from "./wait-reasons.ts";

/** A promise awaited by a goroutine. The goroutine's status is Gsyscall: outside of the scheduler's view. */
class SyscallOp<T> extends OwnOp<T> {
  private readonly sched: Schedt;
  private readonly promise: Promise<T>;
  /** The goroutine that waits, until the promise settles. */
  private g: G | null = null;
  private failed = false;
  private error: unknown;
  constructor(sched: Schedt, promise: Promise<T>) {
    super();
    this.sched = sched;
    this.promise = promise;
  }
  get what(): string {
    return "syscall";
  }
  protected start(g: G): boolean {
    promiseThen.call(
      this.promise,
      (v: unknown) => {
        const waiter = this.settled();
        if (waiter === null) return;
        this.value = v as T;
        waiter.sched.ready(waiter);
      },
      (e: unknown) => {
        const waiter = this.settled();
        if (waiter === null) return;
        this.failed = true;
        this.error = e;
        waiter.sched.ready(waiter);
      },
    );
    // Last: it counts as parked only if the promise was asked, which calls back in a microtask.
    this.g = g;
    g.sched.enterSyscall(g);
    gopark(g, this, waitReasonZero);
    g.atomicstatus = Gsyscall;
    return false;
  }

  /** The goroutine to be readied; null if it was, or was given up. */
  private settled(): G | null {
    const { g } = this;
    this.g = null;
    if (g !== null) g.sched.leaveSyscall(g);
    return g;
  }

  override abandoned(): void {
    this.g = null;
  }
  protected override get cancellable(): boolean {
    return true;
  }
  protected override finish(): boolean {
    if (this.failed) rethrow(this.error, this.next);
    return true;
  }
  protected hostScheduler(): Schedt {
    return this.sched;
  }
}

/**
 * The op that waits for a promise, or for what `work` returns, which is called in the host's context. A thenable that is no
 * promise is asked through one: its `then` runs in a microtask, may throw, and may call back any number of times.
 */
export function syscallOp<T>(s: Schedt, work: PromiseLike<T> | (() => PromiseLike<T> | T)): Operation<T> {
  if (typeof work !== "function") return new SyscallOp(s, nativePromise(work));
  const m = m0;
  const g = m.curg;
  m.curg = null;
  try {
    return new SyscallOp(s, nativePromise(work()));
  } finally {
    m.curg = g;
  }
}

const promiseThen = Promise.prototype.then;

/** `x`, if its `then` and constructor are the engine's, or else a promise that follows it. */
function nativePromise<T>(x: PromiseLike<T> | T): Promise<T> {
  if (x instanceof Promise && x.then === promiseThen && x.constructor === Promise) return x as Promise<T>;
  return new Promise<T>((resolve) => resolve(x));
}
