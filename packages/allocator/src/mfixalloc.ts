/**
 * Free lists of fixed-size structs (Go's fixalloc): mspans, specials, mcaches. Chunks of 16 KiB come from
 * persistentAlloc and are never returned. A freed struct's first word links the free list. Structs come zeroed
 * except for their last `keep` bytes, which survive from one life to the next. Called with the heap lock held.
 */
import type { LinearMemory, SysStatName } from "@gort/memory";
import { FIXALLOC_AT } from "./layout.ts";

/** Go's _FixAllocChunk. */
export const FIXALLOC_CHUNK = 16384;

export class FixAlloc {
  private readonly mem: LinearMemory;
  private readonly base: number;
  private readonly stat: SysStatName;
  private readonly keep: number;

  constructor(mem: LinearMemory, base: number, size: number, stat: SysStatName, keep = 0) {
    this.keep = keep;
    this.mem = mem;
    this.base = base;
    this.stat = stat;
    mem.u32[(base + FIXALLOC_AT.size) >>> 2] = (size + 7) & ~7;
  }

  /** A zeroed struct; 0 if the memory is exhausted. */
  alloc(): number {
    const { u32, f64 } = this.mem;
    const b = this.base;
    const size = u32[(b + FIXALLOC_AT.size) >>> 2];
    let p = u32[(b + FIXALLOC_AT.freelist) >>> 2];
    if (p !== 0) {
      u32[(b + FIXALLOC_AT.freelist) >>> 2] = u32[p >>> 2];
      for (let i = p >>> 2, e = (p + size - this.keep) >>> 2; i < e; i++) u32[i] = 0;
    } else {
      p = u32[(b + FIXALLOC_AT.chunk) >>> 2];
      if (p + size > u32[(b + FIXALLOC_AT.chunkEnd) >>> 2]) {
        p = this.mem.persistentAlloc(FIXALLOC_CHUNK, 64, this.stat);
        if (p === 0) return 0;
        u32[(b + FIXALLOC_AT.chunkEnd) >>> 2] = p + FIXALLOC_CHUNK;
      }
      u32[(b + FIXALLOC_AT.chunk) >>> 2] = p + size;
    }
    f64[(b + FIXALLOC_AT.inuseBytes) >>> 3] = f64[(b + FIXALLOC_AT.inuseBytes) >>> 3] + size;
    return p;
  }

  free(p: number): void {
    const { u32, f64 } = this.mem;
    const b = this.base;
    u32[p >>> 2] = u32[(b + FIXALLOC_AT.freelist) >>> 2];
    u32[(b + FIXALLOC_AT.freelist) >>> 2] = p;
    const size = u32[(b + FIXALLOC_AT.size) >>> 2];
    f64[(b + FIXALLOC_AT.inuseBytes) >>> 3] = f64[(b + FIXALLOC_AT.inuseBytes) >>> 3] - size;
  }

  get inuse(): number {
    return this.mem.f64[(this.base + FIXALLOC_AT.inuseBytes) >>> 3];
  }
}
