/** How often a stop of the world looks at a thread before it sleeps. */
import { createLinearMemory } from "@gort/memory";
import { ROOT_THREADS } from "@gort/memory/internal";
import { describe, expect, it } from "vitest";
import { type ThreadHost, threadHost } from "../src/host.ts";
import { M_STOPPED, MREC_AT, SCHED_AT } from "../src/layout.ts";
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
