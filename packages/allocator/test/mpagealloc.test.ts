import { createLinearMemory } from "@gort/memory";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PALLOC_WORDS } from "../src/layout.ts";
import { longestRun } from "../src/mpagealloc.ts";
import { PageAlloc, pallocBitmapBytes, SUMMARY_BYTES } from "../src/testing.ts";

const CHUNK = 512;

/** The page allocator as a list of booleans, and first fit by looking. */
class NaivePages {
  readonly state = new Map<number, boolean>(); // page -> in use

  grow(page: number, n: number): void {
    for (let p = page; p < page + n; p++) this.state.set(p, false);
  }
  find(n: number): number {
    let run = 0;
    for (const p of [...this.state.keys()].sort((a, b) => a - b)) {
      if (this.state.get(p)) run = 0;
      else run = run > 0 && this.state.has(p - 1) ? run + 1 : 1;
      if (run >= n) return p - n + 1;
    }
    return 0;
  }
  set(page: number, n: number, used: boolean): void {
    for (let p = page; p < page + n; p++) this.state.set(p, used);
  }
}

function newPages(): PageAlloc {
  const mem = createLinearMemory();
  const bitmaps = mem.sysReserve(pallocBitmapBytes(mem.size));
  const summaries = mem.sysReserve(SUMMARY_BYTES);
  return new PageAlloc(mem, bitmaps, summaries, mem.reserveControl(4 * PALLOC_WORDS));
}

