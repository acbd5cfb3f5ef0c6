import { createLinearMemory, type Kernel, type LinearMemory } from "@gort/memory";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MCACHE, MHEAP, PAGE_CACHE, PALLOC_WORDS } from "../src/layout.ts";
import { PAGE_CACHE_MAX, PageCache } from "../src/mpagecache.ts";
import { RecoveryLog } from "../src/recovery.ts";
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

function newPagesWithCaches(maxMemory?: number): {
  pages: PageAlloc;
  newCache: (kernel?: Partial<Kernel>) => PageCache;
} {
  const mem = createLinearMemory(maxMemory === undefined ? {} : { maxMemory, shared: false });
  const shared = mem.reserveControl(4) >>> 2;
  const bitmaps = mem.sysReserve(pallocBitmapBytes(mem.size));
  const summaries = mem.sysReserve(SUMMARY_BYTES);
  return {
    pages: new PageAlloc(mem, bitmaps, summaries, mem.reserveControl(4 * PALLOC_WORDS)),
    // If the test passes its kernel, the heap counts as shared by threads.
    newCache(kernel) {
      if (kernel !== undefined) mem.u32[shared] = 1;
      const of = { u32: mem.u32, kernel: { ...mem.kernel, ...kernel } } as unknown as LinearMemory;
      const log = new RecoveryLog(of, mem.persistentAlloc(MHEAP.size, 8, "otherSys"));
      log.bind(mem.persistentAlloc(MCACHE.size, 8, "otherSys"));
      return new PageCache(of, mem.reserveControl(PAGE_CACHE.size), shared, log);
    },
  };
}

