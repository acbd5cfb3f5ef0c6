/**
 * The page cache: 64 pages in a row of which an mcache owns the free ones, so that a small span costs no lock. The
 * 64 are claimed from the page allocator around the lowest free page (PageAlloc.claim) and used up from the low
 * end. They go back at each flush, before the heap would grow for a longer run, and before the scavenger looks for
 * pages.
 *
 * A bit is set in `free` exactly while the page is the cache's. scav tells which of the pages hold no physical
 * memory, so that this is still known when they go back. layout.ts declares both.
 *
 * Under the heap lock any thread may take the pages back for the heap (PageAlloc.unclaim): it exchanges `free` for
 * 0. So in a heap that threads share the owner takes pages by compare-and-swap. The owner alone changes all the
 * rest; it changes base and fresh under the heap lock. Bits of scav count only where `free` has one.
 */
import { popcount32 } from "@gort/base";
import type { Kernel, LinearMemory } from "@gort/memory";
import { firstRun64, lowMask } from "./bits.ts";
import { PAGE_CACHE_AT } from "./layout.ts";
import type { RecoveryLog } from "./recovery.ts";

/** Pages of a cache. */
export const PAGE_CACHE_PAGES = 64;

/** The largest span that is cut from a cache: Go takes less than a quarter of one. */
export const PAGE_CACHE_MAX = PAGE_CACHE_PAGES / 4 - 1;

const FREE = PAGE_CACHE_AT.free >>> 2;
const SCAV = PAGE_CACHE_AT.scav >>> 2;
const FRESH = PAGE_CACHE_AT.fresh >>> 2;

/** Pages of the cache at word `at`. Its thread may be taking some of them. */
export function cachedPages(u32: Uint32Array, at: number): number {
  return popcount32(u32[at + FREE]) + popcount32(u32[at + FREE + 1]);
}

export class PageCache {
  private readonly u32: Uint32Array;
  private readonly kernel: Kernel;
  /** Word index of MHEAP.shared. */
  private readonly shared: number;
  private readonly log: RecoveryLog;
  /** Word index of the PAGE_CACHE struct. */
  readonly at: number;
  /** Result of alloc: how many of the pages hold no physical memory. */
  scavenged = 0;

  constructor(mem: LinearMemory, addr: number, shared: number, log: RecoveryLog) {
    this.log = log;
    this.u32 = mem.u32;
    this.kernel = mem.kernel;
    this.shared = shared;
    this.at = addr >>> 2;
  }

  get empty(): boolean {
    return this.u32[this.at + FREE] === 0 && this.u32[this.at + FREE + 1] === 0;
  }

  /** Whether none of its pages had ever been handed out when it was claimed. */
  get fresh(): boolean {
    return this.u32[this.at + FRESH] !== 0;
  }

  /** Takes the lowest npages (1 to PAGE_CACHE_MAX) in a row; the first page, 0 if there are none. */
  alloc(npages: number): number {
    const { u32, at, log } = this;
    for (;;) {
      const lo = u32[at + FREE];
      const hi = u32[at + FREE + 1];
      const bit = firstRun64(lo, hi, npages);
      if (bit < 0) return 0;
      const loMask = bit >= 32 ? 0 : lowMask(Math.min(npages, 32 - bit)) << bit;
      const over = bit + npages - 32;
      const hiMask = over <= 0 ? 0 : lowMask(Math.min(npages, over)) << Math.max(bit - 32, 0);
      // Logged before they are taken: recovery looks whether they were.
      const scavenged = this.countScav(0, loMask) + this.countScav(1, hiMask);
      log.pagesChosen(u32[at] + bit, scavenged);
      if (!this.take(0, lo, loMask)) continue;
      if (!this.take(1, hi, hiMask)) {
        this.kernel.or((at + FREE) << 2, loMask);
        continue;
      }
      log.pagesTaken();
      this.scavenged = scavenged;
      if (scavenged !== 0) this.clearScav(loMask, hiMask);
      return u32[at] + bit;
    }
  }

  /** Takes the masked pages of word k, whose bits were `old`. False: another thread has taken pages meanwhile. */
  private take(k: number, old: number, mask: number): boolean {
    if (mask === 0) return true;
    const { u32 } = this;
    const f = this.at + FREE + k;
    if (u32[this.shared] !== 0) return this.kernel.cas(f << 2, old, old & ~mask) === (old | 0);
    u32[f] = old & ~mask;
    return true;
  }

  private countScav(k: number, mask: number): number {
    const scav = this.u32[this.at + SCAV + k] & mask;
    return scav === 0 ? 0 : popcount32(scav);
  }

  private clearScav(loMask: number, hiMask: number): void {
    const { u32 } = this;
    const s = this.at + SCAV;
    u32[s] = u32[s] & ~loMask;
    u32[s + 1] = u32[s + 1] & ~hiMask;
  }

  /**
   * For recovery: whether the killed thread had not yet taken the run. Also true if another thread has emptied the
   * cache in that moment: then it can't be known, and the pages are lost.
   */
  untaken(page: number, npages: number): boolean {
    if (this.empty) return true;
    const bit = page - this.u32[this.at];
    for (let i = bit; i < bit + npages; i++) {
      if (((this.u32[this.at + FREE + (i >>> 5)] >>> (i & 31)) & 1) === 0) return false;
    }
    return true;
  }

  /** Takes the rest of a run that was being taken from the cache. */
  finishTaking(page: number, npages: number): void {
    const bit = page - this.u32[this.at];
    for (let i = bit; i < bit + npages; i++) {
      for (const words of [FREE, SCAV]) {
        const w = this.at + words + (i >>> 5);
        if (words === FREE) this.kernel.and(w << 2, ~(1 << (i & 31)));
        else this.u32[w] = this.u32[w] & ~(1 << (i & 31));
      }
    }
  }

  /** Pages of the cache without physical memory. */
  get scavengedPages(): number {
    const { u32, at } = this;
    const word = (k: number): number => u32[at + SCAV + k] & u32[at + FREE + k];
    return popcount32(word(0)) + popcount32(word(1));
  }

  /** Each page of the cache, and whether it holds no physical memory. For the walkers. */
  *entries(): Generator<[page: number, scavenged: boolean]> {
    const { u32, at } = this;
    for (let i = 0; i < PAGE_CACHE_PAGES; i++) {
      const bit = (words: number): number => (u32[at + words + (i >>> 5)] >>> (i & 31)) & 1;
      if (bit(FREE) !== 0) yield [u32[at] + i, bit(SCAV) !== 0];
    }
  }
}
