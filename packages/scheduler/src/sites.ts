/** Creation sites: where goroutines are started. */

import { capture, type Frame } from "./frames.ts";
import type { G } from "./runtime2.ts";
import { creationSite } from "./traceback.ts";

/**
 * Captures that a burst may take. A capture costs over 1 us, ten times as much as a goroutine. So a token bucket limits
 * them: `SITE_BURST` at once, and then about a hundredth of the running time.
 */
const SITE_BURST = 512;
/** Refill of the token bucket, in captures a ms. */
const SITES_PER_MS = 6;

/** Captures creation sites within the budget. */
export class CreationSites {
  private credit = SITE_BURST;
  private refilled = 0;
  private fn: unknown = null;
  private last: G["site"] = null;

  /** Records that the caller of `below` starts `g` with the function `f`. */
  record(g: G, f: unknown, below: unknown): void {
    if (this.credit > 0) this.capture(g, f, below);
    // Without credit, use the last site of the same function.
    else if (this.fn === f) g.site = this.last;
  }

  private capture(g: G, f: unknown, below: unknown): void {
    this.credit--;
    g.site = capture(below, 4);
    this.fn = f;
    this.last = g.site;
  }

  /** Drops the reference to the function that was started last, and so to all that it can reach. */
  forget(): void {
    this.fn = null;
    this.last = null;
  }

  /** Gives credit for the time since the last call; `now` in ms. */
  refill(now: number): void {
    if (this.credit >= SITE_BURST) return;
    // `| 0`: if it were no small integer, each decrement would allocate. Bound it first: days of credit exceed an
    // int32.
    const n = Math.min(SITE_BURST, Math.floor((now - this.refilled) * SITES_PER_MS)) | 0;
    if (n <= 0) return;
    this.credit = Math.min(SITE_BURST, this.credit + n);
    this.refilled = now;
  }
}

/** A creation site as `func file:line`, "" for null. */
export function siteText(f: Frame | null): string {
  return f === null ? "" : `${f.func} ${f.file}:${f.line}`;
}

/** The same for a captured site, whose goroutine may have ended. */
export function siteOf(site: G["site"], sched: G["sched"]): string {
  return site === null ? "" : siteText(creationSite({ site, sched } as unknown as G));
}
