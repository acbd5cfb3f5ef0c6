/**
 * The page allocator: address-ordered first fit over a bitmap, found through a radix tree of summaries.
 *
 * The heap is cut into chunks of 512 pages (4 MiB), each with 16 words of pallocBits (1 = page in use) and 16 words
 * of scavBits (1 = the free page holds no physical memory). A summary says of a range of pages
 *
 *     start   free pages at its low end
 *     max     longest run of free pages inside it
 *     end     free pages at its high end
 *
 * in units of pages. Level 2 has one summary a chunk, each level above one for 8 of the level below:
 *
 *     level 0   16 entries of 256 MiB
 *     level 1  128 entries of  32 MiB
 *     level 2 1024 entries of   4 MiB
 *
 * To find npages: walk a level from the low end and add up free pages across neighbours (end of one plus start of
 * the next). The first sum that reaches npages is the answer. If an entry's own max reaches it first, go down into
 * that entry. A chunk that was never grown has an all-zero summary: nothing free.
 *
 * The hint `search` (Go's searchAddr) is a page below which no page is free. It moves down when pages are freed, and up
 * when the search finds that the first free page is higher. So a full low heap isn't walked again and again.
 *
 * Spans of a few pages come and go by the thousand in each collection. Two things make them cheap:
 *
 * - Each mcache claims 64 pages at once, two words of the bit map, and cuts small spans from them without the heap
 *   lock (mpagecache.ts). They are in use here, and free in all figures.
 * - Claiming, and freeing up to 8 pages, only note the chunk as dirty. The next search brings the summaries up to date.
 *
 * Unlike Go: three levels of plain words instead of five of packed 64-bit ones (4 GiB needs no more).
 *
 * All calls hold the heap lock. Pages are counted from address 0 (page = addr >>> 13).
 */
import { ctz32, popcount32 } from "@gort/base";
import type { Kernel, LinearMemory } from "@gort/memory";
import { longestRun, lowMask } from "./bits.ts";
import { CHUNK_PAGES, PAGE_CACHE_AT, PAGE_SHIFT } from "./layout.ts";

/** log2 of the entries under one entry of the level above. */
const FANOUT_SHIFT = 3;
const LEVEL_ENTRIES = [16, 128, 1024] as const;
/** log2 of the pages an entry of each level covers. */
const LEVEL_SHIFT = [15, 12, 9] as const;
const CHUNK_PAGE_SHIFT = 9;
const WORDS_PER_CHUNK = CHUNK_PAGES / 32;
const SUMMARIES = LEVEL_ENTRIES[0] + LEVEL_ENTRIES[1] + LEVEL_ENTRIES[2];

/** Bytes of the summaries: three words each. */
export const SUMMARY_BYTES = SUMMARIES * 12;

// The words of MHEAP.palloc.
const W_SEARCH = 0;
const W_DIRTY = 1;

/** Runs up to this many pages only note their chunks as dirty when they are freed. */
const LAZY_MAX_PAGES = 8;

const CACHE_FREE = PAGE_CACHE_AT.free >>> 2;
const CACHE_SCAV = PAGE_CACHE_AT.scav >>> 2;

/** Bytes of the two bitmaps for a memory of `size` bytes. */
export function pallocBitmapBytes(size: number): number {
  return 2 * Math.ceil(size / (1 << PAGE_SHIFT) / 8);
}

export class PageAlloc {
  private readonly u32: Uint32Array;
  private readonly kernel: Kernel;
  /** Word indices: u32[bits + (page >>> 5)]. */
  private readonly bits: number;
  private readonly scav: number;
  /** Word indices of the three planes; entry e of level l is at [plane + levelBase[l] + e]. */
  private readonly start: number;
  private readonly max: number;
  private readonly end: number;
  private readonly levelBase: readonly number[] = [0, LEVEL_ENTRIES[0], LEVEL_ENTRIES[0] + LEVEL_ENTRIES[1]];
  /** Word indices: the hint (a page), the dirty chunks. */
  private readonly search: number;
  private readonly dirty: number;
  /** Result of the last find: a page below which no page is free, as far as the walk could tell. */
  private firstFree = 0;

  /** state: address of PALLOC_WORDS words. */
  constructor(mem: LinearMemory, bitmaps: number, summaries: number, state: number) {
    this.u32 = mem.u32;
    this.kernel = mem.kernel;
    this.bits = bitmaps >>> 2;
    this.scav = (bitmaps + pallocBitmapBytes(mem.size) / 2) >>> 2;
    this.start = summaries >>> 2;
    this.max = this.start + SUMMARIES;
    this.end = this.max + SUMMARIES;
    this.search = (state >>> 2) + W_SEARCH;
    this.dirty = (state >>> 2) + W_DIRTY;
  }

