/** The blocks of bits that spans own, by exact values. (That they last: limits.test.ts.) */
import { describe, expect, it, vi } from "vitest";
import { createAllocator, MCACHE_AT, MHEAP_AT, RECOVERY_LOG_AT } from "../src/internal.ts";
import { SPAN_BITS_ALIGN, spanBitsBytes } from "../src/span-bits.ts";

const SIZES = [8, 16, 32, 64, 128];
const MiB = 1 << 20;

function setUp(maxMemory = 64 * MiB) {
  const a = createAllocator({ maxMemory });
  const bits = a.heap.spanBits;
  const word = (addr: number): number => a.mem.u32[addr >>> 2];
  /** Blocks on a free list, from its head. */
  const listed = (head: number): number[] => {
    const blocks: number[] = [];
    for (let p = word(head); p !== 0; p = word(p)) blocks.push(p);
    return blocks;
  };
  const own = (size: number): number[] =>
    listed(a.cache.base + MCACHE_AT.spanBitsFree + 4 * SIZES.indexOf(size));
  const heaps = (size: number): number[] => listed(a.mheap + MHEAP_AT.spanBitsFree + 4 * SIZES.indexOf(size));
  const count = (): number => word(a.cache.base + MCACHE_AT.nspanBitsFree);
  const hand = (): number => word(a.cache.base + MCACHE_AT.recoveryLog + RECOVERY_LOG_AT.bits);
  const base = word(a.mheap + MHEAP_AT.spanBitsNext);
  return { a, bits, word, own, heaps, count, hand, base };
}

describe("the room for span bits", () => {
  it("is two frames of 128 bytes for each page, in whole chunks, and ends below 128 MiB", () => {
    expect(spanBitsBytes(64 * MiB, 0)).toBe(2 * 8192 * 128);
    expect(spanBitsBytes(64 * MiB + 8192, 0)).toBe(2 * (8192 * 128 + 8192));
    expect(spanBitsBytes(2 ** 32, SPAN_BITS_ALIGN)).toBe(2 * 2 ** 26);
    expect(spanBitsBytes(2 ** 32, 2 ** 26 + SPAN_BITS_ALIGN)).toBe(2 * (2 ** 26 - SPAN_BITS_ALIGN));
    const { a, bits, base } = setUp();
    expect([base % 8192, bits.half]).toEqual([0, spanBitsBytes(a.mem.size, base) / 2]);
    expect(a.mem.u32[(a.mheap + MHEAP_AT.spanBitsEnd) >>> 2]).toBe(base + bits.half);
  });
});

describe("a block", () => {
  it.each(SIZES)("of %d bytes is cut from a frame with its equals, sixteen at a time", (size) => {
    const { bits, own, heaps, count, base } = setUp();
    expect(bits.take(size)).toBe(0);
    expect(bits.refill(size)).toBe(true);
    const taken = own(size);
    expect(taken.sort((p, q) => p - q)).toEqual(Array.from({ length: 16 }, (_, k) => base + k * size));
    expect(count()).toBe(16);
    // The rest of the last frame is the heap's.
    const frames = Math.ceil((16 * size) / 128) * 128;
    expect(heaps(size).length).toBe((frames - 16 * size) / size);
    for (const other of SIZES) if (other !== size) expect([own(other), heaps(other)]).toEqual([[], []]);
  });

  it("is zero on both sides to its end, and its neighbours are left alone", () => {
    const { a, bits, hand, count } = setUp();
    bits.refill(32);
    const [first, second, third] = [bits.take(32), bits.take(32), bits.take(32)].sort((p, q) => p - q) as [
      number,
      number,
      number,
    ];
    expect([second - first, third - second]).toEqual([32, 32]);
    for (const half of [0, bits.half])
      a.mem.u32.fill(0xffffffff, (first + half) >>> 2, (third + 32 + half) >>> 2);
    bits.put(second, 32);
    expect([count(), bits.isNext(second, 32), bits.isNext(first, 32)]).toEqual([14, true, false]);
    expect(bits.take(32)).toBe(second);
    expect([hand(), count()]).toEqual([second, 13]);
    for (const half of [0, bits.half]) {
      const words = (p: number): number[] => [...a.mem.u32.subarray((p + half) >>> 2, (p + half + 32) >>> 2)];
      expect([first, second, third].map(words)).toEqual([
        new Array(8).fill(0xffffffff),
        new Array(8).fill(0),
        new Array(8).fill(0xffffffff),
      ]);
    }
  });

  it("that is freed stays with its thread, up to 256 of all sizes, and a share of the memory's", () => {
    for (const [maxMemory, threads, kept] of [
      [1024 * MiB, 1, 256], // of 4096 for all threads
      [64 * MiB, 1, 256],
      [64 * MiB, 2, 128],
    ] as const) {
      const { a, bits, own, heaps, count } = setUp(maxMemory);
      a.share();
      if (threads === 2) createAllocator({ memory: a.mem });
      const blocks: number[] = [];
      while (blocks.length < 300) {
        const p = bits.take(8) || (bits.refill(8) ? bits.take(8) : 0);
        blocks.push(p);
      }
      while (count() > 0) bits.take(8);
      const before = heaps(8).length;
      for (const p of blocks) bits.free(p, 8);
      expect([maxMemory, count(), own(8).length]).toEqual([maxMemory, kept, kept]);
      expect(heaps(8).length - before).toBe(300 - kept);
      expect(own(8)).toEqual(blocks.slice(0, kept).reverse());
    }
  });

  it("is counted anew where a thread was killed between two stores", () => {
    const { a, bits, count } = setUp();
    for (const size of SIZES) bits.refill(size);
    a.mem.u32[(a.cache.base + MCACHE_AT.nspanBitsFree) >>> 2] = 3;
    bits.recount();
    expect(count()).toBe(5 * 16);
  });
});

