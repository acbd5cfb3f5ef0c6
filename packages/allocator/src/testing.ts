/** Walkers that prove the allocator's invariants, for tests and for debugging builds of the packages above it. */
import type { Addr } from "@gort/memory";
import type { Allocator } from "./allocator.ts";
import { hasBit } from "./bits.ts";
import { GCCONTROL_AT, MSPAN_AT, SPAN_IN_USE, SPECIAL_AT } from "./layout.ts";

export { verifyMemory } from "@gort/memory/testing";
export { PageAlloc, pallocBitmapBytes, SUMMARY_BYTES } from "./mpagealloc.ts";
export { verifyHeap } from "./verify-heap.ts";

/** Addresses of all allocated slots, ascending by span. Flush first. */
export function* allocatedObjects(a: Allocator): Generator<{ span: Addr; addr: Addr; size: number }> {
  const { u32 } = a.mem;
  for (let n = 0; n < a.nspans; n++) {
    const span = a.spanAt(n);
    if (u32[(span + MSPAN_AT.state) >>> 2] !== SPAN_IN_USE) continue;
    const size = u32[(span + MSPAN_AT.elemsize) >>> 2];
    const bits = u32[(span + MSPAN_AT.allocBits) >>> 2];
    for (let i = 0; i < u32[(span + MSPAN_AT.nelems) >>> 2]; i++) {
      if (!hasBit(u32, bits >>> 2, i)) continue;
      yield { span, addr: (u32[(span + MSPAN_AT.startAddr) >>> 2] + i * size) as Addr, size };
    }
  }
}

/**
 * A collection without a collector: everything that `isLive` rejects is freed, by marking the rest and sweeping all
 * spans. For tests of the allocator, and of the packages above it, without @gort/gc. A freed object's specials are
 * dropped.
 */
export function collectWith(a: Allocator, isLive: (addr: Addr) => boolean): number {
  const { u32 } = a.mem;
  a.flushAll();
  let marked = 0;
  for (const { span, addr, size } of allocatedObjects(a)) {
    const i = a.objIndex(span, addr);
    const live = isLive(addr);
    if (live) {
      const w = (u32[(span + MSPAN_AT.gcmarkBits) >>> 2] >>> 2) + (i >>> 5);
      u32[w] = u32[w] | (1 << (i & 31));
      marked += size;
    } else {
      let prev = 0;
      const lo = addr - u32[(span + MSPAN_AT.startAddr) >>> 2];
      for (let p = u32[(span + MSPAN_AT.specials) >>> 2]; p !== 0; ) {
        const next = u32[(p + SPECIAL_AT.next) >>> 2];
        const offset = u32[(p + SPECIAL_AT.offset) >>> 2];
        if (offset >= lo && offset < lo + size) a.freeSpecial(span, prev, p);
        else prev = p;
        p = next;
      }
    }
  }
  const sweepgen = (a.gcControl + GCCONTROL_AT.sweepgen) >>> 2;
  u32[sweepgen] = u32[sweepgen] + 2;
  u32[(a.gcControl + GCCONTROL_AT.heapLive) >>> 2] = marked;
  let freed = 0;
  for (let s = a.nextSpanForSweep(); s !== 0; s = a.nextSpanForSweep()) {
    const n = a.sweepBits(s);
    freed += n;
    a.spanSwept(s, n, false);
  }
  return freed;
}
