/** How threads take work from each other, and when a cycle of several threads ends. */
import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { GCWORK_AT, MARK_AT, WORK_ACTIVE, WORK_OWNED, WORK_RUNNING } from "../src/mark-state.ts";
import { FakeClock, verifyTricolour } from "../src/testing.ts";
import { beginMarking, endMarking } from "./graph.ts";
import type { Rig } from "./kit.ts";
import { threads } from "./threads-kit.ts";

const SLICE_NS = 250_000;

function node(r: Rig, next = 0, type = r.node): Addr {
  const p = r.a.mallocTyped(type);
  r.gc.storePointer(p, next);
  return p;
}

describe("a thread without work", () => {
  it("takes half of the pages of another, up to 64, and leaves the rest", () => {
    const [x, y] = threads(2).rigs;
    const pages = Array.from({ length: 300 }, () => {
      let p = node(x);
      for (let k = 0; k < 255; k++) p = node(x);
      return p;
    });
    beginMarking(x, x.gc.marker);
    const [mine, theirs] = [x.gc.marker.work, y.gc.marker.work];
    const length = (w: number): number =>
      x.u32[(w + GCWORK_AT.qtail) >>> 2] - x.u32[(w + GCWORK_AT.qhead) >>> 2];
    for (const p of pages.slice(0, 5)) x.gc.marker.shade(p);
    expect([length(mine), y.gc.marker.others.inSight]).toEqual([5, true]);
    expect(y.gc.marker.others.steal()).toBe(true);
    expect([length(mine), length(theirs)]).toEqual([2, 3]);
    for (const p of pages.slice(5)) x.gc.marker.shade(p);
    expect(y.gc.marker.others.steal()).toBe(true);
    expect([length(mine), length(theirs)]).toEqual([2 + 295 - 64, 67]);
    // A thread that is gone leaves its pages behind, and any thread takes them.
    while (x.gc.marker.drain(1 << 20) > 0 || x.gc.marker.others.steal());
    expect([length(mine), length(theirs), x.gc.marker.others.inSight]).toEqual([0, 0, false]);
    expect(x.gc.marker.bytesMarked).toBe(300 * 32);
    expect(x.gc.marker.others.steal()).toBe(false);
    endMarking(x, x.gc.marker);
  });

  it("gets a part of the stack of a busy one while it looks for work", () => {
    const [x, y] = threads(2).rigs;
    const header = x.a.newType(1024, [1]);
    const objects = Array.from({ length: 40 }, () => node(x, 0, header));
    beginMarking(x, x.gc.marker);
    for (const p of objects) x.gc.marker.shade(p);
    x.gc.marker.others.feed();
    expect(y.gc.marker.others.inSight).toBe(false);
    const hungry = y.gc.marker.state.mark + MARK_AT.hungry;
    y.a.mem.kernel.add(hungry, 1);
    x.gc.marker.others.feed();
    expect([y.gc.marker.others.inSight, y.gc.marker.drain(1 << 20)]).toEqual([true, 20 * (1152 - 8)]);
    y.a.mem.kernel.add(hungry, -1);
    x.gc.marker.others.feed();
    expect(y.gc.marker.others.inSight).toBe(false);
    // A nap ends by itself, and the thread is hungry no more.
    y.gc.marker.others.nap();
    expect(y.gc.marker.state.get(MARK_AT.hungry)).toBe(0);
    while (x.gc.marker.drain(1 << 20) > 0);
    endMarking(x, x.gc.marker);
  });

  it("knows whether another may still find some", () => {
    const [x, y] = threads(2).rigs;
    const { others, work } = x.gc.marker;
    const status = (): number => x.u32[(work + GCWORK_AT.status) >>> 2];
    beginMarking(x, x.gc.marker);
    expect(y.gc.marker.others.quiet).toBe(true);
    others.enter();
    expect([status(), y.gc.marker.others.quiet, others.quiet]).toEqual([WORK_ACTIVE, false, true]);
    others.leave();
    expect([status(), y.gc.marker.others.quiet]).toEqual([WORK_OWNED, true]);
    x.u32[(work + GCWORK_AT.status) >>> 2] = WORK_RUNNING;
    expect(y.gc.marker.others.quiet).toBe(false);
    x.u32[(work + GCWORK_AT.status) >>> 2] = WORK_OWNED;
    x.gc.marker.shade(node(x));
    endMarking(x, x.gc.marker);
  });
});

describe("the end of a cycle", () => {
  /**
   * A cycle in which all seems to be marked, but for what a barrier of the other thread has just left in its hands: an
   * object that only a stack slot has, and n objects behind it.
   */
  function leftInHand(n: number, clock: FakeClock) {
    const world = threads(2, { clock, godebug: { gccheckmark: 1, clobberfree: 1 } });
    const [driver, other] = world.rigs;
    const header = other.a.newType(1024, [1]);
    const stack = other.a.stackAlloc(2048);
    other.u32.fill(0, stack >>> 2, (stack + 16) >>> 2);
    other.gc.setStackRoots((visit) => visit(stack, stack + 16));
    let list = 0;
    for (let k = 0; k < n; k++) list = node(other, list, header);
    const hidden = node(other, list, header);
    const holder = other.gc.refs.alloc(node(other, hidden));
    driver.gc.start();
    const p = other.gc.refs.get(holder);
    // Through a local to the stack, which is scanned already; the barrier shades what the field held.
    other.u32[stack >>> 2] = hidden;
    other.gc.storePointer(p, 0);
    expect(other.gc.marker.state.isIdle(other.gc.marker.work)).toBe(false);
    while (!driver.gc.marker.idle || !driver.gc.roots.done || driver.gc.marker.others.inSight) {
      expect(driver.gc.step()).toBe("mark");
    }
    const length = (): number => {
      let m = 0;
      for (let q = other.u32[stack >>> 2]; q !== 0; q = other.u32[q >>> 2]) m++;
      return m;
    };
    return { world, driver, other, length };
  }

  it("takes over what a barrier has left in a thread's hands", () => {
    const { world, driver, length } = leftInHand(3, new FakeClock());
    expect(driver.gc.step()).toBe("terminate");
    driver.gc.gc();
    expect([length(), world.objects()]).toEqual([4, 5]);
  });

  it("is put off while more is left than a stop has time for", () => {
    const clock = new FakeClock();
    clock.now = 1e9;
    const { world, driver, other, length } = leftInHand(2000, clock);
    // Each step in the stop takes half of its time.
    clock.nanotime = () => (clock.now += SLICE_NS / 2 + 1);
    const stops = world.stops.length;
    const scanned = driver.gc.marker.scanned;
    expect(driver.gc.step()).toBe("mark");
    expect([world.stops.length - stops, world.stopped, driver.gc.marking]).toEqual([1, false, true]);
    expect(driver.gc.marker.scanned).toBeGreaterThan(scanned);
    expect(driver.gc.heap.phase).toBe(1);
    expect(driver.gc.runningCycle?.pauseNs).toBeGreaterThan(SLICE_NS);
    verifyTricolour(driver.gc);
    // The program goes on, and other threads take part.
    for (let k = 0; k < 100; k++) node(other);
    while (driver.gc.marking) {
      other.gc.step(100_000);
      driver.gc.step(100_000);
    }
    driver.gc.gc();
    expect([length(), world.objects()]).toEqual([2001, 2002]);
  });
});
