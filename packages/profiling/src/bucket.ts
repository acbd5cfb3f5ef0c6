/**
 * Buckets: one for each (kind, weight, object size, stack) that was ever recorded, as in Go's mprof.
 *
 * They live behind `ProfArena`, a bump allocator over two typed views of one memory: the runtime's linear memory, where
 * `BuckHashSys` counts them, or a buffer of our own when the package is used alone. Buckets are never freed.
 *
 *   byte   0  u32  next in the hash chain (0: none)
 *          4  u32  next in the list of all buckets, newest first
 *          8  u32  hash
 *         12  u32  bits 0-7   kind: 1 memory, 2 block, 3 mutex, 4 event loop
 *                  bits 8-15  weight, as a power of two: how many samples one counted here stands for
 *                  bits 16-31 nstk, number of frames
 *         16  f64  size of the objects (0 for all but memory)
 *         24  ...  memory: 4 cycles of 2 f64: active, future[0..2], each allocs, frees
 *                  others: f64 count, f64 cycles
 *         ...      nstk u32 frame numbers, innermost first
 *
 * All objects of a bucket have one size, so bytes are not counted: they are the count times the size. A stack of eight frames takes
 * 120 bytes in the memory profile and 72 in the others.
 *
 * A bucket is known by its byte offset in the arena, which is never 0.
 */

/** Memory for buckets. */
export interface ProfArena {
  /** Views over the whole arena. Read them anew after `alloc`: growing may replace them. */
  readonly u32: Uint32Array;
  readonly f64: Float64Array;
  /** `size` zeroed bytes, aligned to 8, never freed. Returns a byte offset into the views, not 0. */
  alloc(size: number): number;
  /** Bytes taken so far: Go's BuckHashSys. */
  readonly bytes: number;
}

/** An arena over a growing buffer. */
export class BufferArena implements ProfArena {
  u32: Uint32Array;
  f64: Float64Array;
  private used = 8;

  constructor(initialBytes = 64 * 1024) {
    const buffer = new ArrayBuffer(Math.max(64, Math.ceil(initialBytes / 8) * 8));
    this.u32 = new Uint32Array(buffer);
    this.f64 = new Float64Array(buffer);
  }

  get bytes(): number {
    return this.used - 8;
  }

  alloc(size: number): number {
    const at = this.used;
    const end = at + Math.ceil(size / 8) * 8;
    if (end > this.f64.byteLength) {
      const grown = new Float64Array(Math.max(end, this.f64.byteLength * 2) / 8);
      grown.set(this.f64);
      this.f64 = grown;
      this.u32 = new Uint32Array(grown.buffer);
    }
    this.used = end;
    return at;
  }
}

export const memKind = 1;
export const blockKind = 2;
export const mutexKind = 3;
export const eventLoopKind = 4;
export type BucketKind = typeof memKind | typeof blockKind | typeof mutexKind | typeof eventLoopKind;

const NEXT = 0;
const ALLNEXT = 4;
const HASH = 8;
const META = 12;
const SIZE = 16;
/** Where a bucket's counters begin. */
export const counters = 24;
const memCounters = 4 * 2 * 8;
const blockCounters = 2 * 8;

const kindBits = 0xff;
const weightShift = 8;
const nstkShift = 16;

/** Chains of the hash table: 8192 keep chains short up to tens of thousands of stacks, for 32 KiB. */
const tableBits = 13;

/** Finds and makes buckets. The table is made with the first bucket: a profile that is off costs nothing. */
export class BucketTable {
  private table = 0;
  private readonly heads = [0, 0, 0, 0, 0];
  private readonly counts = [0, 0, 0, 0, 0];

  constructor(readonly arena: ProfArena) {}

  /** How many buckets of a kind exist. */
  count(kind: BucketKind): number {
    return this.counts[kind];
  }

  /** The bucket of a stack given as `n` frame numbers, at most 65535; made if it doesn't exist. `weight` is a power of two. */
  find(kind: BucketKind, size: number, stack: Uint32Array, n: number, weight = 1): number {
    const { arena } = this;
    if (this.table === 0) this.table = arena.alloc(4 << tableBits);
    const meta = (kind | ((31 - Math.clz32(weight)) << weightShift) | (n << nstkShift)) >>> 0;
    let hash = Math.imul(meta, 0x9e3779b1) ^ Math.imul(size | 0, 0x85ebca6b);
    for (let i = 0; i < n; i++) {
      hash = Math.imul(hash ^ stack[i], 0x01000193);
      hash ^= hash >>> 15;
    }
    hash >>>= 0;
    const slot = (this.table >>> 2) + (hash >>> (32 - tableBits));
    const { u32, f64 } = arena;
    next: for (let b = u32[slot]; b !== 0; b = u32[(b + NEXT) >>> 2]!) {
      if (u32[(b + HASH) >>> 2] !== hash || u32[(b + META) >>> 2] !== meta) continue;
      if (f64[(b + SIZE) >>> 3] !== size) continue;
      const at = (b + stackOffset(kind)) >>> 2;
      for (let i = 0; i < n; i++) if (u32[at + i] !== stack[i]) continue next;
      return b;
    }
    return this.make(kind, size, stack, n, meta, hash, slot);
  }

  private make(
    kind: BucketKind,
    size: number,
    stack: Uint32Array,
    n: number,
    meta: number,
    hash: number,
    slot: number,
  ): number {
    const { arena } = this;
    const b = arena.alloc(stackOffset(kind) + 4 * n);
    const { u32, f64 } = arena;
    u32[(b + HASH) >>> 2] = hash;
    u32[(b + META) >>> 2] = meta;
    f64[(b + SIZE) >>> 3] = size;
    const at = (b + stackOffset(kind)) >>> 2;
    for (let i = 0; i < n; i++) u32[at + i] = stack[i]!;
    u32[(b + NEXT) >>> 2] = u32[slot]!;
    u32[slot] = b;
    u32[(b + ALLNEXT) >>> 2] = this.heads[kind]!;
    this.heads[kind] = b;
    this.counts[kind]++;
    return b;
  }

  /** The newest bucket of a kind, 0 if there is none; go on with `nextOf`. */
  first(kind: BucketKind): number {
    return this.heads[kind];
  }

  nextOf(b: number): number {
    return this.arena.u32[(b + ALLNEXT) >>> 2];
  }

  sizeOf(b: number): number {
    return this.arena.f64[(b + SIZE) >>> 3];
  }

  weightOf(b: number): number {
    return 1 << ((this.arena.u32[(b + META) >>> 2] >>> weightShift) & 0xff);
  }

  /** The frames of a bucket, innermost first: a view, valid until the next bucket is made. */
  stackOf(b: number): Uint32Array {
    const { u32 } = this.arena;
    const meta = u32[(b + META) >>> 2];
    const at = (b + stackOffset(meta & kindBits)) >>> 2;
    return u32.subarray(at, at + (meta >>> nstkShift));
  }

  /** Whether `b` is a bucket of this kind: guards against tokens that were never issued. */
  is(b: number, kind: BucketKind): boolean {
    const { u32 } = this.arena;
    return b > 0 && b % 8 === 0 && b < u32.byteLength && (u32[(b + META) >>> 2] & kindBits) === kind;
  }
}

function stackOffset(kind: number): number {
  return counters + (kind === memKind ? memCounters : blockCounters);
}
