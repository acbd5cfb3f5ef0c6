/** The mcache: what a run costs its span and its counters, and what a flush gives back. */
import type { Addr } from "@gort/memory";
import { beforeEach, describe, expect, it } from "vitest";
import {
  type Allocator,
  createAllocator,
  GC_MARK,
  GC_OFF,
  GCCONTROL_AT,
  MCACHE_AT,
  MCACHE_SLOT,
  MCACHE_SLOT_AT,
  MSPAN_AT,
  RECOVERY_LOG_AT,
} from "../src/internal.ts";
import { collectWith, verifyHeap } from "../src/testing.ts";

const CLASS_OF_64 = (6 << 1) | 1;

describe("a run", () => {
  let a: Allocator;
  beforeEach(() => {
    a = createAllocator({ maxMemory: 64 << 20, seed: 1 });
  });
  const slotWord = (spanclass: number, offset: number): number =>
    a.mem.u32[a.cache.slots + (spanclass * MCACHE_SLOT.size + offset) / 4];
  const spanField = (p: Addr, offset: number): number => a.mem.u32[(a.spanOf(p) + offset) >>> 2];
  const heapLive = (): number => a.mem.u32[(a.gcControl + GCCONTROL_AT.heapLive) >>> 2];
  const countdown = (spanclass: number): number =>
    (a.cache.base + MCACHE_AT.nextSample + 8 * spanclass) >>> 3;
  const smallAllocs = (spanclass: number): number =>
    a.mem.f64[(a.cache.base + MCACHE_AT.smallAllocCount + 8 * (spanclass >>> 1)) >>> 3];
  const marks = (p: Addr): number[] => {
    const at = spanField(p, MSPAN_AT.gcmarkBits) >>> 2;
    return [...a.mem.u32.subarray(at, at + ((spanField(p, MSPAN_AT.nelems) + 31) >>> 5))];
  };

  it("of a fresh span is all of it, paid for at once", () => {
    const p = a.mallocNoscan(64);
    expect([slotWord(CLASS_OF_64, MCACHE_SLOT_AT.cur), slotWord(CLASS_OF_64, MCACHE_SLOT_AT.end)]).toEqual([
      p + 64,
      p + 8192,
    ]);
    expect([spanField(p, MSPAN_AT.allocCount), spanField(p, MSPAN_AT.freeindex)]).toEqual([128, 128]);
    expect([heapLive(), smallAllocs(CLASS_OF_64)]).toEqual([8192, 128]);
  });

  it("ends before the object that is due to be sampled, which is a run of its own", () => {
    a.setMemProfileRate(1 << 30);
    a.mem.f64[countdown(CLASS_OF_64)] = 64 * 3 + 63;
    const sampled: Addr[] = [];
    a.hooks.sampleMalloc = (p, size) => {
      expect(size).toBe(64);
      sampled.push(p);
    };
    const objs = Array.from({ length: 3 }, () => a.mallocNoscan(64));
    const [p] = objs as [Addr];
    expect(slotWord(CLASS_OF_64, MCACHE_SLOT_AT.end)).toBe(p + 3 * 64);
    expect([spanField(p, MSPAN_AT.allocCount), spanField(p, MSPAN_AT.freeindex), heapLive()]).toEqual([
      3, 3, 192,
    ]);
    expect(a.mem.f64[countdown(CLASS_OF_64)]).toBe(63);
    expect(sampled).toEqual([]);
    objs.push(a.mallocNoscan(64));
    expect(sampled).toEqual([p + 3 * 64]);
    expect(slotWord(CLASS_OF_64, MCACHE_SLOT_AT.end)).toBe(p + 4 * 64);
    expect(spanField(p, MSPAN_AT.allocCount)).toBe(4);
    // The rest of the span is the next one's.
    a.mem.f64[countdown(CLASS_OF_64)] = 124 * 64;
    a.mallocNoscan(64);
    expect(slotWord(CLASS_OF_64, MCACHE_SLOT_AT.end)).toBe(p + 8192);
    expect(a.mem.f64[countdown(CLASS_OF_64)]).toBe(0);
    verifyHeap(a);
  });

  it("is charged to the countdown of its class, and what a flush gives back is not", () => {
    a.setMemProfileRate(1 << 30);
    for (const spc of [CLASS_OF_64, CLASS_OF_64 - 1]) a.mem.f64[countdown(spc)] = 1_000_000;
    const p = a.mallocNoscan(64);
    expect(a.mem.f64[countdown(CLASS_OF_64)]).toBe(1_000_000 - 8192);
    a.flushAll();
    expect(a.mem.f64[countdown(CLASS_OF_64)]).toBe(1_000_000 - 64);
    expect(a.mem.f64[countdown(CLASS_OF_64 - 1)]).toBe(1_000_000);
    expect([spanField(p, MSPAN_AT.allocCount), spanField(p, MSPAN_AT.freeindex)]).toEqual([1, 1]);
    expect([heapLive(), smallAllocs(CLASS_OF_64)]).toEqual([64, 1]);
    expect([
      slotWord(CLASS_OF_64, MCACHE_SLOT_AT.span),
      slotWord(CLASS_OF_64, MCACHE_SLOT_AT.cur),
      slotWord(CLASS_OF_64, MCACHE_SLOT_AT.end),
    ]).toEqual([0, 0, 0]);
  });

  it("in a fragmented span claims the free slots of its word, unless a sample is due before their end", () => {
    const objs = Array.from({ length: 128 }, () => a.mallocNoscan(64));
    // Free: 0-2, 4-6, ... ; of the first word 24 slots, of which the run has 3.
    const kept = new Set(objs.filter((_, k) => k % 4 === 3));
    for (const [left, claimed] of [
      [24 * 64, 24],
      [24 * 64 - 1, 3],
    ] as const) {
      collectWith(a, (p) => kept.has(p));
      a.setMemProfileRate(1 << 30);
      a.mem.f64[countdown(CLASS_OF_64)] = left;
      const p = a.mallocNoscan(64);
      expect(p).toBe(objs[0]);
      expect(spanField(p, MSPAN_AT.allocCount) - kept.size).toBe(claimed);
      expect(a.mem.f64[countdown(CLASS_OF_64)]).toBe(left - claimed * 64);
      expect(spanField(p, MSPAN_AT.freeindex)).toBe(claimed === 3 ? 3 : 32);
      expect(slotWord(CLASS_OF_64, MCACHE_SLOT_AT.end)).toBe(p + 3 * 64);
      verifyHeap(a);
    }
  });

  it("that was given back in the middle of a word is cut again from its first free slot", () => {
    const objs = Array.from({ length: 128 }, () => a.mallocNoscan(64));
    const kept = new Set(objs.filter((_, k) => k % 4 === 3));
    collectWith(a, (p) => kept.has(p));
    const got = Array.from({ length: 5 }, () => a.mallocNoscan(64)); // 0-2, 4, 5
    expect(got).toEqual([0, 1, 2, 4, 5].map((k) => objs[k]));
    a.flushAll();
    expect(spanField(got[0], MSPAN_AT.freeindex)).toBe(6);
    expect(spanField(got[0], MSPAN_AT.allocCount)).toBe(kept.size + 5);
    expect(heapLive()).toBe(64 * (kept.size + 5));
    expect(a.mallocNoscan(64)).toBe(objs[6]);
    verifyHeap(a);
    // With the run used up only what is claimed for later goes back.
    a.flushAll();
    expect(spanField(got[0], MSPAN_AT.freeindex)).toBe(8);
    verifyHeap(a);
  });

  it("is black while a collection marks, and what a flush gives back of it is white", () => {
    const phase = (a.gcControl + GCCONTROL_AT.gcPhase) >>> 2;
    a.mem.u32[phase] = GC_MARK;
    const p = a.mallocNoscan(64);
    expect(marks(p)).toEqual([0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff]);
    for (let k = 1; k < 37; k++) a.mallocNoscan(64);
    a.flushAll();
    expect(marks(p)).toEqual([0xffffffff, 0b11111, 0, 0]);
    a.mem.u32[phase] = GC_OFF;
  });

  it("of blocks up to 96 bytes and of more is cleared to its end, and nothing behind it", () => {
    for (const size of [8, 16, 24, 32, 48, 64, 80, 96, 112, 128]) {
      const n = Math.floor(8192 / size);
      const objs = Array.from({ length: n }, () => a.mallocgc(size, a.newType(8, [1]), true));
      for (const p of objs) a.mem.kernel.fill(p, 0xee, size);
      // One slot between two that stay.
      const free = objs[10];
      collectWith(a, (p) => objs.includes(p) && p !== free);
      const p = a.mallocgc(size, a.newType(8, [1]), true);
      expect(p).toBe(free);
      expect([...a.mem.u8.subarray(p - 1, p + size + 1)]).toEqual([0xee, ...new Array(size).fill(0), 0xee]);
      collectWith(a, () => false);
    }
  });
});

