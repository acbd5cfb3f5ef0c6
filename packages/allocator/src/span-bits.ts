/**
 * The blocks of bits that heap spans own: a block of mark bits and, at the same offset of a second region, one of
 * alloc bits.
 *
 *     +-------------------------+-------------------------+
 *     | mark bits               | alloc bits              |      allocBits = gcmarkBits + half
 *     +-------------------------+-------------------------+
 *     base       (ends below    base + half
 *                 128 MiB)
 *
 * There are two regions because only mark bits must lie below 128 MiB, where pageInfo's 24 bits reach
 * (page-info.ts). Side by side, the bits of a 4 GiB heap of 8-byte objects would not fit there.
 *
 * A block has 8, 16, 32, 64 or 128 bytes on either side, by the slots of its span. Blocks are cut from *frames* of
 * 128 bytes, each frame into blocks of one size, and freed blocks are kept by size. There is a frame for every page
 * of the memory. When no frame is left, rejoin finds the frames all of whose blocks are free, whatever size they
 * were cut into.
 *
 * So the bits can't run out before the pages. A span needs at least one page, and it keeps at most one frame from
 * being whole. The tables have frames too, which no span uses: they bound the blocks that mcaches hold ahead of
 * use.
 */
import { ctz32 } from "@gort/base";
import type { LinearMemory } from "@gort/memory";
import { MCACHE_AT, MHEAP_AT, PAGE_SIZE } from "./layout.ts";
import { MARK_BITS_ALIGN_SHIFT, MARK_BITS_LIMIT } from "./page-info.ts";
import type { RecoveryLog } from "./recovery.ts";
import { classToNElems } from "./sizeclass.ts";

/** The regions are touched, and counted, in pieces of this many bytes. */
const CHUNK = 8192;
const FRAME = 128;
/** log2 of the smallest block: each is aligned to it. */
const MIN_SHIFT = MARK_BITS_ALIGN_SHIFT;
/** Blocks an mcache takes at a time, if there is plenty. */
const BATCH = 16;
/**
 * Blocks of freed spans that an mcache keeps for its own next spans. Small blocks share cache lines. A line of bits
 * that two threads change moves from processor to processor at every free: two threads that malloc and free had the
 * throughput of one. Blocks that come and go in one thread stay in lines of that thread.
 */
const KEPT = 256;

/** Bytes to reserve for both regions from `base`, a multiple of CHUNK, in a memory of `size` bytes. */
export function spanBitsBytes(size: number, base: number): number {
  const frames = Math.ceil(((size / PAGE_SIZE) * FRAME) / CHUNK) * CHUNK;
  return 2 * Math.min(frames, MARK_BITS_LIMIT - base);
}

export const SPAN_BITS_ALIGN = CHUNK;

/** Bytes of a span's mark bits, and of its alloc bits, by class: a power of two from 8 to 128, a bit for each slot. */
const classToBitsBytes = Uint8Array.from(classToNElems, (nelems) => {
  const bytes = Math.ceil(nelems / 32) * 4;
  return Math.max(1 << MIN_SHIFT, 2 ** Math.ceil(Math.log2(bytes)));
});

/** Bytes of the mark bits of a span of the class, and of its alloc bits. */
export function bitsBytes(spanclass: number): number {
  return classToBitsBytes[spanclass >>> 1];
}

export class SpanBits {
  /** From a block of mark bits to its alloc bits. */
  readonly half: number;
  readonly #mem: LinearMemory;
  readonly #u32: Uint32Array;
  readonly #base: number;
  /** Word indices in MHEAP. */
  readonly #next: number;
  readonly #end: number;
  readonly #free: number;
  readonly #nmcaches: number;
  /** Word indices in the mcache. */
  #cached = 0;
  #ncached = 0;
  readonly #log: RecoveryLog;
  /** Blocks that all mcaches together may keep. */
  readonly #maxKept: number;

  constructor(mem: LinearMemory, mheap: number, base: number, bytes: number, log: RecoveryLog) {
    this.#log = log;
    this.#mem = mem;
    this.#u32 = mem.u32;
    this.#base = base;
    this.half = bytes / 2;
    this.#next = (mheap + MHEAP_AT.spanBitsNext) >>> 2;
    this.#end = (mheap + MHEAP_AT.spanBitsEnd) >>> 2;
    this.#free = (mheap + MHEAP_AT.spanBitsFree) >>> 2;
    this.#nmcaches = (mheap + MHEAP_AT.nmcaches) >>> 2;
    this.#maxKept = mem.size / PAGE_SIZE / 32;
  }

  bind(mcache: number): void {
    this.#cached = (mcache + MCACHE_AT.spanBitsFree) >>> 2;
    this.#ncached = (mcache + MCACHE_AT.nspanBitsFree) >>> 2;
  }