  /** Adds npages (whole chunks) of fresh memory from page on: free, and without physical pages. */
  grow(page: number, npages: number): void {
    for (let p = page; p < page + npages; p += 32) {
      this.u32[this.bits + (p >>> 5)] = 0;
      this.u32[this.scav + (p >>> 5)] = 0xffffffff;
    }
    this.update(page, npages);
    const search = this.u32[this.search];
    if (search === 0 || page < search) this.u32[this.search] = page;
  }

  /**
   * Marks pages inside of the heap's range that are not the heap's as in use for ever. Their summaries stay those
   * of nothing free.
   */
  exclude(page: number, npages: number): void {
    this.setRange(this.bits, page, npages);
  }

  /**
   * Gives the free pages among the 64 around the lowest free one to the page cache at word `cache`, which is empty.
   * False if no page is free.
   */
  claim(cache: number): boolean {
    const { u32 } = this;
    const page = this.find(1);
    if (page === 0) return false;
    const base = page & ~63;
    u32[cache] = base;
    for (let k = 0; k < 2; k++) {
      const w = (base >>> 5) + k;
      const free = ~u32[this.bits + w];
      const scav = u32[this.scav + w];
      u32[cache + CACHE_FREE + k] = free;
      u32[cache + CACHE_SCAV + k] = scav & free;
      u32[this.bits + w] = 0xffffffff;
      u32[this.scav + w] = scav & ~free;
    }
    this.setDirty(page);
    u32[this.search] = base + 64; // nothing was free below page
    return true;
  }

  /**
   * Takes back the pages of the page cache at word `cache`, of any thread, for larger runs, other threads and the
   * scavenger. The result is how many of them hold no physical memory.
   */
  unclaim(cache: number): number {
    const { u32 } = this;
    if (u32[cache + CACHE_FREE] === 0 && u32[cache + CACHE_FREE + 1] === 0) return 0;
    const base = u32[cache];
    let scavenged = 0;
    for (let k = 0; k < 2; k++) {
      const w = (base >>> 5) + k;
      const free = this.kernel.xchg((cache + CACHE_FREE + k) << 2, 0);
      const scav = u32[cache + CACHE_SCAV + k] & free;
      u32[this.bits + w] = u32[this.bits + w] & ~free;
      u32[this.scav + w] = u32[this.scav + w] | scav;
      scavenged += popcount32(scav);
    }
    this.setDirty(base);
    if (base < u32[this.search]) u32[this.search] = base;
    return scavenged;
  }

  /** Free pages in a row that end at `page`, a multiple of CHUNK_PAGES. */
  freeBelow(page: number): number {
    this.cleanUp();
    let n = 0;
    for (let c = page >>> CHUNK_PAGE_SHIFT; c > 0; c--) {
      const end = this.u32[this.end + this.levelBase[2] + c - 1];
      n += end;
      if (end < CHUNK_PAGES) break;
    }
    return n;
  }

  private setDirty(page: number): void {
    const chunk = page >>> CHUNK_PAGE_SHIFT;
    const w = this.dirty + (chunk >>> 5);
    this.u32[w] = this.u32[w] | (1 << (chunk & 31));
  }

  /** Brings the summaries up to date. */
  cleanUp(): void {
    const u32 = this.u32;
    for (let k = 0; k < LEVEL_ENTRIES[2] / 32; k++) {
      for (let x = u32[this.dirty + k]; x !== 0; x &= x - 1) {
        this.update(((k << 5) + ctz32(x)) << CHUNK_PAGE_SHIFT, 1);
      }
      u32[this.dirty + k] = 0;
    }
  }

  /** Takes the lowest npages in a row; returns the first page, 0 if there are none. */
  alloc(npages: number): number {
    const page = this.find(npages);
    if (page === 0) {
      // Only a failed search for one page proves that nothing at all is free.
      if (npages === 1) this.u32[this.search] = 0xffffffff;
      return 0;
    }
    this.setRange(this.bits, page, npages);
    this.update(page, npages);
    const first = this.firstFree === page ? page + npages : this.firstFree;
    if (first > this.u32[this.search]) this.u32[this.search] = first;
    return page;
  }

  /** Gives npages back. They keep their physical memory (scavBits stay 0). */
  free(page: number, npages: number): void {
    this.clearRange(this.bits, page, npages);
    if (npages <= LAZY_MAX_PAGES) {
      this.setDirty(page);
      this.setDirty(page + npages - 1);
    } else {
      this.update(page, npages);
    }
    if (page < this.u32[this.search]) this.u32[this.search] = page;
  }

  /** Pages of the range without physical memory. */
  countScavenged(page: number, npages: number): number {
    const u32 = this.u32;
    let n = 0;
    for (let p = page, end = page + npages; p < end; ) {
      const bit = p & 31;
      const width = Math.min(32 - bit, end - p);
      n += popcount32((u32[this.scav + (p >>> 5)] >>> bit) & lowMask(width));
      p += width;
    }
    return n;
  }

