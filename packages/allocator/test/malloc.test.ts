import { type Addr, createLinearMemory } from "@gort/memory";
import fc from "fast-check";
import { beforeEach, describe, expect, it, vi } from "vitest";
import {
  type Allocator,
  type AllocatorOptions,
  createAllocator,
  isFatalError,
  newHeapStats,
} from "../src/index.ts";
import { GC_MARK, GC_OFF, GCCONTROL_AT, MCACHE_AT, MSPAN_AT } from "../src/internal.ts";
import { sizeClassOf } from "../src/sizeclass.ts";
import { allocatedObjects, collectWith, verifyHeap } from "../src/testing.ts";
import { failure } from "./kit.ts";

let a: Allocator;
beforeEach(() => {
  a = createAllocator({ maxMemory: 256 << 20, seed: 7 });
});

const spanField = (p: Addr, offset: number): number => a.mem.u32[(a.spanOf(p) + offset) >>> 2];
const live = (): number => a.mem.u32[(a.gcControl + GCCONTROL_AT.heapLive) >>> 2];
const stats = () => a.readStats(newHeapStats());

function bitsOf(p: number, words: number): number[] {
  const out: number[] = [];
  for (let i = 0; i < words; i++) {
    const b = (p >>> 3) + i;
    out.push((a.mem.u32[(a.heapBitsBase >>> 2) + (b >>> 5)] >>> (b & 31)) & 1);
  }
  return out;
}

function isZero(p: number, n: number): boolean {
  for (let i = 0; i < n; i++) if (a.mem.u8[p + i] !== 0) return false;
  return true;
}

