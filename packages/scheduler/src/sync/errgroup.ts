/** Group: goroutines that work on one task. The first failure is the failure of the group. */

import type { Chan } from "../chan-types.ts";
import { type CancelCauseFunc, type Context, withCancelCause } from "../context.ts";
import { currentScheduler } from "../default.ts";
import { GoexitSignal } from "../errors.ts";
import { checkResult, type NotAsync } from "../functions.ts";
import { checkGoroutineFunction } from "../goroutine.ts";
import { isBody, type Yieldable } from "../op.ts";
import { fatalOf } from "../overflow.ts";
import { panic, panicValue } from "../panic.ts";
import { nothing } from "./once.ts";
import { Weighted } from "./semaphore.ts";
import { WaitGroup } from "./waitgroup.ts";

/**
 * Unlike Go's errgroup, where functions return errors, a function fails here by throwing or by returning an Error.
 *
 * `go` starts a goroutine before it returns, also if the limit is reached. So a call without `yield*` loses no
 * function: the new goroutine waits for room, and the caller does not.
 */
export class Group {
  private readonly wg = new WaitGroup();
  private sem: Weighted | null = null;
  private cancel: CancelCauseFunc | null = null;
  private err: unknown = null;
  private failed = false;
  private active = 0;

  /** A group whose context is cancelled at the first failure, or when wait returns. */
  static withContext(parent: Context): { group: Group; ctx: Context } {
    const group = new Group();
    const { ctx, cancel } = withCancelCause(parent);
    group.cancel = cancel;
    return { group, ctx };
  }

  /** Allows at most `n` goroutines at a time; negative: any number. Panics while goroutines of the group run. */
  setLimit(n: number): void {
    if (!Number.isInteger(n)) {
      throw new TypeError(`scheduler: Group.setLimit: n must be an integer (got ${String(n)})`);
    }
    if (this.sem !== null && this.active > 0) {
      panic(`errgroup: modify limit while ${this.active} goroutines in the group are still active`);
    }
    this.sem = n < 0 ? null : new Weighted(n);
  }

  /** Starts `f` in a goroutine. With a limit, `yield*` waits until there is room for it. */
  go<R>(f: () => NotAsync<R>): Yieldable<void> {
    checkGoroutineFunction(f, "Group.go");
    if (this.sem === null || this.sem.tryAcquire()) {
      this.start(f, this.go, null);
      return nothing;
    }
    const room = currentScheduler().makeChan<never>();
    this.start(f, this.go, room);
    return waitFor(room);
  }

  /** Starts `f` if the limit allows. */
  tryGo<R>(f: () => NotAsync<R>): boolean {
    checkGoroutineFunction(f, "Group.tryGo");
    if (this.sem !== null && !this.sem.tryAcquire()) return false;
    this.start(f, this.tryGo, null);
    return true;
  }

  /** Waits for all goroutines of the group, and gives the first error or null. */
  *wait(): Generator<undefined, unknown, unknown> {
    yield* this.wg.wait();
    this.cancel?.(this.failed ? this.err : null);
    return this.err;
  }

  /** Starts the goroutine of `f`. With `room`, it first waits for the semaphore and then closes `room`. */
  private start(f: () => unknown, below: unknown, room: Chan<never> | null): void {
    this.wg.add(1);
    this.active++;
    const self = this;
    const sem = this.sem;
    currentScheduler().newproc(
      function* () {
        if (room !== null) {
          yield* sem!.acquire();
          room.close();
        }
        try {
          const r = f();
          let v = r;
          if (isBody(r)) v = yield* r;
          else checkResult("Group.go", f, r);
          if (v instanceof Error) self.fail(v);
        } catch (e) {
          const fatal = fatalOf(e);
          if (fatal !== null || e instanceof GoexitSignal) throw fatal ?? e;
          self.fail(panicValue(e));
        }
      },
      [],
      below,
      () => {
        sem?.release();
        this.active--;
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

function* waitFor(room: Chan<never>): Generator<undefined, void, unknown> {
  yield* room.recv();
}
