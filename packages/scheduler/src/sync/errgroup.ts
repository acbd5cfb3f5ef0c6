/** Group: goroutines that work on one task; the first failure is the failure of all. */

import { isGenerator } from "../chan.ts";
import { type CancelCauseFunc, type Context, withCancelCause } from "../context.ts";
import { currentScheduler } from "../default.ts";
import { GoexitSignal, isFatalError } from "../errors.ts";
import { panicValue } from "../panic.ts";
import { Weighted } from "./semaphore.ts";
import { WaitGroup } from "./waitgroup.ts";

/**
 * Unlike Go's errgroup, where functions return errors, a function fails here by throwing or by returning an Error.
 */
export class Group {
  private readonly wg = new WaitGroup();
  private sem: Weighted | null = null;
  private cancel: CancelCauseFunc | null = null;
  private err: unknown = null;
  private failed = false;

  /** A group whose context is cancelled at the first failure, or when wait returns. */
  static withContext(parent: Context): { group: Group; ctx: Context } {
    const group = new Group();
    const { ctx, cancel } = withCancelCause(parent);
    group.cancel = cancel;
    return { group, ctx };
  }

  /** Allows at most `n` goroutines at a time; negative: any number. To be called before the first go. */
  setLimit(n: number): void {
    this.sem = n < 0 ? null : new Weighted(n);
  }

  /** Starts `f` in a goroutine, waiting first for room under the limit. */
  *go(f: () => unknown): Generator<undefined, void, unknown> {
    if (this.sem !== null) yield* this.sem.acquire();
    this.start(f, this.go);
  }

  /** Starts `f` if the limit allows. */
  tryGo(f: () => unknown): boolean {
    if (this.sem !== null && !this.sem.tryAcquire()) return false;
    this.start(f, this.tryGo);
    return true;
  }

  /** Waits for all, and gives the first error or null. */
  *wait(): Generator<undefined, unknown, unknown> {
    yield* this.wg.wait();
    this.cancel?.(this.failed ? this.err : null);
    return this.err;
  }

  private start(f: () => unknown, below: unknown): void {
    this.wg.add(1);
    const self = this;
    currentScheduler().newproc(
      function* () {
        try {
          const r = f();
          const v = isGenerator(r) ? yield* r : r;
          if (v instanceof Error) self.fail(v);
        } catch (e) {
          if (isFatalError(e) || e instanceof GoexitSignal) throw e;
          self.fail(panicValue(e));
        }
      },
      [],
      below,
      () => {
        this.sem?.release();
        this.wg.done();
      },
    );
  }

  private fail(e: unknown): void {
    if (this.failed) return;
    this.failed = true;
    this.err = e;
    this.cancel?.(e);
  }
}