describe("the runs of a fragmented span", () => {
  let a: Allocator;
  let objs: Addr[];
  beforeEach(() => {
    a = createAllocator({ maxMemory: 64 << 20, seed: 1 });
  });
  const spanField = (p: Addr, offset: number): number => a.mem.u32[(a.spanOf(p) + offset) >>> 2];
  /** A span of the size in which the slots that `stays` names are in use. */
  const fragment = (size: number, stays: (slot: number) => boolean): Set<Addr> => {
    objs = Array.from({ length: Math.floor(8192 / size) }, () => a.mallocNoscan(size));
    const kept = new Set(objs.filter((_, k) => stays(k)));
    collectWith(a, (p) => kept.has(p));
    return kept;
  };

  it("are its free slots, each once and in order, whatever the pattern", () => {
    let x = 12345;
    const random = (): number => (x = (Math.imul(x, 1_103_515_245) + 12_345) >>> 0) / 2 ** 32;
    for (const size of [16, 48, 64, 144]) {
      for (const share of [0.1, 0.5, 0.9]) {
        for (let round = 0; round < 4; round++) {
          a = createAllocator({ maxMemory: 64 << 20, seed: 1 });
          // Stretches, so that runs cross the words of bits and end at their ends.
          let stay = true;
          const kept = fragment(
            size,
            (slot) => (stay = random() < 0.3 || slot % 32 === 0 ? random() < share : stay),
          );
          const free = objs.filter((p) => !kept.has(p));
          const got = free.map(() => a.mallocNoscan(size));
          expect(got).toEqual(free);
          verifyHeap(a);
        }
      }
    }
  });

  it("claim the slots of the last word, though it is not full, and none behind it", () => {
    const kept = fragment(48, (slot) => slot < 160 || slot % 2 === 1); // 170 slots
    const p = a.mallocNoscan(48);
    expect(p).toBe(objs[160]);
    expect([spanField(p, MSPAN_AT.allocCount), spanField(p, MSPAN_AT.freeindex)]).toEqual([
      kept.size + 5,
      170,
    ]);
    verifyHeap(a);
  });

  it("go back from words behind the first", () => {
    const kept = fragment(64, (slot) => slot < 64 || slot % 4 === 3);
    const p = a.mallocNoscan(64);
    expect(p).toBe(objs[64]);
    expect(spanField(p, MSPAN_AT.allocCount)).toBe(kept.size + 24);
    a.flushAll();
    expect([spanField(p, MSPAN_AT.allocCount), spanField(p, MSPAN_AT.freeindex)]).toEqual([
      kept.size + 1,
      65,
    ]);
    verifyHeap(a);
    for (const next of [66, 68, 69]) {
      a.mallocNoscan(64);
      expect(a.findObject(objs[next])).toBe(0);
    }
    a.flushAll();
    expect(spanField(p, MSPAN_AT.freeindex)).toBe(69);
    verifyHeap(a);
  });

  it("hide none of the objects that stay, in this span or another", () => {
    const other = Array.from({ length: 128 }, () => a.mallocNoscan(64));
    const span = Array.from({ length: 128 }, () => a.mallocNoscan(64));
    // The free slots of the first word are in use in all other words, and in the other span.
    const kept = new Set([...other, ...span.filter((_, k) => k < 32 === (k % 4 === 3))]);
    collectWith(a, (p) => kept.has(p));
    expect(a.mallocNoscan(64)).toBe(span[0]);
    for (const p of [...other, ...span]) expect(a.findObject(p)).toBe(kept.has(p) || p === span[0] ? p : 0);
  });

  it("are black to their last slot in a mark phase, across words", () => {
    fragment(64, (slot) => slot < 20 || slot >= 70);
    const phase = (a.gcControl + GCCONTROL_AT.gcPhase) >>> 2;
    a.mem.u32[phase] = GC_MARK;
    const p = a.mallocNoscan(64);
    const at = spanField(p, MSPAN_AT.gcmarkBits) >>> 2;
    expect([...a.mem.u32.subarray(at, at + 4)]).toEqual([0xfff00000, 0xffffffff, 0b111111, 0]);
    a.mem.u32.fill(0, at, at + 4);
    a.mem.u32[phase] = GC_OFF;
  });

  it("begin where a flush found the first object that was not handed out", () => {
    const p = a.mallocNoscan(64);
    for (let k = 1; k < 40; k++) a.mallocNoscan(64);
    a.flushAll();
    expect(spanField(p, MSPAN_AT.freeindex)).toBe(40);
  });
});

