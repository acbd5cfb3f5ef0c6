/** The central lists in one thread: which span a class gets next, and where one goes that it gives up. */
import type { Addr } from "@gort/memory";
import { beforeEach, describe, expect, it } from "vitest";
import {
  type Allocator,
  createAllocator,
  GCCONTROL_AT,
  MCACHE_AT,
  MSPAN_AT,
  SPAN_DEAD,
  SPAN_IN_USE,
} from "../src/internal.ts";
import { sizeClassOf } from "../src/sizeclass.ts";
import { collectWith, verifyHeap, verifyMemory } from "../src/testing.ts";
import { failure } from "./kit.ts";

const CLASS_OF_1024 = (sizeClassOf(1024) << 1) | 1;
let a: Allocator;
beforeEach(() => {
  a = createAllocator({ maxMemory: 64 << 20, seed: 1 });
});

const field = (s: Addr, offset: number): number => a.mem.u32[(s + offset) >>> 2];
const word = (addr: number): number => a.mem.u32[addr >>> 2];
const sweepgen = (): number => word(a.gcControl + GCCONTROL_AT.sweepgen);

/** The spans of a list, from its head. */
function listed(head: number): number[] {
  const spans: number[] = [];
  for (let s = word(head); s !== 0; s = word(s + MSPAN_AT.next)) spans.push(s);
  return spans;
}

/** Allocates objects of the size until they fill n spans; one array of objects a span. */
function fillSpans(size: number, n: number): Addr[][] {
  const spans: Addr[][] = [];
  let last: Addr | undefined;
  for (;;) {
    const p = a.mallocNoscan(size);
    const s = a.spanOf(p);
    if (s !== last) spans.push([]);
    last = s;
    (spans.at(-1) as Addr[]).push(p);
    if (spans.length === n && (spans.at(-1) as Addr[]).length === field(s, MSPAN_AT.nelems)) return spans;
  }
}

/** Begins a sweep: marks the objects that `isLive` names, and makes every span unswept. */
function beginSweep(isLive: (p: Addr) => boolean, objects: readonly Addr[]): void {
  a.flushAll();
  for (const p of objects) {
    if (!isLive(p)) continue;
    const s = a.spanOf(p);
    const i = a.objIndex(s, p);
    const w = (field(s, MSPAN_AT.gcmarkBits) >>> 2) + (i >>> 5);
    a.mem.u32[w] = a.mem.u32[w] | (1 << (i & 31));
  }
  a.mem.u32[(a.gcControl + GCCONTROL_AT.sweepgen) >>> 2] = sweepgen() + 2;
}

/** Sweeps on demand, and notes which spans. */
function sweepOnDemand(): Addr[] {
  const swept: Addr[] = [];
  a.hooks.sweepSpan = (s) => {
    swept.push(s);
    expect([field(s, MSPAN_AT.sweepgen), field(s, MSPAN_AT.list)]).toEqual([sweepgen() - 1, 0]); // it is the sweeper's
    a.spanSwept(s, a.sweepBits(s), true);
  };
  return swept;
}

