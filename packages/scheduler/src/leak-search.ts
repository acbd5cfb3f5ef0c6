/** The search for leaked goroutines among those that wait at its start: see leak.ts. */

import type { GPool } from "./gpool.ts";
import { G_HOST, G_MAIN, G_SYSTEM, Gwaiting, type Leak } from "./runtime2.ts";
import { siteText } from "./sites.ts";
import { creationSite } from "./traceback.ts";

/**
 * Goroutines with one of these flags are never suspects: something else holds them, as the caller of `main` holds main.
 */
const HELD = G_SYSTEM | G_HOST | G_MAIN;

/** A search: `begin`, a collection by the engine, `end`. */
export class LeakSearch {
  private readonly pool: GPool;
  private readonly onLeak: (leak: Leak) => void;
  /** The goroutines that the pool holds weakly. */
  private readonly suspects: Leak[] = [];

  constructor(pool: GPool, onLeak: (leak: Leak) => void) {
    this.pool = pool;
    this.onLeak = onLeak;
  }

  begin(): void {
    for (const g of this.pool.list()) {
      // Read the site also of goroutines that are no suspects. Functions in a captured stack may reach others'
      // channels.
      const createdBy = creationSite(g);
      if (g.atomicstatus !== Gwaiting || (g.flags & HELD) !== 0 || !this.pool.loosen(g)) continue;
      this.suspects.push({ goid: g.goid, func: g.fn?.name ?? "", site: siteText(createdBy), createdBy });
    }
  }

  /**
   * Reports the suspects that were collected. Call it in a later turn of the event loop, after a collection: the engine
   * keeps all objects that a turn has read through weak references. The first error of a report is thrown in the end.
   */
  end(): void {
    // Hold all that are alive before the reports, which may run code of the program.
    const leaks = this.suspects.splice(0).filter((leak) => !this.pool.tighten(leak.goid));
    const errors: unknown[] = [];
    for (const leak of leaks) {
      try {
        this.onLeak(leak);
      } catch (e) {
        errors.push(e);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}