describe("a run in a heap that threads share", () => {
  it("is noted before its span gives it or takes it back, between two changes of the version", () => {
    const a = createAllocator({ maxMemory: 64 << 20, seed: 1 });
    a.share();
    const at = (offset: number): number => a.mem.u32[(a.cache.base + offset) >>> 2];
    const note = (): number[] =>
      (["runSlot", "run", "runEnd", "runVersion"] as const).map((f) =>
        at(MCACHE_AT.recoveryLog + RECOVERY_LOG_AT[f]),
      );
    const count = (): number =>
      a.mem.f64[(a.cache.base + MCACHE_AT.recoveryLog + RECOVERY_LOG_AT.runCount) >>> 3];
    const slot = a.cache.slots + (CLASS_OF_64 * MCACHE_SLOT.size) / 4;
    const p = a.mallocNoscan(64);
    expect(note()).toEqual([slot, 128, 0, 0]);
    expect([count(), at(MCACHE_AT.version)]).toEqual([0, 2]);
    for (let k = 1; k < 3; k++) a.mallocNoscan(64);
    a.cache.returnTails();
    expect(note()).toEqual([slot, (3 << 16) | 125, p + 8192, 2]);
    expect([count(), at(MCACHE_AT.version)]).toEqual([128, 4]);
    a.mallocNoscan(64);
    expect(note()).toEqual([slot, (3 << 16) | 125, 0, 4]);
    expect([count(), at(MCACHE_AT.version)]).toEqual([3, 6]);
    a.flushAll();
    expect(at(MCACHE_AT.version) % 2).toBe(0);
    verifyHeap(a);
  });

  it("that is cut from what was claimed before is noted as well", () => {
    const a = createAllocator({ maxMemory: 64 << 20, seed: 1 });
    a.share();
    const objs = Array.from({ length: 128 }, () => a.mallocNoscan(64));
    const kept = new Set(objs.filter((_, k) => k % 4 === 3));
    collectWith(a, (p) => kept.has(p));
    for (let k = 0; k < 4; k++) a.mallocNoscan(64);
    const run = (a.cache.base + MCACHE_AT.recoveryLog + RECOVERY_LOG_AT.run) >>> 2;
    expect(a.mem.u32[run]).toBe((4 << 16) | 3);
  });
});

