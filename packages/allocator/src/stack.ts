/**
 * Memory for goroutine stacks. Small stacks (2, 4, 8 and 16 KiB: orders 0 to 3) are pieces of stack spans of 32 KiB;
 * larger ones are spans of their own.
 *
 *     mcache.stackFree[order]     pieces this thread may hand out again without a lock, at most 32 KiB an order
 *     mheap.stackPool[order]      stack spans with free pieces, linked through next and prev
 *     span.manualFreeList         the free pieces of a span, linked through their first word; allocCount counts the
 *                                 pieces in use or held by an mcache
 *
 * A span all of whose pieces are back goes to the heap. flush empties the mcache's lists. Stacks count in StackInuse by
 * whole spans, as in Go. Their contents are not cleared.
 */
import { hex, show, throwFatal } from "@gort/base";
import { checkAddress } from "./errors.ts";
import { MANUAL_STACK, MCACHE_AT, MHEAP_AT, MSPAN_AT, PAGE_SIZE, SPAN_MANUAL } from "./layout.ts";
import type { MHeap } from "./mheap.ts";

/** The smallest stack: Go's fixedStack on amd64. */
export const FIXED_STACK = 2048;
/** Bytes of a stack span and of an mcache's free pieces of one order: Go's _StackCacheSize. */
export const STACK_CACHE_SIZE = 32768;

export class Stacks {
  readonly #heap: MHeap;
  readonly #u32: Uint32Array;
  readonly #pool: number;
  readonly #free: number;
  readonly #freeBytes: number;

  constructor(heap: MHeap, mcache: number) {
    this.#heap = heap;
    this.#u32 = heap.mem.u32;
    this.#pool = (heap.base + MHEAP_AT.stackPool) >>> 2;
    this.#free = (mcache + MCACHE_AT.stackFree) >>> 2;
    this.#freeBytes = (mcache + MCACHE_AT.stackFreeBytes) >>> 2;
  }