  markScavenged(page: number, npages: number): void {
    this.setRange(this.scav, page, npages);
  }

  clearScavenged(page: number, npages: number): void {
    this.clearRange(this.scav, page, npages);
  }

  /** Whether the page is in use. For the walkers. */
  isAllocated(page: number): boolean {
    return ((this.u32[this.bits + (page >>> 5)] >>> (page & 31)) & 1) !== 0;
  }

  isScavenged(page: number): boolean {
    return ((this.u32[this.scav + (page >>> 5)] >>> (page & 31)) & 1) !== 0;
  }

  /**
   * Highest run of free pages with physical memory in the chunk that holds page top-1. It ends at or below page `top`,
   * has at most `limit` pages (a multiple of `align`), and is aligned to `align` pages. Returns first page and length
   * in one number (see scavengeablePage), 0 if the chunk has none.
   */
  findScavengeable(top: number, limit: number, align: number): number {
    const u32 = this.u32;
    const base = ((top - 1) >>> CHUNK_PAGE_SHIFT) << CHUNK_PAGE_SHIFT;
    let hi = top;
    while (hi > base) {
      hi = this.prevScavengeable(hi, base);
      if (hi <= base) return 0;
      const alignedHi = hi - (hi % align);
      let lo = hi;
      // Counted from alignedHi: the pages above it are no whole `align`, and would use up the limit.
      while (lo > base && alignedHi - lo < limit) {
        const p = lo - 1;
        const used = (u32[this.bits + (p >>> 5)] | u32[this.scav + (p >>> 5)]) >>> (p & 31);
        if ((used & 1) !== 0) break;
        lo = p;
      }
      const alignedLo = Math.ceil(lo / align) * align;
      if (alignedHi > alignedLo) return alignedLo * PAGE_RUN + (alignedHi - alignedLo);
      hi = lo;
    }
    return 0;
  }

  /** One above the highest page below hi that is free and holds memory; base if there is none. */
  private prevScavengeable(hi: number, base: number): number {
    const u32 = this.u32;
    let p = hi;
    while (p > base) {
      const w = (p - 1) >>> 5;
      const width = ((p - 1) & 31) + 1;
      const free = ~(u32[this.bits + w] | u32[this.scav + w]) & lowMask(width);
      if (free !== 0) return (w << 5) + 32 - Math.clz32(free);
      p = w << 5;
    }
    return base;
  }

  /** First page of the lowest npages free pages in a row, 0 if there are none. Changes nothing but firstFree. */
  find(npages: number): number {
    const u32 = this.u32;
    this.cleanUp();
    const search = u32[this.search];
    this.firstFree = search;
    if (search === 0 || search >= LEVEL_ENTRIES[2] << CHUNK_PAGE_SHIFT) return 0;
    let lo = 0;
    let hi: number = LEVEL_ENTRIES[0];
    // Whether every page below the entry at hand is known to be in use: then firstFree may move up.
    let narrowing = true;
    for (let level = 0; level < 3; level++) {
      const shift = LEVEL_SHIFT[level] as number;
      const plane = this.levelBase[level];
      const full = 1 << shift;
      let run = 0;
      let runStart = 0;
      let down = -1;
      for (let e = Math.max(lo, search >>> shift); e < hi; e++) {
        const max = u32[this.max + plane + e];
        if (max === 0) {
          run = 0;
          continue;
        }
        const start = u32[this.start + plane + e];
        if (narrowing) {
          const first = e << shift;
          if (first > this.firstFree) this.firstFree = first;
        }
        if (run !== 0 && run + start >= npages) {
          return runStart;
        }
        if (max >= npages) {
          down = e;
          break;
        }
        narrowing = false;
        if (start === full) {
          if (run === 0) runStart = e << shift;
          run += full;
        } else {
          run = u32[this.end + plane + e];
          runStart = ((e + 1) << shift) - run;
        }
      }
      if (down < 0) return 0;
      lo = down << FANOUT_SHIFT;
      hi = lo + (1 << FANOUT_SHIFT);
      if (level === 2) return this.findInChunk(down, npages, narrowing);
    }
    return 0;
  }

  private findInChunk(chunk: number, npages: number, narrowing: boolean): number {
    const u32 = this.u32;
    const word = this.bits + chunk * WORDS_PER_CHUNK;
    const base = chunk << CHUNK_PAGE_SHIFT;
    const search = u32[this.search];
    let i = search > base ? search - base : 0;
    let first = true;
    while (i < CHUNK_PAGES) {
      const free = ~u32[word + (i >>> 5)] >>> (i & 31);
      if (free === 0) {
        i = (i | 31) + 1;
        continue;
      }
      i += ctz32(free);
      if (first && narrowing && base + i > this.firstFree) this.firstFree = base + i;
      first = false;
      const end = this.runEnd(word, i, npages);
      if (end - i >= npages) return base + i;
      i = end;
    }
    return 0;
  }

