/**
 * Errors that were made outside of the goroutine that they are thrown into: what a promise was rejected with, or the
 * reason of an AbortSignal. Their stacks say where they were made, not where the goroutine was; that is noted here for
 * a crash report.
 */

import { capture, type Frame, framesOf, type StackHolder, stackLines } from "./frames.ts";
import { type G, m0 } from "./runtime2.ts";

/** The goroutine that an error was thrown into last, and where. */
interface Rethrow {
  goid: number;
  stack: StackHolder;
}
const rethrows = new WeakMap<object, Rethrow>();

/** Throws `e` in the running goroutine, from the caller of `below`. */
export function rethrow(e: unknown, below: unknown): never {
  const g = m0.curg;
  if (g !== null && typeof e === "object" && e !== null) {
    rethrows.set(e, { goid: g.goid, stack: capture(below, stackLines) });
  }
  throw e;
}

/** Whether `e` was thrown into a goroutine. */
export function isRethrown(e: object): boolean {
  return rethrows.has(e);
}

/** Where `e` was thrown into `g`; empty if it was not. */
export function framesOfRethrow(g: G, e: unknown): Frame[] {
  if (typeof e !== "object" || e === null) return [];
  const met = rethrows.get(e);
  return met === undefined || met.goid !== g.goid ? [] : framesOf(met.stack, g.sched.symbolize);
}
