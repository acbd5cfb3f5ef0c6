/** How often a stop of the world looks at a thread before it sleeps, and a goroutine at a lock before it waits. */
import { createLinearMemory } from "@gort/memory";
import { ROOT_THREADS } from "@gort/memory/internal";
import { getg } from "@gort/scheduler/internal";
import { createTestScheduler } from "@gort/scheduler/testing";
import { createBumpHeap } from "@gort/types";
import { describe, expect, it } from "vitest";
import { type ThreadHost, threadHost } from "../src/host.ts";
import { M_STOPPED, MREC_AT, SCHED_AT } from "../src/layout.ts";
import { LockEnv } from "../src/lock-env.ts";
import { Waiters } from "../src/sudog.ts";
import { attachThreads, createThreads } from "../src/threads.ts";

/** Loads of M 1's state by a stop of M 0 until its thread sleeps. The sleep ends as if M 1 had stopped. */
function loadsBeforeSleep(spins?: number): number {
  const mem = createLinearMemory({ maxMemory: 64 << 20 });
  const { kernel } = mem;
  let asleep = false;
  let state = 0;
  let loads = 0;
  const load = (addr: number): number => {
    if (addr === state && !asleep) loads++;
    return kernel.load(addr);
  };
  Object.defineProperty(mem, "kernel", { value: { ...kernel, load } });
  const { spins: _, ...rest } = threadHost();
  const host: ThreadHost = {
    ...rest,
    ...(spins === undefined ? {} : { spins }),
    wait(_words, index) {
      asleep = true;
      kernel.store(4 * index, M_STOPPED);
      return true;
    },
  };
  const m0 = createThreads(mem, 2, host);
  attachThreads(mem, m0.registerM(), host);
  state = mem.u32[(mem.root(ROOT_THREADS) + SCHED_AT.ms + 4) >>> 2] + MREC_AT.state;
  m0.stopTheWorld("test");
  m0.startTheWorld();
  expect(asleep).toBe(true);
  return loads;
}

describe("a stop of the world", () => {
  it("looks at a running M as often as the host says before its thread sleeps", () => {
    const few = loadsBeforeSleep(0);
    expect(few).toBeLessThan(5);
    expect(loadsBeforeSleep(1234) - few).toBe(1234);
    expect(loadsBeforeSleep() - few).toBe(500);
  });

  it("does not spin for long on the one processor that the program says there is", () => {
    expect([threadHost({ cpus: 1 }), threadHost({ cpus: 2 })].map((h) => (h.spins ?? 0) > 1000)).toEqual([
      false,
      true,
    ]);
  });

  it("spins for long only where another processor can run the other thread", () => {
    const navigator = Object.getOwnPropertyDescriptor(globalThis, "navigator");
    const spinsOf = (hardwareConcurrency: number): number => {
      Object.defineProperty(globalThis, "navigator", { value: { hardwareConcurrency }, configurable: true });
      return threadHost().spins ?? 0;
    };
    try {
      expect([spinsOf(1) < 1000, spinsOf(2) > 10_000]).toEqual([true, true]);
    } finally {
      if (navigator === undefined) delete (globalThis as { navigator?: unknown }).navigator;
      else Object.defineProperty(globalThis, "navigator", navigator);
    }
  });
});

/** Loads of a lock's word that is held, before a goroutine waits for it. */
function loadsOfLock(others: { count: number; cpus: number }, runnable: boolean): number {
  const heap = createBumpHeap();
  const { kernel } = heap.mem;
  const addr = heap.mem.reserveControl(8);
  kernel.store(addr, 1);
  let loads = 0;
  const load = (at: number): number => {
    if (at === addr) loads++;
    return kernel.load(at);
  };
  Object.defineProperty(heap.mem, "kernel", { value: { ...kernel, load } });
  const env = new LockEnv(heap, new Waiters(heap.mem, { m: 0, post() {}, ...others }));
  const s = createTestScheduler();
  s.runMain(() => {
    if (runnable) s.go(() => {});
    env.spin(getg()!, addr, 1, 2);
  });
  return loads;
}

describe("a goroutine that needs a lock", () => {
  it("looks at it for a moment if another thread has a processor of its own to release it", () => {
    expect(loadsOfLock({ count: 2, cpus: 2 }, false)).toBe(500);
  });

  it("waits at once with one processor or one thread, or if another goroutine can run", () => {
    expect(loadsOfLock({ count: 2, cpus: 1 }, false)).toBe(0);
    expect(loadsOfLock({ count: 1, cpus: 2 }, false)).toBe(0);
    expect(loadsOfLock({ count: 2, cpus: 2 }, true)).toBe(0);
  });
});