describe("a class that wants a span", () => {
  it("gets a swept one with a free slot, before any is swept or made", () => {
    const spans = fillSpans(1024, 3);
    const kept = spans.flatMap((objs) => objs.slice(1));
    collectWith(a, (p) => kept.includes(p));
    const partial = listed(a.central.partialSwept(CLASS_OF_1024));
    expect(partial).toHaveLength(3);
    const before = a.nspans;
    const p = a.mallocNoscan(1024);
    expect([a.spanOf(p), a.nspans]).toEqual([partial[0], before]);
    expect(field(a.spanOf(p), MSPAN_AT.sweepgen)).toBe(sweepgen() + 3);
    expect(listed(a.central.partialSwept(CLASS_OF_1024))).toEqual(partial.slice(1));
    verifyHeap(a);
  });

  it("has an unswept partial span swept before an unswept full one", () => {
    const spans = fillSpans(1024, 4);
    const objs = spans.flat();
    // The first span is partial when the next sweep begins, the others are full.
    const hole = spans[0][0];
    collectWith(a, (p) => p !== hole);
    beginSweep((p) => p !== hole, objs);
    const swept = sweepOnDemand();
    expect(a.mallocNoscan(1024)).toBe(hole);
    expect(swept).toEqual([a.spanOf(hole)]);
    // None of the others has a free slot: all are swept, and a new span is made.
    const p = a.mallocNoscan(1024);
    expect(objs).not.toContain(p);
    expect(new Set(swept)).toEqual(new Set(spans.map(([q]) => a.spanOf(q))));
    expect(listed(a.central.fullUnswept(CLASS_OF_1024))).toEqual([]);
    expect(listed(a.central.fullSwept(CLASS_OF_1024))).toHaveLength(4);
    verifyHeap(a);
  });

  it("sweeps a hundred full spans in vain at most", () => {
    const objs = fillSpans(8192, 130).flat();
    const spc = field(a.spanOf(objs[0]), MSPAN_AT.spanclass);
    beginSweep(() => true, objs);
    const swept = sweepOnDemand();
    const p = a.mallocNoscan(8192);
    expect(objs).not.toContain(p);
    expect(swept).toHaveLength(100);
    expect(listed(a.central.fullSwept(spc))).toHaveLength(100);
    expect(listed(a.central.fullUnswept(spc))).toHaveLength(30);
    a.mallocNoscan(8192);
    expect(swept).toHaveLength(130);
    verifyHeap(a);
  });

  it("uses spans without objects only when none is left to be swept", () => {
    for (const partly of [true, false]) {
      a = createAllocator({ maxMemory: 64 << 20, seed: 1 });
      const [first, second] = fillSpans(1024, 2) as [Addr[], Addr[]];
      // The first is partial or full when the sweep begins, and has a free slot after it; the second has no object.
      collectWith(a, (p) => first.includes(p) && !(partly && p === first[0]));
      expect(listed(a.central.empty(CLASS_OF_1024))).toEqual([a.spanOf(second[0])]);
      beginSweep((p) => p !== first[0] && first.includes(p), first);
      const swept = sweepOnDemand();
      expect(a.mallocNoscan(1024)).toBe(first[0]);
      expect(swept).toEqual([a.spanOf(first[0])]);
      expect(a.spanOf(a.mallocNoscan(1024))).toBe(a.spanOf(second[0]));
      verifyHeap(a);
    }
  });

  it("gets the full span whose sweep frees a slot, and sweeps no more", () => {
    const objs = fillSpans(8192, 20).flat();
    const spc = field(a.spanOf(objs[0]), MSPAN_AT.spanclass);
    a.flushAll();
    const order = listed(a.central.fullSwept(spc));
    const dead = objs.find((p) => a.spanOf(p) === order[6]) as Addr;
    beginSweep((p) => p !== dead, objs);
    const swept = sweepOnDemand();
    expect(a.mallocNoscan(8192)).toBe(dead);
    expect(swept).toEqual(order.slice(0, 7));
  });

  it("is refused a span that its sweeper left unswept, and one that has no slot", () => {
    const objs = fillSpans(1024, 1).flat();
    beginSweep(() => true, objs);
    a.hooks.sweepSpan = () => {};
    expect(() => a.mallocNoscan(1024)).toThrow("mcentral.cacheSpan: the span was not swept");
    const b = createAllocator({ maxMemory: 64 << 20 });
    const p = b.mallocNoscan(1024);
    b.flushAll();
    const s = b.spanOf(p);
    b.mem.u32[(s + MSPAN_AT.allocCount) >>> 2] = 8;
    const error = failure(() => b.mallocNoscan(1024));
    expect([error.message, error.detail]).toEqual([
      "mcentral.cacheSpan: span has no free objects",
      `span 0x${s.toString(16)}`,
    ]);
  });
});

describe("a span that an mcache gives up", () => {
  it("is full, partial, or kept for its class, by the objects left in it", () => {
    const [full, partial, none] = fillSpans(1024, 3) as [Addr[], Addr[], Addr[]];
    const kept = [...full, ...partial.slice(0, 7)];
    collectWith(a, (p) => kept.includes(p));
    expect(listed(a.central.fullSwept(CLASS_OF_1024))).toEqual([a.spanOf(full[0])]);
    expect(listed(a.central.partialSwept(CLASS_OF_1024))).toEqual([a.spanOf(partial[0])]);
    expect(listed(a.central.empty(CLASS_OF_1024))).toEqual([a.spanOf(none[0])]);
    expect(a.heap.counter("emptyPages")).toBe(1);
    expect(a.heap.counter("heapInUse")).toBe(2 * 8192);
    verifyHeap(a);
  });

  it("goes back to the heap if it is of several pages", () => {
    const p = a.mallocNoscan(9000);
    const s = a.spanOf(p);
    expect(field(s, MSPAN_AT.npages)).toBeGreaterThan(1);
    collectWith(a, () => false);
    expect(field(s, MSPAN_AT.state)).toBe(SPAN_DEAD);
    expect(a.heap.counter("emptyPages")).toBe(0);
    verifyHeap(a);
  });

  it("is the first to be used again if a thread gives it up, and the last if a sweep does", () => {
    const [x, y, z] = fillSpans(1024, 3).map(([p]) => a.spanOf(p)) as [Addr, Addr, Addr];
    a.flushAll();
    const order = listed(a.central.fullSwept(CLASS_OF_1024));
    collectWith(a, () => false);
    expect(listed(a.central.empty(CLASS_OF_1024))).toEqual(order);
    expect(new Set(order)).toEqual(new Set([x, y, z]));
    // The mcache takes a span for an object, and gives it up without allocating, as after an error of a hook.
    const s = a.central.cacheSpan(CLASS_OF_1024, 0, a.cache.slots) as Addr;
    expect(s).toBe(order[0]);
    a.central.uncacheSpan(s);
    expect(listed(a.central.empty(CLASS_OF_1024))).toEqual(order);
    verifyHeap(a);
  });
});

