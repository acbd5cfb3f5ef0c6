/**
 * The lists of blocks freed by hand: their accounts, and what they owe to spans, to other threads and to
 * collectors.
 */
import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import {
  type Allocator,
  createAllocator,
  GC_MARK,
  GC_OFF,
  GCCONTROL_AT,
  MCACHE_SLOT,
  MCACHE_SLOT_AT,
  MSPAN_AT,
  newHeapStats,
} from "../src/internal.ts";
import { sizeClassOf } from "../src/sizeclass.ts";
import { collectWith, verifyHeap } from "../src/testing.ts";

const fresh = () => createAllocator({ maxMemory: 128 << 20, seed: 1 });

/** A heap whose blocks of 64 bytes b has allocated, so that their span is in b's mcache. */
function twoThreads(): { a: Allocator; b: Allocator; blocks: Addr[] } {
  const a = fresh();
  a.share();
  const b = createAllocator({ memory: a.mem });
  return { a, b, blocks: Array.from({ length: 20 }, () => b.malloc(64)) };
}

function parked(a: Allocator, spanclass: number): number {
  const slot = a.cache.slots + (spanclass * MCACHE_SLOT.size) / 4;
  let n = 0;
  let p = a.mem.u32[slot + MCACHE_SLOT_AT.parked / 4];
  for (; p !== 0; p = a.mem.u32[p >>> 2]) n++;
  return n;
}

const CLASS_OF_64 = (6 << 1) | 1;

describe("the accounts of the lists", () => {
  it.each([8, 16, 1024, 9000, 32_760])("count every block of %d bytes, whenever they are read", (size) => {
    const a = fresh();
    const st = newHeapStats();
    const kept: Addr[] = [];
    let mallocs = 0;
    for (let i = 1; i <= 20_000; i++) {
      const p = a.malloc(size);
      mallocs++;
      if (i % 1000 === 0) kept.push(p);
      else a.free(p);
      if (i % 3333 !== 0) continue;
      a.readStatsUnflushed(st);
      expect(st.frees).toBe(mallocs - kept.length);
      verifyHeap(a);
      a.readStats(st);
      expect([st.mallocs, st.frees]).toEqual([mallocs, mallocs - kept.length]);
    }
    for (const p of kept) a.free(p);
    a.readStats(st);
    expect([st.mallocs, st.frees, st.heapAlloc]).toEqual([mallocs, mallocs, 0]);
    verifyHeap(a);
  });

  it("are settled when the heap is shared, and go on from there", () => {
    const a = fresh();
    const st = newHeapStats();
    for (let i = 0; i < 100; i++) a.free(a.malloc(48));
    a.share();
    verifyHeap(a);
    for (let i = 0; i < 100; i++) a.free(a.malloc(48));
    const p = a.malloc(48);
    verifyHeap(a);
    a.readStats(st);
    expect([st.mallocs, st.frees]).toEqual([201, 200]);
    a.free(p);
    a.readStatsUnflushed(st);
    expect(st.frees).toBe(201);
    verifyHeap(a);
  });

  it("let no free through without a look once a collection has begun", () => {
    const a = fresh();
    const [p, q] = [a.malloc(64), a.malloc(64)];
    a.free(a.malloc(64)); // there is credit now
    a.flushAll();
    a.free(p);
    const phase = (a.gcControl + GCCONTROL_AT.gcPhase) >>> 2;
    a.flushAll(); // as a collector does on each thread before it begins
    a.mem.u32[phase] = GC_MARK;
    expect(() => a.free(q)).toThrow("garbage collected");
    a.mem.u32[phase] = GC_OFF;
    a.free(q);
    verifyHeap(a);
  });
});

