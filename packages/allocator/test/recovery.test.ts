import { beforeEach, describe, expect, it } from "vitest";
import {
  type Allocator,
  createAllocator,
  GCCONTROL_AT,
  MANUAL_GC,
  MANUAL_STACK,
  MCACHE_AT,
  MCACHE_SLOT,
  MCACHE_SLOT_AT,
  MSPAN_AT,
  newHeapStats,
  RECOVERY_LOG_AT,
  SPAN_DEAD,
  SPAN_IN_USE,
  SPAN_MANUAL,
} from "../src/internal.ts";
import type { RecoveryLog } from "../src/recovery.ts";
import { sizeClassOf } from "../src/sizeclass.ts";
import { SpanPlan } from "../src/span-plan.ts";
import { verifyHeap } from "../src/testing.ts";

const CLASS_OF_64 = (sizeClassOf(64) << 1) | 1;
const CLASS_OF_8192 = (sizeClassOf(8192) << 1) | 1;

/** b dies; a takes over from it. */
let a: Allocator;
let b: Allocator;
beforeEach(() => {
  a = createAllocator({ maxMemory: 64 << 20, seed: 1 });
  a.share();
  b = createAllocator({ memory: a.mem, seed: 1 });
  // b has structs, blocks of bits and pages ahead of use.
  b.mallocNoscan(8192);
  b.flushAll();
});

const field = (s: number, offset: number): number => a.mem.u32[(s + offset) >>> 2];
const set = (s: number, offset: number, value: number): void => {
  a.mem.u32[(s + offset) >>> 2] = value;
};
const own = (offset: number): number => field(b.cache.base, offset);
const logged = (name: keyof typeof RECOVERY_LOG_AT): number =>
  own(MCACHE_AT.recoveryLog + RECOVERY_LOG_AT[name]);
const setLog = (name: keyof typeof RECOVERY_LOG_AT, value: number): void =>
  set(b.cache.base, MCACHE_AT.recoveryLog + RECOVERY_LOG_AT[name], value);
/** Word index of a field of the slot for 64 bytes. */
const slot = (name: keyof typeof MCACHE_SLOT_AT): number =>
  b.cache.slots + (CLASS_OF_64 * MCACHE_SLOT.size + MCACHE_SLOT_AT[name]) / 4;

/** The objects and pages in use after b is taken over; the heap must be in order. */
function takeOver(): [objects: number, pages: number, large: number] {
  expect(a.recover(b.id)).toBe(true);
  expect(logged("span")).toBe(0);
  verifyHeap(a);
  const st = a.readStats(newHeapStats());
  return [st.heapObjects, st.heapInuse / 8192, st.largeAllocCount - st.largeFreeCount];
}

describe("the mcache's counts", () => {
  it("are those of its lists", () => {
    const blocks = Array.from({ length: 3 }, () => b.malloc(64));
    for (const p of blocks) b.free(p);
    const [structs, bits] = [own(MCACHE_AT.nspanFree), own(MCACHE_AT.nspanBitsFree)];
    expect([structs > 0, bits > 0]).toEqual([true, true]);
    set(b.cache.base, MCACHE_AT.nspanFree, 77);
    set(b.cache.base, MCACHE_AT.nspanBitsFree, 99);
    a.mem.u32[slot("nfree")] = 55;
    expect(takeOver()).toEqual([1, 1, 0]);
    // The span of the blocks was freed: its bits are the mcache's, its struct is the heap's.
    expect([own(MCACHE_AT.nspanFree), own(MCACHE_AT.nspanBitsFree)]).toEqual([structs, bits + 1]);
    expect(a.mem.u32[slot("nfree")]).toBe(0);
  });
});

