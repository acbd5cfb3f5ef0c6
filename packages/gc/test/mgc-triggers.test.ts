/** When mgc.ts begins a cycle, goes on with it, and asks for a safepoint. */
import { newHeapStats } from "@gort/allocator";
import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import type { Cycle } from "../src/gc-controller.ts";
import { SPECIAL_PROFILE } from "../src/heap.ts";
import { FakeClock, finishCycle, verifyHeap } from "../src/testing.ts";
import { MiB, quietWorld, type RigOptions, rig, tick } from "./kit.ts";

const emptyStats = newHeapStats();

describe("triggers", () => {
  it("ask for a collection when the heap reaches the trigger, once, and not again before it has run", () => {
    let requests = 0;
    const { a, gc, node } = rig({ godebug: "gcstoptheworld=1", onRequest: () => requests++ });
    while (!gc.gcRequested) a.mallocTyped(node);
    expect(requests).toBe(1);
    expect(gc.heap.heapLive).toBeGreaterThan(2.5 * MiB);
    expect(gc.heap.heapLive).toBeLessThanOrEqual(4 * MiB);
    for (let i = 0; i < 100_000; i++) a.mallocTyped(node);
    expect(requests).toBe(1);
    gc.pollSafepoint();
    expect(gc.readGCStats().numGC).toBe(1);
    expect(gc.readGCStats().numForcedGC).toBe(0);
    expect(gc.gcRequested).toBe(false);
  });

  it("leave a program alone with GOGC=off, whose goal is then the memory limit's", () => {
    const { a, gc, node } = rig({ gogc: -1 });
    for (let i = 0; i < 1_000_000; i++) a.mallocTyped(node);
    expect(gc.gcRequested).toBe(false);
    expect(gc.nextGC()).toBeGreaterThan(8_900_000_000_000_000_000n);
    gc.setGCPercent(100);
    a.mallocNoscan(100_000);
    expect(gc.gcRequested).toBe(true);
  });

  it("obey a memory limit though GOGC is off", () => {
    const { a, gc, node } = rig({ gogc: -1, memoryLimit: 24 * MiB, godebug: "gcstoptheworld=1" });
    for (let i = 0; i < 4_000_000; i++) {
      a.mallocTyped(node);
      if (i % 64 === 0) gc.pollSafepoint();
    }
    expect(gc.readGCStats().numGC).toBeGreaterThan(3);
    const stats = a.readStats({ ...emptyStats });
    expect(stats.sys - stats.heapReleased).toBeLessThan(26 * MiB);
    expect(gc.setMemoryLimit(-1)).toBe(BigInt(24 * MiB));
  });

  it("do not collect without end when more is live than the limit allows", () => {
    const clock = new FakeClock();
    // Each collection takes a millisecond, each object half a microsecond.
    const events = { markDone: () => clock.advance(1e6) };
    const { a, gc, node } = rig({ memoryLimit: 2 * MiB, godebug: "gcstoptheworld=1", clock, events });
    let list = 0;
    const root = gc.refs.alloc(0);
    for (let i = 0; i < 150_000; i++) {
      const p = a.mallocTyped(node);
      gc.storePointer(p, list);
      list = p;
      gc.storePointer(root, list);
      clock.advance(500);
      if (i % 8 === 0) gc.pollSafepoint();
    }
    // Half of the time at most.
    expect(gc.readGCStats().numGC).toBeLessThan(80);
    const { numGC } = gc.readGCStats();
    expect(numGC).toBeGreaterThan(10);
    expect(gc.heap.heapMarked).toBeGreaterThan(2 * MiB);
    // The last cycles were held back.
    expect(gc.record.limiterLastEnabled).toBeGreaterThan(numGC - 3);
  });

  it("begin a cycle with a slice of marking, which is all that a small heap takes", () => {
    const clock = new FakeClock();
    const nanotime = () => {
      clock.advance(30_000);
      return clock.now;
    };
    const { a, gc, node } = rig({ clock: { nanotime, walltime: () => clock.walltime() } });
    gc.requestGC();
    gc.pollSafepoint();
    expect([gc.readGCStats().numGC, gc.marking]).toEqual([1, false]);
    const root = gc.refs.alloc(0);
    for (let i = 0, list = 0; i < 100_000; i++) {
      const p = a.mallocTyped(node);
      gc.storePointer(p, list);
      list = p;
      gc.storePointer(root, list);
    }
    while (!gc.sweeper.done) gc.pollSafepoint();
    gc.requestGC();
    gc.pollSafepoint();
    expect([gc.readGCStats().numGC, gc.marking]).toEqual([1, true]);
    finishCycle(gc);
    verifyHeap(gc);
  });

  it("run a collection at every safepoint under gcstress", () => {
    const { gc } = rig({ godebug: "gcstress=1" });
    for (let i = 0; i < 5; i++) gc.pollSafepoint();
    expect(gc.readGCStats().numGC).toBe(5);
    gc.start();
    gc.pollSafepoint();
    expect([gc.record.numGC, gc.record.numForcedGC, gc.sweeper.done]).toEqual([7, 0, true]);
  });

  it("may collect in allocations if the program says so", () => {
    const { a, gc, node } = rig({
      maxMemory: 64 * MiB,
      allocationSafepoints: true,
      godebug: "gcstoptheworld=1",
    });
    for (let i = 0; i < 4_000_000; i++) a.mallocTyped(node);
    expect(gc.readGCStats().numGC).toBeGreaterThan(10);
    verifyHeap(gc);
  });
});