describe("mallocgc", () => {
  it("gives every zero-size request the same address, which is no object", () => {
    const p = a.mallocNoscan(0);
    expect(p).toBe(a.zerobase);
    expect(a.mallocgc(0, 0, true)).toBe(p);
    expect(a.mallocTyped(a.newType(0, []))).toBe(p);
    expect(a.findObject(p)).toBe(0);
    expect(stats().mallocs).toBe(0);
  });

  it("zeroes what it hands out again after the first owner filled it", () => {
    const sizes = [16, 24, 48, 100, 512, 1024, 3000, 20000, 40000];
    for (let round = 0; round < 3; round++) {
      const ptrs = sizes.flatMap((n) =>
        Array.from({ length: 30 }, () => [a.mallocgc(n, 0, true), n] as const),
      );
      for (const [p, n] of ptrs) {
        expect(isZero(p, n)).toBe(true);
        a.mem.kernel.fill(p, 0xaa, n);
      }
      collectWith(a, () => false);
      verifyHeap(a);
    }
  });

  it("may leave old contents in a large object without pointers when asked to", () => {
    const p = a.mallocgc(100_000, 0, true);
    a.mem.kernel.fill(p, 0xaa, 100_000);
    collectWith(a, () => false);
    const q = a.mallocgc(100_000, 0, false);
    expect(q).toBe(p);
    expect(a.mem.u8[q + 5000]).toBe(0xaa);
    collectWith(a, () => false);
    const r = a.mallocgc(100_000, a.newType(8, [1]), false);
    expect(isZero(r, 100_000)).toBe(true);
  });

  it("puts pointerful objects above 512 bytes behind a header that holds their type", () => {
    const typ = a.newType(1024, new Uint32Array(4).fill(0xffffffff));
    const p = a.mallocTyped(typ);
    expect(a.mem.u32[(p - 8) >>> 2]).toBe(typ);
    expect(a.findObject(p)).toBe(p - 8);
    expect(spanField(p, MSPAN_AT.elemsize)).toBe(1152);
    expect(spanField(a.mallocgc(1024, 0, true), MSPAN_AT.elemsize)).toBe(1024);
  });

  it("keeps the type of a large object in its span", () => {
    const word = a.newType(8, [1]);
    const p = a.mallocgc(1 << 20, word, true);
    expect(spanField(p, MSPAN_AT.largeType)).toBe(word);
    expect(spanField(p, MSPAN_AT.limit)).toBe(p + (1 << 20));
    expect(a.findObject((p + 12345) as Addr)).toBe(p);
  });

  it.each([-1, 1.5, Number.NaN, 2 ** 32, Number.POSITIVE_INFINITY])("rejects a size of %d bytes", (n) => {
    expect(() => a.mallocgc(n, 0, true)).toThrow(RangeError);
    expect(() => a.mallocNoscan(n)).toThrow(`(got ${n})`);
    expect(() => a.mallocgc(n, a.newType(8, [1]), true)).toThrow(RangeError);
    expect(() => a.roundupsize(n, true)).toThrow(RangeError);
  });

  it("rejects a size that is not a whole number of its type, and types that don't fit their mask", () => {
    expect(() => a.mallocgc(20, a.newType(16, [1]), true)).toThrow(
      "multiple of its type's 16 bytes (got 20)",
    );
    expect(() => a.newType(8, [2])).toThrow(RangeError);
    expect(() => a.newType(12, [1])).toThrow(RangeError);
    expect(() => a.mallocNoscan("16" as never)).toThrow(TypeError);
  });

  it("ends with the fatal error and the sizes when the memory is exhausted, and stays usable", () => {
    const keep: Addr[] = [];
    let error: unknown;
    try {
      for (;;) keep.push(a.mallocgc(8 << 20, 0, true));
    } catch (err) {
      error = err;
    }
    expect(isFatalError(error)).toBe(true);
    const fatal = error as { message: string; detail: string; kind: string };
    expect(fatal.message).toBe("runtime: out of memory");
    expect(fatal.detail).toMatch(
      /cannot allocate 8388608-byte block \(\d+ in use, \d+ idle, \d+ unreserved of a memory of 268435456/,
    );
    expect(() => a.mallocgc(3 * 2 ** 30, 0, true)).toThrow("out of memory");
    verifyHeap(a);
    collectWith(a, () => false);
    expect(a.mallocgc(8 << 20, 0, true)).toBe(keep[0]);
    verifyHeap(a);
  });

  it("asks outOfMemory once whether to try again", () => {
    const calls: number[] = [];
    for (;;) {
      try {
        a.mallocgc(16 << 20, 0, true);
      } catch {
        break;
      }
    }
    a.hooks.outOfMemory = (n) => {
      calls.push(n);
      collectWith(a, () => false);
      return true;
    };
    expect(a.mallocgc(16 << 20, 0, true)).toBeGreaterThan(0);
    expect(calls).toEqual([16 << 20]);
  });
});

describe("the reports that follow an allocation", () => {
  /** Every way to allocate, with the address of the object and the bytes of its slot. */
  const ways = (): Record<string, [alloc: () => Addr, bytes: number]> => {
    const pair = a.newType(16, [1]);
    const big = a.newType(1600, [1]);
    return {
      tiny: [() => a.mallocNoscan(15), 16], // no two share a block
      noscan: [() => a.mallocNoscan(64), 64],
      "noscan, not by the table of small sizes": [() => a.mallocNoscan(3000), 3072],
      typed: [() => a.mallocTyped(pair), 16],
      "typed, with a header": [() => a.mallocTyped(big), 1792],
      array: [() => a.mallocgc(160, pair, true), 160],
      "array, with a header": [() => a.mallocgc(1600, pair, true), 1792],
      large: [() => a.mallocgc(40_000, 0, true), 40_960],
      "large, with pointers": [() => a.mallocgc(40_000, pair, true), 40_960],
      "by hand": [() => a.malloc(64), 64],
      "by hand, large": [() => a.malloc(40_000), 40_960],
    };
  };

  it("name the object and the bytes of its slot, where each object is sampled", () => {
    for (const [name, [alloc, bytes]] of Object.entries(ways())) {
      a.setMemProfileRate(1);
      const seen: number[] = [];
      a.hooks.sampleMalloc = (p, size) => void seen.push(p, size);
      const p = alloc();
      expect([name, ...seen]).toEqual([name, p, bytes]);
      a.hooks.sampleMalloc = () => {};
    }
    expect(a.memProfileRate).toBe(1);
  });

  it("follow the slow path alone, once, and gcTrigger only where heapLive has come to the trigger", () => {
    const trigger = (a.gcControl + GCCONTROL_AT.trigger) >>> 3;
    for (const [name, [alloc]] of Object.entries(ways())) {
      a.flushAll();
      let calls: Addr[] = [];
      a.hooks.gcTrigger = (p) => void calls.push(p);
      a.mem.f64[trigger] = live() + (1 << 20);
      alloc();
      expect([name, calls]).toEqual([name, []]);
      a.flushAll();
      a.mem.f64[trigger] = live();
      const first = alloc();
      expect([name, calls]).toEqual([name, [first]]);
      calls = [];
      const second = alloc();
      // A large object has no fast path.
      expect([name, calls]).toEqual([name, name.includes("large") ? [second] : []]);
      a.mem.f64[trigger] = Number.POSITIVE_INFINITY;
    }
  });

  it("call gcTrigger where heapLive is the trigger exactly, and not a byte below", () => {
    const trigger = (a.gcControl + GCCONTROL_AT.trigger) >>> 3;
    let calls = 0;
    a.hooks.gcTrigger = () => calls++;
    a.mem.f64[trigger] = 8193;
    a.mallocNoscan(64); // a run of 8192 bytes
    expect([live(), calls]).toEqual([8192, 0]);
    a.mem.f64[trigger] = 16_384;
    a.mallocNoscan(128);
    expect([live(), calls]).toEqual([16_384, 1]);
  });

  it("ask outOfMemory for nothing while there is memory", () => {
    a.hooks.outOfMemory = () => {
      throw new Error("asked");
    };
    for (const [alloc] of Object.values(ways())) expect(alloc()).toBeGreaterThan(0);
  });
});

describe("a large object", () => {
  it("is a span of its own, whose fields say what it is", () => {
    const pair = a.newType(16, [1]);
    for (const [typ, spanclass] of [
      [0, 1],
      [pair, 0],
    ] as const) {
      const p = a.mallocgc(40_000, typ, true);
      expect(
        [
          MSPAN_AT.startAddr,
          MSPAN_AT.npages,
          MSPAN_AT.spanclass,
          MSPAN_AT.nelems,
          MSPAN_AT.elemsize,
          MSPAN_AT.limit,
        ].map((f) => spanField(p, f)),
      ).toEqual([p, 5, spanclass, 1, 40_960, p + 40_000]);
      expect(
        [MSPAN_AT.allocCount, MSPAN_AT.freeindex, MSPAN_AT.largeType].map((f) => spanField(p, f)),
      ).toEqual([1, 1, typ]);
      expect(a.mem.u32[spanField(p, MSPAN_AT.allocBits) >>> 2]).toBe(1);
      expect(spanField(p, MSPAN_AT.list)).toBe(a.central.fullSwept(spanclass));
      expect(a.findObject((p + 39_999) as Addr)).toBe(p);
      expect(a.findObject((p + 40_000) as Addr)).toBe(0); // behind what was asked for
    }
    verifyHeap(a);
  });

  it("is cleared where it has pointers or zeros are asked for, and may be left as it is otherwise", () => {
    const pair = a.newType(16, [1]);
    for (const [typ, zero, want] of [
      [0, false, 0xaa],
      [0, true, 0],
      [pair, false, 0],
      [pair, true, 0],
    ] as const) {
      const before = a.mallocgc(40_000, 0, true);
      a.mem.kernel.fill(before, 0xaa, 40_960);
      collectWith(a, () => false);
      const p = a.mallocgc(40_000, typ, zero);
      expect(p).toBe(before);
      expect([a.mem.u8[p], a.mem.u8[p + 40_959]]).toEqual([want, want]);
      expect(spanField(p, MSPAN_AT.needzero)).toBe(want === 0 ? 0 : 1);
      collectWith(a, () => false);
    }
  });

  it("is cleared without being asked where its size alone is given, and as an array of a type without pointers", () => {
    const plain = a.newType(8, []);
    for (const alloc of [() => a.mallocNoscan(40_000), () => a.mallocgc(40_000, plain, false)]) {
      const before = a.mallocgc(40_000, 0, true);
      a.mem.kernel.fill(before, 0xaa, 40_960);
      collectWith(a, () => false);
      const p = alloc();
      expect([p, a.mem.u8[p], a.mem.u8[p + 40_959]]).toEqual([before, 0, 0]);
      expect([spanField(p, MSPAN_AT.spanclass), spanField(p, MSPAN_AT.largeType)]).toEqual([1, 0]);
      collectWith(a, () => false);
    }
  });

  it("counts by whole pages, and as freed by a sweep", () => {
    a.mallocgc(32_761, 0, true);
    a.mallocgc(40_961, 0, true);
    expect([live(), stats().largeAlloc, stats().largeAllocCount]).toEqual([32_768 + 49_152, 81_920, 2]);
    collectWith(a, () => false);
    expect([live(), stats().largeFree, stats().largeFreeCount]).toEqual([0, 81_920, 2]);
  });
});

describe("an array", () => {
  it("is small up to 32760 bytes with its header, has none up to 512, and is nothing without elements", () => {
    const word = a.newType(8, [1]);
    const field = (p: Addr): number[] => [MSPAN_AT.spanclass, MSPAN_AT.elemsize].map((f) => spanField(p, f));
    expect(a.mallocgc(0, word, true)).toBe(a.zerobase);
    const small = a.mallocgc(512, word, true);
    expect(field(small)).toEqual([sizeClassOf(512) << 1, 512]);
    expect(bitsOf(small, 64)).toEqual(new Array(64).fill(1));
    const header = a.mallocgc(520, word, true);
    expect(field(header)).toEqual([sizeClassOf(528) << 1, 576]);
    expect(a.mem.u32[(header - 8) >>> 2]).toBe(word);
    const most = a.mallocgc(32_760, word, true);
    expect([field(most), a.mem.u32[(most - 8) >>> 2]]).toEqual([[sizeClassOf(32_768) << 1, 32_768], word]);
    expect(field(a.mallocgc(32_768, word, true))).toEqual([0, 32_768]);
    const plain = a.newType(24, []);
    expect(field(a.mallocgc(72, plain, true))).toEqual([(sizeClassOf(72) << 1) | 1, 80]);
  });

  it("of alternating types takes no slot but its own", () => {
    const types = [a.newType(32, [1]), a.newType(32, [2]), a.newType(16, [1])];
    for (let k = 0; k < 300; k++) {
      if (k % 3 === 2) a.mallocgc(32, types[2], true);
      else a.mallocTyped(types[k % 2]);
    }
    expect([stats().heapObjects, stats().heapInuse]).toEqual([300, 2 * 8192]);
    verifyHeap(a);
  });
});

describe("fresh memory", () => {
  it("is not written to be cleared: its pages stay untouched until the program uses them", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const cleared: number[] = [];
    const { kernel } = mem;
    const zero: typeof kernel.zero = (addr, n) => {
      cleared.push(n);
      kernel.zero(addr, n);
    };
    Object.defineProperty(mem, "kernel", { value: { ...kernel, zero } });
    const b = createAllocator({ memory: mem });
    const typ = b.newType(16, [1]);
    const alloc = (): void => {
      b.mallocNoscan(2000);
      b.mallocTyped(typ);
      b.mallocgc(100_000, typ, true);
      b.mallocgc(100_000, 0, true);
    };
    alloc();
    expect(cleared).toEqual([]);
    collectWith(b, () => false);
    alloc();
    // Whole runs, and large objects by whole pages.
    expect(cleared).toEqual([8192, 8192, 106_496, 106_496]);
  });
});

