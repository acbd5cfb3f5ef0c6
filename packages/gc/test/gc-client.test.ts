/** What a thread does for cycles that the driver begins and ends. */
import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { GCState } from "../src/gc-state.ts";
import { GCTHREAD_AT, threadById } from "../src/gc-threads.ts";
import { GCWORK_AT, WORK_ACTIVE } from "../src/mark-state.ts";
import { FakeClock, finishCycle } from "../src/testing.ts";
import { MiB, type Rig } from "./kit.ts";
import { threads } from "./threads-kit.ts";

/** A clock that moves by ns at each reading. */
function ticking(ns: number): FakeClock {
  const clock = new FakeClock();
  clock.now = 1e9;
  clock.nanotime = () => (clock.now += ns);
  return clock;
}

/** n objects that a ref slot holds. */
function hold(r: Rig, n: number): void {
  const table = r.a.mallocgc(8 * n, r.a.newType(8, [1]), true);
  r.gc.refs.alloc(table);
  for (let k = 0; k < n; k++) r.gc.storePointer(table + 8 * k, r.a.mallocTyped(r.node));
}

describe("a thread that asks for a cycle", () => {
  it("notifies the driver, which begins the cycle at a safepoint, or in idle time", () => {
    for (const idle of [false, true]) {
      const world = threads(2);
      const [driver, other] = world.rigs;
      hold(other, 20_000);
      other.gc.requestGC();
      expect([driver.gc.gcRequested, driver.gc.marking, world.isNotified(0)]).toEqual([true, false, true]);
      other.gc.pollSafepoint();
      other.gc.idleWork();
      expect(driver.gc.marking).toBe(false);
      if (idle) expect(driver.gc.idleWork()).toBe(true);
      else driver.gc.pollSafepoint();
      expect([driver.gc.gcRequested, other.gc.marking]).toEqual([false, true]);
      finishCycle(driver.gc);
    }
  });

  it("does so when the heap has reached its trigger", () => {
    const world = threads(2);
    const [driver, other] = world.rigs;
    while (!driver.gc.gcRequested) other.a.mallocNoscan(64 << 10);
    expect(driver.gc.heap.heapLive).toBeGreaterThanOrEqual(driver.gc.heap.heapGoal / 2);
    expect(world.isNotified(0)).toBe(true);
    driver.gc.pollSafepoint();
    expect(driver.gc.readGCStats().numGC + (driver.gc.marking ? 1 : 0)).toBe(1);
  });
});