describe("allocations as safepoints", () => {
  it("take a cycle that runs between them to its end", () => {
    const { a, gc, node } = rig({ maxMemory: 64 * MiB, allocationSafepoints: true });
    for (let i = 0; i < 4_000_000; i++) a.mallocTyped(node);
    expect(gc.readGCStats().numGC).toBeGreaterThan(5);
    verifyHeap(gc);
  });

  it("let a full memory finish the running cycle, and collect objects that have died since it began", () => {
    const { a, gc } = rig({ maxMemory: 64 * MiB, allocationSafepoints: true, gogc: -1 });
    const before = a.mallocNoscan(20 * MiB);
    const ref = gc.refs.alloc(before);
    gc.start();
    gc.refs.free(ref);
    const during = gc.refs.alloc(a.mallocNoscan(20 * MiB));
    gc.refs.free(during);
    a.mallocNoscan(30 * MiB);
    expect([gc.record.numGC, gc.record.numForcedGC, gc.sweeper.done]).toEqual([2, 0, true]);
    verifyHeap(gc);
  });
});

describe("a full memory", () => {
  it("is a fatal error, and the heap is sound after it", () => {
    const { a, gc } = rig({ maxMemory: 64 * MiB });
    const node = a.newType(1024, [1]);
    let list = 0;
    const root = gc.refs.alloc(0);
    expect(() => {
      for (;;) {
        const p = a.mallocTyped(node);
        gc.storePointer(p, list);
        list = p;
        gc.storePointer(root, p);
      }
    }).toThrow("runtime: out of memory");
    gc.gc();
    verifyHeap(gc);
    gc.refs.free(root);
    gc.gc();
    expect(gc.heap.heapInUse).toBe(0);
    a.mallocTyped(node);
  });

  it("is swept to the end before it is called full, which reclaiming for one object does not do", () => {
    const { a, gc } = rig({ maxMemory: 64 * MiB, gogc: -1 });
    const answers: boolean[] = [];
    const { outOfMemory } = a.hooks;
    a.hooks.outOfMemory = (bytes) => {
      const answer = outOfMemory(bytes);
      answers.push(answer);
      return answer;
    };
    gc.refs.alloc(a.mallocNoscan(44 * MiB));
    const roots: Addr[] = [];
    expect(() => {
      for (let i = 0; i < 8192; i++) roots.push(gc.refs.alloc(a.mallocNoscan(8192)));
    }).toThrow("out of memory");
    expect(answers).toEqual([false]);
    // The oldest spans are swept last. More spans are swept before them than one allocation sweeps, and these all live.
    expect(roots.length).toBeGreaterThan(1000);
    for (const root of roots.slice(0, 300)) gc.refs.free(root);
    gc.start(true);
    while (gc.step() !== "terminate");
    a.mallocNoscan(16384);
    expect(answers).toEqual([false, true]);
    expect(gc.sweeper.done).toBe(true);
    verifyHeap(gc);
  });

  it("is not full while something is left to sweep", () => {
    const { a, gc } = rig({ maxMemory: 64 * MiB, godebug: "gcstoptheworld=1" });
    const big = 40 * MiB;
    for (let i = 0; i < 10; i++) {
      a.mallocNoscan(big);
      gc.requestGC();
      gc.pollSafepoint();
    }
  });
});

