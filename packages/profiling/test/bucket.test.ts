import { describe, expect, it } from "vitest";
import { BLOCK_KIND, BucketTable, BufferArena, MEM_KIND, MUTEX_KIND, type ProfArena } from "../src/bucket.ts";
import { createProfiler } from "../src/index.ts";
import { verifyMemProfile } from "../src/testing.ts";

describe("buckets", () => {
  it("counts the memory of its buckets", () => {
    const p = createProfiler({ memProfileRate: 1 });
    p.mem.alloc(16);
    const one = p.buckHashSys;
    p.mem.alloc(24);
    expect(one).toBeGreaterThan(0);
    const two = p.buckHashSys;
    expect(two - one).toBeGreaterThan(0);
    for (let i = 0; i < 100; i++) p.mem.alloc(24);
    expect(p.buckHashSys - two).toBeLessThan(1000);
  });

  it("keeps a stack of eight frames in at most 128 bytes, and counts each of them", () => {
    const arena = new BufferArena();
    const taken: number[] = [];
    const counting: ProfArena = {
      get u32() {
        return arena.u32;
      },
      get f64() {
        return arena.f64;
      },
      get bytes() {
        return arena.bytes;
      },
      alloc(size) {
        taken.push(Math.ceil(size / 8) * 8); // aligned
        return arena.alloc(size);
      },
    };
    const p = createProfiler({ memProfileRate: 1, arena: counting });
    const under = (depth: number): number => (depth > 0 ? under(depth - 1) : p.mem.alloc(64));
    const deep = under(20);
    const frames = p.buckets.stackOf(deep);
    expect(frames.length).toBeGreaterThan(20);
    const table = taken[0];
    expect(p.buckHashSys).toBe(table + taken[1]);
    const before = p.buckHashSys;
    const eight = p.buckets.find(MEM_KIND, 64, frames.slice(0, 8), 8);
    expect(p.buckets.stackOf(eight)).toHaveLength(8);
    expect(p.buckHashSys - before).toBe(120);
    expect(taken.at(-1)).toBe(120);
    // A known stack takes no memory, and neither does the death of its object.
    p.mem.free(deep, 64);
    expect(under(20)).not.toBe(0);
    expect(p.buckets.find(MEM_KIND, 64, frames.slice(0, 8), 8)).toBe(eight);
    expect(p.buckHashSys).toBe(table + taken.slice(1).reduce((sum, n) => sum + n, 0));
    verifyMemProfile(p);
  });

  it("tells buckets apart by weight, size, kind and number of frames", () => {
    const { buckets } = createProfiler();
    const ids = Uint32Array.of(1, 2, 3);
    const all = new Set<number>();
    for (const kind of [MEM_KIND, BLOCK_KIND] as const)
      for (const size of [0, 16, 2 ** 33])
        for (const weight of [1, 2, 65536])
          for (const n of [0, 1, 3]) {
            const b = buckets.find(kind, size, ids, n, weight);
            all.add(b);
            expect(buckets.is(b, kind)).toBe(true);
            expect(buckets.sizeOf(b)).toBe(size);
            expect(buckets.weightOf(b)).toBe(weight);
            expect([...buckets.stackOf(b)]).toEqual([...ids.subarray(0, n)]);
          }
    expect(all.size).toBe(2 * 3 * 3 * 3);
  });

  it("are found by a second table over the same arena, with counts and cycle", () => {
    const arena = new BufferArena(128);
    const first = new BucketTable(arena);
    const second = new BucketTable(arena);
    expect(second.first(MEM_KIND)).toBe(0);
    // Meanwhile the arena grows and replaces its views.
    const made = [1, 2, 3].map((frame) => first.find(MEM_KIND, 16, Uint32Array.of(frame), 1));
    const mutex = first.find(MUTEX_KIND, 0, Uint32Array.of(9), 1);
    first.cycle = 7;
    first.flushed = true;
    const listed: number[] = [];
    for (let b = second.first(MEM_KIND); b !== 0; b = second.nextOf(b)) listed.push(b);
    expect(listed).toEqual(made.reverse());
    expect([second.count(MEM_KIND), second.count(BLOCK_KIND), second.count(MUTEX_KIND)]).toEqual([3, 0, 1]);
    expect(second.find(MUTEX_KIND, 0, Uint32Array.of(9), 1)).toBe(mutex);
    expect([second.cycle, second.flushed]).toEqual([7, true]);
  });

  it("have a header of their own in an arena without one", () => {
    const memory = new BufferArena();
    const arena: ProfArena = {
      u32: memory.u32,
      f64: memory.f64,
      alloc: (size) => memory.alloc(size),
      get bytes() {
        return memory.bytes;
      },
    };
    const first = new BucketTable(arena);
    first.find(MEM_KIND, 16, Uint32Array.of(1), 1);
    first.cycle++;
    const second = new BucketTable(arena);
    expect([first.count(MEM_KIND), second.count(MEM_KIND)]).toEqual([1, 0]);
    expect([first.cycle, second.cycle]).toEqual([1, 0]);
  });
});
