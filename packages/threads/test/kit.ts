/** Helpers of the tests of channels. */
import type { Addr } from "@gort/memory";
import { createTestScheduler, type TestScheduler, verifyScheduler } from "@gort/scheduler/testing";
import { createBumpHeap, createTypes, type Type } from "@gort/types";
import { HeapChans } from "../src/chans.ts";
import type { HeapChan } from "../src/heap-chan.ts";
import { Waiters } from "../src/sudog.ts";
import { verifyChan } from "../src/testing.ts";

/** How a channel is used: without locks, or as if other threads used it too. */
export const modes = ["private", "shared"] as const;
export type Mode = (typeof modes)[number];

/** The heap of all tests of the file. */
export const heap = createBumpHeap({ maxMemory: 2 ** 30 });
export const types = createTypes(heap);

/** The channels of one scheduler. */
export class TestChans {
  readonly chans: HeapChans;
  private readonly mode: Mode;
  private readonly made: Addr[] = [];

  constructor(s: TestScheduler, mode: Mode) {
    const threads = mode === "shared" ? { m: 0, post: untouched } : null;
    this.chans = new HeapChans(types, s, new Waiters(heap.mem, threads));
    this.mode = mode;
  }

  make<T extends Type>(type: T, n?: number): HeapChan<T> {
    const c = this.chans.make(type, n);
    this.made.push(this.mode === "shared" ? c.$addr : addrOf(c));
    return c;
  }

  verify(): void {
    for (const c of this.made) verifyChan(types.heap.mem, c);
  }
}

function untouched(): never {
  throw new Error("a post without another thread");
}

/** The address of a channel, which stays private. */
export function addrOf(c: object): Addr {
  return (c as { addr: Addr }).addr;
}

/** Runs `f` as the main goroutine in virtual time. At its end, verifies the scheduler and the channels it made. */
export function run<T>(
  mode: Mode,
  f: (s: TestScheduler, h: TestChans) => Generator<undefined, T, unknown> | T,
): T {
  const s = createTestScheduler();
  const h = new TestChans(s, mode);
  const result = s.runMain(() => f(s, h));
  verifyScheduler(s);
  h.verify();
  return result;
}
