/**
 * Errors that are thrown into a goroutine but made outside of it: the reason of a rejected promise or of an
 * AbortSignal. Their stacks show where they were made. For a crash report, this file keeps where the goroutine was.
 */

import { capture, type Frame, framesOf, STACK_LINES, type StackHolder } from "./frames.ts";
import { type G, m0 } from "./runtime2.ts";

/** The goroutine that an error was thrown into last, and the place. */
interface Rethrow {
  goid: number;
  stack: StackHolder;
}
const rethrows = new WeakMap<object, Rethrow>();

/** Throws `e` in the running goroutine, from the caller of `below`. */
export function rethrow(e: unknown, below: unknown): never {
  const g = m0.curg;
  if (g !== null && typeof e === "object" && e !== null) {
    rethrows.set(e, { goid: g.goid, stack: capture(below, STACK_LINES) });
  }
  throw e;
}

/** Whether `e` was thrown into a goroutine. */
export function isRethrown(e: object): boolean {
  return rethrows.has(e);
}

/** The frames where `e` was thrown into `g`. Empty if it was not. */
export function framesOfRethrow(g: G, e: unknown): Frame[] {
  if (typeof e !== "object" || e === null) return [];
  const met = rethrows.get(e);
  return met === undefined || met.goid !== g.goid ? [] : framesOf(met.stack, g.sched.symbolize);
}
