import type { Addr } from "@gort/memory";
import { describe, expect, it, vi } from "vitest";
import { type Allocator, createAllocator, newHeapStats } from "../src/index.ts";
import { collectWith, verifyHeap } from "../src/testing.ts";

const MiB = 1 << 20;
const fresh = () => createAllocator({ maxMemory: 256 * MiB, seed: 1 });

describe("malloc and free", () => {
  it("hand the block freed last out first", () => {
    const a = fresh();
    const [p, q] = [a.malloc(40), a.malloc(40)];
    a.free(p);
    a.free(q);
    expect([a.malloc(48), a.malloc(33)]).toEqual([q, p]);
    verifyHeap(a);
  });

  it("count every call and give everything back in the end", () => {
    const a = fresh();
    const blocks = [0, 1, 8, 9, 100, 1024, 1025, 30_000, 32_760, 32_761, 500_000].map((n) => a.malloc(n));
    verifyHeap(a);
    for (const p of blocks) a.free(p);
    verifyHeap(a);
    const st = a.readStats(newHeapStats());
    verifyHeap(a);
    expect([st.heapObjects, st.heapAlloc]).toEqual([0, 0]);
    expect([st.mallocs, st.frees]).toEqual([11, 11]);
  });

  it("give the cached span back too, once its last block was freed", () => {
    const a = fresh();
    // The ninth block is one too many for the list: the last ones go back to their spans, one of which is cached.
    for (const n of [8192, 16_384, 24_576, 32_760]) {
      const blocks = Array.from({ length: 9 }, () => a.malloc(n));
      for (const p of blocks) a.free(p);
    }
    expect(a.readStats(newHeapStats()).heapInuse).toBe(0);
    verifyHeap(a);
  });

  it("give spans without blocks back to the heap", () => {
    const a = fresh();
    const blocks = Array.from({ length: 20_000 }, () => a.malloc(64));
    const inuse = a.readStats(newHeapStats()).heapInuse;
    for (const p of blocks) a.free(p);
    const st = a.readStats(newHeapStats());
    expect(inuse).toBeGreaterThanOrEqual(20_000 * 64);
    expect(st.heapInuse).toBeLessThanOrEqual(8192);
    verifyHeap(a);
  });

  it("clear a reused block if asked to, and always in calloc", () => {
    const a = fresh();
    for (const n of [8, 48, 2000, 200_000]) {
      for (const again of [() => a.malloc(n, { zero: true }), () => a.calloc(n / 8, 8)]) {
        const p = a.malloc(n);
        a.mem.kernel.fill(p, 0xaa, n);
        a.free(p);
        const q = again();
        expect(q).toBe(p);
        expect(a.view(q, Uint8Array).every((x) => x === 0)).toBe(true);
        a.free(q);
      }
    }
  });

  describe("clear pages that held something else", () => {
    const KiB = 1024;
    const dirty = (a: Allocator, p: Addr, n: number): Addr => {
      a.mem.kernel.fill(p, 0xff, n);
      return p;
    };
    const isZero = (a: Allocator, p: Addr, n: number): boolean =>
      a.view(p, Uint32Array, n / 4).every((w) => w === 0);
    const small = (a: Allocator, n: number): Addr[] =>
      Array.from({ length: n }, () => dirty(a, a.malloc(8 * KiB), 8 * KiB));

    it("as spans of a page cache, when a large block takes them", () => {
      const a = createAllocator({ maxMemory: 64 << 20 });
      const blocks = small(a, 65); // the first made the heap grow, and was not cut from the cache
      for (const p of blocks.slice(1)) a.free(p);
      a.flushAll();
      const p = a.calloc(1, 512 * KiB);
      expect(p).toBe(blocks[1]); // the same pages
      expect(isZero(a, p, 512 * KiB)).toBe(true);
      verifyHeap(a);
    });

    it("as a large block, when another, small blocks or larger ones take them", () => {
      const a = createAllocator({ maxMemory: 64 << 20 });
      const first = dirty(a, a.malloc(512 * KiB), 512 * KiB);
      a.free(first);
      const p = a.calloc(1, 512 * KiB);
      expect(p).toBe(first);
      expect(isZero(a, p, 512 * KiB)).toBe(true);
      dirty(a, p, 512 * KiB);
      a.free(p);
      for (let k = 0; k < 64; k++) expect(isZero(a, a.calloc(1, 8 * KiB), 8 * KiB)).toBe(true);
      // Half of its pages were in use before.
      const q = a.malloc(256 * KiB);
      dirty(a, q, 256 * KiB);
      a.free(q);
      const r = a.calloc(1, 512 * KiB);
      expect(r).toBe(q);
      expect(isZero(a, r, 512 * KiB)).toBe(true);
      verifyHeap(a);
    });

    it("as part of a page cache that was claimed before, or beside pages that are fresh", () => {
      const a = createAllocator({ maxMemory: 64 << 20 });
      const blocks = small(a, 40); // 24 pages of the cache stay fresh
      a.flushAll();
      for (const p of blocks.slice(8)) a.free(p);
      a.flushAll();
      for (let k = 0; k < 56; k++) expect(isZero(a, a.calloc(1, 8 * KiB), 8 * KiB)).toBe(true);
      verifyHeap(a);
    });

    it("after a release that keeps what is in the pages, as on macOS", () => {
      const a = createAllocator({ maxMemory: 64 << 20 });
      vi.spyOn(a.mem, "canRelease", "get").mockReturnValue(true);
      vi.spyOn(a.mem, "releaseZeroes", "get").mockReturnValue(false);
      vi.spyOn(a.mem, "sysUnused").mockReturnValue(true);
      const blocks: Addr[] = [];
      const first = dirty(a, a.malloc(160 * KiB), 160 * KiB); // ends inside of what the page cache will claim
      a.free(first);
      expect(a.freeOSMemory()).toBe(160 * KiB);
      for (let k = 0; k < 20; k++) blocks.push(a.calloc(1, 8 * KiB));
      expect(blocks[0]).toBe(first);
      for (const p of blocks) expect(isZero(a, p, 8 * KiB)).toBe(true);
      for (const p of blocks.splice(0)) a.free(p);
      a.flushAll();
      blocks.push(...small(a, 64), dirty(a, a.malloc(MiB), MiB));
      for (const p of blocks) a.free(p);
      a.flushAll();
      expect(a.freeOSMemory()).toBe(MiB + 512 * KiB);
      for (let k = 0; k < 64; k++) expect(isZero(a, a.calloc(1, 8 * KiB), 8 * KiB)).toBe(true);
      const p = a.calloc(1, MiB);
      expect(p).toBe(blocks[64]);
      expect(isZero(a, p, MiB)).toBe(true);
      verifyHeap(a);
    });
  });

  it("name what is wrong with a pointer, and change nothing", () => {
    const a = fresh();
    const p = a.malloc(64);
    const big = a.malloc(100_000);
    const hex = (n: number) => `0x${n.toString(16)}`;
    a.free(0 as Addr);
    expect(() => a.free((p + 8) as Addr)).toThrow(`inside the block at ${hex(p)} (got ${hex(p + 8)})`);
    expect(() => a.free((p + 1) as Addr)).toThrow("inside the block");
    expect(() => a.free((big + 8192) as Addr)).toThrow("inside the block");
    expect(() => a.free((p + 64) as Addr)).toThrow("is not allocated"); // the run's unused tail
    expect(() => a.free(4096 as Addr)).toThrow("outside of the heap");
    expect(() => a.free(a.stackAlloc(2048))).toThrow("outside of the heap");
    expect(() => a.free(-8 as Addr)).toThrow(RangeError);
    expect(() => a.free(1.5 as Addr)).toThrow(RangeError);
    expect(() => a.free("p" as never)).toThrow(TypeError);
    a.free(p);
    expect(() => a.free(p)).toThrow(`double free (got ${hex(p)})`);
    expect(() => a.usableSize(p)).toThrow(RangeError);
    expect(() => a.realloc(p, 10)).toThrow(RangeError);
    a.flushAll();
    expect(() => a.free(p)).toThrow("outside of the heap"); // its span is gone
    a.free(big);
    expect(() => a.free(big)).toThrow(RangeError);
    verifyHeap(a);
  });

  it("refuse what malloc did not allocate, of whichever kind", () => {
    const a = fresh();
    const typ = a.newType(64, [0xff]); // its pointers have bits where blocks have theirs
    for (const p of [
      a.mallocgc(64, 0, true),
      a.mallocgc(3, 0, true),
      a.mallocgc(16, 0, true),
      a.mallocTyped(typ),
      a.mallocgc(1024, a.newType(8, [1]), true) - 8,
      a.mallocgc(100_000, 0, true),
      a.mallocgc(96_000, a.newType(96, [1]), true),
    ] as Addr[]) {
      expect(() => a.free(p)).toThrow("an object that malloc did not allocate");
      expect(a.findObject(p)).toBe(p);
    }
    expect(() => a.free(a.zerobase)).toThrow("outside of the heap");
    verifyHeap(a);
  });

  it("refuse a slot that another thread's mcache has claimed, and a block that it has freed", () => {
    const a = fresh();
    a.share();
    const b = createAllocator({ memory: a.mem });
    const p = b.malloc(64);
    expect(() => a.free((p + 64) as Addr)).toThrow("not allocated");
    expect(b.malloc(64)).toBe(p + 64);
    b.free(p);
    expect(() => a.free(p)).toThrow("double free");
    a.free((p + 64) as Addr);
    expect(() => b.free((p + 64) as Addr)).toThrow("double free");
    verifyHeap(a);
  });

  it("find nothing of the pointers of a span that was freed", () => {
    const a = fresh();
    const span = a.heap.alloc(1, 10 << 1) as Addr;
    const start = a.mem.u32[(span + 12) >>> 2];
    for (let i = 0; i < 32; i++) a.mem.u32[(a.heapBitsBase >>> 2) + (start >>> 8) + i] = 0xffffffff;
    a.freeSpan(span);
    const blocks = Array.from({ length: 300 }, () => a.malloc(64));
    expect(blocks).toContain(start);
    verifyHeap(a);
    expect(() => a.free((start + 8) as Addr)).toThrow("inside the block");
    for (const p of blocks) a.free(p);
    verifyHeap(a);
  });

  it("work above 2 GiB", () => {
    const a = createAllocator({ maxMemory: 4 * 1024 * MiB });
    const low = a.malloc(2100 * MiB);
    const blocks = Array.from({ length: 1000 }, () => a.malloc(48));
    expect(Math.min(...blocks)).toBeGreaterThan(2 ** 31);
    for (let i = 0; i < 20_000; i++) {
      const k = i % 1000;
      a.free(blocks[k]);
      expect(a.malloc(48)).toBe(blocks[k]);
    }
    const p = blocks[7];
    expect(() => a.free((p + 8) as Addr)).toThrow("inside the block");
    a.free(p);
    expect(() => a.free(p)).toThrow("double free");
    verifyHeap(a);
    a.free(low);
  });

  it("charge a bit for each 8 bytes of blocks, and mallocgc nothing", () => {
    const st = newHeapStats();
    const grown = (alloc: (a: Allocator) => void): number => {
      const a = fresh();
      alloc(a); // the first chunk of span bits
      const before = a.readStatsUnflushed(st).gcSys;
      for (let i = 0; i < 8 * 1024; i++) alloc(a);
      return a.readStatsUnflushed(st).gcSys - before;
    };
    const collected = grown((a) => void a.mallocgc(8192, 0, true));
    const byHand = grown((a) => void a.malloc(8192));
    expect(byHand - collected).toBe((64 * MiB) / 64);
  });

  it("take noscan for what all blocks are, and nothing else", () => {
    const a = fresh();
    const p = a.malloc(64, { noscan: true, zero: true });
    expect(a.view(p, Uint8Array).every((x) => x === 0)).toBe(true);
    expect(() => a.malloc(64, { noscan: false as never })).toThrow(TypeError);
    a.free(p);
  });

  it("refuse a heap that is garbage collected", () => {
    const a = fresh();
    const p = a.malloc(64);
    collectWith(a, () => true);
    expect(() => a.free(p)).toThrow(TypeError);
  });

  it.each([-1, 0.5, Number.NaN, 2 ** 32])("reject a size of %d", (n) => {
    const a = fresh();
    expect(() => a.malloc(n)).toThrow(RangeError);
    expect(() => a.calloc(n, 1)).toThrow(RangeError);
    expect(() => a.calloc(1, n)).toThrow(RangeError);
    expect(() => a.realloc(0 as Addr, n)).toThrow(RangeError);
    expect(() => a.calloc(65536, 65536)).toThrow(RangeError);
  });
});