  /** End of the run of free pages that begins at i; stops looking at i + npages. */
  private runEnd(word: number, i: number, npages: number): number {
    const stop = Math.min(CHUNK_PAGES, i + npages);
    while (i < stop) {
      const used = this.u32[word + (i >>> 5)] >>> (i & 31);
      if (used !== 0) return Math.min(i + ctz32(used), CHUNK_PAGES);
      i = (i | 31) + 1;
    }
    return Math.min(i, CHUNK_PAGES);
  }

  private setRange(words: number, page: number, npages: number): void {
    const u32 = this.u32;
    for (let p = page, end = page + npages; p < end; ) {
      const bit = p & 31;
      const width = Math.min(32 - bit, end - p);
      u32[words + (p >>> 5)] = u32[words + (p >>> 5)] | (lowMask(width) << bit);
      p += width;
    }
  }

  private clearRange(words: number, page: number, npages: number): void {
    const u32 = this.u32;
    for (let p = page, end = page + npages; p < end; ) {
      const bit = p & 31;
      const width = Math.min(32 - bit, end - p);
      u32[words + (p >>> 5)] = u32[words + (p >>> 5)] & ~(lowMask(width) << bit);
      p += width;
    }
  }

  /** Recomputes the summaries of the chunks that hold the range, and of everything above them. */
  private update(page: number, npages: number): void {
    let lo = page >>> CHUNK_PAGE_SHIFT;
    let hi = (page + npages - 1) >>> CHUNK_PAGE_SHIFT;
    let changed = false;
    for (let c = lo; c <= hi; c++) if (this.summarize(c)) changed = true;
    for (let level = 1; level >= 0 && changed; level--) {
      lo >>>= FANOUT_SHIFT;
      hi >>>= FANOUT_SHIFT;
      changed = false;
      for (let e = lo; e <= hi; e++) if (this.merge(level, e)) changed = true;
    }
  }

  private store(entry: number, start: number, max: number, end: number): boolean {
    const u32 = this.u32;
    const same =
      u32[this.start + entry] === start && u32[this.max + entry] === max && u32[this.end + entry] === end;
    u32[this.start + entry] = start;
    u32[this.max + entry] = max;
    u32[this.end + entry] = end;
    return !same;
  }

  private summarize(chunk: number): boolean {
    const u32 = this.u32;
    const word = this.bits + chunk * WORDS_PER_CHUNK;
    let start = -1;
    let max = 0;
    let run = 0;
    for (let w = 0; w < WORDS_PER_CHUNK; w++) {
      const x = u32[word + w];
      if (x === 0) {
        run += 32;
        continue;
      }
      run += ctz32(x);
      if (start < 0) start = run;
      if (run > max) max = run;
      run = Math.clz32(x);
      // A run inside the word matters only if it beats the best so far; between two ones it has at most 30.
      if (max < 30) max = longestRun(~x, max);
    }
    if (start < 0) start = run;
    if (run > max) max = run;
    return this.store(this.levelBase[2] + chunk, start, max, run);
  }

  private merge(level: number, entry: number): boolean {
    const u32 = this.u32;
    const below = this.levelBase[level + 1] + (entry << FANOUT_SHIFT);
    const full = 1 << (LEVEL_SHIFT[level + 1] as number);
    let start = -1;
    let max = 0;
    let run = 0;
    for (let i = 0; i < 1 << FANOUT_SHIFT; i++) {
      const s = u32[this.start + below + i];
      const m = u32[this.max + below + i];
      if (s === full) {
        run += full;
        continue;
      }
      run += s;
      if (start < 0) start = run;
      if (run > max) max = run;
      if (m > max) max = m;
      run = u32[this.end + below + i];
    }
    if (start < 0) start = run;
    if (run > max) max = run;
    return this.store(this.levelBase[level] + entry, start, max, run);
  }

  /** A summary, for the walkers: [start, max, end]. */
  summary(level: 0 | 1 | 2, entry: number): [number, number, number] {
    const i = this.levelBase[level] + entry;
    const u32 = this.u32;
    return [u32[this.start + i], u32[this.max + i], u32[this.end + i]];
  }
}

/** A run of pages in one number: page * PAGE_RUN + length. A run of a chunk has at most 512. */
const PAGE_RUN = 1024;

/** First page of a run that findScavengeable found. */
export function scavengeablePage(run: number): number {
  return Math.floor(run / PAGE_RUN);
}

/** Length of a run that findScavengeable found. */
export function scavengeableLength(run: number): number {
  return run % PAGE_RUN;
}
