import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { createAllocator, newHeapStats } from "../src/index.ts";
import {
  MHEAP_AT,
  MSPAN_AT,
  SPECIAL,
  SPECIAL_AT,
  SPECIAL_CLEANUP,
  SPECIAL_FINALIZER,
  SPECIAL_PROFILE,
  SPECIAL_WEAK,
} from "../src/internal.ts";
import { collectWith, verifyHeap } from "../src/testing.ts";

describe("specials", () => {
  it("are kept by address, then kind, cleanups in the order they were added", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    const [p, q] = [a.mallocNoscan(64), a.mallocNoscan(64)];
    a.addSpecial(q, SPECIAL_FINALIZER, 1);
    a.addSpecial(p, SPECIAL_PROFILE, 2);
    a.addSpecial(p, SPECIAL_CLEANUP, 3);
    a.addSpecial(p, SPECIAL_CLEANUP, 4);
    a.addSpecial(p, SPECIAL_WEAK, 5);
    a.addSpecial(p, SPECIAL_FINALIZER, 6, 66);
    const got: number[] = [];
    const span = a.spanOf(p);
    for (let s = a.mem.u32[(span + MSPAN_AT.specials) >>> 2]; s !== 0; ) {
      got.push(a.mem.u32[(s + SPECIAL_AT.data) >>> 2]);
      s = a.mem.u32[(s + SPECIAL_AT.next) >>> 2];
    }
    expect(got).toEqual([6, 5, 3, 4, 2, 1]);
    expect(a.mem.u32[(a.findSpecial(p, SPECIAL_FINALIZER) + SPECIAL_AT.data2) >>> 2]).toBe(66);
    verifyHeap(a);
  });

  it("are one of a kind but for cleanups", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    const p = a.mallocNoscan(64);
    expect(a.addSpecial(p, SPECIAL_FINALIZER, 1)).not.toBe(0);
    expect(a.addSpecial(p, SPECIAL_FINALIZER, 2)).toBe(0);
    expect(a.removeSpecial(p, SPECIAL_FINALIZER)).toBe(1);
    expect(a.removeSpecial(p, SPECIAL_FINALIZER)).toBe(-1);
    expect(a.findSpecial(p, SPECIAL_FINALIZER)).toBe(0);
    a.addSpecial(p, SPECIAL_CLEANUP, 7);
    a.addSpecial(p, SPECIAL_CLEANUP, 8);
    expect(a.removeSpecial(p, SPECIAL_CLEANUP, 8)).toBe(8);
    expect(a.removeSpecial(p, SPECIAL_CLEANUP, 8)).toBe(-1);
    expect(a.removeSpecial(p, SPECIAL_CLEANUP)).toBe(7);
    collectWith(a, () => false);
    verifyHeap(a);
  });

  it("distinguish a special that exists already from a lack of memory", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    // From the high end of each span down: a special becomes the first of its span's list.
    const spans = Array.from({ length: 8 }, () => a.mallocNoscan(8192));
    a.mem.sysReserve(a.mem.unreserved, 8, "low");
    let added = 0;
    let last = 1;
    for (; last > 0; added++) {
      const [p, offset] = [spans[added >>> 13], 8191 - (added & 8191)];
      last = a.addSpecial((p + offset) as Addr, SPECIAL_WEAK, added);
    }
    expect(last).toBe(-1);
    const p = spans[0];
    expect(a.removeSpecial((p + 8190) as Addr, SPECIAL_WEAK)).toBe(1);
    expect(a.addSpecial(p, SPECIAL_FINALIZER, 1)).toBeGreaterThan(0);
    expect(a.removeSpecial((p + 8189) as Addr, SPECIAL_WEAK)).toBe(2);
    expect(a.addSpecial(p, SPECIAL_FINALIZER, 2)).toBe(0);
    verifyHeap(a);
  });

  it("of one object are found, removed and freed without touching those beside it", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    const first = a.mallocNoscan(64);
    const objs = [0, 1, 2].map((k) => (first + 64 * k) as Addr);
    const dataOf = (): number[] => {
      const got: number[] = [];
      const span = a.spanOf(first);
      for (let s = a.mem.u32[(span + MSPAN_AT.specials) >>> 2]; s !== 0; ) {
        got.push(a.mem.u32[(s + SPECIAL_AT.data) >>> 2]);
        s = a.mem.u32[(s + SPECIAL_AT.next) >>> 2];
      }
      return got;
    };
    for (const k of [2, 0, 1]) {
      a.addSpecial(objs[k], SPECIAL_FINALIZER, 10 * k);
      for (const j of [1, 2, 3]) a.addSpecial(objs[k], SPECIAL_CLEANUP, 10 * k + j);
    }
    const inuse = a.heap.specialalloc.inuse;
    expect(inuse).toBe(12 * Math.ceil(SPECIAL.size / 8) * 8);
    expect(dataOf()).toEqual([0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23]);
    expect(a.findSpecial(objs[1], SPECIAL_WEAK)).toBe(0);
    expect(a.findSpecial((first + 65) as Addr, SPECIAL_FINALIZER)).toBe(0);
    // Only what has the address, the kind and the data, the first of them where no data is given.
    expect(a.removeSpecial(objs[0], SPECIAL_CLEANUP, 11)).toBe(-1);
    expect(a.removeSpecial(objs[1], SPECIAL_CLEANUP, 12)).toBe(12);
    expect(a.removeSpecial(objs[1], SPECIAL_CLEANUP)).toBe(11);
    expect(a.removeSpecial(objs[1], SPECIAL_WEAK)).toBe(-1);
    expect(dataOf()).toEqual([0, 1, 2, 3, 10, 13, 20, 21, 22, 23]);
    // All of a block's, from its first byte to its last.
    a.specials.drop(objs[1], 64);
    expect(dataOf()).toEqual([0, 1, 2, 3, 20, 21, 22, 23]);
    a.specials.drop(objs[1], 64);
    a.specials.drop(objs[2], 64);
    expect(dataOf()).toEqual([0, 1, 2, 3]);
    expect(a.heap.specialalloc.inuse).toBe(inuse / 3);
    // As a sweeper does that met them on its walk: one inside of the list, then its head.
    const head = a.findSpecial(first, SPECIAL_FINALIZER);
    const next = a.findSpecial(first, SPECIAL_CLEANUP);
    a.freeSpecial(a.spanOf(first), head, next);
    expect(dataOf()).toEqual([0, 2, 3]);
    a.freeSpecial(a.spanOf(first), 0, head);
    expect(dataOf()).toEqual([2, 3]);
    expect(a.heap.specialalloc.inuse).toBe(inuse / 6);
    // One that is there already takes no memory.
    expect(a.addSpecial(first, SPECIAL_WEAK, 5)).toBeGreaterThan(0);
    expect(a.addSpecial(first, SPECIAL_WEAK, 6)).toBe(0);
    expect([a.heap.specialalloc.inuse, dataOf()]).toEqual([inuse / 4, [5, 2, 3]]);
    expect(a.addSpecial((first + 1) as Addr, SPECIAL_WEAK, 7)).toBeGreaterThan(0); // another address
    expect(dataOf()).toEqual([5, 2, 3, 7]);
  });

  it("are looked at and changed under their span's lock, which no other lock is taken inside of", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    a.share();
    const p = a.malloc(64);
    const [own, heap] = [a.spanOf(p) + MSPAN_AT.speclock, a.mheap + MHEAP_AT.lock];
    const locks: [string, number][] = [];
    for (const name of ["acquire", "release"] as const) {
      const real = a.heap[name].bind(a.heap);
      a.heap[name] = (addr) => {
        locks.push([name, addr]);
        real(addr);
      };
    }
    const of = (addr: number): [string, number][] => [
      ["acquire", addr],
      ["release", addr],
    ];
    const during = (act: () => unknown): [string, number][] => {
      locks.length = 0;
      act();
      return locks.slice();
    };
    const add = (): number => a.specials.add(p, SPECIAL_WEAK, 1, 0);
    expect(during(add)).toEqual([...of(heap), ...of(own)]);
    expect(during(() => expect(add()).toBe(0))).toEqual([...of(heap), ...of(own), ...of(heap)]);
    expect(during(() => a.specials.find(p, SPECIAL_WEAK))).toEqual(of(own));
    expect(during(() => a.specials.remove(p, SPECIAL_PROFILE, undefined))).toEqual(of(own));
    expect(during(() => a.specials.remove(p, SPECIAL_WEAK, undefined))).toEqual([...of(own), ...of(heap)]);
    expect(during(() => a.specials.drop(p, 64))).toEqual([]);
    // Where no span is, there is no lock.
    expect(during(() => a.specials.find(64, SPECIAL_WEAK))).toEqual([]);
    expect(during(() => a.specials.remove(64, SPECIAL_WEAK, undefined))).toEqual([]);
    add();
    expect(during(() => a.specials.drop(p, 64))).toEqual([...of(own), ...of(heap)]);
    add();
    const special = a.specials.find(p, SPECIAL_WEAK);
    expect(during(() => a.specials.free(a.spanOf(p), 0, special))).toEqual([...of(own), ...of(heap)]);
    expect(during(() => a.specialOffsets(a.spanOf(p), SPECIAL_WEAK, []))).toEqual([]);
    const again = add();
    expect(during(() => a.specialOffsets(a.spanOf(p), SPECIAL_WEAK, []))).toEqual(of(own));
    expect(during(() => a.takeSpecial(a.spanOf(p), 0, again))).toEqual(of(own));
    expect(during(() => a.releaseSpecial(again))).toEqual(of(heap));
  });

  it("of a kind are found with the offsets of their addresses", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    const p = Array.from({ length: 4 }, () => a.malloc(64));
    for (const q of [p[3], p[1]]) a.addSpecial(q, SPECIAL_FINALIZER, 1);
    a.addSpecial(p[0], SPECIAL_WEAK, 1);
    const out = [7];
    a.specialOffsets(a.spanOf(p[0]), SPECIAL_FINALIZER, out);
    expect(out).toEqual([7, p[1] - p[0], p[3] - p[0]]);
  });

  it("may be taken first and released later, and are in use until then", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    const p = a.malloc(64);
    const before = a.heap.specialalloc.inuse;
    const special = a.addSpecial(p, SPECIAL_WEAK, 1);
    const inuse = a.heap.specialalloc.inuse;
    a.takeSpecial(a.spanOf(p), 0, special);
    expect([a.findSpecial(p, SPECIAL_WEAK), a.heap.specialalloc.inuse]).toEqual([0, inuse]);
    a.releaseSpecial(special);
    expect(a.heap.specialalloc.inuse).toBe(before);
  });

  it("need an address in the heap", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    expect(() => a.addSpecial(64 as Addr, SPECIAL_WEAK, 1)).toThrow(RangeError);
    expect(a.findSpecial(64 as Addr, SPECIAL_WEAK)).toBe(0);
    expect(a.removeSpecial(64 as Addr, SPECIAL_WEAK)).toBe(-1);
    expect(() => a.addSpecial(-8 as Addr, SPECIAL_WEAK, 1)).toThrow("needs an address in the heap");
    expect(a.removeSpecial(a.mallocNoscan(8192), 0)).toBe(-1); // of a span without any
  });

  it("go with a block that is freed by hand, after the hook was called with it", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    const blocks = Array.from({ length: 200 }, () => a.malloc(64));
    a.free(blocks[199]); // from here on free would not look
    for (const p of blocks.slice(0, 100)) {
      a.addSpecial(p, SPECIAL_PROFILE, 7);
      a.addSpecial((p + 16) as Addr, SPECIAL_FINALIZER, 8);
    }
    const told: number[] = [];
    a.hooks.onFree = (p, size) => {
      const s = a.findSpecial(p, SPECIAL_PROFILE);
      told.push(p, size, s === 0 ? 0 : a.mem.u32[(s + SPECIAL_AT.data) >>> 2]);
    };
    const [p, q, r] = [blocks[50], blocks[51], blocks[150]] as [Addr, Addr, Addr];
    a.free(p);
    a.free(r);
    expect(told).toEqual([p, 64, 7, r, 64, 0]);
    expect(a.findSpecial(p, SPECIAL_PROFILE)).toBe(0);
    expect(a.findSpecial((p + 16) as Addr, SPECIAL_FINALIZER)).toBe(0);
    expect(a.findSpecial((q + 16) as Addr, SPECIAL_FINALIZER)).not.toBe(0);
    for (const b of blocks.slice(0, 199)) if (b !== p && b !== r) a.free(b);
    const large = a.malloc(100_000);
    a.addSpecial(large, SPECIAL_CLEANUP, 1);
    a.free(large);
    expect(a.heap.specialalloc.inuse).toBe(0);
    a.flushAll();
    verifyHeap(a);
    expect(a.readStats(newHeapStats()).heapInuse).toBe(0);
    const n = told.length;
    a.hooks.onFree = () => told.push(0);
    for (let i = 0; i < 10; i++) a.free(a.malloc(64));
    expect(told).toHaveLength(n + 10);
  });
});