describe("a run", () => {
  const count = (): number => (b.cache.base + MCACHE_AT.smallAllocCount + 8 * (CLASS_OF_64 >>> 1)) >>> 3;
  const noteCount = (n: number): void => {
    a.mem.f64[(b.cache.base + MCACHE_AT.recoveryLog + RECOVERY_LOG_AT.runCount) >>> 3] = n;
  };

  it.each([0, 1])(
    "that was being claimed is free again, before and in the change of the counts (%d)",
    (changes) => {
      const p = b.mallocNoscan(64);
      b.mallocNoscan(64);
      b.cache.returnTails();
      const s = b.spanOf(p);
      const version = own(MCACHE_AT.version);
      // Slots 2 to 100 are marked as handed out, and black.
      setLog("runSlot", slot("cur"));
      setLog("run", (2 << 16) | 99);
      setLog("runEnd", 0);
      setLog("runVersion", version);
      noteCount(2);
      set(b.cache.base, MCACHE_AT.version, version + changes);
      for (const [bits, first] of [
        [MSPAN_AT.allocBits, 0xffffffff],
        [MSPAN_AT.gcmarkBits, 0xfffffffc],
      ] as const) {
        a.mem.u32.set([first, 0xffffffff, 0xffffffff, 0b11111], field(s, bits) >>> 2);
      }
      a.mem.f64[count()] = 101;
      a.mem.u32[slot("cur")] = p + 128;
      a.mem.u32[slot("end")] = p + 101 * 64;
      expect(takeOver()).toEqual([3, 2, 0]);
      expect([field(s, MSPAN_AT.allocCount), a.mem.f64[count()]]).toEqual([2, 2]);
      expect(field(field(s, MSPAN_AT.allocBits), 0)).toBe(0b11);
    },
  );

  it("that was claimed is what it is", () => {
    const p = b.mallocNoscan(64);
    b.mallocNoscan(64);
    setLog("runVersion", own(MCACHE_AT.version) - 2);
    expect(takeOver()).toEqual([3, 2, 0]);
    expect(field(a.spanOf(p), MSPAN_AT.allocCount)).toBe(2);
  });

  it("that was going back is whole again, and goes back", () => {
    const p = b.mallocNoscan(64);
    b.mallocNoscan(64);
    const s = b.spanOf(p);
    const version = own(MCACHE_AT.version);
    setLog("runSlot", slot("cur"));
    setLog("run", (2 << 16) | 126);
    setLog("runEnd", p + 8192);
    setLog("runVersion", version);
    noteCount(128);
    // All is done but for the second change of the version.
    set(b.cache.base, MCACHE_AT.version, version + 1);
    a.mem.u32.fill(0, field(s, MSPAN_AT.allocBits) >>> 2, (field(s, MSPAN_AT.allocBits) >>> 2) + 4);
    set(field(s, MSPAN_AT.allocBits), 0, 0b11);
    a.mem.f64[count()] = 2;
    a.mem.u32[slot("end")] = p + 128;
    expect(takeOver()).toEqual([3, 2, 0]);
    expect([field(s, MSPAN_AT.allocCount), a.mem.f64[count()]]).toEqual([2, 2]);
  });

  it("is counted in its span anew, with the slots that were claimed for later runs", () => {
    const objs = Array.from({ length: 128 }, () => a.mallocNoscan(64));
    a.flushAll();
    const s = a.spanOf(objs[0]);
    set(field(s, MSPAN_AT.allocBits), 0, 0x88888888);
    set(s, MSPAN_AT.allocCount, 8 + 96);
    set(s, MSPAN_AT.freeindex, 0);
    a.central.remove(s);
    a.central.uncacheSpan(s);
    a.mem.f64[(a.cache.base + MCACHE_AT.smallFreeCount + 8 * (CLASS_OF_64 >>> 1)) >>> 3] = 24;
    expect(b.mallocNoscan(64)).toBe(objs[0]); // slots 1 and 2 are the run's; 4 to 30 are claimed
    // The bits of both are not set yet, and the span's count is arbitrary.
    set(field(s, MSPAN_AT.allocBits), 0, 0x88888889);
    set(s, MSPAN_AT.allocCount, 5);
    expect(takeOver()).toEqual([1 + 105, 2, 0]);
    expect([field(s, MSPAN_AT.allocCount), field(field(s, MSPAN_AT.allocBits), 0)]).toEqual([
      105, 0x88888889,
    ]);
  });
});