describe("spans without objects", () => {
  it("are freed as far as pages are wanted, or all of them", () => {
    const objs = fillSpans(1024, 5).flat();
    const spans = [...new Set(objs.map((p) => a.spanOf(p)))];
    collectWith(a, () => false);
    expect(a.heap.counter("emptyPages")).toBe(5);
    const alive = (): number => spans.filter((s) => field(s, MSPAN_AT.state) === SPAN_IN_USE).length;
    expect(a.heap.freeRetained(2)).toBe(true);
    expect([a.heap.counter("emptyPages"), alive()]).toEqual([3, 3]);
    verifyHeap(a);
    expect(a.heap.freeRetained(Number.POSITIVE_INFINITY)).toBe(true);
    expect([a.heap.counter("emptyPages"), alive()]).toEqual([0, 0]);
    expect(a.heap.freeRetained(Number.POSITIVE_INFINITY)).toBe(false);
    expect(a.heap.freeRetained(1)).toBe(false);
    verifyHeap(a);
  });

  it("are freed in all classes, the first and the last included", () => {
    const word8 = a.newType(8, [1]);
    const first = a.mallocTyped(word8);
    const last = a.mallocNoscan(8192);
    const spans = [a.spanOf(first), a.spanOf(last)];
    collectWith(a, () => false);
    expect(a.heap.counter("emptyPages")).toBe(2);
    a.heap.freeRetained(Number.POSITIVE_INFINITY);
    expect(spans.map((s) => field(s, MSPAN_AT.state))).toEqual([SPAN_DEAD, SPAN_DEAD]);
  });
});

describe("the sweeper", () => {
  it("gets every unswept span once, by class, full ones before partial ones", () => {
    const objs = [16, 64, 1024].flatMap((n) => fillSpans(n, 2).flat());
    // In each class one full span and one partial.
    const holes = new Set(
      [16, 64, 1024].map((n) => objs.find((p) => field(a.spanOf(p), MSPAN_AT.elemsize) === n)),
    );
    collectWith(a, (p) => !holes.has(p));
    beginSweep((p) => !holes.has(p), objs);
    const got: string[] = [];
    for (let s = a.nextSpanForSweep(); s !== 0; s = a.nextSpanForSweep()) {
      expect([field(s, MSPAN_AT.sweepgen), field(s, MSPAN_AT.list)]).toEqual([sweepgen() - 1, 0]);
      const n = a.sweepBits(s);
      a.spanSwept(s, n, false);
      const full = field(s, MSPAN_AT.allocCount) === field(s, MSPAN_AT.nelems);
      got.push(`${field(s, MSPAN_AT.elemsize)} ${full ? "full" : "partial"}`);
    }
    expect(got).toEqual(["16 full", "16 partial", "64 full", "64 partial", "1024 full", "1024 partial"]);
    expect(a.nextSpanForSweep()).toBe(0);
    verifyHeap(a);
    // The next sweep begins with the first class again.
    beginSweep((p) => !holes.has(p), objs);
    const s = a.nextSpanForSweep();
    expect(field(s, MSPAN_AT.elemsize)).toBe(16);
    a.spanSwept(s, a.sweepBits(s), false);
  });

  it("may take a span out of the middle of a list, and none that is on no list", () => {
    const objs = fillSpans(1024, 3).flat();
    const [x, y, z] = [...new Set(objs.map((p) => a.spanOf(p)))] as [Addr, Addr, Addr];
    expect(a.central.remove(z)).toBe(false); // the mcache has it
    a.flushAll();
    const list = a.central.fullSwept(CLASS_OF_1024);
    expect(listed(list)).toEqual([z, y, x]);
    expect(a.central.remove(y)).toBe(true);
    expect(listed(list)).toEqual([z, x]);
    expect([MSPAN_AT.next, MSPAN_AT.prev, MSPAN_AT.list].map((f) => field(y, f))).toEqual([0, 0, 0]);
    expect(a.central.remove(y)).toBe(false);
    expect(a.central.remove(z)).toBe(true);
    expect([listed(list), field(x, MSPAN_AT.prev)]).toEqual([[x], 0]);
    expect(a.central.remove(x)).toBe(true);
    expect(listed(list)).toEqual([]);
    expect(a.central.pop(list, CLASS_OF_1024)).toBe(0);
    for (const s of [x, y, z]) a.central.push(list, s);
    expect(a.central.pop(list, CLASS_OF_1024)).toBe(z);
    expect([field(z, MSPAN_AT.next), field(z, MSPAN_AT.list), field(y, MSPAN_AT.prev)]).toEqual([0, 0, 0]);
    a.central.push(list, z);
    verifyHeap(a);
    verifyMemory(a.mem);
  });
});