describe("the seed", () => {
  it("decides which objects are sampled, and is drawn where none is given", () => {
    const gaps = (options: AllocatorOptions): number[] => {
      const b = createAllocator({ maxMemory: 64 << 20, ...options });
      b.setMemProfileRate(1 << 20);
      const at = (b.cache.base + MCACHE_AT.nextSample) >>> 3;
      return [...b.mem.f64.subarray(at, at + 8)];
    };
    expect(gaps({ seed: 7 })).toEqual(gaps({ seed: 7 }));
    expect(gaps({ seed: 7 })).not.toEqual(gaps({ seed: 8 }));
    const random = vi.spyOn(Math, "random").mockReturnValue(0.75);
    expect(gaps({})).toEqual(gaps({ seed: 3 * 2 ** 30 }));
    random.mockRestore();
  });
});

describe("the default clock", () => {
  it("is the platform's", () => {
    const now = vi.spyOn(performance, "now").mockReturnValue(3);
    expect(a.scavenger.background().released).toBe(0);
    expect(now).toHaveBeenCalled();
    expect(a.scavenger.backgroundNs).toBe(0);
    now.mockRestore();
  });
});

describe("roundupsize", () => {
  it("gives what append may use as capacity: the class, less a header, or whole pages", () => {
    // [size, with pointers, without]: what Go's roundupsize gives.
    const cases = [
      [0, 0, 0],
      [1, 8, 8],
      [9, 16, 16],
      [512, 512, 512],
      [513, 568, 576],
      [1017, 1144, 1024],
      [1024, 1144, 1024],
      [1025, 1144, 1152],
      [32_760, 32_760, 32_768],
      [32_761, 32_768, 32_768],
      [32_769, 40_960, 40_960],
    ] as const;
    for (const [size, scan, noscan] of cases) {
      expect([size, a.roundupsize(size, false), a.roundupsize(size, true)]).toEqual([size, scan, noscan]);
    }
  });
});

