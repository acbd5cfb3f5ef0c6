/**
 * The event loop's profile: how long callbacks occupy the thread, by the code that requested them. A timer that
 * computes for 50 ms blocks everything else for 50 ms. The stack at that time shows only that a timer ran. The stack
 * at which the timer was made shows which code it belongs to.
 *
 * Node reports when an asynchronous resource is made, and when its callback begins and ends. The stack is captured when
 * the resource is made, but left unread, which is the cheap half. It is read only when a callback of the resource is
 * sampled, by the rule of the block profile: an event of c nanoseconds with probability min(1, c / rate).
 *
 * Promises are left out by default: every `await` makes one, and a CPU profile shows the code around it.
 */

import { wrongNumber } from "@gort/base";
import { type BucketTable, COUNTERS, EVENT_LOOP_KIND } from "./bucket.ts";
import { captureUnread, readSites, type UnreadStack } from "./capture.ts";
import type { StackBuffer, StackWalker } from "./extern.ts";
import { builtin } from "./host.ts";
import type { PCTable } from "./pc-table.ts";
import { ProfileBuilder } from "./proto.ts";

export interface EventLoopProfileOptions {
  /** Mean nanoseconds of callbacks between two samples; default 100000, 1 takes all. */
  rate?: number;
  /** Also the continuations of promises. Costs a capture for each promise. */
  promises?: boolean;
}

/** An asynchronous resource of Node, such as a timer: it will call back. */
interface Resource {
  stack: UnreadStack;
  /**
   * The resource in whose callback this one was made. To read a file, Node makes several resources in a chain, and the
   * program makes only the first.
   */
  cause: Resource | null;
  /** The length of the chain of causes. */
  causes: number;
}

const DEFAULT_RATE = 100_000;
/**
 * Length of the longest chain of causes. 6 are enough for Node's own chains. The bound keeps the chain short if each
 * timer makes the next one.
 */
const MAX_CAUSES = 6;
/** Frames kept of the stack that made a resource. */
const STACK_DEPTH = 24;

export class EventLoopProfiler {
  private hook: { disable(): unknown } | null = null;

  constructor(
    private readonly table: PCTable,
    private readonly walker: StackWalker,
    private readonly buckets: BucketTable,
    private readonly stack: StackBuffer,
    private readonly random: () => number,
  ) {}

  get active(): boolean {
    return this.hook !== null;
  }

  /** How many stacks have callbacks. */
  get count(): number {
    return this.buckets.count(EVENT_LOOP_KIND);
  }

  start(options: EventLoopProfileOptions = {}): void {
    if (this.hook !== null) return;
    const { rate = DEFAULT_RATE, promises = false } = options;
    if (!(rate >= 1) || !Number.isFinite(rate)) {
      throw wrongNumber("profiling", rate, "the event loop profile's rate must be a number, 1 or more");
    }
    const hooks = builtin("node:async_hooks");
    if (hooks === undefined) throw new Error("profiling: this platform doesn't tell about its event loop");
    const made = new Map<number, Resource>();
    /** Callbacks that are running, outermost first: id and start. */
    const running: { id: number; start: bigint }[] = [];
    const init = (id: number, type: string, trigger: number): void => {
      if (type === "PROMISE" && !promises) return;
      const by = made.get(trigger);
      const cause = by !== undefined && by.causes < MAX_CAUSES ? by : null;
      made.set(id, {
        stack: captureUnread(STACK_DEPTH, init),
        cause,
        causes: cause === null ? 0 : cause.causes + 1,
      });
    };
    this.hook = hooks
      .createHook({
        init,
        before: (id) => {
          if (made.has(id)) running.push({ id, start: process.hrtime.bigint() });
        },
        after: (id) => {
          const top = running.at(-1);
          if (top === undefined || top.id !== id) return;
          running.pop();
          this.sample(Number(process.hrtime.bigint() - top.start), rate, made.get(id));
        },
        destroy: (id) => {
          made.delete(id);
        },
      })
      .enable();
  }

  stop(): void {
    this.hook?.disable();
    this.hook = null;
  }

  private sample(ns: number, rate: number, made: Resource | undefined): void {
    if (made === undefined || (ns < rate && this.random() * rate >= ns)) return;
    const { stack, table, walker, buckets } = this;
    let n = 0;
    let from = 0;
    // Leave out Node's own innermost frames. If a stack has no others, use the stack of its cause.
    for (let r: Resource | null = made; r !== null; r = r.cause) {
      n = walker.internSites(readSites(r.stack), stack);
      from = 0;
      while (from < n && table.scriptOf(stack.ids[from]).startsWith("node:")) from++;
      if (from < n) break;
    }
    if (from === n) from = 0;
    const bucket = buckets.find(EVENT_LOOP_KIND, 0, stack.ids.subarray(from, n), n - from);
    const { f64 } = buckets.arena;
    const at = (bucket + COUNTERS) >>> 3;
    const weight = ns < rate ? rate / ns : 1;
    f64[at] += weight;
    f64[at + 1] += weight * ns;
  }

  toBytes(): Uint8Array {
    const { buckets } = this;
    const builder = new ProfileBuilder(this.table, {
      sampleTypes: [
        { type: "callbacks", unit: "count" },
        { type: "time", unit: "nanoseconds" },
      ],
      periodType: { type: "callbacks", unit: "count" },
      period: 1,
    });
    for (let b = buckets.first(EVENT_LOOP_KIND); b !== 0; b = buckets.nextOf(b)) {
      const at = (b + COUNTERS) >>> 3;
      const { f64 } = buckets.arena;
      builder.add(buckets.stackOf(b), [Math.round(f64[at]), Math.round(f64[at + 1])]);
    }
    return builder.build();
  }
}