describe("frames", () => {
  it("are counted by 8 KiB on either side, 64 at a time", () => {
    const { a, bits, base } = setUp();
    const maps = vi.spyOn(a.mem, "sysMap");
    const chunk = (k: number): unknown[][] =>
      [0, bits.half].map((half) => [base + half + 8192 * k, 8192, "gcSys"]);
    for (let k = 0; k < 4; k++) bits.refill(128);
    expect(maps.mock.calls).toEqual(chunk(0));
    bits.refill(128);
    expect(maps.mock.calls).toEqual([...chunk(0), ...chunk(1)]);
  });

  it("end where the room does", () => {
    const { a, bits, word } = setUp();
    const next = (a.mheap + MHEAP_AT.spanBitsNext) >>> 2;
    a.mem.u32[(a.mheap + MHEAP_AT.spanBitsEnd) >>> 2] = a.mem.u32[next] + 3 * 128 + 127;
    const blocks: number[] = [];
    for (;;) {
      const p = bits.take(128) || (bits.refill(128) ? bits.take(128) : 0);
      if (p === 0) break;
      blocks.push(p);
    }
    expect(blocks.length).toBe(3);
    expect(bits.refill(8)).toBe(false);
    // The blocks that the thread has ahead of use are found again, as a frame.
    bits.free(blocks[1], 128);
    expect(bits.refill(8)).toBe(true);
    expect(word(a.cache.base + MCACHE_AT.nspanBitsFree)).toBe(1);
    expect(bits.take(8)).toBe(blocks[1]);
  });

  it("are whole again where all of their blocks are free, and no others are", () => {
    const { a, bits, base, count } = setUp();
    a.mem.u32[(a.mheap + MHEAP_AT.spanBitsEnd) >>> 2] = base + 4 * 128;
    const drain = (size: number): number[] => {
      const blocks: number[] = [];
      for (;;) {
        const p = bits.take(size) || (bits.refill(size) ? bits.take(size) : 0);
        if (p === 0) return blocks.sort((x, y) => x - y);
        blocks.push(p);
      }
    };
    for (const size of [8, 16, 32, 64]) {
      const blocks = drain(size);
      expect(blocks).toEqual(Array.from({ length: 512 / size }, (_, k) => base + k * size));
      const inFrame = (k: number): number[] => blocks.filter((p) => Math.floor((p - base) / 128) === k);
      // Frames 0 and 2 whole, of frame 1 all but its first block and of frame 3 all but its last.
      const free = [...inFrame(0), ...inFrame(1).slice(1), ...inFrame(2), ...inFrame(3).slice(0, -1)];
      for (const p of free) bits.free(p, size);
      expect(drain(128)).toEqual([base, base + 256]);
      expect(drain(size)).toEqual([...inFrame(1).slice(1), ...inFrame(3).slice(0, -1)]);
      expect(count()).toBe(0);
      for (const p of [base, base + 256]) bits.free(p, 128);
      for (const k of [1, 3]) for (const p of inFrame(k)) bits.free(p, size);
    }
  });
});