describe("the end of a sweep", () => {
  it("counts what became free, and has the span cleared and searched from its start", () => {
    const objs = Array.from({ length: 128 }, () => a.mallocNoscan(64));
    a.flushAll();
    const s = a.spanOf(objs[0]);
    const field = (offset: number): number => a.mem.u32[(s + offset) >>> 2];
    a.mem.u32[field(MSPAN_AT.gcmarkBits) >>> 2] = 0b1011;
    a.mem.u32[(field(MSPAN_AT.gcmarkBits) >>> 2) + 3] = 0x80000000;
    // What follows is another span's.
    for (const bits of [MSPAN_AT.gcmarkBits, MSPAN_AT.allocBits]) a.mem.u32[(field(bits) >>> 2) + 4] = bits;
    expect(a.sweepBits(s)).toBe(124);
    for (const bits of [MSPAN_AT.gcmarkBits, MSPAN_AT.allocBits]) {
      expect(a.mem.u32[(field(bits) >>> 2) + 4]).toBe(bits);
      a.mem.u32[(field(bits) >>> 2) + 4] = 0;
    }
    const words = (at: number): number[] => [...a.mem.u32.subarray(at >>> 2, (at >>> 2) + 4)];
    expect([words(field(MSPAN_AT.allocBits)), words(field(MSPAN_AT.gcmarkBits))]).toEqual([
      [0b1011, 0, 0, 0x80000000],
      [0, 0, 0, 0],
    ]);
    a.central.remove(s);
    const sweepgen = (a.gcControl + GCCONTROL_AT.sweepgen) >>> 2;
    a.mem.u32[sweepgen] = 2;
    expect([field(MSPAN_AT.needzero), field(MSPAN_AT.freeindex)]).toEqual([0, 128]);
    expect(a.spanSwept(s, 124, false)).toBe(false);
    expect(
      [MSPAN_AT.needzero, MSPAN_AT.freeindex, MSPAN_AT.allocCount, MSPAN_AT.sweepgen].map(field),
    ).toEqual([1, 0, 4, 2]);
    expect(field(MSPAN_AT.list)).toBe(a.central.partialSwept(field(MSPAN_AT.spanclass)));
    expect([stats().frees, stats().smallFreeCount[field(MSPAN_AT.spanclass) >>> 1]]).toEqual([124, 124]);
    verifyHeap(a);
  });

  it("says whether the span is gone: one without objects is, unless it is to be preserved", () => {
    for (const preserve of [false, true]) {
      const p = a.mallocNoscan(64);
      a.flushAll();
      const s = a.spanOf(p);
      a.central.remove(s);
      expect(a.spanSwept(s, a.sweepBits(s), preserve)).toBe(!preserve);
      if (preserve) a.central.uncacheSpan(s);
      verifyHeap(a);
    }
  });

  it("that freed nothing leaves a span that is known to be zero as it is", () => {
    const objs = Array.from({ length: 128 }, () => a.mallocNoscan(64));
    a.flushAll();
    const s = a.spanOf(objs[0]);
    a.central.remove(s);
    expect(a.spanSwept(s, 0, true)).toBe(false);
    expect(a.mem.u32[(s + MSPAN_AT.needzero) >>> 2]).toBe(0);
    expect(a.mem.u32[(s + MSPAN_AT.list) >>> 2]).toBe(0); // preserved: the caller has it
    a.central.uncacheSpan(s);
    verifyHeap(a);
  });

  it("must not free more objects than there are, nor fewer than none", () => {
    const p = a.mallocNoscan(64);
    a.flushAll();
    const s = a.spanOf(p);
    for (const [nfreed, left] of [
      [2, -1],
      [-1, 2],
    ] as const) {
      const error = failure(() => a.spanSwept(s, nfreed, true));
      expect([error.message, error.detail]).toEqual([
        "sweep increased allocation count",
        `span 0x${s.toString(16)} nfreed=${nfreed} left=${left}`,
      ]);
    }
  });
});