describe("a thread that marks", () => {
  it("has slices of its own, and tells the driver when no work seems to be left", () => {
    const world = threads(2, { clock: ticking(5000) });
    const [driver, other] = world.rigs;
    hold(driver, 50_000);
    driver.gc.start();
    for (let k = 0; k < 10_000 && !world.isNotified(0); k++) other.gc.idleWork();
    expect(world.isNotified(0)).toBe(true);
    expect([driver.gc.marker.scanned, other.gc.marker.scanned > 1e6]).toEqual([0, true]);
    const { cycle } = new GCState(driver.a.mem);
    expect([cycle.idleNs, (other.gc.runningCycle?.idleNs ?? 0) > 0]).toEqual([0, true]);
    const idleNs = other.gc.runningCycle?.idleNs ?? 0;
    driver.gc.pollSafepoint();
    expect([driver.gc.marking, other.gc.marking]).toEqual([false, false]);
    expect(cycle.idleNs).toBe(idleNs);
  });

  it("naps for a while in idle time if no work is left, and then sleeps until the driver notifies it", () => {
    const world = threads(2, { clock: ticking(5000) });
    const [driver, other] = world.rigs;
    hold(driver, 5000);
    driver.gc.start();
    let looks = 0;
    while (other.gc.idleWork()) looks++;
    // Some looks marked, and 20 napped.
    expect(looks).toBeGreaterThanOrEqual(20);
    expect(looks).toBeLessThan(200);
    expect([driver.gc.marking, world.isNotified(0), world.isNotified(1)]).toEqual([true, true, false]);
    driver.gc.pollSafepoint();
    expect([driver.gc.marking, world.isNotified(1)]).toEqual([false, true]);
    // It sweeps, and then it waits no longer.
    world.deliver(other.gc);
    while (other.gc.idleWork());
    expect(driver.gc.sweeper.done).toBe(true);
    driver.gc.gc();
    expect(world.isNotified(1)).toBe(false);
  });

  it("pays in its allocations for what all threads have allocated", () => {
    const world = threads(3, { gogc: 50, clock: ticking(10) });
    const [driver, other, third] = world.rigs;
    hold(driver, 200_000);
    driver.gc.gc();
    hold(driver, 30_000);
    driver.gc.start();
    const { assist } = new GCState(driver.a.mem);
    // The third thread allocates, and the other one comes to pay.
    const live = driver.gc.heap.heapLive;
    for (let k = 0; k < 16; k++) third.a.mallocNoscan(1000);
    const before = other.gc.marker.scanned;
    for (let k = 0; k < 64 && other.gc.marker.scanned === before; k++) other.a.mallocNoscan(64 << 10);
    expect(other.gc.marker.scanned).toBeGreaterThan(before);
    expect(assist.chargedLive).toBeGreaterThan(live);
    expect(assist.chargedLive).toBeLessThanOrEqual(driver.gc.heap.heapLive);
    expect(other.gc.runningCycle?.assistNs).toBeGreaterThan(0);
    finishCycle(driver.gc);
    expect(new GCState(driver.a.mem).cycle.assistNs).toBeGreaterThan(0);
  });
});

describe("a thread that collects", () => {
  it("waits for a cycle that begins after the call, and for its sweep", () => {
    const world = threads(2);
    const [driver, other] = world.rigs;
    hold(driver, 5000);
    driver.gc.start();
    // Garbage since the cycle has begun, which this cycle does not free.
    for (let k = 0; k < 100; k++) other.a.mallocTyped(other.node);
    other.gc.gc();
    expect(world.objects()).toBe(5001);
    const stats = driver.gc.readGCStats();
    expect([stats.numGC, stats.numForcedGC, driver.gc.sweeper.done]).toEqual([2, 1, true]);
    driver.gc.gc();
    expect(driver.gc.readGCStats().numForcedGC).toBe(2);
    expect(world.stops).toEqual([
      ...["GC mark", "GC mark termination", "GC mark", "GC mark termination"],
      ...["GC mark", "GC mark termination"],
    ]);
  });

  it("marks and sweeps meanwhile, and shares the cycle with others that wait", () => {
    const world = threads(4);
    const [driver, second, third] = world.rigs;
    hold(driver, 30_000);
    let asked = false;
    const { meanwhile } = world;
    world.meanwhile = () => {
      if (!asked) {
        asked = true;
        third.gc.gc();
      }
      meanwhile();
    };
    second.gc.gc();
    expect(asked).toBe(true);
    const { numGC } = driver.gc.readGCStats();
    expect(numGC).toBe(1);
    expect(world.objects()).toBe(30_001);
    expect(second.gc.marker.scanned + third.gc.marker.scanned).toBeGreaterThan(0);
  });

  it("returns with the error when a fatal error ends the collector", () => {
    const world = threads(2);
    const [driver, other] = world.rigs;
    world.meanwhile = () => {
      driver.a.mallocTyped(driver.node);
      driver.gc.threads.command(99, 0);
    };
    other.gc.gc();
    expect(() => other.gc.gc()).toThrow("after a fatal error in one");
    expect(() => driver.gc.gc()).toThrow("after a fatal error in one");
  });

  it("is refused if it has stopped the world, as on the driver's thread, and goes on", () => {
    const world = threads(2);
    const [driver, other] = world.rigs;
    world.worlds[1].stopTheWorld("the test");
    expect(() => other.gc.gc()).toThrow("stopTheWorld: world is already stopped");
    world.worlds[1].startTheWorld();
    expect([driver.gc.gcRequested, world.isNotified(0)]).toEqual([false, false]);
    other.gc.gc();
    expect(driver.gc.readGCStats().numGC).toBe(1);
  });

  it("passes on what the world throws at its safepoints, and the heap is collected afterwards", () => {
    for (const call of ["poll", "block"] as const) {
      const world = threads(2, { godebug: { gccheckmark: 1 } });
      const [driver, other] = world.rigs;
      hold(other, 2000);
      other.a.mallocTyped(other.node);
      const own = world.worlds[1].threads!;
      const { [call]: original } = own;
      Object.defineProperty(own, "pending", { value: true });
      const fails = (): void => {
        throw new Error("of a node");
      };
      Object.assign(own, { [call]: fails });
      expect(() => other.gc.gc()).toThrow("of a node");
      expect(other.gc.heap.mem.u32[(threadById(other.a.mem, 1) + GCTHREAD_AT.waiting) >>> 2]).toBe(0);
      Object.assign(own, { [call]: original });
      // The cycle that it has asked for.
      driver.gc.pollSafepoint();
      finishCycle(driver.gc);
      expect(world.objects()).toBe(2001);
      other.gc.gc();
      driver.gc.gc();
      expect(driver.gc.readGCStats()).toMatchObject({ numGC: 3, numForcedGC: 3 });
    }
  });

  it("at every safepoint under gcstress", () => {
    const world = threads(2, { godebug: { gcstress: 1 } });
    const [driver, other] = world.rigs;
    hold(other, 100);
    other.gc.pollSafepoint();
    expect(driver.gc.readGCStats()).toMatchObject({ numForcedGC: 0 });
    expect(driver.gc.readGCStats().numGC).toBeGreaterThan(0);
    expect(world.objects()).toBe(101);
  });

  it("when its memory is out, if allocations are safepoints", () => {
    const world = threads(2, { maxMemory: 64 * MiB, allocationSafepoints: true, gogc: -1 });
    const [, other] = world.rigs;
    const held = other.gc.refs.alloc(other.a.mallocNoscan(MiB));
    for (let k = 0; k < 200; k++) other.a.mallocNoscan(MiB);
    expect(other.a.findObject(other.gc.refs.get(held))).not.toBe(0 as Addr);
  });
});

