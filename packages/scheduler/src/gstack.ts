/**
 * Stacks of goroutines.
 *
 * A suspended goroutine has no stack that could be read, so it is resumed in probe mode (`m0.probe` set). `next()`
 * reaches the innermost op through the whole chain of `yield*`. That op captures the stack and suspends again, with no
 * other effect. A goroutine whose stack is never captured pays nothing.
 *
 * V8 takes microseconds for a stack. In a dump most goroutines wait where others do, and have waited there before. So:
 *
 *   1. A waiting goroutine keeps its captured stack until the wait is over. A switch pays nothing for it: gopark writes
 *      `waitsince` at each wait anyway, and a capture replaces the number by -1 minus it.
 *   2. Equal stacks are one GStack, whose frames are named once and whose text is made once (stack-tree.ts).
 *
 * A kept stack refers to no function and no object of the program, so that leaked goroutines can still be collected
 * (leak.ts).
 */

import {
  type CallSite,
  capture,
  type Frame,
  framesOf,
  isMarker,
  PROBE_MARKER,
  type StackHolder,
  setPrepareStackTrace,
  setStackTraceLimit,
  v8Error,
} from "./frames.ts";
import { type AnyOp, type G, Grunning, Gsyscall, Gwaiting, m0 } from "./runtime2.ts";
import { GStack } from "./stack-tree.ts";

/** Frames that a capture asks for: a dump prints the 50 innermost and 50 outermost, and each may be doubled. */
export const CAPTURE_LIMIT = 1000;

const noStack = new GStack([]);

/** Whether `g` can be resumed in probe mode. */
function suspended(g: G): boolean {
  return g.gen !== null && g.waitOp !== null;
}

function waits(g: G): boolean {
  return g.atomicstatus === Gwaiting || g.atomicstatus === Gsyscall;
}

/** Whether `g.stack` is the stack of its present wait. */
function known(g: G): boolean {
  return g.waitsince < 0 && g.stack !== null && waits(g);
}

/** Keeps the stack with `g` until its wait is over. */
function keep(g: G, stack: GStack): GStack {
  if (waits(g)) {
    g.stack = stack;
    if (g.waitsince >= 0) g.waitsince = -1 - g.waitsince;
  }
  return stack;
}

/** When the wait of `g` began, in seconds of the coarse clock. */
export function waitSince(g: G): number {
  return g.waitsince < 0 ? -1 - g.waitsince : g.waitsince;
}

/** The stack of a goroutine. It has no frames if the engine does not give them. */
export function stackOf(g: G): GStack {
  const s = g.sched;
  if (g === m0.curg && g.atomicstatus === Grunning) {
    return new GStack(framesOf(capture(stackOf, CAPTURE_LIMIT), s.symbolize));
  }
  if (!suspended(g)) return noStack;
  if (known(g)) return g.stack!;
  if (s.symbolize !== undefined && v8Error.captureStackTrace !== undefined) {
    let stack: GStack | null = null;
    withSites((limit) => {
      const sites = probeSites([g], limit);
      const complete = sites.length < limit || limit === CAPTURE_LIMIT;
      stack = s.stacks.ofSites(sites, 0, s.symbolize!, complete);
      if (stack !== null) expectSites(s.stacks.end);
      return stack !== null;
    });
    return keep(g, stack!);
  }
  let holder: StackHolder | null = null;
  probe([g], (op) => {
    holder = capture(op.next, CAPTURE_LIMIT);
  });
  return holder === null ? noStack : keep(g, s.stacks.ofHolder(holder));
}

/**
 * Captures the stacks of the waiting goroutines of `list`, so that `stackOf` finds them. Half of the cost of a capture
 * does not depend on its length, so several goroutines share one: each is resumed within the one before.
 */
export function takeStacks(list: readonly G[]): void {
  if (v8Error.captureStackTrace === undefined) return;
  const wanted = list.filter((g) => g.sched.symbolize !== undefined && suspended(g) && waits(g) && !known(g));
  for (let i = 0; i < wanted.length; ) {
    const n = Math.max(1, Math.min(NESTED_MAX, Math.floor(NESTED_SITES / enoughSites)));
    takeNested(wanted.slice(i, i + n));
    i += n;
  }
}
/** Goroutines that share a capture at most. */
const NESTED_MAX = 16;
/** Frames of a shared capture at most. */
const NESTED_SITES = 256;
/** Frames between the marker of one goroutine and the stack of the next outer one: `notResumed` and the op's `next`. */
const BETWEEN_SITES = 2;

function takeNested(list: readonly G[]): void {
  withSites(() => {
    const limit = list.length * (enoughSites + BETWEEN_SITES);
    const sites = probeSites(list, limit);
    // The last goroutine was resumed innermost. `stackOf` captures those that the limit has cut off one by one.
    let from = 0;
    for (let i = list.length - 1; i >= 0; i--) {
      const g = list[i];
      const { stacks } = g.sched;
      const stack = stacks.ofSites(sites, from, g.sched.symbolize!, false);
      if (stack === null) break;
      expectSites(stacks.end - from);
      keep(g, stack);
      from = stacks.end + 1 + BETWEEN_SITES;
    }
    return true;
  });
}

