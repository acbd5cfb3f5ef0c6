/**
 * Makes the body of a goroutine, the generator that the run loop resumes, from the function that `go` takes. Has the
 * handle that `go` returns.
 */

import { FatalError } from "@gort/base";
import { usedAfterClose } from "./errors.ts";
import { checkFunction, checkResult } from "./functions.ts";
import { isBody, type Operation, OwnOp, parkIn, unpark, wakeOne } from "./op.ts";
import { runDeferred } from "./panic.ts";
import { type AnyOp, type DeferFrame, G, Gdead, type Panic, type Schedt, WaitQ } from "./runtime2.ts";
import { waitReasonChanReceive } from "./wait-reasons.ts";

/** In `G.nargs`: the function is a generator function. */
export const GEN_FLAG = 1 << 30;

type GeneratorObject = Generator<undefined, unknown, unknown>;
const generatorFunction = Object.getPrototypeOf(function* () {}) as {
  prototype: GeneratorObject;
  constructor: new () => unknown;
};
const GeneratorFunction = generatorFunction.constructor;
/**
 * `next` of all generators. A call through this constant needs no lookup, which would be megamorphic if goroutines have
 * many different bodies.
 */
export const resume = generatorFunction.prototype.next as (
  this: GeneratorObject,
) => IteratorResult<unknown, unknown>;

/** Runs the deferred calls of a goroutine that has returned, panicked or called goexit. */
export function* unwindBody(
  g: G,
  f: DeferFrame,
  p: Panic | null,
  value: unknown,
): Generator<undefined, unknown> {
  const left = yield* runDeferred(g, f, p);
  g.defers = null;
  if (left === null) return p === null ? value : undefined;
  g.unwinding = left;
  throw left.error;
}

const finished: IteratorResult<unknown, unknown> = { done: true, value: undefined };

/**
 * The first run of a goroutine: calls its function, and enters the body if the function returns one. The function's
 * name is a marker, as the run loop's is (frames.ts). So a stack ends at the same place in the first run and in later
 * ones.
 */
export const start = {
  "gort:start"(g: G): IteratorResult<unknown, unknown> {
    const fn = g.fn as (...args: unknown[]) => unknown;
    const arg = g.arg;
    const n = g.nargs;
    g.arg = undefined;
    if ((n & GEN_FLAG) !== 0) {
      const gen = (
        n === GEN_FLAG ? fn() : n === (GEN_FLAG | 1) ? fn(arg) : fn(...(arg as unknown[]))
      ) as GeneratorObject;
      const r = resume.call(gen);
      // Only if the goroutine goes on: to store a new object in an old one costs as much as the rest of this function.
      if ((r as unknown) === g.waitOp || r.done !== true) g.gen = gen;
      return r;
    }
    const r = n === 0 ? fn() : n === 1 ? fn(arg) : fn(...(arg as unknown[]));
    if (typeof r === "object" && r !== null) {
      if (isBody(r)) {
        const gen = adapt(r);
        g.gen = gen;
        return resume.call(gen);
      }
      checkResult("go", fn, r);
    }
    finished.value = r;
    return finished;
  },
}["gort:start"];

/** Wraps an op, or an iterator of another realm, in a generator of this realm. */
function* adapt(r: Iterator<undefined, unknown, unknown>): Generator<undefined, unknown, unknown> {
  return yield* { [Symbol.iterator]: () => r };
}

/** Whether `f` is a generator function. Throws if `f` cannot be the function of a goroutine. */
export function checkGoroutineFunction(f: unknown, what = "go"): boolean {
  if (f === null || f === undefined) {
    throw new FatalError("fatal", "ERR_GORT_GO_NIL_FUNC", "go of nil func value");
  }
  // This is a few loads. For getPrototypeOf the engine leaves optimised code.
  if (f instanceof GeneratorFunction) return true;
  checkFunction(what, f);
  return false;
}

/** The arguments of hostBody. */
export type HostArgs = [op: AnyOp<never>, resolve: (v: never) => void, reject: (e: unknown) => void];

/** Settles the promise of host code that awaits an op. */
export function* hostBody<T>(op: AnyOp<T>, resolve: (v: T) => void, reject: (e: unknown) => void) {
  let over = false;
  try {
    const v = yield* op;
    over = true;
    resolve(v);
  } catch (e) {
    over = true;
    reject(e);
  } finally {
    // Otherwise the scheduler was closed: see Program.kill.
    if (!over) reject(usedAfterClose(`await of a ${op.what}`));
  }
}

/** The handle that `go` returns. */
export class Goroutine {
  readonly id: number;
  /** Null in a subclass that makes it on demand. */
  protected g: G | null;

  constructor(g: G | null, id = g!.goid) {
    this.g = g;
    this.id = id;
  }

  /** Waits until the goroutine has ended. */
  done(): Operation<void> {
    return new DoneOp(this.g!, this.id);
  }
}

/**
 * The handle of a goroutine that any thread may run. `watch` calls its argument, on this thread, when that goroutine
 * has ended. A G of this thread stands for it meanwhile.
 */
export class TaskGoroutine extends Goroutine {
  private readonly sched: Schedt;
  private readonly watch: (ended: () => void) => void;

  constructor(sched: Schedt, goid: number, watch: (ended: () => void) => void) {
    super(null, goid);
    this.sched = sched;
    this.watch = watch;
  }

  override done(): Operation<void> {
    if (this.g === null) {
      const g = new G(this.sched);
      g.goid = this.id;
      this.g = g;
      this.watch(() => {
        g.atomicstatus = Gdead;
        if (g.doneq !== null) while (wakeOne(g.doneq));
      });
    }
    return super.done();
  }
}

class DoneOp extends OwnOp<void> {
  private readonly target: G;
  private readonly id: number;
  constructor(target: G, id: number) {
    super();
    this.target = target;
    this.id = id;
  }
  get what(): string {
    return "goroutine end";
  }
  protected start(g: G): boolean {
    const t = this.target;
    if (t.goid !== this.id || t.atomicstatus === Gdead) return true;
    parkIn(g, this, (t.doneq ??= new WaitQ()), waitReasonChanReceive);
    return false;
  }
  protected override finish(g: G): boolean {
    unpark(g);
    return true;
  }
  protected override get cancellable(): boolean {
    return true;
  }
  protected hostScheduler(): Schedt {
    return this.target.sched;
  }
}