describe("page allocator", () => {
  it("finds the same pages as first fit over a naive bitmap", { timeout: 60_000 }, () => {
    const size = fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 1, max: 12 }) },
      { weight: 2, arbitrary: fc.integer({ min: 13, max: 600 }) },
      { weight: 1, arbitrary: fc.integer({ min: 601, max: 2000 }) },
    );
    const op = fc.oneof(
      { weight: 6, arbitrary: fc.record({ op: fc.constant("alloc" as const), n: size, k: fc.nat() }) },
      { weight: 5, arbitrary: fc.record({ op: fc.constant("free" as const), n: fc.nat(), k: fc.nat() }) },
      {
        weight: 1,
        arbitrary: fc.record({
          op: fc.constant("grow" as const),
          n: fc.integer({ min: 1, max: 3 }),
          k: fc.integer({ min: 0, max: 2 }),
        }),
      },
    );
    const pages = newPages();
    let firstChunk = 1;
    fc.assert(
      fc.property(fc.array(op, { minLength: 1, maxLength: 60 }), (ops) => {
        // Each run works on chunks of its own, far above those before; everything below is in use.
        const naive = new NaivePages();
        let nextChunk = firstChunk;
        const grow = (chunks: number): void => {
          if (nextChunk + chunks >= 1020) return;
          pages.grow(nextChunk * CHUNK, chunks * CHUNK);
          naive.grow(nextChunk * CHUNK, chunks * CHUNK);
          nextChunk += chunks;
        };
        grow(1);
        const live: [number, number][] = [];
        for (const o of ops) {
          if (o.op === "grow") {
            nextChunk += o.k; // a hole: neighbours in address order need not be neighbours in memory
            grow(o.n);
          } else if (o.op === "alloc") {
            const want = naive.find(o.n);
            const got = pages.alloc(o.n);
            expect(got).toBe(want);
            if (got !== 0) {
              naive.set(got, o.n, true);
              live.push([got, o.n]);
            }
          } else if (live.length > 0) {
            const [[page, n]] = live.splice(o.n % live.length, 1) as [[number, number]];
            pages.free(page, n);
            naive.set(page, n, false);
          }
        }
        for (let got = pages.alloc(1); got !== 0; got = pages.alloc(1)) {
          expect(got).toBe(naive.find(1));
          naive.set(got, 1, true);
        }
        expect(naive.find(1)).toBe(0);
        firstChunk = nextChunk > 900 ? firstChunk : nextChunk;
        return nextChunk <= 1020;
      }),
      { numRuns: 60 },
    );
  });

  it("finds nothing before it grows, and everything again after all is freed", () => {
    const pages = newPages();
    expect(pages.alloc(1)).toBe(0);
    pages.grow(8 * CHUNK, 16 * CHUNK);
    const all = Array.from({ length: 16 * CHUNK }, () => pages.alloc(1));
    expect(all).toEqual(all.map((_, i) => 8 * CHUNK + i));
    expect(pages.alloc(1)).toBe(0);
    for (const p of all) pages.free(p, 1);
    expect(pages.alloc(16 * CHUNK)).toBe(8 * CHUNK);
  });

  it("takes a run that crosses the entries of every level", () => {
    const pages = newPages();
    const boundary = 64 * CHUNK; // between two entries of level 0
    pages.grow(boundary - 2 * CHUNK, 4 * CHUNK);
    expect(pages.alloc(2 * CHUNK - 5)).toBe(boundary - 2 * CHUNK);
    expect(pages.alloc(CHUNK + 10)).toBe(boundary - 5);
    expect(pages.alloc(5)).toBe(boundary + CHUNK + 5);
  });

  it("gives fresh pages out as scavenged and counts them", () => {
    const pages = newPages();
    pages.grow(CHUNK, CHUNK);
    const p = pages.alloc(100);
    expect(pages.countScavenged(p, 100)).toBe(100);
    pages.clearScavenged(p + 3, 50);
    expect(pages.countScavenged(p, 100)).toBe(50);
    pages.free(p, 100);
    expect(pages.findScavengeable(2 * CHUNK, 512, 1)).toBe((p + 3) * 1024 + 50);
    expect(pages.findScavengeable(2 * CHUNK, 20, 1)).toBe((p + 33) * 1024 + 20);
    expect(pages.findScavengeable(2 * CHUNK, 512, 16)).toBe((p + 16) * 1024 + 32);
  });

  it("cuts small runs from a word of pages, and gives the rest back on demand", () => {
    const pages = newPages();
    pages.grow(CHUNK, CHUNK);
    expect([pages.allocSmall(1), pages.allocSmall(3), pages.allocSmall(8)]).toEqual([
      CHUNK,
      CHUNK + 1,
      CHUNK + 4,
    ]);
    expect(pages.isCached(CHUNK + 12)).toBe(true);
    expect(pages.alloc(1)).toBe(CHUNK + 32); // the word is taken
    pages.free(CHUNK + 1, 3);
    expect(pages.allocSmall(8)).toBe(CHUNK + 12);
    expect(pages.flushCache()).toBe(true);
    expect(pages.flushCache()).toBe(false);
    expect([pages.alloc(3), pages.alloc(12), pages.alloc(480 - 1)]).toEqual([
      CHUNK + 1,
      CHUNK + 20,
      CHUNK + 33,
    ]);
    expect(pages.allocSmall(1)).toBe(0);
  });

  it("finds pages that were freed since the last search, in any chunk", () => {
    const pages = newPages();
    pages.grow(CHUNK, 100 * CHUNK);
    expect(pages.alloc(100 * CHUNK)).toBe(CHUNK);
    for (const c of [90, 7, 33]) pages.free(c * CHUNK + 5, 2);
    expect([pages.alloc(2), pages.alloc(1), pages.alloc(2), pages.alloc(2)]).toEqual([
      7 * CHUNK + 5,
      33 * CHUNK + 5,
      90 * CHUNK + 5,
      0,
    ]);
    expect(pages.alloc(1)).toBe(33 * CHUNK + 6);
  });

  it("counts the longest run of ones in a word", () => {
    const naive = (x: number): number =>
      Math.max(
        ...(x >>> 0)
          .toString(2)
          .split("0")
          .map((s) => s.length),
      );
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 0, max: 31 }), (x, least) => {
        expect(longestRun(x, least)).toBe(Math.max(naive(x), least));
      }),
    );
  });
});
