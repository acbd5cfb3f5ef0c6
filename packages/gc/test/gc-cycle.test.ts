import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import type { Cycle } from "../src/gc-controller.ts";
import { fmtFloat } from "../src/gc-trace.ts";
import { MSPAN_AT } from "../src/heap.ts";
import { consMarkOf } from "../src/index.ts";
import { FakeClock, finishCycle, verifyHeap } from "../src/testing.ts";
import { MiB, quietWorld, type RigOptions, rig, tick } from "./kit.ts";

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

  it("keeps the object that a ref held when it began, even if the ref is freed before it is scanned", () => {
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

  it("keeps an object whose pointer a bulk copy overwrites, if a stack has it", () => {
    const { gc, node, src, dst, stack, u32, finish } = arrays();
    // Stores into a stack have no barrier, and this one was scanned already.
    u32[stack >>> 2] = u32[(dst + 8) >>> 2]!;
    gc.barrier.typedMemmove(node, dst, src, 128);
    expect(finish()).toBe(2 + 4 + 1);
  });

  it("keeps an object whose pointer a bulk clear overwrites, if a stack has it", () => {
    const { gc, node, dst, stack, u32, finish } = arrays();
    u32[stack >>> 2] = u32[(dst + 8) >>> 2]!;
    gc.barrier.typedMemclr(node, dst, 128);
    expect(finish()).toBe(2 + 4 + 1);
  });

  it("keeps an object whose pointer a bulk copy moved before a bulk clear of the old place", () => {
    const { gc, node, src, dst, finish } = arrays();
    gc.barrier.typedMemmove(node, dst, src, 128);
    gc.barrier.typedMemclr(node, src, 128);
    expect(finish()).toBe(2 + 4);
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
  /** A stop takes 1 ms, gcStart 30 ms, markDone 400 ms. Starting the world takes 9 s, which no figure includes. */
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

  it("are those of its two stops, of the sweep before it, and of the marking between them", () => {
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

  it("stand in the lines of gctrace and gcpacertrace, with the cons/mark of the cycle before", () => {
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

  it("with the live bytes give the time that a program over its limit has for itself", () => {
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
    // The time counts from the end of the cycle; 9 s of it have passed.
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
    // The safepoint sweeps to the end; the cycle has not begun yet.
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
    // Allocation pays: 1 MiB sweeps `owed` pages.
    const at = heap.pagesSwept;
    const owed = Math.floor(sweeper.pagesPerByte * MiB);
    expect(owed).toBeGreaterThan(300);
    a.mallocNoscan(MiB);
    expect(heap.pagesSwept - at).toBeGreaterThanOrEqual(owed);
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

  it("of sweeping can be taken by the allocator too", () => {
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

  it("marks objects that became grey while the world came to its stop", () => {
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

describe("gcpacertrace", () => {
  it("prints the pacer's expectation and the result, in Go's grammar", () => {
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
      new RegExp(
        String.raw`^pacer: \d+% CPU \(25 exp\.\) for \d+\+0\+\d+ B work \(\d+ B exp\.\) ` +
          String.raw`in \d+ B -> \d+ B \(∆goal -?\d+, cons/mark 0\)\n$`,
      ),
    );
    expect(lines[2]).toMatch(
      /^pacer: sweep done at heap size \dMB; allocated 0MB during sweep; swept \d+ pages at \S+ pages\/byte\n$/,
    );
  });
});