describe("a cycle of a heap with several threads", () => {
  it("that has little to mark ends in the stop that begins it", () => {
    const world = threads(2);
    const [driver, other] = world.rigs;
    hold(other, 100);
    driver.gc.requestGC();
    driver.gc.pollSafepoint();
    expect(world.stops).toEqual(["GC mark"]);
    expect([driver.gc.marking, driver.gc.record.numGC]).toEqual([false, 1]);
    const { cycle } = new GCState(driver.a.mem);
    expect([cycle.stw, world.stopped]).toEqual([true, false]);
    // All of it is pause.
    expect(driver.gc.record.pauseTotalNs).toBeGreaterThan(0);
    expect(driver.gc.heap.heapMarked).toBe(100 * 32 + 896);
    while (driver.gc.idleWork());
    expect(world.objects()).toBe(101);
    // Another thread can ask for it, too.
    world.stops.length = 0;
    other.gc.gc();
    expect(world.stops).toEqual(["GC mark"]);
  });

  it("marks in the stop what other threads' goroutines hold", () => {
    const world = threads(2);
    const [driver, other] = world.rigs;
    const stack = driver.a.mem.persistentAlloc(8, 8, "otherSys");
    other.gc.setStackRoots((visit) => visit(stack, stack + 8));
    let p: number = other.a.mallocTyped(other.node);
    other.gc.storePointer(stack, p);
    for (let k = 0; k < 20; k++) {
      const next = other.a.mallocTyped(other.node);
      other.gc.storePointer(p, next);
      p = next;
    }
    driver.gc.requestGC();
    driver.gc.pollSafepoint();
    expect(world.stops).toEqual(["GC mark"]);
    while (driver.gc.idleWork());
    expect(world.objects()).toBe(21);
  });

  it("counts the time as pause in which it has tried to", () => {
    const world = threads(2, { clock: ticking(10_000) });
    const [driver, other] = world.rigs;
    hold(other, 50_000);
    driver.gc.requestGC();
    driver.gc.pollSafepoint();
    expect(world.stops).toEqual(["GC mark"]);
    // 50 us, at a resolution of 10 us.
    expect(new GCState(driver.a.mem).cycle.pauseNs).toBeGreaterThan(60_000);
  });

  it("that has more to mark, or takes longer, goes on while the program runs", () => {
    const world = threads(2);
    const [driver, other] = world.rigs;
    hold(other, 50_000);
    // The first cycle knows no work of a last one. It tries, and the time is up.
    driver.gc.requestGC();
    driver.gc.pollSafepoint();
    expect(world.stops[0]).toBe("GC mark");
    finishCycle(driver.gc);
    expect(world.stops).toEqual(["GC mark", "GC mark termination"]);
    world.stops.length = 0;
    driver.gc.requestGC();
    driver.gc.pollSafepoint();
    finishCycle(driver.gc);
    expect(world.stops).toEqual(["GC mark", "GC mark termination"]);
    expect(new GCState(driver.a.mem).cycle.stw).toBe(false);
  });

  it("goes on after an error that the world throws while the driver finishes the marking", () => {
    const world = threads(2, { clock: ticking(1000), godebug: { gccheckmark: 1 } });
    const [driver, other] = world.rigs;
    hold(other, 100_000);
    driver.gc.start();
    expect(driver.gc.marking).toBe(true);
    const own = world.worlds[0].threads!;
    const { poll } = own;
    own.poll = () => {
      throw new Error("of a node");
    };
    other.gc.requestGC();
    expect(() => driver.gc.gc()).toThrow("of a node");
    expect([driver.gc.marking, world.stopped]).toEqual([true, false]);
    own.poll = poll;
    driver.gc.gc();
    expect(driver.gc.readGCStats().numGC).toBe(2);
    expect(world.objects()).toBe(100_001);
  });

  it("has a goal that grows with their number, which NextGC does not show", () => {
    const world = threads(1);
    const [driver] = world.rigs;
    const goals = (): number[] => {
      driver.gc.gc();
      return [driver.gc.heap.heapGoal / MiB, Number(driver.gc.nextGC()) / MiB];
    };
    expect(goals()).toEqual([4, 4]);
    world.attach();
    const third = world.attach();
    expect(goals()).toEqual([12, 4]);
    driver.gc.setGCPercent(50);
    expect(goals()).toEqual([6, 2]);
    world.end(third);
    expect(goals()).toEqual([4, 2]);
    driver.gc.setMemoryLimit(64 * MiB);
    expect(goals()).toEqual([2, 2]);
    driver.gc.setMemoryLimit(2n ** 63n - 1n);
    driver.gc.setGCPercent(-1);
    expect(driver.gc.heap.heapGoal).toBeGreaterThan(2 ** 62);
  });
});

