import { createAllocator, newHeapStats } from "@gort/allocator";
import { type Addr, createLinearMemory } from "@gort/memory";
import { describe, expect, it, vi } from "vitest";
import type { Cycle } from "../src/gc-controller.ts";
import { fmtFloat } from "../src/gc-trace.ts";
import { MSPAN_AT, SPECIAL_PROFILE } from "../src/heap.ts";
import { consMarkOf, createCollector, newGCStats, parseGodebug } from "../src/index.ts";
import { CLOBBER_WORD } from "../src/internal.ts";
import { FakeClock, finishCycle, verifyHeap } from "../src/testing.ts";
import { MiB, type RigOptions, rig } from "./kit.ts";

const emptyStats = newHeapStats();

describe("a collection", () => {
  it("frees what no root reaches and keeps what one does", () => {
    const { a, gc, node, u32, heapObjects } = rig();
    const keep = a.mallocTyped(node);
    const child = a.mallocTyped(node);
    gc.storePointer(keep, child);
    const ref = gc.refs.alloc(keep);
    for (let i = 0; i < 100_000; i++) a.mallocTyped(node);
    expect(heapObjects()).toBe(100_002);
    gc.gc();
    expect(heapObjects()).toBe(2);
    expect(u32[keep >>> 2]).toBe(child);
    gc.refs.free(ref);
    gc.gc();
    expect(heapObjects()).toBe(0);
  });

  it("gives the pages of spans that became empty back to the heap", () => {
    const { a, gc, node } = rig();
    for (let i = 0; i < 100_000; i++) a.mallocTyped(node);
    a.mallocNoscan(10 * MiB);
    expect(gc.heap.heapInUse).toBeGreaterThan(13 * MiB);
    gc.gc();
    expect(gc.heap.heapInUse).toBe(0);
  });

  it("follows interior pointers, and pointers to the last byte", () => {
    const { a, gc, node, heapObjects } = rig();
    gc.refs.alloc(a.mallocTyped(node) + 31);
    gc.refs.alloc(a.mallocNoscan(5000) + 4999);
    gc.refs.alloc(a.mallocNoscan(100_000) + 99_999);
    gc.gc();
    expect(heapObjects()).toBe(3);
  });

  it("takes no notice of pointers to what is not in the heap", () => {
    const { a, gc, heapObjects } = rig();
    gc.refs.alloc(a.zerobase);
    gc.refs.alloc(8);
    gc.refs.alloc(a.stackAlloc(2048));
    gc.refs.alloc(a.mem.size - 8);
    gc.gc();
    expect(heapObjects()).toBe(0);
  });

  it("ends the program over a pointer into a free span, unless invalidptr=0", () => {
    const { a, gc, heapObjects } = rig();
    const gone = a.mallocNoscan(100_000);
    gc.gc();
    expect(heapObjects()).toBe(0);
    gc.refs.alloc(gone);
    expect(() => gc.gc()).toThrow("found bad pointer in Go heap (incorrect use of unsafe or cgo?)");

    const lenient = rig({ godebug: "invalidptr=0" });
    const p = lenient.a.mallocNoscan(100_000);
    lenient.gc.gc();
    lenient.gc.refs.alloc(p);
    lenient.gc.gc();
  });

  it("ends the program when a freed object of a live span is reached", () => {
    const { a, gc, node } = rig();
    gc.refs.alloc(a.mallocTyped(node));
    const gone = a.mallocTyped(node);
    gc.gc();
    gc.refs.alloc(gone);
    expect(() => gc.gc()).toThrow("found pointer to free object");
  });

  it("marks although no memory is left for grey objects", () => {
    const { a, gc, heapObjects } = rig({ godebug: "gccheckmark=1" });
    // 9000 globals, scanned in one stop, each of which leads to two objects: more than the workbufs hold that are
    // always there.
    const wide = a.newType(800, [1]);
    const count = 9000;
    const globals = a.mem.persistentAlloc(8 * count, 8, "otherSys");
    gc.addGlobals(globals, (globals + 8 * count) as Addr);
    for (let i = 0; i < count; i++) {
      const p = a.mallocTyped(wide);
      gc.storePointer(globals + 8 * i, p);
      gc.storePointer(p, a.mallocTyped(wide));
    }
    const n = heapObjects();
    const { heap, marker } = gc;
    heap.allocWork = () => 0;
    const { markOverflow } = marker;
    let overflows = 0;
    marker.markOverflow = () => {
      overflows++;
      markOverflow.call(marker);
    };
    gc.gc();
    expect(overflows).toBe(1);
    expect(heapObjects()).toBe(n);
  });

  it("clears what it hands out again, and clobbers what it frees if asked to", () => {
    const { a, gc, node, u32 } = rig({ godebug: "clobberfree=1" });
    gc.refs.alloc(a.mallocTyped(node));
    const p = a.mallocTyped(node);
    u32[(p + 16) >>> 2] = 1;
    gc.gc();
    expect(u32[(p + 16) >>> 2]).toBe(CLOBBER_WORD);
    for (let i = 0; i < 300; i++) {
      const q = a.mallocTyped(node);
      for (let k = 0; k < 32; k += 4) expect(u32[(q + k) >>> 2]).toBe(0);
    }
  });

  it("works in a heap that begins above 2 GiB", () => {
    const { a, gc, node, heapObjects } = rig({ above: 2048 * MiB, godebug: "gccheckmark=1,clobberfree=1" });
    let list = 0;
    for (let i = 0; i < 10_000; i++) {
      const p = a.mallocTyped(node);
      expect(p).toBeGreaterThan(2 ** 31);
      gc.storePointer(p, list);
      list = p;
      a.mallocNoscan(64);
    }
    const ref = gc.refs.alloc(list);
    gc.gc();
    expect(heapObjects()).toBe(10_000);
    verifyHeap(gc);
    gc.refs.free(ref);
    gc.gc();
    expect(heapObjects()).toBe(0);
  });
});