describe("a span that was between two places", () => {
  it("is counted anew and goes to the list where it belongs, or is kept for its class", () => {
    for (const objects of [3, 0]) {
      const p = b.mallocNoscan(64);
      b.mallocNoscan(64);
      b.mallocNoscan(64);
      b.cache.returnTails();
      const s = b.spanOf(p);
      b.heap.log.spanMoves(s);
      a.mem.u32[slot("span")] = 0;
      set(s, MSPAN_AT.allocCount, 99);
      if (objects === 0) {
        set(field(s, MSPAN_AT.allocBits), 0, 0);
        a.mem.f64[(b.cache.base + MCACHE_AT.smallFreeCount + 8 * (CLASS_OF_64 >>> 1)) >>> 3] = 3;
      }
      expect(takeOver()).toEqual([1 + objects, objects === 0 ? 1 : 2, 0]);
      expect([field(s, MSPAN_AT.allocCount), field(s, MSPAN_AT.freeindex)]).toEqual([objects, 0]);
      const list = objects === 0 ? a.central.empty(CLASS_OF_64) : a.central.partialSwept(CLASS_OF_64);
      expect(field(s, MSPAN_AT.list)).toBe(list);
      a = createAllocator({ maxMemory: 64 << 20, seed: 1 });
      a.share();
      b = createAllocator({ memory: a.mem, seed: 1 });
      b.mallocNoscan(8192);
      b.flushAll();
    }
  });

  it("is freed if it was a large block that was being freed", () => {
    b.malloc(40_000);
    const p = b.malloc(50_000);
    const s = b.spanOf(p);
    set(a.heapBitsBase, (p >>> 8) << 2, 0); // free has cleared the bit of the block in use
    expect(b.central.remove(s)).toBe(true);
    // The counts may have been changed already.
    a.mem.f64[(b.cache.base + MCACHE_AT.largeFree) >>> 3] = 57_344;
    expect(takeOver()).toEqual([2, 1 + 5, 1]);
    const st = a.readStats(newHeapStats());
    expect([st.largeFree, st.largeFreeCount, field(s, MSPAN_AT.state)]).toEqual([57_344, 1, SPAN_DEAD]);
  });

  it("is freed if it is the collector's or a stack's", () => {
    for (const kind of [MANUAL_GC, MANUAL_STACK]) {
      const s = b.heap.allocManual(3, kind);
      b.heap.log.spanPlaced(s);
      b.heap.log.spanMoves(s);
      expect(takeOver()).toEqual([1, 1, 0]);
      expect(field(s, MSPAN_AT.state)).toBe(SPAN_DEAD);
      expect([a.heap.counter("stackInUse"), a.heap.counter("gcManualInUse")]).toEqual([0, 0]);
      b = createAllocator({ memory: a.mem, seed: 1 });
    }
  });

  it("is left alone if it is dead by now, or has its place", () => {
    const s = b.heap.allocManual(1, MANUAL_GC);
    b.heap.freeSpan(s);
    setLog("plan", 0);
    setLog("span", s);
    expect(takeOver()).toEqual([1, 1, 0]);
    b = createAllocator({ memory: a.mem, seed: 1 });
    const p = b.mallocNoscan(64);
    setLog("plan", 0);
    setLog("span", b.spanOf(p));
    expect(takeOver()).toEqual([2, 2, 0]);
  });

  it("stays as allocated as it was if it was being swept", () => {
    const p = b.mallocNoscan(64);
    b.flushAll();
    const s = b.spanOf(p);
    const sweepgen = (a.gcControl + GCCONTROL_AT.sweepgen) >>> 2;
    a.mem.u32[sweepgen] = 2;
    for (let t = a.nextSpanForSweep(); t !== 0; t = a.nextSpanForSweep())
      if (t !== s) a.spanSwept(t, 0, false); // the spans beside s keep their objects
    b.heap.log.spanMoves(s);
    set(field(s, MSPAN_AT.gcmarkBits), 0, 0b101);
    expect(field(s, MSPAN_AT.sweepgen)).toBe(1);
    expect(takeOver()).toEqual([2, 2, 0]);
    expect([
      field(s, MSPAN_AT.sweepgen),
      field(s, MSPAN_AT.allocCount),
      field(field(s, MSPAN_AT.gcmarkBits), 0),
    ]).toEqual([2, 1, 0]);
  });
});

describe("a span that was being made", () => {
  /** The steps, in order. */
  const steps: [name: string, step: (heap: Steps) => void][] = [
    ["it was begun", (heap) => heap.log.beginSpan(new SpanPlan().forObjects(1, CLASS_OF_8192))],
    ["it had a struct", (heap) => heap.structs.take()],
    ["it had bits", (heap) => heap.takeSpanBits(8)],
    ["it had pages", (heap) => heap.pageCache.alloc(1)],
  ];
  interface Steps {
    log: RecoveryLog;
    structs: { take(): number };
    takeSpanBits(size: number): number;
    pageCache: { alloc(npages: number): number };
  }

  it.each(steps.map(([name], k) => [name, k] as const))("leaves nothing in use when %s", (_, last) => {
    b.mallocNoscan(8192); // the pages are b's
    const ahead = (): number[] => [own(MCACHE_AT.nspanFree), own(MCACHE_AT.nspanBitsFree), a.nspans];
    const before = ahead();
    for (const [, step] of steps.slice(0, last + 1)) step(b.heap as unknown as Steps);
    expect(takeOver()).toEqual([2, 2, 0]);
    // Once it has pages it is completed and freed, and its struct is the heap's.
    expect(ahead()).toEqual(last < 3 ? before : [before[0] - 1, before[1], before[2]]);
  });

  it("leaves nothing in use when it was complete, of whichever kind", () => {
    for (const make of [
      () => b.heap.alloc(1, CLASS_OF_8192),
      () => b.heap.alloc(3, 1),
      () => b.heap.alloc(20, 0),
      () => b.heap.allocManual(1, MANUAL_GC),
      () => b.heap.allocManual(20, MANUAL_STACK),
    ]) {
      const s = make();
      expect(logged("span")).toBe(s);
      // A large object is counted after its span was made.
      const [bytes, count] = [MCACHE_AT.largeAlloc, MCACHE_AT.largeAllocCount].map(
        (offset) => (b.cache.base + offset) >>> 3,
      ) as [number, number];
      if (field(s, MSPAN_AT.state) === SPAN_IN_USE && field(s, MSPAN_AT.spanclass) < 2) {
        a.mem.f64[bytes] = field(s, MSPAN_AT.npages) * 8192;
        a.mem.f64[count] = 1;
        set(s, MSPAN_AT.allocCount, 1);
      }
      expect(takeOver()).toEqual([1, 1, 0]);
      expect([a.mem.f64[bytes], a.mem.f64[count], field(s, MSPAN_AT.state)]).toEqual([0, 0, SPAN_DEAD]);
      b = createAllocator({ memory: a.mem, seed: 1 });
    }
  });
});

