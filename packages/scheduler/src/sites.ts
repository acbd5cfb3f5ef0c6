/** Where goroutines are started. */

import { capture, type Frame } from "./frames.ts";
import type { G } from "./runtime2.ts";
import { creationSite } from "./traceback.ts";

/**
 * Creation sites: a capture takes over a microsecond, ten times what a goroutine costs. So the first ones are captured,
 * then as many as take about a hundredth of the running time.
 */
const siteBurst = 512;
const sitesPerMs = 6;

/** Captures creation sites, as far as they are cheap. */
export class CreationSites {
  private credit = siteBurst;
  private refilled = 0;
  private fn: unknown = null;
  private last: G["site"] = null;

  /** Notes where `g` is started, with the function `f`, by the caller of `below`. */
  record(g: G, f: unknown, below: unknown): void {
    if (this.credit > 0) this.capture(g, f, below);
    // Without credit the last site of the same function has to do.
    else if (this.fn === f) g.site = this.last;
  }

  private capture(g: G, f: unknown, below: unknown): void {
    this.credit--;
    g.site = capture(below, 4);
    this.fn = f;
    this.last = g.site;
  }

  /** Lets go of the function that was started last, and of what it can reach. */
  forget(): void {
    this.fn = null;
    this.last = null;
  }

  /** Gives credit for the time since the last call; `now` in ms. */
  refill(now: number): void {
    if (this.credit >= siteBurst) return;
    // An integer, or each decrement would allocate; bounded first, as days of credit don't fit in an int32.
    const n = Math.min(siteBurst, Math.floor((now - this.refilled) * sitesPerMs)) | 0;
    if (n <= 0) return;
    this.credit = Math.min(siteBurst, this.credit + n);
    this.refilled = now;
  }
}

/** A creation site as `func file:line`; "" where there is none. */
export function siteText(f: Frame | null): string {
  return f === null ? "" : `${f.func} ${f.file}:${f.line}`;
}

/** The same of a captured site, whose goroutine may be gone. */
export function siteOf(site: G["site"], sched: G["sched"]): string {
  return site === null ? "" : siteText(creationSite({ site, sched } as unknown as G));
}