describe("a cycle in steps", () => {
  it("goes through start, mark, terminate and sweep", () => {
    const { a, gc, node } = rig();
    let list = 0;
    for (let i = 0; i < 5000; i++) {
      const p = a.mallocTyped(node);
      gc.storePointer(p, list);
      list = p;
      a.mallocTyped(node);
    }
    gc.refs.alloc(list);
    gc.requestGC();
    const seen = new Set<string>();
    for (let s = gc.step(1024); s !== "idle"; s = gc.step(1024)) seen.add(s);
    expect([...seen]).toEqual(["start", "mark", "terminate", "sweep"]);
    expect(gc.heap.heapMarked).toBe(5000 * 32);
  });

  it("keeps objects that are allocated while it marks", () => {
    const { a, gc, node, heapObjects } = rig();
    gc.start();
    const p = a.mallocTyped(node);
    gc.storePointer(p, a.mallocTyped(node));
    while (gc.step() !== "terminate");
    const ref = gc.refs.alloc(p);
    finishCycle(gc);
    expect(heapObjects()).toBe(2);
    gc.refs.free(ref);
    gc.gc();
    expect(heapObjects()).toBe(0);
  });

  it("keeps what a ref held when it began, though the ref is freed before it is scanned", () => {
    const { a, gc, node, u32, heapObjects } = rig();
    const box = gc.refs.alloc(a.mallocTyped(node));
    const o = a.mallocTyped(node);
    const ref = gc.refs.alloc(o);
    gc.start();
    // Still reachable for the program, which has it in a local.
    gc.refs.free(ref);
    gc.storePointer(gc.refs.get(box), o);
    while (gc.step() !== "terminate");
    expect(u32[gc.refs.get(box) >>> 2]).toBe(o);
    gc.gc();
    expect(heapObjects()).toBe(2);
    verifyHeap(gc);
  });

  /** A cycle that marks, over two arrays of four nodes that roots hold, and a stack slot that was scanned as nil. */
  function arrays() {
    const r = rig({ godebug: "gccheckmark=1" });
    const { a, gc, node, u32 } = r;
    const array = (): Addr => {
      const p = a.mallocgc(32 * 4, node, true);
      gc.refs.alloc(p);
      return p;
    };
    const src = array();
    const dst = array();
    for (let i = 0; i < 4; i++) {
      gc.storePointer(src + 32 * i, a.mallocTyped(node));
      gc.storePointer(dst + 32 * i + 8, a.mallocTyped(node));
    }
    const stack = a.stackAlloc(2048);
    u32[stack >>> 2] = 0;
    gc.setStackRoots((visit) => visit(stack, stack + 8));
    gc.start();
    const finish = (): number => {
      while (gc.step() !== "terminate");
      gc.gc();
      verifyHeap(gc);
      return r.heapObjects();
    };
    return { ...r, src, dst, stack, finish };
  }

  it("keeps what a bulk copy overwrites, if a stack has it", () => {
    const { gc, node, src, dst, stack, u32, finish } = arrays();
    // Stores into a stack have no barrier, and this one was scanned already.
    u32[stack >>> 2] = u32[(dst + 8) >>> 2]!;
    gc.barrier.typedMemmove(node, dst, src, 128);
    expect(finish()).toBe(2 + 4 + 1);
  });

  it("keeps what a bulk clear overwrites, if a stack has it", () => {
    const { gc, node, dst, stack, u32, finish } = arrays();
    u32[stack >>> 2] = u32[(dst + 8) >>> 2]!;
    gc.barrier.typedMemclr(node, dst, 128);
    expect(finish()).toBe(2 + 4 + 1);
  });

  it("keeps what a bulk copy moved and a bulk clear then took from its old place", () => {
    const { gc, node, src, dst, finish } = arrays();
    gc.barrier.typedMemmove(node, dst, src, 128);
    gc.barrier.typedMemclr(node, src, 128);
    expect(finish()).toBe(2 + 4);
  });
});