describe("realloc, usableSize, dup, view", () => {
  it("keep a block in place while it fits, and its contents when it moves", () => {
    const a = fresh();
    const p = a.malloc(100);
    expect(a.usableSize(p)).toBe(112);
    a.view(p, Uint8Array).fill(7);
    expect(a.realloc(p, 112)).toBe(p);
    expect(a.realloc(p, 57)).toBe(p);
    const q = a.realloc(p, 113);
    expect(q).not.toBe(p);
    expect(a.view(q, Uint8Array, 112).every((x) => x === 7)).toBe(true);
    const r = a.realloc(q, 16);
    expect(a.usableSize(r)).toBe(16);
    const big = a.realloc(r, 200_000);
    expect(a.view(big, Uint8Array, 16).every((x) => x === 7)).toBe(true);
    expect(a.realloc(big, 199_000)).toBe(big);
    expect(a.usableSize(a.realloc(big, 50_000))).toBe(57_344);
    expect(a.readStats(newHeapStats()).heapObjects).toBe(1);
    verifyHeap(a);
  });

  it.each([
    // [usable bytes, the fewest that stay in place]
    [8, 0],
    [16, 9],
    [112, 57],
    [8192, 4097],
    [9472, 9472 - 8191],
    [16_384, 8193],
    [40_960, 32_769],
  ])("leave a block of %d bytes where it is for %d bytes, and for no fewer", (usable, least) => {
    const a = fresh();
    const p = a.malloc(usable);
    expect(a.usableSize(p)).toBe(usable);
    for (const n of [usable, least]) expect(a.realloc(p, n)).toBe(p);
    expect(a.realloc(p, usable + 1)).not.toBe(p);
    if (least === 0) return;
    const q = a.malloc(usable);
    a.view(q, Uint8Array).fill(7);
    const r = a.realloc(q, least - 1);
    expect(r).not.toBe(q);
    expect(a.usableSize(r)).toBeLessThan(usable);
    expect(a.view(r, Uint8Array, least - 1).every((x) => x === 7)).toBe(true);
    verifyHeap(a);
  });

  it("leave what was in a block that is used again, unless zeros are asked for", () => {
    for (const shared of [false, true]) {
      const a = fresh();
      if (shared) a.share();
      for (const [options, want] of [
        [undefined, 0xaa],
        [{}, 0xaa],
        [{ zero: false }, 0xaa],
        [{ zero: true }, 0],
      ] as const) {
        const p = a.malloc(64);
        a.view(p, Uint8Array).fill(0xaa);
        a.free(p);
        expect(a.malloc(64, options)).toBe(p);
        expect([a.mem.u8[p + 8], a.mem.u8[p + 63]]).toEqual([want, want]);
        a.free(p);
      }
    }
  });

  it("take no address outside of the memory or of its heap", () => {
    const a = fresh();
    const block = a.malloc(64);
    const { size } = a.mem;
    for (const p of [size, size + 8, size + block, 2 ** 32 - 8, 4096, size - 8] as Addr[]) {
      expect(() => a.free(p)).toThrow(
        `allocator: free of an address outside of the heap (got 0x${p.toString(16)})`,
      );
      expect(() => a.usableSize(p)).toThrow("usableSize needs an allocated block");
    }
    expect(() => a.usableSize(0 as Addr)).toThrow("usableSize needs an allocated block (got 0x0)");
    a.free(0 as Addr); // nothing
  });

  it("copy an object that malloc did not allocate, and leave it one", () => {
    const a = fresh();
    const p = a.mallocNoscan(64);
    a.mem.u8[p + 5] = 9;
    const q = a.dup(p);
    expect(a.mem.u8[q + 5]).toBe(9);
    expect(() => a.free(p)).toThrow("free of an object that malloc did not allocate");
    a.free(q);
    // Blocks beside one that is copied stay in use.
    const blocks = Array.from({ length: 4 }, () => a.malloc(32));
    const copy = a.dup(blocks[1]);
    for (const block of [...blocks, copy]) a.free(block);
    verifyHeap(a);
  });

  it("report no sample where none is due", () => {
    const a = fresh();
    const p = a.malloc(64);
    a.hooks.sampleMalloc = () => {
      throw new Error("sampled");
    };
    a.setMemProfileRate(0);
    const q = a.realloc(p, 200);
    a.dup(a.realloc(q, 40_000));
  });

  it("report the new block once, when the old one is free", () => {
    const a = fresh();
    const p = a.malloc(64);
    a.setMemProfileRate(1);
    const seen: number[] = [];
    a.hooks.sampleMalloc = (q, size) => void seen.push(q, size);
    a.hooks.onFree = (q) => void seen.push(-q);
    const q = a.realloc(p, 200);
    expect(seen).toEqual([-p, q, 208]);
    seen.length = 0;
    const r = a.dup(q);
    expect(seen).toEqual([r, 208]);
    seen.length = 0;
    const big = a.realloc(r, 40_000);
    expect(seen).toEqual([-r, big, 40_960]);
    seen.length = 0;
    a.free(q);
    a.hooks.onFree = () => {};
    expect([a.realloc(big, 200), ...seen]).toEqual([q, -q]); // from the list: no slot is taken
  });

  it("copy a block, and see it through any typed array", () => {
    const a = fresh();
    const p = a.calloc(4, 8);
    a.view(p, Float64Array).set([1, 2, 3, 4]);
    const q = a.dup(p);
    a.view(p, Float64Array)[0] = 9;
    expect([...a.view(q, Float64Array)]).toEqual([1, 2, 3, 4]);
    expect(a.view(q, Uint16Array, 3)).toHaveLength(3);
    expect([0, 16].map((n) => a.view(q, Uint16Array, n).length)).toEqual([0, 16]);
    expect(a.view(q, Uint16Array)).toHaveLength(16);
    expect(() => a.view(q, Uint16Array, 17)).toThrow("0 to 16 elements (got 17)");
    expect(a.withView(q, Float64Array, (v) => v.length)).toBe(4);
  });
});

