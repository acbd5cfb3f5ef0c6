/** Warnings about goroutines that run long without yielding, or that never use an op. Once per creation site. */

import { type AnyOp, type G, Gdead, type LongRun, m0, type Schedt } from "./runtime2.ts";
import { siteOf } from "./sites.ts";

export class LongRuns {
  readonly list: LongRun[] = [];
  private readonly sched: Schedt;
  /** Whether to write the warnings about long runs to standard error. */
  private readonly print: boolean;
  private readonly seen = new Set<string>();
  private lastExit: { goid: number; site: G["site"] } | null = null;

  constructor(sched: Schedt, print: boolean) {
    this.sched = sched;
    this.print = print;
  }

  /** Notes the end of `g`: when its running time is known, its record may belong to another goroutine. */
  exited(g: G): void {
    this.lastExit = { goid: g.goid, site: g.site };
  }

  /** The goroutine that ran last has taken `ms`. */
  note(ms: number): void {
    const g = m0.curg;
    if (g === null) return;
    const of = g.atomicstatus === Gdead ? this.lastExit : g;
    if (of === null) return;
    const site = siteOf(of.site, this.sched);
    if (this.seen.has(site)) return;
    this.seen.add(site);
    const { link } = this.sched;
    const run: LongRun = { goid: of.goid, ms, site, ...(link === null ? {} : { m: link.m }) };
    this.list.push(run);
    this.sched.hooks.longRun?.(run);
    if (this.print) {
      const by = site === "" ? "" : `\n\tcreated by ${site}`;
      const on = link === null ? "" : ` on M ${link.m}`;
      this.sched.stderr(`goroutine ${of.goid} ran ${Math.round(ms)} ms without yielding${on}${by}\n`);
    }
  }

  /** The goroutine has ended with an op that it never used. */
  unusedOp(g: G, op: AnyOp): void {
    op.detach();
    const site = siteOf(g.site, this.sched);
    const key = `${op.what} ${site}`;
    if (this.seen.has(key)) return;
    this.seen.add(key);
    const by = site === "" ? "" : `\n\tcreated by ${site}`;
    this.sched.stderr(
      `scheduler: goroutine ${g.goid} ended with a ${op.what} that it never used (write yield* before it)${by}\n`,
    );
  }
}