describe("the log of a thread", () => {
  let a: Allocator;
  beforeEach(() => {
    a = createAllocator({ maxMemory: 64 << 20, seed: 1 });
  });
  const word = (addr: number): number => a.mem.u32[addr >>> 2];
  const log = (offset: number): number => word(a.cache.base + MCACHE_AT.recoveryLog + offset);

  it("is not written in a heap that no other thread can take over", () => {
    a.heap.log.spanMoves(a.heap.allocManual(1, MANUAL_GC));
    for (const n of [3, 64, 9000, 100_000]) a.malloc(n);
    const first = a.mallocNoscan(64);
    a.flushAll();
    expect(a.mallocNoscan(64)).toBe(first + 64); // the rest of a run that went back
    for (const name of ["span", "plan", "npages", "runSlot", "runVersion", "run", "runEnd"] as const)
      expect([name, log(RECOVERY_LOG_AT[name])]).toEqual([name, 0]);
    expect(word(a.cache.base + MCACHE_AT.version)).toBe(0); // no reader looks at it
  });

  it("names a span from when it moves until it has its place, and the parts of a new one", () => {
    a.share();
    const s = a.heap.allocManual(3, MANUAL_GC);
    expect(log(RECOVERY_LOG_AT.span)).toBe(s);
    expect(log(RECOVERY_LOG_AT.plan)).toBe((SPAN_MANUAL << 8) | (MANUAL_GC << 16));
    expect(log(RECOVERY_LOG_AT.npages)).toBe(3);
    expect(log(RECOVERY_LOG_AT.page)).toBe(word(s + MSPAN_AT.startAddr) / 8192);
    a.heap.log.spanPlaced(s + 4);
    expect(log(RECOVERY_LOG_AT.span)).toBe(s);
    a.heap.log.spanPlaced(s);
    expect(log(RECOVERY_LOG_AT.span)).toBe(0);
    a.heap.log.spanMoves(s);
    expect([log(RECOVERY_LOG_AT.span), log(RECOVERY_LOG_AT.plan)]).toEqual([s, 0]);
    a.heap.log.spanPlaced(s);
  });

  it("keeps the counters as they were before", () => {
    a.share();
    a.free(a.malloc(40_000));
    a.malloc(50_000);
    const own = (offset: number): number => a.mem.f64[(a.cache.base + offset) >>> 3];
    const counts = (): number[] => {
      const at = (a.cache.base + MCACHE_AT.recoveryLog + RECOVERY_LOG_AT.counts) >>> 3;
      return [...a.mem.f64.subarray(at, at + 5)];
    };
    const pages = (): number[] => [MCACHE_AT.heapInUse, MCACHE_AT.heapFree, MCACHE_AT.heapReleased].map(own);
    const before = [...pages(), own(MCACHE_AT.largeAlloc), own(MCACHE_AT.largeAllocCount)];
    expect(before.slice(3)).toEqual([40_960 + 57_344, 2]);
    const s = a.heap.alloc(20, 1);
    expect(counts()).toEqual(before);
    expect(log(RECOVERY_LOG_AT.plan)).toBe(1 | (SPAN_IN_USE << 8));
    expect(log(RECOVERY_LOG_AT.bits)).toBe(word(s + MSPAN_AT.gcmarkBits));
    a.heap.log.spanMoves(s);
    expect(counts().slice(3)).toEqual([40_960, 1]); // what was freed
    a.heap.freeSpan(s);
    expect(log(RECOVERY_LOG_AT.span)).toBe(0);
  });
});