describe("a cycle that is wanted", () => {
  it("lets an allocation check again after 1 MiB, even after a change of settings", () => {
    const { a, gc } = rig();
    gc.requestGC();
    expect(gc.heap.trigger).toBe(gc.heap.heapLive + MiB);
    for (let i = 0; i < 4; i++) a.mallocNoscan(100_000);
    gc.setGCPercent(50);
    expect(gc.heap.trigger).toBe(gc.heap.heapLive + MiB);
    a.mallocNoscan(2 * MiB);
    expect(gc.heap.trigger).toBe(gc.heap.heapLive + MiB);
    const { trigger } = gc.heap;
    a.mallocNoscan(100_000);
    gc.requestGC();
    expect(gc.heap.trigger).toBe(trigger);
  });

  it("makes every slow allocation an assist while it marks, even after a change of settings", () => {
    const { gc } = rig();
    gc.start();
    expect(gc.heap.trigger).toBe(0);
    const goal = gc.runningCycle?.goal;
    gc.setGCPercent(400);
    expect(gc.heap.trigger).toBe(0);
    expect(gc.runningCycle?.goal).toBeGreaterThan(goal as number);
    expect(gc.runningCycle?.goal).toBe(gc.heap.heapGoal);
    gc.requestGC();
    expect(gc.heap.trigger).toBe(0);
    finishCycle(gc);
    expect(gc.runningCycle).toBe(null);
  });

  it("is charged to the background at safepoints, and not at all in idle time", () => {
    const clock = new FakeClock();
    const { gc, a, node } = rig({
      clock: { nanotime: () => tick(clock), walltime: () => clock.walltime() },
    });
    for (let i = 0; i < 1000; i++) gc.refs.alloc(a.mallocTyped(node));
    gc.requestGC();
    while (gc.gcRequested || gc.marking) gc.pollSafepoint();
    const { dedicatedNs, numGC, numForcedGC } = gc.record;
    expect([numGC, numForcedGC, gc.record.idleNs]).toEqual([1, 0, 0]);
    expect(dedicatedNs).toBeGreaterThan(0);
    while (!gc.sweeper.done) gc.pollSafepoint();
    gc.start();
    while (gc.marking) gc.idleWork();
    expect(gc.record.numGC).toBe(2);
    expect(gc.record.idleNs).toBeGreaterThan(0);
    expect(gc.record.dedicatedNs).toBe(dedicatedNs);
  });
});

describe("idle time", () => {
  it("learns whether there is more to do", () => {
    const { gc, a, node } = rig();
    for (let i = 0; i < 1000; i++) gc.refs.alloc(a.mallocTyped(node));
    expect(gc.idleWork()).toBe(false);
    gc.requestGC();
    // A cycle begins at a safepoint alone.
    expect([gc.idleWork(), gc.marking]).toEqual([false, false]);
    gc.start();
    let more = gc.idleWork();
    for (; gc.marking; more = gc.idleWork()) expect(more).toBe(true);
    for (; !gc.sweeper.done; more = gc.idleWork()) expect(more).toBe(true);
    expect(more).toBe(false);
    expect([gc.record.numGC, gc.record.numForcedGC]).toEqual([1, 0]);
  });
});

describe("the memory limit", () => {
  it("may be 0 bytes; a negative one only asks", () => {
    const { gc } = rig();
    expect(gc.setMemoryLimit(0)).toBe(2n ** 63n - 1n);
    expect(gc.setMemoryLimit(-1)).toBe(0n);
  });
});