/** The frames of a goroutine, innermost first. Empty if the engine does not give them. */
export function gStack(g: G): readonly Frame[] {
  return stackOf(g).frames;
}

/**
 * The result of `derive` for the call sites of a goroutine (see gSites), computed once for all goroutines that wait at
 * the same place. A scheduler must always be given the same `derive`. Null if the engine gives no stack.
 */
export function gDerived<T>(g: G, derive: (sites: CallSite[]) => T): T | null {
  if (known(g) && g.stack!.derived !== undefined) return g.stack!.derived as T;
  const sites = gSites(g);
  if (sites.length === 0) return null;
  const { symbolize, stacks } = g.sched;
  if (symbolize === undefined || !suspended(g)) return derive(sites);
  const stack = keep(g, stacks.ofSites(sites, 0, symbolize, true)!);
  if (stack.derived === undefined) stack.derived = derive(sites);
  return stack.derived as T;
}

/** The goroutines to resume in probe mode, each within the one before. */
let chain: readonly G[] = [];
/** Index of the next one. */
let chainAt = 0;
/** Called within the last one. */
const reportNothing = (_op: AnyOp): void => {};
let report = reportNothing;
let failure: { error: unknown } | null = null;

const markers = {
  [PROBE_MARKER](op: AnyOp): void {
    if (chainAt === chain.length) {
      report(op);
      return;
    }
    const g = chain[chainAt++];
    m0.curg = g;
    try {
      g.gen!.next();
    } catch (error) {
      // It must not unwind the other goroutines.
      failure = { error };
    }
  },
};

/** Resumes each goroutine of `list` within the one before, in probe mode, and calls `f` with the op of the last. */
function probe(list: readonly G[], f: (op: AnyOp) => void): void {
  const self = m0.curg;
  chain = list;
  chainAt = 0;
  report = f;
  failure = null;
  const run = markers[PROBE_MARKER];
  m0.probe = run;
  try {
    run(null as never);
  } finally {
    m0.probe = null;
    m0.curg = self;
    chain = [];
    // `f` may hold the call sites, and with them the objects that the goroutine waits for.
    report = reportNothing;
  }
  const { error } = (failure as { error: unknown } | null) ?? {};
  if (failure !== null) throw error;
}

const collect = (_e: unknown, sites: CallSite[]): unknown => sites;
/**
 * Call sites to ask for at first: enough for the deepest of the last stacks. One more site costs a fraction of a
 * microsecond, a second capture costs several microseconds. So it shrinks slowly.
 */
let enoughSites = 8;
let sitesTaken = 0;
const SHRINK_EVERY = 256;

/** Adapts `enoughSites` to a stack whose marker is its call site `n`. */
function expectSites(n: number): void {
  if (n >= enoughSites) enoughSites = n + 1;
  else if (++sitesTaken % SHRINK_EVERY === 0 && enoughSites > n + 1) enoughSites--;
}

/** Calls `take` with V8 set to give call sites, each time with a larger limit, until it returns true. */
function withSites(take: (limit: number) => boolean): void {
  const oldLimit = v8Error.stackTraceLimit;
  const oldHook = v8Error.prepareStackTrace;
  setPrepareStackTrace(collect);
  try {
    for (let limit = enoughSites; !take(limit); limit = Math.min(CAPTURE_LIMIT, 2 * limit));
  } finally {
    setStackTraceLimit(oldLimit);
    setPrepareStackTrace(oldHook);
  }
}

/**
 * The call sites of a goroutine, innermost first, for a profiler. They go on to a function for which `isMarker` holds,
 * and may go on below it. Empty if the engine does not give them. Cheaper than gStack, as it symbolizes nothing and
 * captures few frames below the marker.
 */
export function gSites(g: G): CallSite[] {
  let sites: CallSite[] = [];
  if (v8Error.captureStackTrace === undefined) return sites;
  if (g === m0.curg && g.atomicstatus === Grunning) {
    withSites(() => {
      sites = sitesAbove(gSites, CAPTURE_LIMIT);
      return true;
    });
  } else if (suspended(g)) {
    withSites((limit) => {
      sites = probeSites([g], limit);
      const n = sites.findIndex((site) => isMarker(site.getFunctionName()));
      if (n < 0 && sites.length === limit && limit < CAPTURE_LIMIT) return false;
      expectSites(n);
      return true;
    });
  }
  return sites;
}

function sitesAbove(below: unknown, limit: number): CallSite[] {
  const holder: StackHolder = {};
  setStackTraceLimit(limit);
  v8Error.captureStackTrace!(holder, below);
  return Array.isArray(holder.stack) ? (holder.stack as CallSite[]) : [];
}

/** The call sites of several goroutines, each resumed within the one before, innermost first. */
function probeSites(list: readonly G[], limit: number): CallSite[] {
  let sites: CallSite[] = [];
  probe(list, (op) => {
    sites = sitesAbove(op.next, limit);
  });
  return sites;
}