describe("a list", () => {
  const slotOf = (a: Allocator, size: number): number =>
    a.cache.slots + ((((sizeClassOf(size) << 1) | 1) * MCACHE_SLOT.size) >>> 2);
  const field = (a: Allocator, size: number, name: keyof typeof MCACHE_SLOT_AT): number =>
    a.mem.u32[slotOf(a, size) + MCACHE_SLOT_AT[name] / 4];
  const lengthOf = (a: Allocator, size: number): number => {
    let n = 0;
    for (let p = field(a, size, "free"); p !== 0; p = a.mem.u32[p >>> 2]) n++;
    return n;
  };

  it.each([
    [16, 4096],
    [64, 1024],
    [8192, 8],
    [32_760, 8],
  ])("of blocks of %d bytes keeps %d, and gives half back when there is one more", (size, most) => {
    for (const shared of [false, true]) {
      const a = fresh();
      if (shared) a.share();
      const blocks = Array.from({ length: most + 1 }, () => a.malloc(size));
      for (const p of blocks.slice(0, most)) a.free(p);
      expect([shared, lengthOf(a, size)]).toEqual([shared, most]);
      const last = blocks[most];
      a.free(last);
      const left = most + 1 - ((most + 1) >>> 1);
      expect([shared, lengthOf(a, size), field(a, size, "nfree")]).toEqual([shared, left, left]);
      expect(a.readStats(newHeapStats()).frees).toBe(most + 1);
      expect(a.readStats(newHeapStats()).heapInuse).toBe(0);
      verifyHeap(a);
    }
  });

  it("gives credit for as many frees as it has room for, and takes it back with the accounts", () => {
    const a = fresh();
    const blocks = Array.from({ length: 20 }, () => a.malloc(64));
    const accounts = (): number[] =>
      (["granted", "credit", "nfree", "reused"] as const).map((name) => field(a, 64, name));
    a.free(blocks[0]);
    expect(accounts()).toEqual([1023, 1023, 1, 0]);
    for (const p of blocks.slice(1, 6)) a.free(p);
    expect(accounts()).toEqual([1023, 1018, 1, 0]);
    expect([a.malloc(64), a.malloc(64)]).toEqual([blocks[5], blocks[4]]);
    expect(accounts()).toEqual([1023, 1018, 1, 2]);
    a.addSpecial(blocks[19], 1, 1); // from here on each free has to look for specials
    expect(accounts()).toEqual([0, 0, 4, 0]);
    a.free(blocks[6]);
    expect(accounts()).toEqual([0, 0, 5, 0]);
    a.removeSpecial(blocks[19], 1);
    a.free(blocks[7]);
    expect(accounts()).toEqual([1018, 1018, 6, 0]);
    expect(a.readStatsUnflushed(newHeapStats()).frees).toBe(8);
    verifyHeap(a);
  });

  it("is used before the run, with no report, as no slot is taken from a span", () => {
    const a = fresh();
    a.share();
    let calls = 0;
    a.hooks.gcTrigger = () => calls++;
    a.mem.f64[(a.gcControl + GCCONTROL_AT.trigger) >>> 3] = 0;
    const p = a.malloc(64);
    expect(calls).toBe(1);
    a.free(p);
    expect([a.malloc(64), calls]).toEqual([p, 1]);
  });

  it("gives blocks back to a span that no mcache has, which goes from the full spans to the partial ones", () => {
    const a = fresh();
    const blocks = Array.from({ length: 128 }, () => a.malloc(64));
    const s = a.spanOf(blocks[0]);
    const at = (offset: number): number => a.mem.u32[(s + offset) >>> 2];
    a.cache.flush(); // the span is full
    expect(at(MSPAN_AT.list)).toBe(a.central.fullSwept(CLASS_OF_64));
    a.free(blocks[70]);
    a.flushAll();
    expect([at(MSPAN_AT.list), at(MSPAN_AT.allocCount)]).toEqual([a.central.partialSwept(CLASS_OF_64), 127]);
    expect([at(MSPAN_AT.freeindex), at(MSPAN_AT.needzero)]).toEqual([70, 1]);
    a.free(blocks[90]);
    a.free(blocks[5]);
    a.flushAll();
    expect([at(MSPAN_AT.freeindex), at(MSPAN_AT.allocCount)]).toEqual([5, 125]);
    expect(at(MSPAN_AT.list)).toBe(a.central.partialSwept(CLASS_OF_64));
    expect([a.malloc(64), a.malloc(64), a.malloc(64)]).toEqual([5, 70, 90].map((k) => blocks[k]));
    verifyHeap(a);
  });
});