  /** Takes a block of `size` bytes out of the mcache and clears it; 0 if there is none. */
  take(size: number): number {
    const u32 = this.#u32;
    const head = this.#cached + ctz32(size) - MIN_SHIFT;
    const p = u32[head];
    if (p === 0) return 0;
    this.#log.bitsTaken(p);
    u32[head] = u32[p >>> 2];
    u32[this.#ncached] = u32[this.#ncached] - 1;
    const marks = p >>> 2;
    const allocs = (p + this.half) >>> 2;
    for (let i = 0, n = size >>> 2; i < n; i++) {
      u32[marks + i] = 0;
      u32[allocs + i] = 0;
    }
    return p;
  }

  /** Whether the block is the first of its size in the mcache. */
  isNext(p: number, size: number): boolean {
    return this.#u32[this.#cached + ctz32(size) - MIN_SHIFT] === p;
  }

  /** Counts the mcache's blocks anew. */
  recount(): void {
    let n = 0;
    for (let k = 0; k <= ctz32(FRAME) - MIN_SHIFT; k++) {
      for (let p = this.#u32[this.#cached + k]; p !== 0; p = this.#u32[p >>> 2]) n++;
    }
    this.#u32[this.#ncached] = n;
  }

  /** Puts a block into the mcache. */
  put(p: number, size: number): void {
    const u32 = this.#u32;
    const head = this.#cached + ctz32(size) - MIN_SHIFT;
    u32[p >>> 2] = u32[head];
    u32[head] = p;
    u32[this.#ncached] = u32[this.#ncached] + 1;
  }

  // The methods below are called with the heap lock held.

  /** Fills the mcache. False: all blocks are in use. */
  refill(size: number): boolean {
    const fair = Math.floor(this.#maxKept / 2 / this.#u32[this.#nmcaches]);
    const batch = Math.max(1, Math.min(BATCH, fair));
    let got = 0;
    for (let p = this.#alloc(size); p !== 0; p = got < batch ? this.#alloc(size) : 0) {
      this.put(p, size);
      got++;
    }
    if (got > 0) return true;
    this.#giveBack();
    this.#rejoin();
    const p = this.#alloc(size);
    if (p !== 0) this.put(p, size);
    return p !== 0;
  }

  /** Takes the block of a freed span. */
  free(p: number, size: number): void {
    const u32 = this.#u32;
    const n = u32[this.#ncached];
    if (n < KEPT && n * u32[this.#nmcaches] < this.#maxKept) this.put(p, size);
    else this.#link(p, ctz32(size) - MIN_SHIFT);
  }

  #link(p: number, k: number): void {
    this.#u32[p >>> 2] = this.#u32[this.#free + k];
    this.#u32[this.#free + k] = p;
  }

  #pop(k: number): number {
    const p = this.#u32[this.#free + k];
    if (p !== 0) this.#u32[this.#free + k] = this.#u32[p >>> 2];
    return p;
  }

  /** Takes a block, with undefined contents; 0 if there is none and no frame to cut. */
  #alloc(size: number): number {
    const k = ctz32(size) - MIN_SHIFT;
    const p = this.#pop(k);
    if (p !== 0) return p;
    const frame = this.#pop(ctz32(FRAME) - MIN_SHIFT) || this.#newFrame();
    if (frame === 0) return 0;
    // From the high end: the lowest block is the first on the list.
    for (let at = frame + FRAME - size; at > frame; at -= size) this.#link(at, k);
    return frame;
  }

  #newFrame(): number {
    const u32 = this.#u32;
    const p = u32[this.#next];
    if (p + FRAME > u32[this.#end]) return 0;
    if (p % CHUNK === 0) {
      this.#mem.sysMap(p, CHUNK, "gcSys");
      this.#mem.sysMap(p + this.half, CHUNK, "gcSys");
    }
    u32[this.#next] = p + FRAME;
    return p;
  }

  /** The mcache's blocks go to the heap. */
  #giveBack(): void {
    const u32 = this.#u32;
    for (let k = 0; k <= ctz32(FRAME) - MIN_SHIFT; k++) {
      for (let p = u32[this.#cached + k]; p !== 0; p = u32[this.#cached + k]) {
        u32[this.#cached + k] = u32[p >>> 2];
        u32[this.#ncached] = u32[this.#ncached] - 1;
        this.#link(p, k);
      }
    }
  }

  /** Joins free blocks to whole frames where all blocks of a frame are free. */
  #rejoin(): void {
    const u32 = this.#u32;
    const whole = ctz32(FRAME) - MIN_SHIFT;
    // A bit for each 8 bytes of a frame: 1 = free.
    const free = new Uint16Array((u32[this.#next] - this.#base) / FRAME);
    const frameOf = (p: number): number => Math.floor((p - this.#base) / FRAME);
    for (let k = 0; k < whole; k++) {
      const mask = (1 << (1 << k)) - 1;
      for (let p = u32[this.#free + k]; p !== 0; p = u32[p >>> 2]) {
        const frame = frameOf(p);
        free[frame] = free[frame] | (mask << ((p % FRAME) >>> MIN_SHIFT));
      }
    }
    for (let k = 0; k < whole; k++) {
      let p = u32[this.#free + k];
      u32[this.#free + k] = 0;
      for (let next = 0; p !== 0; p = next) {
        next = u32[p >>> 2];
        if (free[frameOf(p)] !== 0xffff) this.#link(p, k);
        else if (p % FRAME === 0) this.#link(p, whole);
      }
    }
  }
}
