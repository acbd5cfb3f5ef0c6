import { createAllocator, newHeapStats } from "@gort/allocator";
import { type Addr, createLinearMemory } from "@gort/memory";
import { describe, expect, it, vi } from "vitest";
import { MSPAN_AT } from "../src/heap.ts";
import { createCollector, newGCStats, parseGodebug } from "../src/index.ts";
import { CLOBBER_WORD } from "../src/internal.ts";
import { FakeClock, verifyHeap } from "../src/testing.ts";
import { MiB, rig, tick } from "./kit.ts";

const emptyStats = newHeapStats();

describe("a collection", () => {
  it("frees objects that no root reaches, and keeps the others", () => {
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

  it("ignores pointers to outside of the heap", () => {
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

  it("clears memory that it hands out again, and clobbers memory that it frees if asked to", () => {
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

describe("gccheckmark", () => {
  it("finds an object that marking has lost, and names it, its span and the slot that points to it", () => {
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

describe("a world that another caller has stopped", () => {
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
      new RegExp(
        String.raw`^gc 1 @\d+\.\d{3}s \d+%: .* ms clock, .* ms cpu, 12->12->8 MB, \d+ MB goal, ` +
          String.raw`0 MB stacks, 0 MB globals, 1 P \(forced\)\n$`,
      ),
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
      // A list of 1000 nodes (with 5 objects without pointers, which are not scanned), of 300 wide objects, 20 single
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

  it("count the collector's tables and queues in GCSys, and return the memory that it took from the heap", () => {
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

describe("a collector without options", () => {
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

describe("misuse", () => {
  it("is refused, and the error shows the given value", () => {
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

  it("keeps its globals when the first one takes back the same range", () => {
    const { a, gc, node, heapObjects } = rig();
    const slots = a.mem.persistentAlloc(64, 8, "otherSys");
    const undo = gc.addGlobals(slots, (slots + 64) as Addr);
    const second = createCollector(a);
    second.addGlobals(slots, (slots + 64) as Addr);
    second.storePointer(slots, a.mallocTyped(node));
    undo();
    second.gc();
    expect(heapObjects()).toBe(1);
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