describe("a dedicated thread", () => {
  function setUp(n = 50_000) {
    const world = threads(1, { clock: ticking(5000) });
    const [driver] = world.rigs;
    const own = world.attach({ dedicated: true, clock: ticking(5000) });
    hold(driver, n);
    return { world, driver, own };
  }

  it("marks and sweeps all, and the driver's thread only begins and ends cycles", () => {
    const { world, driver, own } = setUp();
    driver.gc.start();
    for (let k = 0; k < 10; k++) {
      driver.gc.pollSafepoint();
      expect(driver.gc.idleWork()).toBe(false);
    }
    expect([driver.gc.marking, driver.gc.marker.scanned]).toEqual([true, 0]);
    while (own.gc.idleWork());
    expect([driver.gc.marking, world.isNotified(0)]).toEqual([true, true]);
    driver.gc.pollSafepoint();
    expect([driver.gc.marking, driver.gc.sweeper.done, world.isNotified(1)]).toEqual([false, false, true]);
    driver.gc.pollSafepoint();
    expect([driver.gc.idleWork(), driver.gc.sweeper.done]).toEqual([false, false]);
    world.deliver(own.gc);
    while (own.gc.idleWork());
    expect(driver.gc.sweeper.done).toBe(true);
    expect(world.objects()).toBe(50_001);
  });

  it("is woken for what stores have left to mark since it found all marked", () => {
    const { world, driver, own } = setUp(10);
    const { a, u32 } = driver;
    // A list that only its head holds, in pages of their own.
    const slot = a.mem.persistentAlloc(8, 8, "otherSys");
    let list: number = 0;
    for (let k = 0; k < 10_000; k++) {
      const p = a.mallocTyped(driver.node);
      u32[p >>> 2] = list;
      list = p;
    }
    driver.gc.start();
    while (own.gc.idleWork());
    world.deliver(driver.gc);
    // Grey now: the thread sleeps, and does not see it.
    driver.gc.storePointer(slot, list);
    driver.gc.pollSafepoint();
    expect([driver.gc.marking, world.isNotified(1)]).toEqual([true, true]);
    world.deliver(own.gc);
    while (own.gc.idleWork());
    driver.gc.pollSafepoint();
    expect(driver.gc.marking).toBe(false);
    expect(own.gc.marker.heapScanWork).toBeGreaterThan(10_000 * 32);
    expect(own.gc.marker.scanned).toBeGreaterThan(9000 * 32);
  });

  it("works for a cycle that has begun before it was attached", () => {
    const world = threads(1, { clock: ticking(5000) });
    const [driver] = world.rigs;
    hold(driver, 50_000);
    driver.gc.start();
    let asked = 0;
    const own = world.attach({ dedicated: true, clock: ticking(5000), onRequest: () => asked++ });
    own.gc.threads.polled();
    expect(asked).toBe(1);
    while (own.gc.idleWork());
    driver.gc.pollSafepoint();
    expect([driver.gc.marking, driver.gc.marker.scanned]).toEqual([false, 0]);
  });

  it("is helped by allocations if it falls behind", () => {
    const { driver } = setUp();
    driver.gc.start();
    for (let k = 0; k < 2000; k++) driver.a.mallocNoscan(8192);
    expect(driver.gc.marker.scanned).toBeGreaterThan(100_000);
  });

  it("leaves the work to the driver again when it ends, and counts for no goal", () => {
    const { world, driver, own } = setUp(1000);
    driver.gc.gc();
    expect(driver.gc.heap.heapGoal).toBe(4 * MiB);
    driver.gc.start();
    world.end(own);
    finishCycle(driver.gc);
    driver.gc.requestGC();
    driver.gc.pollSafepoint();
    while (driver.gc.idleWork());
    expect([driver.gc.marking, driver.gc.sweeper.done]).toEqual([false, true]);
    expect(world.objects()).toBe(1001);
  });
});

describe("a thread that dies while it marks", () => {
  it("is found by a caller that waits for the cycle", () => {
    const clock = ticking(10_000);
    const world = threads(2, { clock });
    const [driver, other] = world.rigs;
    const { mem } = driver.a;
    const work = mem.u32[(threadById(mem, other.gc.id) + GCTHREAD_AT.work) >>> 2];
    const { push } = world.stops;
    world.stops.push = (reason) => {
      if (reason !== "GC mark") throw new Error("M 1 has ended");
      mem.u32[(work + GCWORK_AT.status) >>> 2] = WORK_ACTIVE;
      return push.call(world.stops, reason);
    };
    const end = clock.now + 5e8;
    const { nanotime } = clock;
    clock.nanotime = () => {
      if (clock.now > end) throw new Error("it waits for ever");
      return nanotime();
    };
    expect(() => driver.gc.gc()).toThrow("M 1 has ended");
  });
});