describe("a span that is being swept, in a heap that threads share", () => {
  /** Two spans of each of two threads, all of them unswept. */
  function unswept(): { b: Allocator; spans: Addr[] } {
    a.share();
    const b = createAllocator({ memory: a.mem, seed: 1 });
    const objs = [a, b].flatMap((of) => Array.from({ length: 16 }, () => of.mallocNoscan(1024)));
    b.flushAll();
    beginSweep(() => true, objs);
    return { b, spans: [...new Set(objs.map((p) => a.spanOf(p)))] };
  }
  const sweeping = (of: Allocator): number => word(of.cache.base + MCACHE_AT.sweeping);

  it("is named by the mcache of its sweeper until it is where it belongs", () => {
    const { b } = unswept();
    expect(a.sweepingThread).toBe(0);
    const s = b.nextSpanForSweep();
    expect([sweeping(b), sweeping(a), field(s, MSPAN_AT.sweepgen)]).toEqual([s, 0, sweepgen() - 1]);
    expect([a.sweepingThread, b.sweepingThread]).toEqual([a.mem.thread, a.mem.thread]);
    expect(b.spanSwept(s, b.sweepBits(s), false)).toBe(false);
    expect([sweeping(b), a.sweepingThread, field(s, MSPAN_AT.sweepgen)]).toEqual([0, 0, sweepgen()]);
    // The same when the sweep frees the span, and for an allocation that sweeps.
    const t = b.nextSpanForSweep();
    a.mem.u32.fill(0, word(t + MSPAN_AT.gcmarkBits) >>> 2, (word(t + MSPAN_AT.gcmarkBits) >>> 2) + 1);
    expect(b.spanSwept(t, b.sweepBits(t), false)).toBe(true);
    expect(sweeping(b)).toBe(0);
    const seen: number[] = [];
    a.hooks.sweepSpan = (span) => {
      seen.push(sweeping(a) - span);
      a.spanSwept(span, a.sweepBits(span), true);
    };
    a.mallocNoscan(1024);
    expect([new Set(seen), sweeping(a)]).toEqual([new Set([0]), 0]);
  });

  it("is taken once, by one thread, and only while it is unswept", () => {
    const { b, spans } = unswept();
    const [x, y] = spans as [Addr, Addr];
    expect(b.takeForSweep(y)).toBe(true);
    expect([sweeping(b), field(y, MSPAN_AT.sweepgen), field(y, MSPAN_AT.list)]).toEqual([
      y,
      sweepgen() - 1,
      0,
    ]);
    expect(a.takeForSweep(y)).toBe(false);
    b.spanSwept(y, b.sweepBits(y), false);
    expect(a.takeForSweep(y)).toBe(false);
    expect(a.takeForSweep(x)).toBe(true);
    a.spanSwept(x, a.sweepBits(x), false);
    expect(a.takeForSweep(a.spanOf(a.mallocNoscan(2048)))).toBe(false); // a new span, which the mcache has
    for (let s = a.nextSpanForSweep(); s !== 0; s = a.nextSpanForSweep())
      a.spanSwept(s, a.sweepBits(s), false);
    verifyHeap(a);
  });

  it("is left by a thread that dies: the sweep ends without it", () => {
    const { b } = unswept();
    const s = b.nextSpanForSweep();
    expect(a.recover(b.id)).toBe(true);
    expect([a.sweepingThread, field(s, MSPAN_AT.sweepgen)]).toEqual([0, sweepgen()]);
    for (let t = a.nextSpanForSweep(); t !== 0; t = a.nextSpanForSweep()) {
      expect(t).not.toBe(s);
      a.spanSwept(t, a.sweepBits(t), false);
    }
    verifyHeap(a);
  });
});

describe("the mcaches", () => {
  it("are all flushed when none has a span or a byte that heapLive does not show", () => {
    a.share();
    const b = createAllocator({ memory: a.mem, seed: 1 });
    expect(a.allFlushed).toBe(true);
    a.mallocNoscan(64);
    b.mallocNoscan(64);
    a.flushAll();
    expect([a.allFlushed, b.allFlushed]).toEqual([false, false]);
    b.flushAll();
    expect(a.allFlushed).toBe(true);
    b.mallocgc(40_000, 0, true);
    expect(a.allFlushed).toBe(false);
    b.flushAll();
    expect(a.allFlushed).toBe(true);
  });
});