describe("checks", () => {
  const checked = () => createAllocator({ maxMemory: 64 * MiB, checks: true });

  it("poison fresh and freed blocks with different bytes", () => {
    const a = checked();
    const p = a.malloc(64);
    expect(a.view(p, Uint8Array).every((x) => x === 0xcd)).toBe(true);
    expect(a.view(a.calloc(8, 8), Uint8Array).every((x) => x === 0)).toBe(true);
    a.free(p);
    expect(a.mem.u8.subarray(p + 8, p + 64).every((x) => x === 0xdb)).toBe(true);
  });

  it("report what is in use by the place that allocated it", () => {
    const a = checked();
    function makeLeaks(n: number): Addr[] {
      return Array.from({ length: n }, () => a.malloc(100));
    }
    const blocks = makeLeaks(3);
    a.malloc(5000);
    a.free(blocks[1]);
    const report = a.leakReport();
    expect(report.map((r) => [r.blocks, r.bytes])).toEqual([
      [1, 5000],
      [2, 200],
    ]);
    expect(report[0]?.site).toContain("manual.test.ts");
    expect(() => fresh().leakReport()).toThrow(
      new TypeError("allocator: leakReport needs createAllocator({ checks: true })"),
    );
  });

  it("refuse to free a block that a view is in use on", () => {
    const a = checked();
    const p = a.malloc(64);
    expect(() => a.withView(p, Uint8Array, () => a.free(p))).toThrow("inside withView");
    a.free(p);
    expect(() => a.free(p)).toThrow("double free");
  });

  it("refuse to move such a block, and know it after it was resized in place", () => {
    const a = checked();
    const p = a.malloc(100);
    expect(() => a.withView(p, Uint8Array, () => a.realloc(p, 5000))).toThrow("inside withView");
    expect(a.leakReport().map((r) => [r.blocks, r.bytes])).toEqual([[1, 100]]);
    expect(() =>
      a.withView(p, Uint8Array, () => {
        expect(a.realloc(p, 112)).toBe(p);
        a.free(p);
      }),
    ).toThrow("inside withView");
    expect(a.leakReport()[0]?.bytes).toBe(112);
    a.free(p);
    expect(a.leakReport()).toEqual([]);
    verifyHeap(a);
  });

  it("leave a block alone whose free is refused", () => {
    const a = checked();
    a.share();
    const other = createAllocator({ memory: a.mem, checks: true });
    const [p, q] = [a.malloc(64), other.malloc(64)];
    other.free(q);
    other.free(p); // its link to q is in the block now
    expect(() => a.free(p)).toThrow("double free");
    expect([other.malloc(64), other.malloc(64)]).toEqual([p, q]);

    const r = a.calloc(8, 8);
    collectWith(a, () => true);
    expect(() => a.free(r)).toThrow("garbage collected");
    expect(() => a.realloc(r, 5000)).toThrow("garbage collected");
    expect(a.view(r, Uint8Array).every((x) => x === 0)).toBe(true);
  });

  it("name what is no address at all", () => {
    const a = createAllocator({ maxMemory: 64 * MiB });
    for (const p of [undefined, null, "x", 5n, {}] as unknown as Addr[]) {
      expect(() => a.usableSize(p)).toThrow("needs an address");
      expect(() => a.view(p, Uint8Array)).toThrow("needs an address");
      expect(() => a.realloc(p, 8)).toThrow("needs an address");
      expect(() => a.dup(p)).toThrow("needs an address");
    }
  });
});