  #check(n: number): void {
    if (!Number.isInteger(n) || n < FIXED_STACK || n > 2 ** 31 || (n & (n - 1)) !== 0) {
      throw new RangeError(
        `allocator: stack size must be a power of two of at least ${FIXED_STACK} (got ${show(n)})`,
      );
    }
  }

  alloc(n: number): number {
    this.#check(n);
    const u32 = this.#u32;
    if (n >= STACK_CACHE_SIZE) {
      const s = this.#heap.allocManual(n / PAGE_SIZE, MANUAL_STACK);
      u32[(s + MSPAN_AT.elemsize) >>> 2] = n;
      u32[(s + MSPAN_AT.allocCount) >>> 2] = 1;
      this.#heap.log.spanPlaced(s);
      return u32[(s + MSPAN_AT.startAddr) >>> 2];
    }
    const order = Math.log2(n / FIXED_STACK);
    let p = u32[this.#free + order];
    if (p === 0) {
      this.#refill(order, n);
      p = u32[this.#free + order];
    }
    u32[this.#free + order] = u32[p >>> 2];
    u32[this.#freeBytes + order] = u32[this.#freeBytes + order] - n;
    return p;
  }

  free(addr: number, n: number): void {
    this.#check(n);
    checkAddress("stackFree", addr);
    const u32 = this.#u32;
    const s = this.#heap.spanOf(addr);
    const bad =
      s === 0 ||
      u32[(s + MSPAN_AT.state) >>> 2] !== SPAN_MANUAL ||
      u32[(s + MSPAN_AT.manualKind) >>> 2] !== MANUAL_STACK ||
      u32[(s + MSPAN_AT.elemsize) >>> 2] !== n;
    if (bad) throwFatal("stackfree: bad span state", `stack ${hex(addr)} of ${n} bytes`);
    if (n >= STACK_CACHE_SIZE) {
      this.#heap.freeSpan(s);
      return;
    }
    const order = Math.log2(n / FIXED_STACK);
    u32[addr >>> 2] = u32[this.#free + order];
    u32[this.#free + order] = addr;
    u32[this.#freeBytes + order] = u32[this.#freeBytes + order] + n;
    if (u32[this.#freeBytes + order] >= STACK_CACHE_SIZE) this.#release(order, n, STACK_CACHE_SIZE / 2);
  }

  /** Takes pieces for half a cache from the pool. */
  #refill(order: number, n: number): void {
    const u32 = this.#u32;
    let held = 0;
    while (held < STACK_CACHE_SIZE / 2) {
      this.#heap.lock();
      const p = this.#poolAlloc(order);
      this.#heap.unlock();
      if (p === 0) {
        this.#newSpan(order, n);
        continue;
      }
      u32[p >>> 2] = u32[this.#free + order];
      u32[this.#free + order] = p;
      // Counted with each piece, as there may be no memory for the next.
      u32[this.#freeBytes + order] = u32[this.#freeBytes + order] + n;
      held += n;
    }
  }

  #newSpan(order: number, n: number): void {
    const u32 = this.#u32;
    const s = this.#heap.allocManual(STACK_CACHE_SIZE / PAGE_SIZE, MANUAL_STACK);
    const start = u32[(s + MSPAN_AT.startAddr) >>> 2];
    u32[(s + MSPAN_AT.elemsize) >>> 2] = n;
    let list = 0;
    for (let off = STACK_CACHE_SIZE - n; off >= 0; off -= n) {
      u32[(start + off) >>> 2] = list;
      list = start + off;
    }
    u32[(s + MSPAN_AT.manualFreeList) >>> 2] = list;
    this.#heap.lock();
    this.#poolInsert(order, s);
    this.#heap.log.spanPlaced(s);
    this.#heap.unlock();
  }

  #poolInsert(order: number, s: number): void {
    const u32 = this.#u32;
    const head = u32[this.#pool + order];
    u32[(s + MSPAN_AT.next) >>> 2] = head;
    u32[(s + MSPAN_AT.prev) >>> 2] = 0;
    if (head !== 0) u32[(head + MSPAN_AT.prev) >>> 2] = s;
    u32[this.#pool + order] = s;
  }

  #poolRemove(order: number, s: number): void {
    const u32 = this.#u32;
    const next = u32[(s + MSPAN_AT.next) >>> 2];
    const prev = u32[(s + MSPAN_AT.prev) >>> 2];
    if (prev === 0) u32[this.#pool + order] = next;
    else u32[(prev + MSPAN_AT.next) >>> 2] = next;
    if (next !== 0) u32[(next + MSPAN_AT.prev) >>> 2] = prev;
    u32[(s + MSPAN_AT.next) >>> 2] = 0;
    u32[(s + MSPAN_AT.prev) >>> 2] = 0;
  }

  #poolAlloc(order: number): number {
    const u32 = this.#u32;
    const s = u32[this.#pool + order];
    if (s === 0) return 0;
    const p = u32[(s + MSPAN_AT.manualFreeList) >>> 2];
    const next = u32[p >>> 2];
    u32[(s + MSPAN_AT.manualFreeList) >>> 2] = next;
    u32[(s + MSPAN_AT.allocCount) >>> 2] = u32[(s + MSPAN_AT.allocCount) >>> 2] + 1;
    if (next === 0) this.#poolRemove(order, s);
    return p;
  }

  /**
   * Takes a piece back. The result is its span if that was its last piece in use: the caller frees it without the
   * lock. Else 0.
   */
  #poolFree(order: number, p: number): number {
    const u32 = this.#u32;
    const s = this.#heap.spanOf(p);
    const list = u32[(s + MSPAN_AT.manualFreeList) >>> 2];
    if (list === 0) this.#poolInsert(order, s);
    u32[p >>> 2] = list;
    u32[(s + MSPAN_AT.manualFreeList) >>> 2] = p;
    const count = u32[(s + MSPAN_AT.allocCount) >>> 2] - 1;
    u32[(s + MSPAN_AT.allocCount) >>> 2] = count;
    if (count !== 0) return 0;
    this.#heap.log.spanMoves(s);
    this.#poolRemove(order, s);
    return s;
  }

  #release(order: number, n: number, keep: number): void {
    const u32 = this.#u32;
    while (u32[this.#freeBytes + order] > keep) {
      const p = u32[this.#free + order];
      u32[this.#free + order] = u32[p >>> 2];
      u32[this.#freeBytes + order] = u32[this.#freeBytes + order] - n;
      this.#heap.lock();
      const s = this.#poolFree(order, p);
      this.#heap.unlock();
      if (s !== 0) this.#heap.freeSpan(s);
    }
  }

  /** Gives all cached pieces back. */
  flush(): void {
    for (let order = 0; order < 4; order++) this.#release(order, FIXED_STACK << order, 0);
  }
}