describe("a freed block whose span another thread has cached", () => {
  it("is parked by a flush, and malloc's again until it can go back", () => {
    const { a, b, blocks } = twoThreads();
    for (const p of blocks.slice(0, 10)) a.free(p);
    a.flushAll();
    expect(parked(a, CLASS_OF_64)).toBe(10);
    verifyHeap(a);
    expect(() => a.free(blocks[0])).toThrow("double free");
    expect(() => b.usableSize(blocks[0])).toThrow(RangeError);
    const again = Array.from({ length: 10 }, () => a.malloc(64));
    expect(new Set(again)).toEqual(new Set(blocks.slice(0, 10)));
    expect(parked(a, CLASS_OF_64)).toBe(0);
    verifyHeap(a);
    for (const p of [...again, ...blocks.slice(10)]) a.free(p);
    a.flushAll();
    expect(parked(a, CLASS_OF_64)).toBe(20);
    b.flushAll();
    a.flushAll();
    expect(parked(a, CLASS_OF_64)).toBe(0);
    verifyHeap(a);
    expect(a.readStats(newHeapStats()).heapObjects).toBe(0);
  });

  it("is not given away by collections meanwhile", () => {
    const { a, b, blocks } = twoThreads();
    for (const p of blocks.slice(0, 10)) a.free(p);
    // A collector flushes one thread after the other.
    const flushA = a.flushAll.bind(a);
    a.flushAll = () => {
      flushA();
      expect(parked(a, CLASS_OF_64)).toBe(10);
      b.flushAll();
    };
    const inUse = new Set(blocks.slice(10));
    for (let cycle = 0; cycle < 3; cycle++) {
      collectWith(a, (p) => inUse.has(p));
      verifyHeap(a);
      // b takes the span again, and all that is free in it.
      for (let i = 0; i < 100; i++) expect(blocks).not.toContain(b.malloc(64));
    }
    b.flushAll();
    flushA();
    expect(parked(a, CLASS_OF_64)).toBe(0);
    verifyHeap(a);
  });

  it("waits for the sweep of its span", () => {
    const { a, b, blocks } = twoThreads();
    const inUse = new Set(blocks.slice(10));
    for (const p of blocks.slice(0, 10)) a.free(p);
    a.flushAll();
    b.flushAll();
    const next = a.nextSpanForSweep.bind(a);
    a.nextSpanForSweep = () => {
      a.nextSpanForSweep = next;
      a.flushAll(); // all spans are unswept at this moment
      expect(parked(a, CLASS_OF_64)).toBe(10);
      verifyHeap(a);
      return next();
    };
    const flush = a.flushAll;
    a.flushAll = () => {
      a.flushAll = flush; // the start of the collection leaves the blocks parked, as if b had the span again
    };
    collectWith(a, (p) => inUse.has(p) || blocks.indexOf(p) < 10);
    verifyHeap(a);
    a.flushAll();
    expect(parked(a, CLASS_OF_64)).toBe(0);
    verifyHeap(a);
  });

  it("is not given away either, or lost, when the thread that has parked it closes", () => {
    const { a, b, blocks } = twoThreads();
    const c = createAllocator({ memory: a.mem });
    const inUse = new Set(blocks.slice(10));
    for (const p of blocks.slice(0, 10)) c.free(p);
    c.close();
    expect(parked(c, CLASS_OF_64)).toBe(10);
    const st = newHeapStats();
    const flushA = a.flushAll.bind(a);
    a.flushAll = () => {
      flushA();
      b.cache.flush(); // the rest of its flush would give the blocks back
    };
    for (let cycle = 0; cycle < 3; cycle++) {
      collectWith(a, (p) => inUse.has(p));
      expect(parked(c, CLASS_OF_64)).toBe(10);
      verifyHeap(a);
      for (let i = 0; i < 100; i++) expect(blocks).not.toContain(b.malloc(64));
      a.readStatsUnflushed(st);
      expect([st.frees, st.mallocs]).toEqual([10 + 100 * cycle, 20 + 100 * (cycle + 1) + 8]); // 8 in the run
    }
    a.flushAll();
    flushA();
    expect(parked(c, CLASS_OF_64)).toBe(0);
    verifyHeap(a);
    const next = createAllocator({ memory: a.mem });
    expect(next.id).toBe(c.id);
    next.close();
    verifyHeap(a);
  });

  it("goes back in the next flush of any thread, once its span can take it", () => {
    const { a, b, blocks } = twoThreads();
    const c = createAllocator({ memory: a.mem });
    for (const p of blocks) c.free(p);
    c.close();
    a.flushAll();
    expect(parked(c, CLASS_OF_64)).toBe(20);
    verifyHeap(a);
    b.flushAll();
    expect(parked(c, CLASS_OF_64)).toBe(0);
    verifyHeap(a);
  });
});