describe("pointer bits", () => {
  it("are none where the object's header names its type", () => {
    const a = createAllocator({ maxMemory: 64 << 20, seed: 1 });
    const typ = a.newType(1600, [-1]);
    const p = a.mallocTyped(typ);
    for (let q = p - (p % 8192); q < p - (p % 8192) + 8192; q += 256)
      expect(a.mem.u32[(a.heapBitsBase >>> 2) + (q >>> 8)]).toBe(0);
  });

  /** The bits of n words from p on. */
  const bitsAt = (a: Allocator, p: number, n: number): string =>
    Array.from({ length: n }, (_, i) => {
      const b = (p >>> 3) + i;
      return (a.mem.u32[(a.heapBitsBase >>> 2) + (b >>> 5)] >>> (b & 31)) & 1;
    }).join("");

  it.each([16, 48, 64, 80, 112, 208, 512])(
    "of %d bytes are written without touching those beside them",
    (size) => {
      const a = createAllocator({ maxMemory: 64 << 20, seed: 1 });
      const words = size / 8;
      const all = a.newType(
        size,
        new Array(Math.ceil(words / 32))
          .fill(-1)
          .map((m, k) => (32 * k + 32 <= words ? m : (1 << (words % 32)) - 1)),
      );
      const last = a.newType(size, [
        ...new Array(Math.ceil(words / 32) - 1).fill(0),
        1 << ((words - 1) & 31),
      ]);
      const pair = a.newType(16, [0b01]);
      const nelems = Math.floor(8192 / size);
      const objs = Array.from({ length: nelems }, () => a.mallocTyped(all));
      // Runs of one to three free slots between objects that stay.
      const kept = new Set(objs.filter((_, k) => k % 3 === 2 || k % 7 === 3));
      const ones = "1".repeat(words);
      for (const [make, bits] of [
        [() => a.mallocTyped(last), "1".padStart(words, "0")],
        [() => a.mallocTyped(all), ones],
        [() => a.mallocgc(size - (size % 16), pair, true), "10".repeat(words / 2).padEnd(words, "0")],
      ] as const) {
        collectWith(a, (p) => kept.has(p));
        const made = Array.from({ length: nelems - kept.size }, () => make());
        expect(made.every((p) => objs.includes(p))).toBe(true);
        for (const p of objs) expect(bitsAt(a, p, words)).toBe(kept.has(p) ? ones : bits);
        verifyHeap(a);
      }
    },
  );
});

