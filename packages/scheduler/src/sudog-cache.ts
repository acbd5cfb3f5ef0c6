/** Sudogs for reuse: each G keeps one, and the thread keeps the others. */

import { type G, Sudog } from "./runtime2.ts";

const sudogCache: Sudog[] = [];
/**
 * Idle sudogs that the thread keeps at most. The collector takes the others, so that a burst does not keep its memory.
 */
const SUDOG_CACHE_MAX = 4096;

export function acquireSudog(g: G): Sudog {
  const own = g.sudog;
  if (own !== null) {
    g.sudog = null;
    return own;
  }
  const sg = sudogCache.length > 0 ? sudogCache.pop()! : new Sudog();
  sg.g = g;
  return sg;
}

/** Takes back a sudog that stands in no queue. */
export function releaseSudog(sg: Sudog): void {
  if (sg.timer !== null) {
    sg.timer.unblockTimerChan();
    sg.timer = null;
  }
  sg.elem = undefined;
  sg.prev = null;
  sg.waitlink = null;
  sg.success = false;
  sg.isSelect = false;
  sg.sending = false;
  const g = sg.g;
  if (g.sudog === null) {
    g.sudog = sg;
    return;
  }
  sg.g = null as never;
  if (sudogCache.length < SUDOG_CACHE_MAX) sudogCache.push(sg);
}
