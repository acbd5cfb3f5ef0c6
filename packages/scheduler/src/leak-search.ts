/** Finding leaked goroutines among those that wait now: see leak.ts. */

import type { GPool } from "./gpool.ts";
import { Gwaiting, gHost, gMain, gSystem, type Leak } from "./runtime2.ts";
import { siteText } from "./sites.ts";
import { creationSite } from "./traceback.ts";

/** Goroutines that wait with one of these flags are held by others: main by whoever waits for its end. */
const held = gSystem | gHost | gMain;

/** Finds leaked goroutines among those that wait now, with a collection between `begin` and `end`. */
export class LeakSearch {
  private readonly pool: GPool;
  private readonly onLeak: (leak: Leak) => void;
  /** Those that the pool holds weakly. */
  private readonly suspects: Leak[] = [];

  constructor(pool: GPool, onLeak: (leak: Leak) => void) {
    this.pool = pool;
    this.onLeak = onLeak;
  }

  begin(): void {
    for (const g of this.pool.list()) {
      // Also of one that is no suspect: the functions in its captured stack may reach the channels of others.
      const createdBy = creationSite(g);
      if (g.atomicstatus !== Gwaiting || (g.flags & held) !== 0 || !this.pool.loosen(g)) continue;
      this.suspects.push({ goid: g.goid, func: g.fn?.name ?? "", site: siteText(createdBy), createdBy });
    }
  }

  /** To be called in a later turn of the event loop, after a collection: the engine keeps what a turn has looked at. */
  end(): void {
    for (const leak of this.suspects.splice(0)) if (!this.pool.tighten(leak.goid)) this.onLeak(leak);
  }
}
