/** System calls: promises that goroutines wait for. */

import { gopark, type Op, type Operation, OwnOp } from "./op.ts";
import type { Scheduler } from "./proc.ts";
import { type G, Gsyscall, m0, waitReasonZero } from "./runtime2.ts";

/** A promise awaited by a goroutine. The goroutine's status is Gsyscall: outside of the scheduler's view. */
class SyscallOp<T> extends OwnOp<T> {
  private readonly sched: Scheduler;
  private readonly promise: PromiseLike<T>;
  private failed = false;
  private error: unknown;
  constructor(sched: Scheduler, promise: PromiseLike<T>) {
    super();
    this.sched = sched;
    this.promise = promise;
  }
  get what(): string {
    return "syscall";
  }
  protected start(g: G): boolean {
    const s = g.sched;
    const id = g.goid;
    s.enterSyscall(g);
    gopark(g, this as Op<unknown>, waitReasonZero);
    g.atomicstatus = Gsyscall;
    const settled = () => {
      if (g.goid !== id || g.waitOp !== (this as Op<unknown>)) return;
      s.leaveSyscall(g);
      s.ready(g);
    };
    this.promise.then(
      (v) => {
        this.value = v;
        settled();
      },
      (e: unknown) => {
        this.failed = true;
        this.error = e;
        settled();
      },
    );
    return false;
  }
  protected override finish(): boolean {
    if (this.failed) throw this.error;
    return true;
  }
  protected hostScheduler(): Scheduler {
    return this.sched;
  }
}

/** The op that waits for a promise, or for what `work` returns, which is called in the host's context. */
export function syscallOp<T>(s: Scheduler, work: PromiseLike<T> | (() => PromiseLike<T> | T)): Operation<T> {
  let promise: PromiseLike<T> | T;
  if (typeof work === "function") {
    const m = m0;
    const g = m.curg;
    m.curg = null;
    try {
      promise = work();
    } finally {
      m.curg = g;
    }
  } else {
    promise = work;
  }
  const p = promise as PromiseLike<T>;
  if ((typeof p !== "object" && typeof p !== "function") || p === null || typeof p.then !== "function") {
    return new SyscallOp(s, Promise.resolve(promise));
  }
  return new SyscallOp(s, p);
}