describe("between cycles", () => {
  it("nothing is marked: objects that a finalizer's object or a ref has released are garbage", () => {
    const { a, gc, node, heapObjects } = rig({ world: quietWorld });
    const holder = a.mallocTyped(node);
    gc.refs.alloc(holder);
    gc.storePointer(holder, a.mallocTyped(node));
    gc.finalizers.setFinalizer(holder, () => {});
    gc.storePointer(holder, 0);
    gc.refs.free(gc.refs.alloc(a.mallocTyped(node)));
    verifyHeap(gc);
    gc.gc();
    expect(heapObjects()).toBe(1);
  });

  it("a sweep that a finalizer's span needs reports its frees to the memory profile at once", () => {
    const freed: number[] = [];
    const { a, gc, node } = rig({ freeProfile: (data) => void freed.push(data) });
    const kept = a.mallocTyped(node);
    gc.refs.alloc(kept);
    a.addSpecial(a.mallocTyped(node), SPECIAL_PROFILE, 7);
    gc.start();
    while (gc.step() !== "terminate");
    expect(freed).toEqual([]);
    gc.finalizers.setFinalizer(kept, () => {});
    expect(freed).toEqual([7]);
  });

  it("an allocation at an old trigger asks for nothing if the heap has room again", () => {
    const { a, gc } = rig();
    const { trigger } = gc.heap;
    gc.heap.trigger = 0;
    a.mallocNoscan(100_000);
    expect([gc.gcRequested, gc.heap.trigger]).toEqual([false, trigger]);
    // The allocation takes 13 pages, which brings the heap to the trigger exactly.
    gc.heap.heapLive = trigger - 13 * 8192 - 8;
    a.mallocNoscan(100_000);
    expect([gc.gcRequested, gc.heap.heapLive]).toEqual([false, trigger - 8]);
    gc.heap.heapLive = trigger - 13 * 8192;
    a.mallocNoscan(100_000);
    expect([gc.gcRequested, gc.heap.heapLive]).toEqual([true, trigger]);
  });
});

describe("the request of the collector", () => {
  it("is the next safepoint when an allocation has had to mark, and not when it owed nothing", () => {
    let asked = 0;
    // A microsecond passes with every reading: an assist that takes 100 of them gets past the first roots.
    const fake = new FakeClock();
    const clock = { nanotime: () => (fake.now += 1000), walltime: () => fake.walltime() };
    const { a, gc, node } = rig({ clock, onRequest: () => void asked++ });
    for (let i = 0; i < 100_000; i++) gc.refs.alloc(a.mallocTyped(node));
    finishCycle(gc);
    asked = 0;
    gc.start();
    const cycle = gc.runningCycle as Cycle;
    const clockless = cycle.assistNs;
    a.mallocNoscan(100);
    expect([asked, cycle.assistNs]).toEqual([0, clockless]);
    const before = gc.marker.heapScanWork;
    for (let i = 0; i < 100 && asked === 0; i++) a.mallocNoscan(MiB);
    expect(asked).toBe(1);
    expect(gc.marker.heapScanWork).toBeGreaterThan(before);
  });

  it("is nothing when a callback allocates beyond the trigger: the next allocation asks", () => {
    const { a, gc } = rig({ events: { sweepDone: () => void a.mallocNoscan(8 * MiB) } });
    gc.gc();
    expect(gc.gcRequested).toBe(false);
    a.mallocNoscan(100_000);
    expect(gc.gcRequested).toBe(true);
  });
});

describe("a memory that is full when nothing can be collected", () => {
  it("is full in a callback, which the collector has called", () => {
    const { a, gc } = rig({
      maxMemory: 64 * MiB,
      allocationSafepoints: true,
      gogc: -1,
      events: { markDone: () => void a.mallocNoscan(40 * MiB) },
    });
    const ref = gc.refs.alloc(a.mallocNoscan(40 * MiB));
    expect(() => gc.gc()).toThrow("out of memory");
    gc.refs.free(ref);
    expect(gc.record.numGC).toBe(1);
    verifyHeap(gc);
  });
});

