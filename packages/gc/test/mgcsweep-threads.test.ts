/** A sweep by several threads: each span once, an end that is found once, and spans that another thread has in hand. */
import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { GCState } from "../src/gc-state.ts";
import { MSPAN_AT } from "../src/heap.ts";
import { verifyHeap } from "../src/testing.ts";
import type { Rig, RigOptions } from "./kit.ts";
import { type TestWorld, threads } from "./threads-kit.ts";

const PAGE = 8192;

/** A cycle has marked n pages of garbage. */
function garbage(
  n: number,
  options: RigOptions = {},
): { world: TestWorld; driver: Rig; other: Rig; pages: Addr[] } {
  const world = threads(2, options);
  const [driver, other] = world.rigs;
  const pages = Array.from({ length: n }, () => driver.a.mallocNoscan(PAGE));
  driver.gc.start();
  while (driver.gc.step() !== "terminate");
  return { world, driver, other, pages };
}

/** Holds a span as a thread does that is in the middle of its sweep. The function that it returns ends the sweep. */
function take({ a, gc }: Rig): { span: Addr; end: () => void } {
  const span = a.nextSpanForSweep();
  return {
    span,
    end() {
      a.spanSwept(span, a.sweepBits(span), false);
      gc.heap.pagesSwept++;
    },
  };
}

describe("several threads that sweep", () => {
  it("sweep each span once, and count all pages", () => {
    const { world, driver, other } = garbage(100);
    let n = 0;
    while (!driver.gc.sweeper.done) {
      const before = driver.gc.heap.pagesSwept;
      const pages = (n % 3 === 0 ? driver : other).gc.sweeper.sweepOne();
      if (pages > 0) expect(driver.gc.heap.pagesSwept).toBe(before + 1);
      n++;
    }
    expect([n, driver.gc.heap.pagesSwept, world.objects()]).toEqual([101, 100, 0]);
    verifyHeap(driver.gc);
  });

  it("find the end when the last span is swept, not when the lists are empty, and only one does", () => {
    const { driver, other } = garbage(3);
    const state = new GCState(driver.a.mem).sweep;
    state.pagesPerByte = 0.5;
    const held = take(other);
    while (driver.gc.sweeper.sweepOne() >= 0);
    expect([driver.gc.sweeper.done, driver.gc.sweeper.noneLeft, state.drained]).toEqual([false, true, true]);
    expect(driver.gc.sweeper.takeDone()).toBe(-1);
    held.end();
    // The sweeper itself looks after each span; this one was swept by hand.
    expect(other.gc.sweeper.sweepOne()).toBe(-1);
    expect([driver.gc.sweeper.done, other.gc.sweeper.done]).toEqual([true, true]);
    expect([other.gc.sweeper.takeDone(), driver.gc.sweeper.takeDone()]).toEqual([0.5, -1]);
    expect(driver.gc.sweeper.sweepOne()).toBe(-1);
    expect(driver.gc.sweeper.takeDone()).toBe(-1);
  });

  it("find it in the sweep of the last span", () => {
    const { driver, other } = garbage(2);
    const span = other.a.nextSpanForSweep();
    while (driver.gc.sweeper.sweepOne() >= 0);
    expect(driver.gc.sweeper.done).toBe(false);
    other.gc.sweeper.sweepTaken(span);
    expect([driver.gc.sweeper.done, other.gc.sweeper.takeDone() >= 0]).toEqual([true, true]);
    // sweepTaken leaves the span to the allocation that wanted it.
    expect(other.u32[(span + MSPAN_AT.list) >>> 2]).toBe(0);
  });

  it("tell the driver of the end, which reports it once", () => {
    const swept: number[] = [];
    const { world, driver, other } = garbage(5, { events: { sweepDone: (n) => void swept.push(n) } });
    while (other.gc.step() === "sweep");
    expect([other.gc.sweeper.done, world.isNotified(0), swept]).toEqual([true, true, []]);
    world.deliver(driver.gc);
    world.deliver(driver.gc);
    driver.gc.pollSafepoint();
    expect(swept).toEqual([1]);
    driver.gc.gc();
    expect(swept).toEqual([1, 2]);
  });
});

describe("a span that another thread sweeps", () => {
  it("is waited for by a thread that needs it, and by the next cycle", () => {
    const { driver, other, pages } = garbage(4);
    const held = take(other);
    let looks = 0;
    const { kernel } = driver.a.mem;
    const load = (addr: number): number => {
      if (addr === held.span + MSPAN_AT.sweepgen && ++looks === 1000) held.end();
      return kernel.load(addr);
    };
    Object.defineProperty(driver.a.mem, "kernel", { value: { ...kernel, load } });
    driver.gc.sweeper.ensureSwept(held.span);
    expect(looks).toBeGreaterThanOrEqual(1000);
    Object.defineProperty(driver.a.mem, "kernel", { value: kernel });
    // Those that no thread has are swept at once.
    const left = pages.find((p) => driver.a.findObject(p) !== 0) as Addr;
    driver.gc.sweeper.ensureSwept(driver.a.spanOf(left));
    expect(driver.a.findObject(left)).toBe(0);
    const again = take(other);
    const { sweepingThread } = Object.getOwnPropertyDescriptors(Object.getPrototypeOf(driver.a));
    let asked = 0;
    Object.defineProperty(driver.a, "sweepingThread", {
      get() {
        if (++asked === 100) again.end();
        return sweepingThread.get?.call(this);
      },
    });
    driver.gc.gc();
    expect(asked).toBeGreaterThanOrEqual(100);
    expect(driver.gc.sweeper.done).toBe(true);
  });

  it("ends the wait in an error when that thread stands still", () => {
    const { driver, other } = garbage(2);
    driver.a.mem.lockTimeoutMs = 20;
    const held = take(other);
    expect(() => driver.gc.sweeper.ensureSwept(held.span)).toThrow(
      "gc: the sweep of a span does not end: its thread was terminated, or is stopped",
    );
    expect(() => driver.gc.sweeper.sweepAll()).toThrow("the sweep of a span does not end");
  });

  it("is recovered when that thread has died, and the sweep goes on", () => {
    const { world, driver, other } = garbage(5);
    take(other);
    world.rigs.pop();
    const { threadExited } = driver.a;
    let exited = 0;
    driver.a.threadExited = (thread) => {
      exited++;
      expect(thread).toBe(driver.a.mem.thread);
      // Both allocators of this test are on one thread.
      driver.a.recover(other.a.id);
    };
    driver.a.mem.threadGone = () => true;
    expect(driver.gc.sweeper.sweepAll()).toBe(true);
    expect([exited, driver.gc.sweeper.done]).toEqual([1, true]);
    driver.a.threadExited = threadExited;
    // What its sweep had not reached stays until the next cycle.
    expect(world.objects()).toBe(1);
    driver.gc.gc();
    expect(world.objects()).toBe(0);
  });
});
