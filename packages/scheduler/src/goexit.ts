/** How goroutines end: by a return, by goexit or by a panic, after their deferred calls. */

import { isFatalError } from "@gort/base";
import { GoexitSignal } from "./errors.ts";
import { unwindBody } from "./goroutine.ts";
import type { GPool } from "./gpool.ts";
import type { LongRuns } from "./long-runs.ts";
import { byHand, wakeOne } from "./op.ts";
import { fatalOf } from "./overflow.ts";
import { goexitSignal, newPanic, panicOf } from "./panic.ts";
import type { Program } from "./program.ts";
import { type G, G_MAIN, G_UNWINDING, Gdead, Grunnable, m0, type Panic, type Schedt } from "./runtime2.ts";
import { fatalReport, panicReport } from "./traceback.ts";

export class Ends {
  private readonly sched: Schedt;
  private readonly pool: GPool;
  private readonly program: Program;
  private readonly long: LongRuns;

  constructor(sched: Schedt, pool: GPool, program: Program, long: LongRuns) {
    this.sched = sched;
    this.pool = pool;
    this.program = program;
    this.long = long;
  }

  /** The goroutine has returned, or with `viaGoexit` called goexit. */
  goexit0(g: G, value: unknown, viaGoexit: boolean): void {
    // It has closed its scheduler, and so has ended already.
    if (g.atomicstatus === Gdead) return;
    if (g.defers !== null && (g.flags & G_UNWINDING) === 0) {
      this.unwind(g, viaGoexit ? panicOf(g, goexitSignal) : null, value);
      return;
    }
    if (g.waitOp !== null) {
      this.gopanic(g, byHand(g));
      return;
    }
    const { sched } = this;
    const armed = m0.armed;
    if (armed !== null) this.long.unusedOp(g, armed);
    if (sched.batch === 1) this.long.exited(g);
    const flags = g.flags;
    const doneq = g.doneq;
    if (doneq !== null) {
      while (wakeOne(doneq));
    }
    if (g.onExit !== null) {
      const f = g.onExit;
      g.onExit = null;
      try {
        f();
      } catch (e) {
        this.gopanic(g, e);
        return;
      }
    }
    if (g.rootLo !== 0) sched.hooks.gExit?.(g);
    sched.gended(g);
    this.pool.put(g, false);
    if ((flags & G_MAIN) === 0) return;
    if (viaGoexit) this.program.exited();
    else this.program.returned(value);
  }

  /** Makes `g` go on as the generator that runs its own deferred calls. */
  private unwind(g: G, p: Panic | null, value: unknown): void {
    g.flags |= G_UNWINDING;
    g.gen = unwindBody(g, g.defers!, p, value);
    // It runs next.
    g.atomicstatus = Grunnable;
    this.sched.p.runqput(g, true, this.sched.globq);
  }

  /** An exception has left the goroutine. */
  gopanic(g: G, e: unknown): void {
    if (g.atomicstatus === Gdead) return;
    // It has parked by a call of next() by hand and then thrown: nothing may wake it.
    if (g.waitOp !== null) byHand(g);
    const fatal = fatalOf(e);
    if (fatal !== null) {
      this.program.crash(fatal, fatalReport(this.sched, g, fatal, false));
      return;
    }
    if ((g.flags & G_UNWINDING) === 0 && g.defers !== null) {
      this.unwind(g, panicOf(g, e), undefined);
      return;
    }
    if (e instanceof GoexitSignal) {
      this.goexit0(g, undefined, true);
      return;
    }
    const p = g.unwinding !== null && g.unwinding.error === e ? g.unwinding : newPanic(e, g.panic);
    let text: string;
    let error = e;
    try {
      text = panicReport(this.sched, g, p);
    } catch (fault) {
      if (!isFatalError(fault)) throw fault;
      error = fault;
      text = fatalReport(this.sched, g, fault, false);
    }
    this.program.crash(error, text);
  }

  /** The goroutine has yielded a value that is no op, so nothing would ever wake it: throws into it. */
  badYield(g: G): void {
    const e = new TypeError(
      `scheduler: goroutine ${g.goid} yielded a value that is no op; suspend with yield* on an op`,
    );
    const gen = g.gen!;
    try {
      const r = gen.throw === undefined ? undefined : gen.throw(e);
      if (r === undefined) throw e;
      if (r.done === true) this.goexit0(g, r.value, false);
      else if (g.waitOp === null) throw e;
    } catch (err) {
      this.gopanic(g, err);
    }
  }
}
