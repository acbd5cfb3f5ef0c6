/** System calls: goroutines wait for promises. */

import { gopark, type Operation, OwnOp } from "./op.ts";
import { rethrow } from "./rethrow.ts";
import { type G, Gsyscall, m0, type Schedt } from "./runtime2.ts";
import { waitReasonZero } from "./wait-reasons.ts";

/** Waits for a promise. The status of the goroutine is Gsyscall meanwhile: the host runs the call. */
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
    // Park last, since `then` may throw. It calls back in a microtask, not before.
    this.g = g;
    g.sched.enterSyscall(g);
    gopark(g, this, waitReasonZero);
    g.atomicstatus = Gsyscall;
    return false;
  }

  /** Takes the waiting goroutine. Null if it was readied or has given up. */
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
 * Returns the op that waits for a promise, or for the result of the function `work`, which runs in the host's context.
 * A thenable is wrapped in a promise: its `then` then runs in a microtask, may throw, and may call back any number of
 * times.
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

/** Returns `x` if its `then` and constructor are the engine's, otherwise a promise that follows `x`. */
function nativePromise<T>(x: PromiseLike<T> | T): Promise<T> {
  if (x instanceof Promise && x.then === promiseThen && x.constructor === Promise) return x as Promise<T>;
  return new Promise<T>((resolve) => resolve(x));
}
