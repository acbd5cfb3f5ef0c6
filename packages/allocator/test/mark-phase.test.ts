/**
 * Allocation while a collection marks, in a heap that threads share. A marker on another thread may scan any marked
 * slot at any time, also slots of a run that the program has not got yet.
 */
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import {
  type Allocator,
  createAllocator,
  GC_MARK,
  GC_OFF,
  GCCONTROL_AT,
  MIN_SIZE_FOR_HEADER,
  MSPAN_AT,
  SPAN_IN_USE,
} from "../src/internal.ts";
import { collectWith, verifyHeap } from "../src/testing.ts";

function setPhase(a: Allocator, phase: number): void {
  a.mem.u32[(a.gcControl + GCCONTROL_AT.gcPhase) >>> 2] = phase;
}

function isPointer(a: Allocator, addr: number): boolean {
  return (a.mem.u32[(a.heapBitsBase >>> 2) + (addr >>> 8)] & (1 << ((addr >>> 3) & 31))) !== 0;
}

/** Offsets of the pointer words of the object. */
function pointersAt(a: Allocator, p: number, size: number): number[] {
  return Array.from({ length: size / 8 }, (_, k) => 8 * k).filter((offset) => isPointer(a, p + offset));
}

/** Slots that a marker may scan: those with a mark, in spans whose pointers heapBits describes. */
function* markedSlots(a: Allocator): Generator<{ p: number; size: number }> {
  const { u32 } = a.mem;
  for (let n = 0; n < a.nspans; n++) {
    const s = a.spanAt(n);
    const field = (offset: number): number => u32[(s + offset) >>> 2];
    const size = field(MSPAN_AT.elemsize);
    if (field(MSPAN_AT.state) !== SPAN_IN_USE || field(MSPAN_AT.spanclass) & 1 || size > MIN_SIZE_FOR_HEADER)
      continue;
    for (let i = 0; i < field(MSPAN_AT.nelems); i++) {
      const word = u32[(field(MSPAN_AT.gcmarkBits) >>> 2) + (i >>> 5)];
      if (word & (1 << (i & 31))) yield { p: field(MSPAN_AT.startAddr) + i * size, size };
    }
  }
}

describe("in a mark phase of a shared heap", () => {
  it("a slot has no pointer bits before the program gets it, and those of its type when its run has ended", () => {
    const seed = 1 + Math.floor(Math.random() * 2 ** 30);
    let x = seed;
    const random = (n: number): number => {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      return (x >>> 0) % n;
    };
    const a = createAllocator({ maxMemory: 64 << 20 });
    const types = [
      { size: 32, words: [3] },
      { size: 32, words: [8] },
      { size: 16, words: [1] },
      { size: 48, words: [0b101010] },
      { size: 512, words: [~0 >>> 0, 1] },
    ].map((t) => ({ ...t, typ: a.newType(t.size, t.words) }));
    // Every third object lives: each word of bits has old slots and new ones.
    const old = Array.from({ length: 3000 }, () => a.mallocTyped(types[random(types.length)].typ));
    const live = new Set(old.filter((_, i) => i % 3 === 0));
    collectWith(a, (p) => live.has(p));
    a.share();
    setPhase(a, GC_MARK);
    const objects = new Map<number, number[]>();
    for (let k = 0; k < 300; k++) {
      const { size, words, typ } = types[random(types.length)];
      const n = random(4) === 0 ? 1 + random(Math.floor(512 / size)) : 1;
      const p = n === 1 ? a.mallocTyped(typ) : a.mallocgc(n * size, typ, true);
      const want = Array.from({ length: (n * size) / 8 }, (_, w) => w % (size / 8))
        .map((w, at) => ((words[w >>> 5] >>> (w & 31)) & 1 ? 8 * at : -1))
        .filter((offset) => offset >= 0);
      objects.set(p, want);
      const ended = random(50) === 0;
      if (ended) a.flushAll();
      if (!ended && k % 20 !== 0) continue;
      let slots = 0;
      for (const { p: slot, size: bytes } of markedSlots(a)) {
        slots++;
        const bits = pointersAt(a, slot, bytes);
        if (!ended && bits.length === 0) continue;
        expect(bits, `slot ${slot}, seed ${seed}`).toEqual(objects.get(slot) ?? []);
      }
      expect(slots).toBeGreaterThanOrEqual(objects.size);
      verifyHeap(a);
    }
    setPhase(a, GC_OFF);
  });

  it("that began before it was shared, the runs in hand go back", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    const [typ, other] = [a.newType(32, [3]), a.newType(32, [8])];
    setPhase(a, GC_MARK);
    const p = a.mallocTyped(typ);
    expect(pointersAt(a, p + 32, 32)).toEqual([0, 8]);
    a.share();
    const q = a.mallocTyped(other);
    const r = a.mallocTyped(typ);
    expect([q - p, r - q]).toEqual([32, 32]);
    expect(pointersAt(a, r + 32, 32)).toEqual([]);
    a.flushAll();
    expect([p, q, r].map((o) => pointersAt(a, o, 32))).toEqual([[0, 8], [24], [0, 8]]);
    setPhase(a, GC_OFF);
    for (const { p: slot } of markedSlots(a)) expect(slot).toBeGreaterThanOrEqual(p);
  });

  it("no marker on another thread takes a number for a pointer", { timeout: 60_000 }, async () => {
    const a = createAllocator({ maxMemory: 256 << 20 });
    a.share();
    setPhase(a, GC_MARK);
    const [gate, at] = [a.mem.reserveControl(64), a.mem.reserveControl(64)];
    const start = (role: string): Promise<number> => {
      const worker = new Worker(new URL("workers/types.mjs", import.meta.url), {
        workerData: { memory: a.mem.memory, role, count: 1_000_000, gate, at },
        execArgv: [],
      });
      return new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
    };
    const [made, scanned] = await Promise.all([start("allocate"), start("mark")]);
    expect(made).toBe(1_000_000);
    expect(scanned).toBeGreaterThan(10_000);
    verifyHeap(a);
  });
});