describe("the manual API against a shadow heap", () => {
  it("keeps every block apart and intact over millions of operations", { timeout: 120_000 }, () => {
    const seed = Number(process.env.GORT_SEED ?? Math.floor(Math.random() * 2 ** 31));
    let x = seed | 1;
    const random = (n: number): number => {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      return (x >>> 0) % n;
    };
    const a = createAllocator({ maxMemory: 512 * MiB, seed });
    const { u32 } = a.mem;
    // The shadow: address, words asked for, and a stamp that the block's first and last word hold.
    const N = 20_000;
    const addr = new Float64Array(N);
    const words = new Uint32Array(N);
    const stamp = new Uint32Array(N);
    const owner = new Map<number, number>();
    const write = (k: number, p: number, n: number): void => {
      if (owner.has(p)) throw new Error(`block 0x${p.toString(16)} was handed out twice (seed ${seed})`);
      owner.set(p, k);
      addr[k] = p;
      words[k] = n;
      stamp[k] = x;
      u32[p >>> 2] = x;
      u32[(p >>> 2) + n - 1] = x;
    };
    const check = (k: number): void => {
      const i = addr[k] >>> 2;
      if (u32[i] !== stamp[k] || u32[i + words[k] - 1] !== stamp[k]) {
        throw new Error(`block at 0x${addr[k].toString(16)} was overwritten (seed ${seed})`);
      }
    };
    const size = (): number => {
      const r = random(1000);
      return r < 700 ? 1 + random(64) : r < 995 ? 1 + random(1000) : 1 + random(20_000); // words
    };
    let last = 8;
    const OPS = Number(process.env.FUZZ_OPS ?? 10_000_000);
    for (let op = 0; op < OPS; op++) {
      const k = random(N);
      const n = size();
      if (addr[k] === 0) {
        write(k, a.malloc(4 * n), n);
      } else {
        check(k);
        const p = addr[k] as Addr;
        owner.delete(p);
        if (random(8) === 0) {
          const old = words[k];
          const q = a.realloc(p, 4 * n);
          if (u32[q >>> 2] !== stamp[k] || (n >= old && u32[(q >>> 2) + old - 1] !== stamp[k])) {
            throw new Error(`realloc lost the contents of 0x${p.toString(16)} (seed ${seed})`);
          }
          write(k, q, n);
        } else {
          a.free(p);
          addr[k] = 0;
          last = p;
        }
      }
      if (op % 4096 === 0) {
        // Nothing but the block itself can be freed, and that once.
        const j = random(N);
        for (const wrong of addr[j] === 0 ? [last] : [8, 4, 1].map((d) => addr[j] + d)) {
          if (owner.has(wrong)) continue;
          expect(() => a.free(wrong as Addr), `0x${wrong.toString(16)}, seed ${seed}`).toThrow(RangeError);
        }
      }
      if (op % (OPS / 4) === 0) verifyHeap(a);
    }
    for (let k = 0; k < N; k++) {
      if (addr[k] === 0) continue;
      check(k);
      a.free(addr[k] as Addr);
    }
    verifyHeap(a);
    const st = a.readStats(newHeapStats());
    expect([st.heapObjects, st.heapAlloc, st.mallocs], `seed ${seed}`).toEqual([0, 0, st.frees]);
    expect(st.heapInuse).toBeLessThanOrEqual(68 * 81_920);
    verifyHeap(a);
  });
});