describe("gccheckmark", () => {
  it("finds an object that marking has lost, and names it with its span and what points to it", () => {
    const { a, gc, node, u32 } = rig({ godebug: "gccheckmark=1" });
    const holder = a.mallocTyped(node);
    gc.refs.alloc(holder);
    const lost = a.mallocTyped(node);
    gc.storePointer(holder + 8, lost);
    gc.start();
    while (!(gc.marker.idle && gc.roots.done)) gc.step();
    // What a broken marker would leave behind.
    const span = a.spanOf(lost);
    const marks = u32[(span + MSPAN_AT.gcmarkBits) >>> 2] >>> 2;
    u32[marks] = u32[marks] & ~(1 << a.objIndex(span, lost));
    let error: unknown;
    try {
      gc.step();
    } catch (err) {
      error = err;
    }
    expect(error).toMatchObject({
      message: "checkmark found unmarked object",
      detail: expect.stringContaining(
        `object 0x${lost.toString(16)} is reachable through 0x${(holder + 8).toString(16)} but not marked: ` +
          `index 1 of span 0x${span.toString(16)}, base 0x${holder.toString(16)}, elemsize=32`,
      ),
    });
  });
});

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

  it("let a full memory finish the cycle that runs, and collect what has died since it began", () => {
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

describe("a world that somebody else has stopped", () => {
  it("refuses a collection, and is collected when it runs again", () => {
    let stopped = true;
    const stopTheWorld = (): void => {
      if (stopped) throw new Error("the world is stopped already");
    };
    let started = 0;
    const world = {
      stopTheWorld,
      startTheWorld: () => void started++,
      gomaxprocs: () => 1,
      ready() {},
    };
    const { a, gc, heapObjects } = rig({ world });
    a.mallocNoscan(100);
    expect(() => gc.gc()).toThrow("stopped already");
    expect(() => gc.start()).toThrow("stopped already");
    // What was not stopped is not started.
    expect(started).toBe(0);
    stopped = false;
    gc.start();
    expect(started).toBe(1);
    stopped = true;
    expect(() => gc.gc()).toThrow("stopped already");
    stopped = false;
    gc.gc();
    expect(gc.readGCStats().numGC).toBe(2);
    expect(heapObjects()).toBe(0);
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
    // The oldest spans are swept last; what is swept before lives, and is more than is looked at for one allocation.
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

describe("gcstoptheworld", () => {
  const stops = ["GC mark", "GC mark termination"];
  it.each([
    [0, stops, false],
    [1, ["GC mark"], false],
    [2, ["GC mark"], true],
  ])("%i decides what is one stop", (mode, reasons, swept) => {
    const seen: string[] = [];
    let stopped = 0;
    const world = {
      stopTheWorld(reason: string) {
        seen.push(reason);
        expect(stopped++).toBe(0);
      },
      startTheWorld: () => void stopped--,
      gomaxprocs: () => 1,
      ready() {},
    };
    const { a, gc, node, heapObjects } = rig({ world, godebug: `gcstoptheworld=${mode}` });
    for (let i = 0; i < 100_000; i++) a.mallocTyped(node);
    gc.pollSafepoint();
    expect(seen).toEqual([]);
    gc.requestGC();
    gc.pollSafepoint();
    while (gc.marking) gc.pollSafepoint();
    expect(seen).toEqual(reasons);
    expect(stopped).toBe(0);
    expect(gc.sweeper.done).toBe(swept);
    expect([gc.record.numGC, gc.record.numForcedGC]).toEqual([1, 0]);
    while (!gc.sweeper.done) gc.pollSafepoint();
    expect(heapObjects()).toBe(0);
    expect(seen).toEqual(reasons);
  });
});

describe("a cycle that is wanted", () => {
  it("lets an allocation look again after 1 MiB, also after a change of what paces", () => {
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

  it("makes every slow allocation an assist while it marks, also after a change of what paces", () => {
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
  it("is told whether there is more to do", () => {
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

/** A reading of a clock of which every one takes so long. */
function tick(clock: FakeClock, ns = 1000): number {
  clock.advance(ns);
  return clock.now;
}

describe("figures", () => {
  it("fill the pause rings from index 0, and add up", () => {
    const clock = new FakeClock();
    const { gc, a, node } = rig({ clock, events: { markDone: () => clock.advance(5000) } });
    const stats = newGCStats();
    gc.readGCStats(stats);
    expect(stats.numGC).toBe(0);
    expect(stats.lastGC).toBe(0n);
    expect(stats.gcCPUFraction).toBe(0);
    clock.advance(1e6);
    for (let i = 1; i <= 300; i++) {
      a.mallocTyped(node);
      gc.gc();
      clock.advance(1e6);
      if (i !== 3) continue;
      gc.readGCStats(stats);
      expect([...stats.pauseNs.slice(0, 4)]).toEqual([5000, 5000, 5000, 0]);
      expect(stats.pauseEnd[2]).toBe(stats.lastGC);
      expect(stats.pauseEnd[3]).toBe(0n);
    }
    gc.readGCStats(stats);
    expect(stats.numGC).toBe(300);
    expect(stats.numForcedGC).toBe(300);
    expect(stats.pauseTotalNs).toBe(300 * 5000);
    expect(stats.lastGC).toBe(stats.pauseEnd[(300 + 255) % 256]);
    expect(stats.gcCPUFraction).toBeGreaterThan(0.004);
    expect(stats.gcCPUFraction).toBeLessThan(0.006);
  });

  it.each([
    ["in one stop", true],
    ["between goroutines", false],
  ])(
    "of a cycle that marks %s give one sum: the fraction is that of all classes but idle, as in Go",
    (_, stw) => {
      const clock = new FakeClock();
      const ticking = { nanotime: () => tick(clock), walltime: () => clock.walltime() };
      const world = { stopTheWorld() {}, startTheWorld() {}, gomaxprocs: () => 4, ready() {} };
      const { gc, a, node } = rig({ clock: ticking, world });
      for (let i = 0; i < 20_000; i++) gc.refs.alloc(a.mallocTyped(node));
      for (let round = 0; round < 3; round++) {
        if (stw) gc.gc();
        else {
          gc.start();
          for (let i = 0; gc.marking; i++) {
            for (let k = 0; k < 1000; k++) a.mallocTyped(node);
            if (i % 3 === 2) gc.idleWork();
            else gc.pollSafepoint();
          }
        }
        const { record } = gc;
        const stats = gc.readGCStats();
        expect(record.pauseCpuNs).toBe(4 * stats.pauseTotalNs);
        expect(stats.gcCpuNs).toBe(record.assistNs + record.dedicatedNs + record.pauseCpuNs);
        expect(record.dedicatedNs > 0).toBe(!stw);
        // The first reading was the start, the last one before lastGC the end of the cycle.
        const elapsed = Number(stats.lastGC - new FakeClock().walltime()) - 1000;
        expect(stats.gcCPUFraction).toBeCloseTo(stats.gcCpuNs / (4 * elapsed), 9);
      }
    },
  );

  it("make a gctrace line in Go's grammar, with the true sizes", () => {
    const { gc, a, lines } = rig({ godebug: "gctrace=1" });
    gc.refs.alloc(a.mallocNoscan(8 * MiB));
    a.mallocNoscan(4 * MiB);
    gc.gc();
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(
      /^gc 1 @\d+\.\d{3}s \d+%: .* ms clock, .* ms cpu, 12->12->8 MB, \d+ MB goal, 0 MB stacks, 0 MB globals, 1 P \(forced\)\n$/,
    );
  });

  it.each(["wasm", "js"] as const)(
    "say with gctrace=2 how many objects were scanned, in all and by class (marked by %s)",
    (marker) => {
      const { gc, a, node, lines } = rig({ marker, godebug: "gctrace=2" });
      const wide = a.newType(
        800,
        new Array(4).fill(0xffffffff).map((w, k) => (k < 3 ? w : 0xf)),
      );
      const pointers = a.newType(8, [1]);
      // A list of 1000 nodes (with 5 objects without pointers, which nobody scans), of 300 wide objects, 20 single
      // pointers and a large object of nine oblets.
      let list = 0;
      const link = (p: number): void => {
        gc.storePointer(p, list);
        list = p;
      };
      for (let i = 0; i < 1000; i++) link(a.mallocTyped(node));
      for (let i = 0; i < 300; i++) link(a.mallocTyped(wide));
      for (let i = 0; i < 20; i++) link(a.mallocTyped(pointers));
      for (let i = 0; i < 5; i++) gc.storePointer((list = link16(list)) + 8, a.mallocNoscan(100));
      function link16(to: number): number {
        const p = a.mallocTyped(a.newType(16, [0b11]));
        gc.storePointer(p, to);
        return p;
      }
      link(a.mallocgc(8 * 2100 * 2, pointers, true));
      gc.refs.alloc(list);
      gc.gc();
      expect(lines[0]).toMatch(/^gc 1 /);
      const scans = lines.slice(1).map((line) => line.replace(/, (\d+)\+0=\1 spans\n$/, (_, n) => ` / ${n}`));
      const visits = scans.map((line) => Number(line.split(" / ")[1]));
      expect(scans.map((line) => line.split(" / ")[0])).toEqual([
        "scan: total 329+1005+0=1334 objs",
        "scan: class L 9+0+0=9 objs",
        "scan: class 8B 20+0+0=20 objs",
        "scan: class 16B 0+5+0=5 objs",
        "scan: class 32B 0+1000+0=1000 objs",
        "scan: class 896B 300+0+0=300 objs",
      ]);
      expect(visits[0]).toBe(visits[3] + visits[4]);
      expect(visits[3]).toBeGreaterThanOrEqual(1);
      expect(visits[4]).toBeGreaterThanOrEqual(4);
    },
  );

  it("give the live bytes, and a goal that follows GOGC at once", () => {
    const { gc, a } = rig();
    gc.refs.alloc(a.mallocNoscan(16 * MiB));
    gc.gc();
    const stats = gc.readGCStats();
    expect(stats.heapMarked).toBe(16 * MiB);
    expect(stats.heapLive).toBe(16 * MiB);
    const roots = stats.stackScan + stats.globalsScan;
    expect(stats.nextGC).toBe(BigInt(16 * MiB + 16 * MiB + roots));
    expect(gc.setGCPercent(50)).toBe(100);
    expect(gc.gcPercent).toBe(50);
    expect(gc.nextGC()).toBe(BigInt(16 * MiB + Math.floor((16 * MiB + roots) / 2)));
  });

  it("count the tables and queues of the collector in GCSys, and give back what it took from the heap", () => {
    const { gc, a } = rig();
    const wide = a.newType(8, [1]);
    gc.refs.alloc(a.mallocgc(8 << 20, wide, true));
    const stats = a.readStats({ ...emptyStats });
    const before = stats.gcSys;
    gc.gc();
    a.readStats(stats);
    expect(stats.gcSys).toBeGreaterThan(before);
    // The second cycle has the pages in its tables that the first took for its queue.
    gc.gc();
    const after = a.readStats(stats).gcSys;
    gc.gc();
    expect(a.readStats(stats).gcSys).toBe(after);
  });
});

/** A world of one goroutine, whose finalizers run when the test says so. */
const quietWorld = { stopTheWorld() {}, startTheWorld() {}, gomaxprocs: () => 1, ready() {} };

describe("a collector that is told nothing", () => {
  it("runs finalizers as microtasks, and writes to console.error, which ends lines itself", async () => {
    const a = createAllocator({ memory: createLinearMemory({ maxMemory: 64 * MiB }) });
    const gc = createCollector(a, { godebug: { gctrace: 1 } });
    const written: unknown[][] = [];
    const error = vi.spyOn(console, "error").mockImplementation((...args) => void written.push(args));
    let ran = 0;
    gc.finalizers.addCleanup(a.mallocNoscan(64), () => void ran++, 0);
    gc.gc();
    error.mockRestore();
    expect(ran).toBe(0);
    await Promise.resolve();
    expect(ran).toBe(1);
    expect(written).toEqual([[expect.stringMatching(/^gc 1 @.* 1 P \(forced\)$/)]]);
    // Of the switches that were not named, invalidptr is on.
    expect(gc.godebug).toEqual({ ...parseGodebug(), gctrace: 1 });
  });
});

describe("the events of a cycle", () => {
  it("have its number, which is that of NumGC, and whether it was forced", () => {
    const seen: unknown[][] = [];
    const { gc } = rig({
      events: {
        gcStart: (...args) => seen.push(["start", ...args]),
        markDone: (...args) => seen.push(["marked", ...args]),
        sweepDone: (...args) => seen.push(["swept", ...args]),
      },
    });
    gc.gc();
    gc.gc(false);
    gc.start();
    finishCycle(gc);
    gc.start(true);
    finishCycle(gc);
    const cycle = (n: number, forced: boolean) => [
      ["start", n, forced],
      ["marked", n],
      ["swept", n],
    ];
    expect(seen).toEqual([...cycle(1, true), ...cycle(2, false), ...cycle(3, false), ...cycle(4, true)]);
    expect(gc.record.numForcedGC).toBe(2);
  });
});

describe("the times of a cycle", () => {
  /** A stop takes 1 ms, gcStart 30 ms, markDone 400 ms; what comes after the stop takes 9 s, which no figure has. */
  function timed(godebug = "") {
    const clock = new FakeClock();
    clock.now = 5e9;
    const r = rig({
      clock,
      godebug,
      world: {
        stopTheWorld: () => clock.advance(1e6),
        startTheWorld: () => clock.advance(9e9),
        gomaxprocs: () => 4,
        ready() {},
      },
      events: { gcStart: () => clock.advance(30e6), markDone: () => clock.advance(400e6) },
    });
    clock.advance(7e9);
    return { ...r, clock };
  }

  it("are those of its two stops, of what was swept before it, and of the marking between them", () => {
    const { gc, clock } = timed();
    gc.start();
    expect(gc.runningCycle).toMatchObject({
      start: 12e9,
      markStart: 12e9 + 31e6,
      sweepTermNs: 31e6,
      pauseNs: 30e6,
      procs: 4,
    });
    clock.advance(2e9);
    while (gc.step() !== "terminate");
    const stats = gc.readGCStats();
    expect(stats.pauseTotalNs).toBe(30e6 + 400e6);
    const end = 12e9 + 31e6 + 9e9 + 2e9 + 1e6 + 400e6;
    expect(stats.lastGC).toBe(1_700_000_000_000_000_000n + BigInt(end));
    expect(gc.record.pauseCpuNs).toBe(4 * 430e6);
    expect(stats.gcCPUFraction).toBe((4 * 430e6) / (4 * (end - 5e9)));
  });

  it("are those of its one stop, marking included, if it has one", () => {
    const { gc } = timed();
    gc.gc();
    expect(gc.readGCStats().pauseTotalNs).toBe(430e6);
    expect(gc.record.dedicatedNs).toBe(0);
  });

  it("are a nanosecond at least, so that no pause looks like an empty entry of the ring", () => {
    const { gc } = rig({ clock: new FakeClock(), world: quietWorld });
    gc.gc();
    expect(gc.readGCStats().pauseTotalNs).toBe(1);
  });

  it("stand in the lines of gctrace and gcpacertrace, as does what the cycle before taught", () => {
    const { a, gc, node, clock, lines } = timed("gctrace=1,gcpacertrace=1");
    const stack = a.stackAlloc(2048);
    gc.setStackRoots((visit) => visit(stack, stack + 24));
    gc.refs.alloc(a.mallocTyped(node));
    const keep = (): void => {
      for (let i = 0; i < 4; i++) gc.refs.alloc(a.mallocNoscan(MiB));
    };
    const run = () => {
      gc.start();
      const cycle = gc.runningCycle as Cycle;
      keep();
      clock.advance(2e9);
      // A quarter of the time of 4 Ps.
      cycle.assistNs = 11e9;
      const heapAtEnd = gc.heap.heapLive;
      while (gc.step() !== "terminate");
      const { heapScanWork } = gc.marker;
      const { stackScan, globalsScan } = gc.roots;
      finishCycle(gc);
      expect([heapScanWork, stackScan, globalsScan]).toEqual([32, 24, expect.any(Number)]);
      return { heapAtTrigger: cycle.heapStart, heapAtEnd, scanWork: heapScanWork + stackScan + globalsScan };
    };
    keep();
    const first = run();
    expect(first.heapAtEnd - first.heapAtTrigger).toBe(4 * MiB);
    run();
    expect(lines.filter((line) => line.startsWith("gc "))).toEqual([
      "gc 1 @7.000s 17%: 31+11000+401 ms clock, 124+11000/0/0+1604 ms cpu, 4->8->8 MB, 4 MB goal, " +
        "0 MB stacks, 0 MB globals, 4 P\n",
      "gc 2 @27.432s 16%: 31+11000+401 ms clock, 124+11000/0/0+1604 ms cpu, 8->12->12 MB, 16 MB goal, " +
        "0 MB stacks, 0 MB globals, 4 P\n",
    ]);
    const consMarks = lines
      .filter((line) => line.includes("% CPU"))
      .map((line) => line.match(/cons\/mark (\S+)\)/)?.[1]);
    const taught = consMarkOf({ ...first, utilization: 0.25, idleUtilization: 0 });
    expect(consMarks).toEqual(["0", fmtFloat(taught)]);
  });

  it("with what is live give the time that a program over its limit has for itself", () => {
    const { a, gc, clock } = timed();
    gc.refs.alloc(a.mallocNoscan(8 * MiB));
    gc.setMemoryLimit(MiB);
    gc.start();
    const cycle = gc.runningCycle as Cycle;
    cycle.assistNs = 5e9;
    cycle.backgroundNs = 7e9;
    cycle.idleNs = 100e9;
    while (gc.step() !== "terminate");
    finishCycle(gc);
    // From the end of the cycle on; the world has run for 9 s since.
    clock.advance(430e6 + 12e9 - 9e9 - 1);
    const live = gc.heap.heapLive;
    expect(gc.heap.trigger).toBeLessThanOrEqual(live);
    a.mallocNoscan(100_000);
    expect(gc.gcRequested).toBe(false);
    expect(gc.heap.trigger).toBe(gc.heap.heapLive + (256 << 10));
    a.mallocNoscan(100_000);
    a.mallocNoscan(100_000);
    expect(gc.gcRequested).toBe(false);
    clock.advance(1);
    a.mallocNoscan(100_000);
    expect(gc.gcRequested).toBe(true);
  });
});

describe("a sweep in slices", () => {
  /** Spans of a page each, all of them garbage, marked and not swept. */
  function garbage(spans: number, options: RigOptions = {}) {
    const r = rig(options);
    for (let i = 0; i < spans; i++) r.a.mallocNoscan(8192);
    r.gc.start(true);
    while (r.gc.step() !== "terminate");
    return r;
  }

  it("looks at the clock after 256 spans, and ends when it has had 250 microseconds", () => {
    const clock = new FakeClock();
    let ns = 125_000;
    const ticking = { nanotime: () => tick(clock, ns), walltime: () => clock.walltime() };
    const { gc } = garbage(2000, { clock: ticking });
    const { heap } = gc;
    const at = heap.pagesSwept;
    gc.pollSafepoint();
    expect(heap.pagesSwept - at).toBe(512);
    ns = 124_999;
    gc.pollSafepoint();
    expect(heap.pagesSwept - at).toBe(512 + 768);
    ns = 1;
    gc.idleWork();
    expect([heap.pagesSwept - at, gc.sweeper.done]).toEqual([2000, true]);
  });

  it("asks for the next safepoint as long as there is something to do", () => {
    let asked = 0;
    const { a, gc, node } = garbage(300, {
      clock: { nanotime: () => 0, walltime: () => 0n },
      onRequest: () => void asked++,
    });
    expect([asked, gc.sweeper.done]).toEqual([0, false]);
    gc.requestGC();
    expect(asked).toBe(1);
    // Sweeps to the end; the cycle is to begin yet.
    gc.pollSafepoint();
    expect([asked, gc.sweeper.done, gc.gcRequested]).toEqual([2, true, true]);
    gc.pollSafepoint();
    expect([asked, gc.marking, gc.sweeper.done]).toEqual([3, false, false]);
    gc.pollSafepoint();
    expect([asked, gc.sweeper.done]).toEqual([3, true]);
    gc.pollSafepoint();
    expect(asked).toBe(3);
    gc.start();
    gc.refs.alloc(a.mallocTyped(node));
    gc.pollSafepoint();
    expect(gc.record.numGC).toBe(3);
  });

  it("goes ahead of allocation in proportion after a cycle that the heap asked for, and not after a forced one", () => {
    const { gc } = garbage(2000);
    expect(gc.sweeper.pagesPerByte).toBe(0);
    finishCycle(gc);
    const { a, gc: unforced } = rig();
    for (let i = 0; i < 2000; i++) a.mallocNoscan(8192);
    unforced.start();
    while (unforced.step() !== "terminate");
    const { sweeper, heap } = unforced;
    expect(sweeper.pagesPerByte).toBeGreaterThan(0);
    // Allocation pays: 1 MiB sweeps so many pages.
    const at = heap.pagesSwept;
    const owed = Math.floor(sweeper.pagesPerByte * MiB);
    expect(owed).toBeGreaterThan(300);
    a.mallocNoscan(MiB);
    expect(heap.pagesSwept - at).toBeGreaterThanOrEqual(owed);
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
  it("nothing is marked: what a finalizer's object or a ref held before is garbage when they have let go of it", () => {
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

  it("a sweep that a finalizer's span needs tells the memory profile at once what it has freed", () => {
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

  it("an allocation at an old trigger asks for nothing if the heap has room by now", () => {
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

describe("what the collector asks for", () => {
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

describe("a step", () => {
  it("that begins a cycle lets the world run again", () => {
    let stopped = 0;
    const stops: string[] = [];
    const world = {
      ...quietWorld,
      stopTheWorld(reason: string) {
        stops.push(reason);
        stopped++;
      },
      startTheWorld: () => void stopped--,
    };
    const { gc } = rig({ world });
    gc.requestGC();
    expect([gc.step(), stopped]).toEqual(["start", 0]);
    while (gc.step() !== "terminate");
    expect([stops, stopped]).toEqual([["GC mark", "GC mark termination"], 0]);
  });

  it("of sweeping is there for the allocator too", () => {
    const { a, gc } = rig();
    for (let i = 0; i < 3; i++) a.mallocNoscan(8192 * (i + 1));
    expect(a.hooks.sweepOne()).toBe(-1);
    gc.start();
    while (gc.step() !== "terminate");
    const pages = [a.hooks.sweepOne(), a.hooks.sweepOne(), a.hooks.sweepOne(), a.hooks.sweepOne()];
    expect(pages.sort()).toEqual([-1, 1, 2, 3]);
  });
});

describe("the end of marking", () => {
  /** At the end of a cycle's marking, before it is terminated. */
  function marked(options: RigOptions = {}) {
    const r = rig(options);
    const holder = r.a.mallocTyped(r.node);
    r.gc.refs.alloc(holder);
    const held = r.a.mallocTyped(r.node);
    r.gc.storePointer(holder, held);
    r.gc.start();
    while (!(r.gc.marker.idle && r.gc.roots.done)) r.gc.step();
    return { ...r, held };
  }

  it("marks what was made grey while the world came to its stop", () => {
    let store = (): void => {};
    const world = { ...quietWorld, stopTheWorld: () => store() };
    const r = rig({ world, godebug: "gccheckmark=1" });
    const { a, gc, node } = r;
    const box = a.mallocTyped(node);
    gc.refs.alloc(box);
    const late = a.mallocTyped(node);
    gc.storePointer(late, a.mallocTyped(node));
    gc.start();
    while (!(gc.marker.idle && gc.roots.done)) gc.step();
    store = () => gc.storePointer(box, late);
    expect(gc.step()).toBe("terminate");
    finishCycle(gc);
    expect(r.heapObjects()).toBe(3);
    verifyHeap(gc);
  });

  it("looks through the heap for grey objects only if some had no room", () => {
    const { gc } = marked();
    let looks = 0;
    gc.marker.markOverflow = () => void looks++;
    expect(gc.step()).toBe("terminate");
    expect(looks).toBe(0);
  });

  it("is refused while an object is grey", () => {
    const { gc, a, node } = marked();
    // Born black, and made white.
    const grey = a.mallocTyped(node);
    const span = a.spanOf(grey);
    const marks = gc.heap.mem.u32[(span + MSPAN_AT.gcmarkBits) >>> 2] >>> 2;
    const i = a.objIndex(span, grey);
    gc.heap.mem.u32[marks + (i >>> 5)] &= ~(1 << (i & 31));
    Object.defineProperty(gc.marker, "overflow", { value: true });
    gc.marker.markOverflow = () => gc.marker.shade(grey);
    expect(() => gc.step()).toThrow("gc: marking ended with grey objects");
  });

  it("does not check the marks unless gccheckmark asks for it", () => {
    const { gc, a, held, u32 } = marked();
    const span = a.spanOf(held);
    const marks = u32[(span + MSPAN_AT.gcmarkBits) >>> 2] >>> 2;
    u32[marks] = u32[marks] & ~(1 << a.objIndex(span, held));
    expect(gc.step()).toBe("terminate");
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

describe("gcpacertrace", () => {
  it("tells what the pacer expects and what came of it, in Go's grammar", () => {
    const { gc, a, node, lines } = rig({ godebug: "gcpacertrace=1" });
    let list = 0;
    const root = gc.refs.alloc(0);
    const grow = (): void => {
      const p = a.mallocTyped(node);
      gc.storePointer(p, list);
      list = p;
      gc.storePointer(root, p);
    };
    while (!gc.gcRequested) grow();
    gc.pollSafepoint();
    for (let i = 0; i < 10_000; i++) grow();
    finishCycle(gc);
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(/^pacer: assist ratio=\S+ \(scan \d+ MB in 3->4 MB\) workers=0\+0.25\n$/);
    expect(lines[1]).toMatch(
      /^pacer: \d+% CPU \(25 exp\.\) for \d+\+0\+\d+ B work \(\d+ B exp\.\) in \d+ B -> \d+ B \(∆goal -?\d+, cons\/mark 0\)\n$/,
    );
    expect(lines[2]).toMatch(
      /^pacer: sweep done at heap size \dMB; allocated 0MB during sweep; swept \d+ pages at \S+ pages\/byte\n$/,
    );
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
  const text =
    /^runtime: a collection has waited 1[0-2] s for a safepoint \(\d+ MB in use\): this goroutine allocates without yielding\ngoroutine 7 \[running\]:\nmain\.spin\(\.\.\.\)\ncreated by main\.main in goroutine 1\n$/;

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

  it("is not, if it allocates for long and comes to one now and then", () => {
    const { gc, second, lines } = spinner();
    for (let i = 0; i < 100; i++) {
      second();
      if (i % 5 === 0) gc.pollSafepoint();
    }
    expect(gc.readGCStats().numGC).toBeGreaterThan(2);
    expect(lines).toEqual([]);
  });
});

describe("a second collector over one heap", () => {
  it("takes over in the middle of a cycle, with roots of its own", () => {
    const { a, gc, node, heapObjects } = rig();
    const old = a.mallocTyped(node);
    gc.refs.alloc(old);
    for (let i = 0; i < 1000; i++) a.mallocTyped(node);
    gc.requestGC();
    gc.start();
    gc.step(0);
    expect(gc.marking).toBe(true);
    const second = createCollector(a);
    expect([second.marking, second.gcRequested]).toEqual([false, false]);
    const keep = a.mallocTyped(node);
    second.refs.alloc(keep);
    second.gc();
    expect(heapObjects()).toBe(1);
    expect(a.findObject(keep)).toBe(keep);
    verifyHeap(second);
  });

  it("works after a fatal error has ended the first one", () => {
    const { a, gc, node, heapObjects } = rig();
    for (let i = 0; i < 1000; i++) a.mallocTyped(node);
    gc.roots.stacks = () => {
      throw new Error("stacks");
    };
    expect(() => gc.gc()).toThrow("stacks");
    expect(() => gc.gc()).toThrow("no collection is possible");
    const second = createCollector(a);
    second.gc();
    expect(heapObjects()).toBe(0);
  });
});

describe("misuse", () => {
  it("is refused with what was given", () => {
    expect(() => rig({ gogc: 1.5 })).toThrow("gc: gogc must be an integer below 2^31 (got 1.5)");
    expect(() => rig({ memoryLimit: -5 })).toThrow("gc: memoryLimit must not be negative (got -5)");
    const { gc } = rig();
    expect(() => gc.addGlobals(12 as never, 24 as never)).toThrow(
      "gc: globals must be a range of 8-byte slots",
    );
    const slot = gc.refs.alloc(0);
    gc.refs.free(slot);
    expect(() => gc.refs.free(slot)).toThrow(TypeError);
    gc.start();
    expect(() => gc.start()).toThrow(TypeError);
  });
});

describe("GODEBUG", () => {
  it("takes the collector's switches out of a list, the last of each, and leaves the rest alone", () => {
    const d = parseGodebug("schedtrace=1000,gctrace=1,clobberfree=x,gctrace=2,,madvdontneed");
    expect(d.gctrace).toBe(2);
    expect(d.clobberfree).toBe(0);
    expect(d.invalidptr).toBe(1);
  });
});
