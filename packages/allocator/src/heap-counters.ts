/**
 * The bytes of the grown heap by use. Each thread adds to its own mcache's counters, so that no lock is needed. The
 * heap's figure is the sum over all mcaches; a single share may be negative.
 *
 *     heapInUse + heapFree + heapReleased = HeapSys = mem.stats.heapSys
 *     stackInUse = mem.stats.stackSys              gcManualInUse is a part of mem.stats.gcSys
 *     arena bytes grown = heapSys + stackInUse + gcManualInUse
 *
 *     grow       heapReleased += n     (fresh pages hold no physical memory)
 *     alloc      heapReleased -= scavenged pages, heapFree -= the others, owner += n
 *     free       owner -= n, heapFree += n
 *     scavenge   heapFree -= n, heapReleased += n
 *     retain     heapInUse -= n, heapFree += n     (unretain: the reverse)
 *
 * A retained span (mcentral.ts) changes one counter, emptyPages: `counter` corrects heapInUse and heapFree by it. So
 * retaining a span and using it again is one addition each.
 *
 * A page in a page cache counts as free or as released, like any other. Only mem.stats.heapReleased leaves the released
 * pages of page caches out until they go back.
 *
 * While a manual span is in use its bytes count in stackSys or gcSys instead of heapSys, as in Go.
 */
import type { LinearMemory } from "@gort/memory";
import { MANUAL_STACK, MCACHE_AT, PAGE_SIZE } from "./layout.ts";
import { sumOverMCaches } from "./mcache-list.ts";
import type { SpanPlan } from "./span-plan.ts";

/** Counters that each mcache keeps a share of. */
export type HeapCounter =
  | "heapInUse"
  | "heapFree"
  | "heapReleased"
  | "stackInUse"
  | "gcManualInUse"
  | "emptyPages";

export class HeapCounters {
  private readonly mem: LinearMemory;
  private readonly u32: Uint32Array;
  private readonly f64: Float64Array;
  private readonly mheap: number;
  /** Address of this thread's mcache. */
  private mcache = 0;

  constructor(mem: LinearMemory, mheap: number) {
    this.mem = mem;
    this.u32 = mem.u32;
    this.f64 = mem.f64;
    this.mheap = mheap;
  }

  bind(mcache: number): void {
    this.mcache = mcache;
  }

  /** The heap's figure. */
  counter(name: HeapCounter): number {
    const own = this.sum(MCACHE_AT[name]);
    if (name === "heapInUse") return own - this.sum(MCACHE_AT.emptyPages) * PAGE_SIZE;
    return name === "heapFree" ? own + this.sum(MCACHE_AT.emptyPages) * PAGE_SIZE : own;
  }

  private sum(offset: number): number {
    return sumOverMCaches(this.u32, this.f64, this.mheap, offset);
  }

  /** Adds to this mcache's share. By place and not by name: V8 does not fold a lookup by name into a constant. */
  private add(offset: number, n: number): void {
    const i = (this.mcache + offset) >>> 3;
    this.f64[i] = this.f64[i] + n;
  }

  /** Bytes of the whole memory that are counted and hold physical pages. The memory limit bounds this figure. */
  get mappedReady(): number {
    return this.mem.stats.sys - this.counter("heapReleased");
  }

  // --- changes

  /** Pages of the free heap become those of a span; `scavenged` of them held no physical memory. */
  spanTaken(plan: SpanPlan, scavenged: number): void {
    const bytes = plan.npages * PAGE_SIZE;
    this.add(MCACHE_AT.heapFree, scavenged * PAGE_SIZE - bytes);
    if (plan.holdsObjects) {
      this.add(MCACHE_AT.heapInUse, bytes);
      return;
    }
    this.mem.stats.add("heapSys", -bytes);
    this.countManual(plan.manualKind, bytes);
  }

  /** The pages of a span of objects are free. */
  objectsFreed(bytes: number): void {
    this.add(MCACHE_AT.heapInUse, -bytes);
    this.add(MCACHE_AT.heapFree, bytes);
  }

  /** The pages of a manual span are free. */
  manualFreed(kind: number, bytes: number): void {
    this.mem.stats.add("heapSys", bytes);
    this.countManual(kind, -bytes);
    this.add(MCACHE_AT.heapFree, bytes);
  }

  private countManual(kind: number, bytes: number): void {
    if (kind === MANUAL_STACK) {
      this.add(MCACHE_AT.stackInUse, bytes);
      this.mem.stats.add("stackSys", bytes);
    } else {
      this.add(MCACHE_AT.gcManualInUse, bytes);
      this.mem.stats.add("gcSys", bytes);
    }
  }

  /** Free bytes were returned to the operating system. */
  scavenged(bytes: number): void {
    this.add(MCACHE_AT.heapFree, -bytes);
    this.released(bytes);
  }

  /** So many bytes without physical memory come to the heap, or (negative) get physical memory. */
  released(bytes: number): void {
    this.add(MCACHE_AT.heapReleased, bytes);
    this.mem.stats.add("heapReleased", bytes);
  }

  /** Pages of the page cache get physical memory. mem.stats has left them out since they were claimed. */
  cachedPagesUsed(bytes: number): void {
    this.add(MCACHE_AT.heapReleased, -bytes);
  }

  /** So many pages without physical memory go from a page cache back to the heap, or (negative) to a page cache. */
  unclaimed(npages: number): void {
    if (npages !== 0) this.mem.stats.add("heapReleased", npages * PAGE_SIZE);
  }

  /** A span of npages without objects, on mcentral's empty list: its pages count as free from here on. */
  retain(npages: number): void {
    this.add(MCACHE_AT.emptyPages, npages);
  }

  /** It is used again, or is going to be freed. */
  unretain(npages: number): void {
    this.add(MCACHE_AT.emptyPages, -npages);
  }
}