describe("tiny allocator", () => {
  it("aligns a tiny object to what its size is a multiple of", () => {
    expect((a.mallocNoscan(1) as number) % 16).toBe(0);
    expect((a.mallocNoscan(2) as number) % 16).toBe(2);
    expect((a.mallocNoscan(4) as number) % 16).toBe(4);
    expect((a.mallocNoscan(3) as number) % 16).toBe(8);
    expect((a.mallocNoscan(8) as number) % 16).toBe(0); // no room at 16: a new block, kept only if it has more room
    const st = stats();
    expect([st.mallocs, st.heapObjects, st.tinyAllocs]).toEqual([5, 2, 3]);
  });

  it("keeps the block with more room left", () => {
    const p = a.mallocNoscan(5);
    const big = a.mallocNoscan(15); // a block of its own: 1 byte left against 11
    expect(big - (big % 16)).not.toBe(p);
    expect(a.mallocNoscan(3)).toBe(p + 5);
  });

  it("keeps the older one of two blocks with as much room", () => {
    const p = a.mallocNoscan(9);
    a.mallocNoscan(9);
    expect(a.mallocNoscan(7)).toBe(p + 9);
    expect((a.mallocNoscan(1) as number) % 16).toBe(0); // it is full to the last byte
  });

  it("starts a new block after a flush", () => {
    const p = a.mallocNoscan(4);
    a.flushAll();
    expect((a.mallocNoscan(4) as number) % 16).toBe(0);
    expect(a.mallocNoscan(4)).not.toBe(p + 4);
  });

  it("counts every object in mallocs, and blocks alone in heapObjects", () => {
    for (let i = 0; i < 1000; i++) a.mallocNoscan(1);
    const st = stats();
    expect(st.mallocs).toBe(1000);
    expect(st.heapObjects).toBe(Math.ceil(1000 / 16));
    expect(st.frees).toBe(1000 - Math.ceil(1000 / 16));
    expect(st.heapAlloc).toBe(st.heapObjects * 16);
  });
});