describe("heapLive in a heap that threads share", () => {
  const KiB64 = 64 << 10;

  it("grows by 64 KiB of what a thread allocates, and by the rest at its flush", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    a.share();
    const told = (): number => a.mem.u32[(a.gcControl + GCCONTROL_AT.heapLive) >>> 2];
    a.cache.addHeapLive(KiB64 - 8);
    expect(told()).toBe(0);
    a.cache.addHeapLive(8);
    expect(told()).toBe(KiB64);
    a.cache.addHeapLive(24);
    expect(told()).toBe(KiB64);
    a.flushAll();
    expect(told()).toBe(KiB64 + 24);
    a.cache.addHeapLive(8 - KiB64);
    expect(told()).toBe(KiB64 + 24);
    a.cache.addHeapLive(-8);
    expect(told()).toBe(24);
    a.cache.addHeapLive(-24);
    const untold = (a.cache.base + MCACHE_AT.untoldLive) >>> 2;
    expect(a.mem.u32[untold] | 0).toBe(-24);
    a.flushAll();
    expect([told(), a.mem.u32[untold]]).toEqual([0, 0]);
    for (const n of [64, 1024, 8192]) a.mallocNoscan(n);
    a.flushAll();
    expect(told()).toBe(64 + 1024 + 8192);
  });

  it("grows at once where one thread is alone", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    a.cache.addHeapLive(8);
    expect(a.mem.u32[(a.gcControl + GCCONTROL_AT.heapLive) >>> 2]).toBe(8);
  });
});
