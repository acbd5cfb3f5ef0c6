/**
 * Specials: records attached to single objects (finalizers, weak handles, cleanups, profile buckets). Each span keeps
 * its own in a list sorted by offset, then kind, under span.speclock, so that the sweeper meets them in address order.
 */
import { hex } from "@gort/base";
import { checkAddress, checkSize } from "./errors.ts";
import { MSPAN_AT, SPECIAL_AT, SPECIAL_CLEANUP } from "./layout.ts";
import type { MHeap } from "./mheap.ts";

export class Specials {
  readonly #heap: MHeap;
  readonly #u32: Uint32Array;

  constructor(heap: MHeap) {
    this.#heap = heap;
    this.#u32 = heap.mem.u32;
  }

  #spanOf(addr: number): number {
    checkAddress("a special", addr);
    const s = addr >>> 0 === addr ? this.#heap.spanOf(addr) : 0;
    if (s === 0) throw new RangeError(`allocator: a special needs an address in the heap (got ${hex(addr)})`);
    return s;
  }

  #offset(s: number, addr: number): number {
    return addr - this.#u32[(s + MSPAN_AT.startAddr) >>> 2];
  }

  /** Address of the link that points to the first special at or after (offset, kind). */
  #seek(s: number, offset: number, kind: number): number {
    const u32 = this.#u32;
    let link = s + MSPAN_AT.specials;
    for (let p = u32[link >>> 2]; p !== 0; p = u32[link >>> 2]) {
      const o = u32[(p + SPECIAL_AT.offset) >>> 2];
      if (o > offset || (o === offset && u32[(p + SPECIAL_AT.kind) >>> 2] >= kind)) break;
      link = p + SPECIAL_AT.next;
    }
    return link;
  }

  #matches(p: number, offset: number, kind: number): boolean {
    return (
      p !== 0 &&
      this.#u32[(p + SPECIAL_AT.offset) >>> 2] === offset &&
      this.#u32[(p + SPECIAL_AT.kind) >>> 2] === kind
    );
  }

  /**
   * Attaches a special. The result is its address, 0 if the object has one of the kind, or -1 if there is no
   * memory.
   */
  add(addr: number, kind: number, data: number, data2: number): number {
    const heap = this.#heap;
    const u32 = this.#u32;
    const s = this.#spanOf(addr);
    const offset = this.#offset(s, addr);
    checkSize(kind, "kind");
    checkSize(data, "data");
    checkSize(data2, "data2");
    heap.lock();
    const p = heap.specialalloc.alloc();
    heap.unlock();
    if (p === 0) return -1;
    u32[(p + SPECIAL_AT.offset) >>> 2] = offset;
    u32[(p + SPECIAL_AT.kind) >>> 2] = kind;
    u32[(p + SPECIAL_AT.data) >>> 2] = data;
    u32[(p + SPECIAL_AT.data2) >>> 2] = data2;
    heap.acquire(s + MSPAN_AT.speclock);
    let link = this.#seek(s, offset, kind);
    const taken = kind !== SPECIAL_CLEANUP && this.#matches(u32[link >>> 2], offset, kind);
    if (!taken) {
      // Cleanups of one object keep the order in which they were added.
      while (this.#matches(u32[link >>> 2], offset, kind)) link = u32[link >>> 2] + SPECIAL_AT.next;
      u32[(p + SPECIAL_AT.next) >>> 2] = u32[link >>> 2];
      u32[link >>> 2] = p;
    }
    heap.release(s + MSPAN_AT.speclock);
    if (!taken) return p;
    heap.lock();
    heap.specialalloc.free(p);
    heap.unlock();
    return 0;
  }

  find(addr: number, kind: number): number {
    const heap = this.#heap;
    checkAddress("a special", addr);
    const s = heap.spanOf(addr);
    if (s === 0) return 0;
    const offset = this.#offset(s, addr);
    heap.acquire(s + MSPAN_AT.speclock);
    const p = this.#u32[this.#seek(s, offset, kind) >>> 2];
    const found = this.#matches(p, offset, kind);
    heap.release(s + MSPAN_AT.speclock);
    return found ? p : 0;
  }

  /** Removes the special of this kind and, if data is given, with this data. The result is its data, or -1. */
  remove(addr: number, kind: number, data: number | undefined): number {
    const heap = this.#heap;
    const u32 = this.#u32;
    checkAddress("a special", addr);
    const s = heap.spanOf(addr);
    if (s === 0) return -1;
    const offset = this.#offset(s, addr);
    heap.acquire(s + MSPAN_AT.speclock);
    let link = this.#seek(s, offset, kind);
    let p = u32[link >>> 2];
    while (
      data !== undefined &&
      this.#matches(p, offset, kind) &&
      u32[(p + SPECIAL_AT.data) >>> 2] !== data
    ) {
      link = p + SPECIAL_AT.next;
      p = u32[link >>> 2];
    }
    const found = this.#matches(p, offset, kind);
    const value = found ? u32[(p + SPECIAL_AT.data) >>> 2] : -1;
    if (found) u32[link >>> 2] = u32[(p + SPECIAL_AT.next) >>> 2];
    heap.release(s + MSPAN_AT.speclock);
    if (found) {
      heap.lock();
      heap.specialalloc.free(p);
      heap.unlock();
    }
    return value;
  }

  /** Frees all specials of the n bytes at addr, a block that is freed by hand. */
  drop(addr: number, n: number): void {
    const heap = this.#heap;
    const u32 = this.#u32;
    const s = this.#spanOf(addr);
    if (u32[(s + MSPAN_AT.specials) >>> 2] === 0) return;
    const end = this.#offset(s, addr) + n;
    heap.acquire(s + MSPAN_AT.speclock);
    const link = this.#seek(s, end - n, 0);
    const first = u32[link >>> 2];
    let p = first;
    while (p !== 0 && u32[(p + SPECIAL_AT.offset) >>> 2] < end) p = u32[(p + SPECIAL_AT.next) >>> 2];
    u32[link >>> 2] = p;
    heap.release(s + MSPAN_AT.speclock);
    heap.lock();
    for (let q = first; q !== p; ) {
      const next = u32[(q + SPECIAL_AT.next) >>> 2];
      heap.specialalloc.free(q);
      q = next;
    }
    heap.unlock();
  }

  /** Adds to `out` the offsets of the span's specials of the kind. */
  offsets(s: number, kind: number, out: number[]): void {
    const heap = this.#heap;
    const u32 = this.#u32;
    if (u32[(s + MSPAN_AT.specials) >>> 2] === 0) return;
    heap.acquire(s + MSPAN_AT.speclock);
    for (let p = u32[(s + MSPAN_AT.specials) >>> 2]; p !== 0; p = u32[(p + SPECIAL_AT.next) >>> 2]) {
      if (u32[(p + SPECIAL_AT.kind) >>> 2] === kind) out.push(u32[(p + SPECIAL_AT.offset) >>> 2]);
    }
    heap.release(s + MSPAN_AT.speclock);
  }

  /** Unlinks a special met on a walk; prev is the special before it, 0 at the head. */
  take(s: number, prev: number, p: number): void {
    const heap = this.#heap;
    const u32 = this.#u32;
    heap.acquire(s + MSPAN_AT.speclock);
    u32[(prev === 0 ? s + MSPAN_AT.specials : prev + SPECIAL_AT.next) >>> 2] =
      u32[(p + SPECIAL_AT.next) >>> 2];
    heap.release(s + MSPAN_AT.speclock);
  }

  /** Unlinks and frees a special met on a walk. */
  free(s: number, prev: number, p: number): void {
    this.take(s, prev, p);
    this.release(p);
  }

  /** Frees a special that is on no list. */
  release(p: number): void {
    const heap = this.#heap;
    heap.lock();
    heap.specialalloc.free(p);
    heap.unlock();
  }
}