describe("heap bits", () => {
  it("describe each object by its own type when types of a class alternate", () => {
    const types = [[0b0001], [0b1010], [0b0111], [0b1000]].map((m) => a.newType(32, m));
    const objs = Array.from({ length: 2000 }, (_, i) => {
      const k = (i * 7 + (i >>> 3)) & 3;
      return [a.mallocTyped(types[k]), k] as const;
    });
    const want = [
      [1, 0, 0, 0],
      [0, 1, 0, 1],
      [1, 1, 1, 0],
      [0, 0, 0, 1],
    ];
    for (const [p, k] of objs) expect(bitsOf(p, 4)).toEqual(want[k]);
  });

  it("repeat the type over an array and are clear behind it", () => {
    const pair = a.newType(24, [0b101]);
    for (let n = 1; n <= 21; n++) {
      const p = a.mallocgc(24 * n, pair, true);
      const words = spanField(p, MSPAN_AT.elemsize) / 8;
      const want = Array.from({ length: words }, (_, i) => (i < 3 * n && i % 3 !== 1 ? 1 : 0));
      expect(bitsOf(p, words)).toEqual(want);
    }
  });

  it("are right for random types and reused slots", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 64 }), fc.array(fc.integer(), { maxLength: 2 })), {
          minLength: 1,
          maxLength: 12,
        }),
        fc.infiniteStream(fc.nat(11)),
        (specs, pick) => {
          const types = specs.map(([words, mask]) => {
            const cut = mask.map((m, k) =>
              words >= 32 * (k + 1) ? m >>> 0 : words > 32 * k ? (m & (2 ** (words - 32 * k) - 1)) >>> 0 : 0,
            );
            return { typ: a.newType(words * 8, cut), words, mask: cut };
          });
          const objs: { p: Addr; t: (typeof types)[number] }[] = [];
          for (let i = 0; i < 300; i++) {
            const t = types[(pick.next().value as number) % types.length];
            objs.push({ p: a.mallocTyped(t.typ), t });
          }
          for (const { p, t } of objs) {
            if (t.mask.every((m) => m === 0)) continue; // noscan
            const words = spanField(p, MSPAN_AT.elemsize) / 8;
            const want = Array.from({ length: words }, (_, i) => ((t.mask[i >>> 5] ?? 0) >>> (i & 31)) & 1);
            expect(bitsOf(p, words)).toEqual(want);
          }
          const survivors = new Set(objs.filter((_, i) => i % 3 === 0).map((o) => o.p));
          collectWith(a, (p) => survivors.has(p));
          verifyHeap(a);
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe("accounting", () => {
  it("is exact after a flush: every class, tails of runs returned", () => {
    for (const n of [16, 17, 48, 513, 1024, 32760, 32761, 100_000])
      for (let i = 0; i < 3; i++) a.mallocgc(n, 0, true);
    verifyHeap(a);
    const st = stats();
    expect(st.mallocs).toBe(24);
    expect(st.heapObjects).toBe(24);
    expect(st.totalAlloc).toBe(3 * (16 + 24 + 48 + 576 + 1024 + 32768 + 32768 + 106496));
    expect(live()).toBe(st.heapAlloc);
    expect([st.largeAllocCount, st.largeAlloc]).toEqual([6, 3 * (32768 + 106496)]);
    verifyHeap(a);
  });

  it("charges the whole of a fresh heap's pages as released until they are used", () => {
    a.mallocNoscan(16);
    const st = stats();
    expect(st.heapSys).toBe(4 << 20);
    expect(st.heapInuse).toBe(8192);
    expect(st.heapReleased).toBe((4 << 20) - 8192);
    expect(st.heapIdle).toBe(st.heapReleased);
  });

  it("moves a stack's bytes from HeapSys to StackSys and back", () => {
    const p = a.stackAlloc(32768);
    expect(stats()).toMatchObject({
      stackInuse: 32768,
      stackSys: 32768,
      heapSys: (4 << 20) - 32768,
      heapInuse: 0,
    });
    a.stackFree(p, 32768);
    expect(stats()).toMatchObject({ stackInuse: 0, stackSys: 0, heapSys: 4 << 20 });
    verifyHeap(a);
  });

  it("needs less than 2 % of a heap of 64-byte objects for metadata, and half of Go's for pointerful ones", () => {
    const big = createAllocator({ maxMemory: 2 ** 31 });
    const overhead = (allocate: () => void): number => {
      const before = big.readStats(newHeapStats());
      for (let i = 0; i < 2 ** 22; i++) allocate(); // 256 MiB: the share does not change with the size
      const st = big.readStats(newHeapStats());
      return (st.sys - st.heapSys - (before.sys - before.heapSys)) / (st.heapInuse - before.heapInuse);
    };
    expect(overhead(() => big.mallocNoscan(64))).toBeLessThan(0.02);
    const typ = big.newType(64, [0xff]);
    // Go: 128 bytes of mark bits, 128 of pointer bits and a struct of 160 in 8192.
    expect(overhead(() => big.mallocTyped(typ))).toBeLessThan(416 / 8192);
  });

  it("reports a creation of little memory", () => {
    const st = stats();
    expect(st.sys).toBeLessThan(1 << 20);
    expect(st.heapSys).toBe(0);
  });
});

describe("collection", () => {
  it("frees exactly what is not marked and hands the slots out again", () => {
    const objs = Array.from({ length: 1024 }, () => a.mallocNoscan(64));
    const keep = new Set(objs.filter((_, i) => i % 2 === 1));
    expect(collectWith(a, (p) => keep.has(p))).toBe(512);
    verifyHeap(a);
    expect([...allocatedObjects(a)].map((o) => o.addr).sort((x, y) => x - y)).toEqual([...keep]);
    const again = Array.from({ length: 512 }, () => a.mallocNoscan(64));
    expect(new Set(again)).toEqual(new Set(objs.filter((_, i) => i % 2 === 0)));
    verifyHeap(a);
  });

  it("gives a span without survivors back to the heap", () => {
    for (let i = 0; i < 1024; i++) a.mallocNoscan(16);
    const before = stats().heapInuse;
    collectWith(a, () => false);
    expect(before).toBe(2 * 8192);
    expect(stats().heapInuse).toBe(0);
    verifyHeap(a);
  });

  it("uses first the memory that was used last", () => {
    const spansUsed = (): Addr[] => {
      const spans = new Set<Addr>();
      for (let i = 0; i < 80; i++) spans.add(a.spanOf(a.mallocNoscan(1024)));
      return [...spans];
    };
    const used = spansUsed();
    expect(used.length).toBe(10);
    collectWith(a, () => false);
    verifyHeap(a);
    expect(spansUsed()).toEqual(used.reverse());
    collectWith(a, () => false);
    expect(spansUsed()).toEqual(used.reverse());
    verifyHeap(a);
  });

  it("marks objects that are allocated while a collection marks, and unmarks unused slots", () => {
    const phase = (a.gcControl + GCCONTROL_AT.gcPhase) >>> 2;
    a.mem.u32[phase] = GC_MARK;
    const p = a.mallocNoscan(64);
    const big = a.mallocgc(50_000, 0, true);
    a.flushAll();
    const bits = (q: Addr): number => a.mem.u32[spanField(q, MSPAN_AT.gcmarkBits) >>> 2];
    expect(bits(p)).toBe(1);
    expect(bits(big)).toBe(1);
    a.mem.u32[phase] = GC_OFF;
  });

  it("sweeps spans on demand when mcentral wants one, before the heap grows", () => {
    const objs = Array.from({ length: 8 * 64 }, () => a.mallocNoscan(1024));
    a.flushAll();
    for (const { span, addr } of allocatedObjects(a)) {
      const i = a.objIndex(span, addr);
      if (i % 2 === 0) continue;
      const w = spanField(addr, MSPAN_AT.gcmarkBits) >>> 2;
      a.mem.u32[w] = a.mem.u32[w] | (1 << i);
    }
    a.mem.u32[(a.gcControl + GCCONTROL_AT.sweepgen) >>> 2] = 2;
    const swept: Addr[] = [];
    a.hooks.sweepSpan = (s) => {
      swept.push(s);
      a.spanSwept(s, a.sweepBits(s), true);
    };
    const p = a.mallocNoscan(1024);
    expect(swept).toHaveLength(1);
    expect(objs).toContain(p);
    a.flushAll();
    verifyHeap(a);
  });

  it("calls gcTrigger with a complete object once heapLive reaches the trigger", () => {
    a.mem.f64[(a.gcControl + GCCONTROL_AT.trigger) >>> 3] = 100_000;
    const typ = a.newType(64, [0x81]);
    let at = 0;
    a.hooks.gcTrigger = (p) => {
      if (at !== 0) return;
      at = live();
      expect(a.findObject(p)).toBe(p);
      expect(bitsOf(p, 8)).toEqual([1, 0, 0, 0, 0, 0, 0, 1]);
    };
    while (at === 0) a.mallocTyped(typ);
    expect(at).toBeGreaterThanOrEqual(100_000);
    expect(at).toBeLessThan(100_000 + 8192);
  });

  it("finds objects by interior pointers, and no object in free, unused and foreign places", () => {
    const p = a.mallocNoscan(48);
    for (let i = 0; i < 48; i++) expect(a.findObject((p + i) as Addr)).toBe(p);
    expect(a.findObject((p + 48) as Addr)).toBe(0); // the rest of the run
    expect(a.findObject(0 as Addr)).toBe(0);
    expect(a.findObject((a.mem.size - 8) as Addr)).toBe(0);
    expect(a.findObject(a.stackAlloc(2048))).toBe(0);
    const q = a.mallocNoscan(80);
    expect(a.findObject((q - (q % 8192) + 102 * 80 + 8) as Addr)).toBe(0); // behind the last slot
    collectWith(a, () => false);
    expect(a.findObject(p)).toBe(0);
  });
});

describe("a fragmented heap", () => {
  /** Spans of the class whose every fourth slot is in use. */
  function fragmented(size: number, spans: number): Set<number> {
    const kept = new Set<number>();
    const n = Math.floor(8192 / size) * spans;
    for (let k = 0; k < n; k++) {
      const p = a.mallocNoscan(size);
      if (k % 4 === 3) kept.add(p);
    }
    for (const p of kept) a.mem.kernel.fill(p, 0xee, size);
    collectWith(a, (p) => kept.has(p));
    return kept;
  }

  it.each([16, 48, 512, 1024])("fills all gaps between objects of %d bytes, cleared", (size) => {
    const kept = fragmented(size, 4);
    const inuse = stats().heapInuse;
    const before = stats().heapObjects;
    const seen = new Set<number>();
    for (let k = 0; k < 4 * Math.floor(8192 / size) - kept.size; k++) {
      const p = a.mallocNoscan(size);
      expect(kept.has(p) || seen.has(p)).toBe(false);
      expect(isZero(p, size)).toBe(true);
      a.mem.kernel.fill(p, 0xdd, size);
      seen.add(p);
      if (k % 37 === 0) verifyHeap(a);
    }
    expect(stats().heapObjects - before).toBe(seen.size);
    expect(stats().heapInuse).toBe(inuse);
    for (const p of kept) expect(a.mem.u8[p]).toBe(0xee);
    verifyHeap(a);
  });

  it("claims the free slots of a word at once, but hands out no object before it is asked for", () => {
    const kept = fragmented(64, 1);
    const p = a.mallocNoscan(64);
    const first = p - (p % 8192);
    // Slots 1 and 2 are the run's; 4 to 6, 8 to 10, ... up to 30 are claimed for later.
    expect((p - first) / 64).toBe(0);
    for (let slot = 1; slot < 32; slot++) {
      const q = (first + 64 * slot) as Addr;
      expect(a.findObject(q)).toBe(kept.has(q) ? q : 0);
    }
    expect(spanField(p, MSPAN_AT.allocCount)).toBe(24 + kept.size);
    verifyHeap(a);
    a.flushAll();
    expect(spanField(p, MSPAN_AT.allocCount)).toBe(1 + kept.size);
    expect(spanField(p, MSPAN_AT.freeindex)).toBe(1);
    expect(live()).toBe(64 * (1 + kept.size));
    verifyHeap(a);
  });

  it("has no slot black before it is handed out: a marker would scan old contents", () => {
    fragmented(64, 1);
    a.mem.u32[(a.gcControl + GCCONTROL_AT.gcPhase) >>> 2] = GC_MARK;
    const p = a.mallocNoscan(64);
    const marks = () => a.mem.u32[spanField(p, MSPAN_AT.gcmarkBits) >>> 2];
    expect(marks()).toBe(0b0111);
    for (let k = 1; k < 4; k++) a.mallocNoscan(64);
    expect(marks()).toBe(0b0111_0111);
    a.flushAll();
    expect(marks()).toBe(0b0001_0111);
    a.mem.u32[spanField(p, MSPAN_AT.gcmarkBits) >>> 2] = 0;
    a.mem.u32[(a.gcControl + GCCONTROL_AT.gcPhase) >>> 2] = GC_OFF;
  });

  it("describes objects of claimed slots by the type that asks for them", () => {
    const [one, other] = [a.newType(64, [0b0101]), a.newType(64, [0b1010])];
    const kept = new Set<number>();
    for (let k = 0; k < 128; k++) {
      const p = a.mallocTyped(one);
      if (k % 4 === 3) kept.add(p);
    }
    collectWith(a, (p) => kept.has(p));
    for (let k = 0; k < 96; k++) {
      const typ = k % 5 < 2 ? one : other;
      const p = a.mallocTyped(typ);
      expect(bitsOf(p, 8)).toEqual(typ === one ? [1, 0, 1, 0, 0, 0, 0, 0] : [0, 1, 0, 1, 0, 0, 0, 0]);
    }
    for (const p of kept) expect(bitsOf(p, 8)).toEqual([1, 0, 1, 0, 0, 0, 0, 0]);
    verifyHeap(a);
  });

  it("gives a type its pointer bits in slots of each size, whichever type had the slot before", () => {
    const pair = a.newType(16, [0b01]);
    for (let k = 0; k < 3; k++) {
      // A run of each has the bits of the type once a slot.
      expect(bitsOf(a.mallocgc(64, pair, true), 8)).toEqual([1, 0, 1, 0, 1, 0, 1, 0]);
      expect(bitsOf(a.mallocTyped(pair), 2)).toEqual([1, 0]);
      expect(bitsOf(a.mallocTyped(pair), 2)).toEqual([1, 0]);
      a.flushAll(); // so that the next are the first of a run
    }
    verifyHeap(a);
  });

  it("samples as often as the rate says", () => {
    let samples = 0;
    a.hooks.sampleMalloc = () => samples++;
    fragmented(64, 16);
    a.setMemProfileRate(512);
    for (let k = 0; k < 16 * 96; k++) a.mallocNoscan(64);
    // 96 KiB of objects of 64 bytes: 192 points of the process, 180 objects that hold one or more.
    expect(samples).toBeGreaterThan(130);
    expect(samples).toBeLessThan(230);
    verifyHeap(a);
  });
});

describe("random programs", () => {
  it("keep every invariant", { timeout: 60_000 }, () => {
    const op = fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({
          op: fc.constant("noscan" as const),
          n: fc.nat(40_000),
          k: fc.integer({ min: 1, max: 40 }),
        }),
      },
      {
        weight: 6,
        arbitrary: fc.record({
          op: fc.constant("ptr" as const),
          n: fc.integer({ min: 1, max: 500 }),
          k: fc.integer({ min: 1, max: 40 }),
        }),
      },
      {
        weight: 3,
        arbitrary: fc.record({
          op: fc.constant("tiny" as const),
          n: fc.integer({ min: 1, max: 15 }),
          k: fc.integer({ min: 1, max: 40 }),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ op: fc.constant("collect" as const), n: fc.nat(100), k: fc.constant(0) }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ op: fc.constant("flush" as const), n: fc.constant(0), k: fc.constant(0) }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          op: fc.constant("stack" as const),
          n: fc.nat(6),
          k: fc.integer({ min: 1, max: 20 }),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ op: fc.constant("scavenge" as const), n: fc.nat(1 << 20), k: fc.constant(0) }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ op: fc.constant("rate" as const), n: fc.nat(5000), k: fc.constant(0) }),
      },
    );
    fc.assert(
      fc.property(fc.array(op, { minLength: 1, maxLength: 60 }), (ops) => {
        const heap = createAllocator({ maxMemory: 256 << 20, seed: 3 });
        const word = heap.newType(8, [1]);
        let objs: Addr[] = [];
        const stacks: [Addr, number][] = [];
        let count = 0;
        for (const o of ops) {
          if (o.op === "noscan" || o.op === "tiny") {
            for (let i = 0; i < o.k; i++) objs.push(heap.mallocgc(o.n, 0, true));
            count += o.n === 0 ? 0 : o.k;
          } else if (o.op === "ptr") {
            for (let i = 0; i < o.k; i++) objs.push(heap.mallocgc(o.n * 8, word, true));
            count += o.k;
          } else if (o.op === "collect") {
            const keep = objs.filter((_, i) => (i * 31) % 101 >= o.n);
            const bases = new Set(keep.map((p) => heap.findObject(p)));
            collectWith(heap, (p) => bases.has(p));
            objs = keep;
          } else if (o.op === "flush") heap.flushAll();
          else if (o.op === "stack") {
            for (let i = 0; i < o.k; i++) {
              if (i % 3 === 2) {
                const [p, n] = stacks.pop() as [Addr, number];
                heap.stackFree(p, n);
              } else stacks.push([heap.stackAlloc(2048 << o.n), 2048 << o.n]);
            }
          } else if (o.op === "scavenge") heap.scavenge(o.n);
          else heap.setMemProfileRate(o.n);
          verifyHeap(heap);
        }
        for (const [p, n] of stacks) heap.stackFree(p, n);
        const st = heap.readStats(newHeapStats());
        expect(st.mallocs).toBe(count);
        expect(st.stackInuse).toBe(0);
        verifyHeap(heap);
        const bases = new Set(objs.map((p) => heap.findObject(p)).filter((p) => p !== 0));
        expect(st.heapObjects).toBe(bases.size);
        heap.close();
      }),
      { numRuns: 40 },
    );
  });
});

