/** Functions that a cancel starts. */

import { checkFunction, type NotAsync } from "../functions.ts";
import { checkParent } from "./check.ts";
import { CancelContext, type Context, canceled } from "./tree.ts";

class AfterFuncContext extends CancelContext {
  private f: (() => unknown) | null;
  constructor(parent: Context, f: () => unknown) {
    super(parent);
    this.f = f;
    if (this.err() !== null) this.onCancel();
  }
  stop(): boolean {
    const pending = this.f !== null;
    this.f = null;
    if (pending) this.cancel(canceled, null);
    return pending;
  }
  protected override onCancel(): void {
    const f = this.f;
    // Undefined while the constructor of CancelContext runs.
    if (f === null || f === undefined) return;
    this.f = null;
    this.sched.newproc(f, [], afterFunc);
  }
}

/**
 * Calls `f` in a goroutine of its own once `ctx` is cancelled. The returned function prevents that, and reports whether
 * it did: false if `f` has been started or the call was prevented before.
 */
export function afterFunc<R>(ctx: Context, f: () => NotAsync<R>): () => boolean {
  checkParent("afterFunc", ctx);
  checkFunction("context.afterFunc", f);
  const a = new AfterFuncContext(ctx, f);
  return () => a.stop();
}