describe("the two-minute rule", () => {
  it("asks for a collection when there was none for so long, but for a first one", () => {
    const clock = new FakeClock();
    const { gc, lines } = rig({ clock, godebug: "gctrace=1" });
    clock.advance(1e12);
    expect(gc.forceIfStale()).toBe(false);
    gc.gc();
    expect(gc.forceIfStale()).toBe(false);
    clock.advance(121e9);
    expect(gc.forceIfStale()).toBe(true);
    expect(gc.gcRequested).toBe(true);
    finishCycle(gc);
    expect(gc.readGCStats().numGC).toBe(2);
    expect(gc.readGCStats().numForcedGC).toBe(1);
    expect(lines[1]).toBe("GC forced\n");
    expect(lines[2]).not.toContain("(forced)");
  });

  it("begins with the end of a cycle, and asks for none that runs, is wanted already, or is off", () => {
    const clock = new FakeClock();
    const { gc, lines } = rig({ clock, godebug: "gctrace=1" });
    gc.gc();
    lines.length = 0;
    clock.advance(120e9 - 1);
    expect(gc.forceIfStale()).toBe(false);
    clock.advance(1);
    gc.setGCPercent(-1);
    expect(gc.forceIfStale()).toBe(false);
    gc.setGCPercent(0);
    gc.requestGC();
    expect(gc.forceIfStale()).toBe(false);
    gc.step();
    expect([gc.marking, gc.gcRequested, gc.forceIfStale()]).toEqual([true, false, false]);
    expect(lines).toEqual([]);
    finishCycle(gc);
    expect(gc.forceIfStale()).toBe(false);
    clock.advance(120e9);
    expect(gc.forceIfStale()).toBe(true);
    expect(lines.filter((line) => line === "GC forced\n")).toHaveLength(1);
  });
});

describe("a goroutine that never comes to a safepoint", () => {
  function spinner(options: RigOptions = {}) {
    const clock = new FakeClock();
    const r = rig({
      clock,
      world: {
        stopTheWorld() {},
        startTheWorld() {},
        gomaxprocs: () => 1,
        ready() {},
        currentStack: () => "goroutine 7 [running]:\nmain.spin(...)\ncreated by main.main in goroutine 1\n",
      },
      ...options,
    });
    /** Allocates 2 MiB in the time of a second. */
    const second = (): void => {
      clock.advance(1e9);
      for (let i = 0; i < 65536; i++) r.a.mallocTyped(r.node);
    };
    return { ...r, clock, second };
  }
  const text = new RegExp(
    String.raw`^runtime: a collection has waited 1[0-2] s for a safepoint \(\d+ MB in use\): ` +
      String.raw`this goroutine allocates without yielding\ngoroutine 7 \[running\]:\nmain\.spin\(\.\.\.\)\n` +
      String.raw`created by main\.main in goroutine 1\n$`,
  );

  it("is named, with its stack and its creation site, when a collection has waited ten seconds to begin", () => {
    const { gc, second, lines } = spinner();
    while (!gc.gcRequested) second();
    for (let i = 0; i < 8; i++) second();
    expect(lines).toEqual([]);
    for (let i = 0; i < 30; i++) second();
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(text);
    // Again only after a safepoint has come.
    gc.pollSafepoint();
    finishCycle(gc);
    for (let i = 0; i < 100 && lines.length === 1; i++) second();
    expect(lines).toHaveLength(2);
  });

  it("is named when it keeps a cycle from ending", () => {
    const { gc, second, lines } = spinner();
    gc.start();
    for (let i = 0; i < 8; i++) second();
    expect(lines).toEqual([]);
    for (let i = 0; i < 8; i++) second();
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(text);
  });

  it("is not while no collection waits for it, as over a memory limit that only slows collections down", () => {
    const { gc, second, lines, clock } = spinner({ memoryLimit: MiB });
    gc.start();
    (gc.runningCycle as Cycle).assistNs = 100e9;
    finishCycle(gc);
    for (let i = 0; i < 40; i++) second();
    expect([gc.gcRequested, lines]).toEqual([false, []]);
    clock.advance(60e9);
    second();
    expect([gc.gcRequested, lines]).toEqual([true, []]);
  });

  it("is not, if it allocates for long and reaches a safepoint now and then", () => {
    const { gc, second, lines } = spinner();
    for (let i = 0; i < 100; i++) {
      second();
      if (i % 5 === 0) gc.pollSafepoint();
    }
    expect(gc.readGCStats().numGC).toBeGreaterThan(2);
    expect(lines).toEqual([]);
  });
});