describe("memory profile sampling", () => {
  it("samples every object at rate 1, with the size of its slot", () => {
    const sizes: number[] = [];
    a.mallocNoscan(64);
    a.hooks.sampleMalloc = (p, size) => {
      expect(a.findObject(p)).toBeGreaterThan(0);
      sizes.push(size);
    };
    a.setMemProfileRate(1);
    const typ = a.newType(24, [1]);
    for (let i = 0; i < 5; i++) {
      a.mallocNoscan(60);
      a.mallocTyped(typ);
    }
    a.mallocgc(100_000, 0, true);
    expect(sizes).toEqual([...Array.from({ length: 5 }, () => [64, 24]).flat(), 106496]);
    a.setMemProfileRate(0);
    a.mallocNoscan(60);
    expect(sizes).toHaveLength(11);
    verifyHeap(a);
  });

  it("samples about one in rate bytes, whatever the mix of classes", () => {
    let sampled = 0;
    a.hooks.sampleMalloc = () => sampled++;
    a.setMemProfileRate(4096);
    const typ = a.newType(32, [1]);
    let bytes = 0;
    for (let i = 0; i < 60_000; i++) {
      a.mallocNoscan(16);
      a.mallocTyped(typ);
      if (i % 10 === 0) a.mallocNoscan(1024);
      if (i % 5000 === 0) a.flushAll();
      bytes += 48 + (i % 10 === 0 ? 1024 : 0);
    }
    // A Poisson count of mean m has standard deviation sqrt(m); an object is sampled at most once.
    const mean = bytes / 4096;
    expect(Math.abs(sampled - mean)).toBeLessThan(6 * Math.sqrt(mean) + mean * 0.1);
  });

  it("rejects a rate that is no whole number", () => {
    expect(() => a.setMemProfileRate(1.5)).toThrow(RangeError);
  });
});