const newPages = (): PageAlloc => newPagesWithCaches().pages;

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

  /**
   * The model of page caches: a page is free, used, or an owner's. A small run comes from the lowest fitting pages
   * of the owner's 64, which are claimed around the lowest free page when the owner has none; anything else is
   * first fit over what is free.
   */
  it("with page caches of several owners does what a naive bitmap does", { timeout: 60_000 }, () => {
    const OWNERS = 3;
    const FREE = -1;
    const USED = -2;
    const op = fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({
          op: fc.constant("alloc" as const),
          n: fc.oneof(
            { weight: 5, arbitrary: fc.integer({ min: 1, max: 4 }) },
            { weight: 3, arbitrary: fc.integer({ min: 5, max: PAGE_CACHE_MAX }) },
            { weight: 1, arbitrary: fc.integer({ min: PAGE_CACHE_MAX + 1, max: 700 }) },
          ),
          who: fc.nat({ max: OWNERS - 1 }),
        }),
      },
      { weight: 6, arbitrary: fc.record({ op: fc.constant("free" as const), n: fc.nat(), who: fc.nat() }) },
      {
        weight: 1,
        arbitrary: fc.record({
          op: fc.constant("flush" as const),
          n: fc.nat(),
          who: fc.nat({ max: OWNERS - 1 }),
        }),
      },
    );
    fc.assert(
      fc.property(fc.array(op, { minLength: 1, maxLength: 80 }), (ops) => {
        const { pages, newCache } = newPagesWithCaches(64 << 20);
        const caches = Array.from({ length: OWNERS }, newCache);
        const base = 3 * CHUNK;
        const size = 2 * CHUNK;
        pages.grow(base, size);
        const page = new Array<number>(size).fill(FREE);
        const scavenged = new Array<boolean>(size).fill(true);
        const firstFit = (n: number, of: number, lo = 0, hi = size): number => {
          for (let p = lo, run = 0; p < hi; p++) {
            run = page[p] === of ? run + 1 : 0;
            if (run === n) return p - n + 1;
          }
          return -1;
        };
        const claim = (who: number): boolean => {
          const lowest = page.indexOf(FREE);
          if (lowest < 0) return false;
          const from = lowest - (lowest % 64);
          for (let p = from; p < from + 64; p++) if (page[p] === FREE) page[p] = who;
          return true;
        };
        const live: [number, number][] = [];
        const take = (got: number, n: number): void => {
          const at = got - base;
          for (let p = at; p < at + n; p++) {
            page[p] = USED;
            scavenged[p] = false;
          }
          live.push([got, n]);
        };
        for (const o of ops) {
          const who = o.who % OWNERS;
          const cache = caches[who];
          if (o.op === "free") {
            if (live.length === 0) continue;
            const [[at, n]] = live.splice(o.n % live.length, 1) as [[number, number]];
            pages.free(at, n);
            page.fill(FREE, at - base, at - base + n);
          } else if (o.op === "flush") {
            pages.unclaim(cache.at);
            for (let p = 0; p < size; p++) if (page[p] === who) page[p] = FREE;
          } else if (o.n <= PAGE_CACHE_MAX && (!cache.empty || pages.claim(cache.at))) {
            if (!page.includes(who)) expect(claim(who)).toBe(true);
            const want = firstFit(o.n, who);
            const got = cache.alloc(o.n);
            expect(got).toBe(want < 0 ? 0 : base + want);
            if (got === 0) continue;
            expect(cache.scavenged).toBe(scavenged.slice(want, want + o.n).filter(Boolean).length);
            take(got, o.n);
          } else {
            const want = firstFit(o.n, FREE);
            const got = pages.alloc(o.n);
            expect(got).toBe(want < 0 ? 0 : base + want);
            if (got === 0) continue;
            expect(pages.countScavenged(got, o.n)).toBe(
              scavenged.slice(want, want + o.n).filter(Boolean).length,
            );
            pages.clearScavenged(got, o.n);
            take(got, o.n);
          }
          for (const [k, c] of caches.entries()) {
            const mine = [...c.entries()].map(([p, scav]) => `${p - base}${scav}`);
            expect(mine).toEqual(page.flatMap((of, p) => (of === k ? [`${p}${scavenged[p]}`] : [])));
          }
        }
        for (const c of caches) if (!c.empty) pages.unclaim(c.at);
        for (let p = 0; p < size; p++) {
          expect(pages.isAllocated(base + p)).toBe(page[p] === USED);
          expect(pages.isScavenged(base + p)).toBe(scavenged[p]);
        }
      }),
      { numRuns: 100 },
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

  it("finds whole pages of the system to give back, however few are wanted and wherever a run ends", () => {
    for (const align of [1, 2, 4, 8]) {
      for (let n = 1; n <= 40; n++) {
        const { pages } = newPagesWithCaches(64 << 20);
        pages.grow(CHUNK, CHUNK);
        const p = pages.alloc(100);
        pages.clearScavenged(p, 100);
        pages.free(p + 30, n); // free pages that hold memory
        const [lo, hi] = [Math.ceil((p + 30) / align) * align, Math.floor((p + 30 + n) / align) * align];
        for (const limit of [align, 2 * align, 64]) {
          const want = hi <= lo ? 0 : Math.max(lo, hi - limit) * 1024 + Math.min(hi - lo, limit);
          expect([align, n, limit, pages.findScavengeable(2 * CHUNK, limit, align)]).toEqual([
            align,
            n,
            limit,
            want,
          ]);
        }
      }
    }
  });

  it("gives 64 pages away at once, cuts small runs from them, and takes the rest back", () => {
    const { pages, newCache } = newPagesWithCaches();
    const cache = newCache();
    pages.grow(CHUNK, CHUNK);
    expect(cache.alloc(1)).toBe(0);
    expect(pages.claim(cache.at)).toBe(true);
    expect([cache.alloc(1), cache.alloc(3), cache.alloc(15), cache.alloc(15)]).toEqual([
      CHUNK,
      CHUNK + 1,
      CHUNK + 4,
      CHUNK + 19, // across the two words
    ]);
    expect(cache.scavenged).toBe(15);
    expect([...cache.entries()]).toEqual(Array.from({ length: 30 }, (_, i) => [CHUNK + 34 + i, true]));
    expect(pages.alloc(1)).toBe(CHUNK + 64); // the 64 are taken
    pages.free(CHUNK + 1, 3);
    expect(cache.alloc(3)).toBe(CHUNK + 34); // they went to the heap
    pages.unclaim(cache.at);
    expect(cache.empty).toBe(true);
    expect([pages.alloc(3), pages.alloc(27), pages.alloc(512 - 65)]).toEqual([
      CHUNK + 1,
      CHUNK + 37,
      CHUNK + 65,
    ]);
    expect(pages.claim(cache.at)).toBe(false);
    expect(pages.countScavenged(CHUNK, 512)).toBe(27 + 1 + 447); // as they came to it
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

  it("finds the longest run inside a word, and after a run one page shorter", () => {
    for (let n = 1; n <= 30; n++) {
      const pages = newPages();
      pages.grow(CHUNK, CHUNK);
      pages.alloc(CHUNK);
      // Between two pages in use, each in a word of its own: n - 1 free pages, then n.
      if (n > 1) pages.free(CHUNK + 32 + 1, n - 1);
      pages.free(CHUNK + 96 + 1, n);
      expect(pages.alloc(n)).toBe(CHUNK + 96 + 1);
      expect(pages.alloc(n)).toBe(0);
      if (n > 1) expect(pages.alloc(n - 1)).toBe(CHUNK + 32 + 1);
    }
  });

  it("keeps summaries on all levels that say what the bits say", () => {
    const pages = newPages();
    const first = 7; // the chunks are in two entries of level 1
    const size = 3 * CHUNK;
    pages.grow(first * CHUNK, size);
    const used = new Array<boolean>(size).fill(false);
    /** start, max and end of the pages [lo, hi) of the bits; what is not the heap's counts as in use. */
    const naive = (lo: number, hi: number): [number, number, number] => {
      const runs: number[] = [0];
      for (let p = lo; p < hi; p++) {
        const at = p - first * CHUNK;
        if (at < 0 || at >= size || used[at]) runs.push(0);
        else runs.push((runs.pop() as number) + 1);
      }
      return [runs[0], Math.max(...runs), runs.at(-1) as number];
    };
    const check = (): void => {
      pages.cleanUp();
      for (let c = first; c < first + 3; c++)
        expect(pages.summary(2, c)).toEqual(naive(c * CHUNK, (c + 1) * CHUNK));
      for (const e of [0, 1]) expect(pages.summary(1, e)).toEqual(naive(e * 8 * CHUNK, (e + 1) * 8 * CHUNK));
      expect(pages.summary(0, 0)).toEqual(naive(0, 64 * CHUNK));
    };
    check();
    // A run whose ends lie anywhere in a word, and of lengths around a word's.
    const run = fc.tuple(
      fc.nat({ max: size - 1 }),
      fc.oneof(fc.integer({ min: 1, max: 70 }), fc.nat({ max: size })),
    );
    fc.assert(
      fc.property(fc.array(run, { minLength: 1, maxLength: 30 }), (runs) => {
        expect(pages.alloc(size)).toBe(first * CHUNK);
        used.fill(true);
        check();
        for (const [at, n] of runs) {
          let end = at;
          while (end < size && end < at + n && used[end]) end++;
          if (end === at) continue;
          pages.free(first * CHUNK + at, end - at);
          used.fill(false, at, end);
          check();
        }
        for (let p = 0; p < size; p++) if (used[p]) pages.free(first * CHUNK + p, 1);
        used.fill(false);
        check();
      }),
      { numRuns: 60 },
    );
  });
});

describe("a page cache that another thread empties", () => {
  for (const [name, skip, npages] of [
    ["in its low word", 0, 3],
    ["in its high word", 40, 3],
    ["across both", 28, 8],
  ] as const) {
    for (const cut of [1, 2]) {
      it(`while a run is taken ${name}, before exchange ${cut}: each page has one owner`, () => {
        const { pages, newCache } = newPagesWithCaches(64 << 20);
        pages.grow(CHUNK, CHUNK);
        let exchanges = 0;
        let scavenged = -1;
        const kernel: Partial<Kernel> = {
          cas(addr, expected, value) {
            if (++exchanges === cut) scavenged = pages.unclaim(cache.at);
            return real.cas(addr, expected, value);
          },
        };
        const cache = newCache(kernel);
        const real = (newCache({}) as unknown as { kernel: Kernel }).kernel;
        pages.claim(cache.at);
        exchanges = -1000;
        for (let k = 0; k < skip; k++) cache.alloc(1);
        exchanges = 0;
        const page = cache.alloc(npages);
        const taken = new Set(Array.from({ length: page === 0 ? 0 : npages }, (_, k) => page + k));
        const parked = new Set([...cache.entries()].map(([p]) => p));
        for (let p = CHUNK + skip; p < CHUNK + 64; p++) {
          const owners = [!pages.isAllocated(p), taken.has(p), parked.has(p)].filter((x) => x).length;
          expect([p, owners]).toEqual([p, 1]);
        }
        if (exchanges >= cut) expect([page, scavenged > 0]).toEqual([0, true]);
        else expect([page, cut]).toEqual([CHUNK + skip, 2]); // one word: there is no second exchange
        expect(cache.scavengedPages).toBe([...cache.entries()].filter(([, s]) => s).length);
        // The next search for pages takes the returned pages again.
        const rest = pages.unclaim(cache.at);
        expect(cache.empty).toBe(true);
        if (page === 0)
          expect([scavenged + rest, pages.freeBelow(2 * CHUNK)]).toEqual([64 - skip, CHUNK - skip]);
      });
    }
  }
});

describe("freeBelow", () => {
  it("counts the free pages that end at a chunk's end", () => {
    const { pages } = newPagesWithCaches(64 << 20);
    pages.grow(2 * CHUNK, 2 * CHUNK);
    expect(pages.freeBelow(4 * CHUNK)).toBe(2 * CHUNK);
    expect(pages.freeBelow(3 * CHUNK)).toBe(CHUNK);
    expect(pages.freeBelow(2 * CHUNK)).toBe(0);
    expect(pages.freeBelow(0)).toBe(0);
    const first = pages.alloc(CHUNK + 5);
    expect(pages.freeBelow(4 * CHUNK)).toBe(CHUNK - 5);
    const last = pages.alloc(CHUNK - 5);
    expect(pages.freeBelow(4 * CHUNK)).toBe(0);
    pages.free(last, 1);
    expect(pages.freeBelow(4 * CHUNK)).toBe(0);
    pages.free(last + 1, CHUNK - 6);
    pages.free(first + CHUNK + 4, 1);
    expect(pages.freeBelow(4 * CHUNK)).toBe(CHUNK - 4);
  });
});
