/**
 * Buckets: the counters of one (kind, weight, object size, stack), as in Go's mprof.
 *
 * The bucket table, its buckets and the state of the memory profile lie behind `ProfArena`: in the runtime's linear
 * memory, where `BuckHashSys` counts them, or in a buffer of our own if the package is used alone. Buckets are never
 * freed. A bucket is known by its byte offset in the arena, which is never 0.
 *
 * The profile header. There is one for each thread of an arena. In the linear memory, every thread finds that of the
 * first thread by `ROOT_PROFILING`:
 *
 *   byte   0  u32     table: offset of the hash table, 0 before the first bucket
 *          4  u32     flushed: 1 if the samples of the last cycle are published (mprof.ts)
 *          8  f64     cycle: how many mark phases have ended
 *         16  u32[5]  heads: the newest bucket of each kind, by kind number; 0 for none; entry 0 is unused
 *         36  u32[5]  counts: how many buckets of each kind exist
 *         56  u32     next: the header of another thread, 0 at the end of the list
 *         60  u32     frames: the newest frame that other threads can read (shared-frames.ts), 0 for none
 *
 * A bucket:
 *
 *   byte   0  u32  next in the hash chain, 0 at its end
 *          4  u32  next in the list of all buckets of the kind, newest first
 *          8  u32  hash
 *         12  u32  bits 0-7   kind: 1 memory, 2 block, 3 mutex, 4 event loop
 *                  bits 8-15  weight, as a power of two: for how many samples one counted sample stands
 *                  bits 16-31 nstk, number of frames
 *         16  f64  size of the objects (0 for all kinds but memory)
 *         24  ...  memory: 4 sets of 2 f64: active, future[0..2], each allocs, frees
 *                  others: f64 count, f64 cycles
 *         ...      nstk u32 frame numbers, innermost first
 *
 * All objects of a bucket have one size, so no bytes are counted: bytes = count * size. A stack of eight frames takes
 * 120 bytes in the memory profile, and 72 bytes in the others.
 *
 * The meaning of a frame number stays on the JavaScript side. A frame holds names and positions that V8 knows for its
 * own thread only. So it lives in the PC table (pc-table.ts) of the thread that took the stack. Another thread finds
 * all buckets, sizes and counters through the headers. shared-frames.ts turns the frame numbers of one thread into
 * those of another.
 *
 * Several threads. Each has a header, a hash table and buckets of its own, so there is no lock: only the owner makes
 * buckets and counts in them. All threads have the cycle of the first one. Counters of other threads may be read and
 * published only while those threads do nothing. When a thread ends, its buckets stay, and count in every profile.
 */

/** Memory for buckets. */
export interface ProfArena {
  /** Views over the whole arena. Read them anew after `alloc`: growing may replace them. */
  readonly u32: Uint32Array;
  readonly f64: Float64Array;
  /** `size` zeroed bytes, aligned to 8, never freed. Returns a byte offset into the views, not 0. */
  alloc(size: number): number;
  /** Bytes that `alloc` has given out so far: Go's BuckHashSys. */
  readonly bytes: number;
  /**
   * The byte offset of the profile header: `size` bytes, aligned to 8, zeroed at the first call. Every call returns the
   * same offset, also in another thread that is not to have a header of its own. An arena without this method serves
   * one profiler only, which keeps the header in a buffer of its own.
   */
  header?(size: number): number;
  /**
   * The byte offset of the header of the first thread, where the list of headers begins. Only arenas in shared memory
   * have this method.
   */
  firstHeader?(size: number): number;
}

const TABLE = 0;
const FLUSHED = 4;
const CYCLE = 8;
const HEADS = 16;
const COUNTS = 36;
const NEXT_HEADER = 56;
const FRAMES = 60;
const HEADER_SIZE = 64;

/** An arena over a growing buffer. The profile header lies at its beginning, and is not counted. */
export class BufferArena implements ProfArena {
  private static readonly headerAt = 8;
  private static readonly firstByte = BufferArena.headerAt + HEADER_SIZE;

  u32: Uint32Array;
  f64: Float64Array;
  private used = BufferArena.firstByte;

  constructor(initialBytes = 64 * 1024) {
    const buffer = new ArrayBuffer(Math.max(BufferArena.firstByte, Math.ceil(initialBytes / 8) * 8));
    this.u32 = new Uint32Array(buffer);
    this.f64 = new Float64Array(buffer);
  }

  get bytes(): number {
    return this.used - BufferArena.firstByte;
  }

  header(): number {
    return BufferArena.headerAt;
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

export const MEM_KIND = 1;
export const BLOCK_KIND = 2;
export const MUTEX_KIND = 3;
export const EVENT_LOOP_KIND = 4;
export type BucketKind = typeof MEM_KIND | typeof BLOCK_KIND | typeof MUTEX_KIND | typeof EVENT_LOOP_KIND;

const NEXT = 0;
const ALLNEXT = 4;
const HASH = 8;
const META = 12;
const SIZE = 16;
/** Offset of a bucket's counters. */
export const COUNTERS = 24;
const MEM_COUNTERS_SIZE = 4 * 2 * 8;
const EVENT_COUNTERS_SIZE = 2 * 8;

const KIND_MASK = 0xff;
const WEIGHT_SHIFT = 8;
const WEIGHT_MASK = 0xff;
const NSTK_SHIFT = 16;

/**
 * Chains of the hash table, as a power of two: 8192 chains stay short up to tens of thousands of stacks, and take
 * 32 KiB.
 */
const TABLE_BITS = 13;
/** Multipliers of the hash: the golden ratio, MurmurHash3's first finalizer constant, and FNV-1a's prime. */
const HASH_META = 0x9e3779b1;
const HASH_SIZE = 0x85ebca6b;
const HASH_FRAME = 0x01000193;

/** Frame numbers across threads: shared-frames.ts implements it. */
export interface FrameExchange {
  /** Makes the frames of a stack readable for other threads. `head`: byte offset of the list of such frames. */
  publish(head: number, stack: Uint32Array, n: number): void;
  /** Turns a stack of the thread with that list into numbers of this thread. */
  translate(head: number, stack: Uint32Array): number[];
}

/** Finds and makes buckets. The hash table is made with the first bucket: a profile that is off costs no memory. */
export class BucketTable {
  /** The memory of the header, and its byte offset in it. */
  private readonly headerArena: Pick<ProfArena, "u32" | "f64">;
  private readonly header: number;
  /** The header of the first thread. */
  private readonly firstHeader: number;
  /** Whether the frames of a new bucket are published at once. */
  private readonly publishes: boolean;

  /** @param frames needed in an arena that threads share */
  constructor(
    readonly arena: ProfArena,
    private readonly frames: FrameExchange | null = null,
  ) {
    const own = arena.header === undefined ? new BufferArena(0) : null;
    this.headerArena = own ?? arena;
    this.header = own === null ? arena.header!(HEADER_SIZE) : own.header();
    this.firstHeader = arena.firstHeader?.(HEADER_SIZE) ?? this.header;
    this.publishes = this.header !== this.firstHeader;
    if (this.publishes) this.linkHeader();
  }

  private linkHeader(): void {
    const { u32 } = this.headerArena;
    const list = (this.firstHeader + NEXT_HEADER) >>> 2;
    for (;;) {
      const next = Atomics.load(u32, list);
      u32[(this.header + NEXT_HEADER) >>> 2] = next;
      if (Atomics.compareExchange(u32, list, next, this.header) === next) return;
    }
  }

  /** Calls `visit` with the header of each thread. */
  private forEachHeader(visit: (header: number) => void): void {
    const { u32 } = this.headerArena;
    for (let h = this.firstHeader; h !== 0; h = u32[(h + NEXT_HEADER) >>> 2]) visit(h);
  }

  /** Whether other threads have headers. */
  get several(): boolean {
    return this.headerArena.u32[(this.firstHeader + NEXT_HEADER) >>> 2] !== 0;
  }

  /** Makes the frames of this thread's buckets readable for other threads. */
  publishFrames(): void {
    if (this.publishes) return;
    for (const kind of [MEM_KIND, BLOCK_KIND, MUTEX_KIND] as const) {
      for (let b = this.first(kind); b !== 0; b = this.nextOf(b)) this.publish(this.stackOf(b));
    }
  }

  private publish(stack: Uint32Array, n = stack.length): void {
    this.frames!.publish(this.header + FRAMES, stack, n);
  }

  /** How many buckets of a kind this thread has made. */
  count(kind: BucketKind): number {
    return this.headerArena.u32[(this.header + COUNTS + 4 * kind) >>> 2];
  }

  /** How many mark phases have ended. */
  get cycle(): number {
    return this.headerArena.f64[(this.firstHeader + CYCLE) >>> 3];
  }

  set cycle(cycle: number) {
    this.headerArena.f64[(this.firstHeader + CYCLE) >>> 3] = cycle;
  }

  /** Whether the samples of the last cycle are published. */
  get flushed(): boolean {
    return this.headerArena.u32[(this.firstHeader + FLUSHED) >>> 2] !== 0;
  }

  set flushed(flushed: boolean) {
    this.headerArena.u32[(this.firstHeader + FLUSHED) >>> 2] = flushed ? 1 : 0;
  }

  /**
   * The bucket of a stack, given as `n` frame numbers, at most 65535. A bucket that does not exist is made. `weight`
   * is a power of two.
   */
  find(kind: BucketKind, size: number, stack: Uint32Array, n: number, weight = 1): number {
    const { arena } = this;
    const table = this.table();
    const meta = (kind | ((31 - Math.clz32(weight)) << WEIGHT_SHIFT) | (n << NSTK_SHIFT)) >>> 0;
    let hash = Math.imul(meta, HASH_META) ^ Math.imul(size | 0, HASH_SIZE);
    for (let i = 0; i < n; i++) {
      hash = Math.imul(hash ^ stack[i], HASH_FRAME);
      hash ^= hash >>> 15;
    }
    hash >>>= 0;
    const slot = (table >>> 2) + (hash >>> (32 - TABLE_BITS));
    const { u32, f64 } = arena;
    next: for (let b = u32[slot]; b !== 0; b = u32[(b + NEXT) >>> 2]) {
      if (u32[(b + HASH) >>> 2] !== hash || u32[(b + META) >>> 2] !== meta) continue;
      if (f64[(b + SIZE) >>> 3] !== size) continue;
      const at = (b + stackOffset(kind)) >>> 2;
      for (let i = 0; i < n; i++) if (u32[at + i] !== stack[i]) continue next;
      return b;
    }
    return this.make(kind, size, stack, n, meta, hash, slot);
  }

  /** The offset of the hash table, which the first call makes. */
  private table(): number {
    const at = (this.header + TABLE) >>> 2;
    const table = this.headerArena.u32[at];
    if (table !== 0) return table;
    const made = this.arena.alloc(4 << TABLE_BITS);
    // Read the view again: the allocation may have replaced it.
    this.headerArena.u32[at] = made;
    return made;
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
    const { arena, header } = this;
    if (this.publishes) this.publish(stack, n);
    const b = arena.alloc(stackOffset(kind) + 4 * n);
    const { u32, f64 } = arena;
    u32[(b + HASH) >>> 2] = hash;
    u32[(b + META) >>> 2] = meta;
    f64[(b + SIZE) >>> 3] = size;
    const at = (b + stackOffset(kind)) >>> 2;
    for (let i = 0; i < n; i++) u32[at + i] = stack[i];
    u32[(b + NEXT) >>> 2] = u32[slot];
    u32[slot] = b;
    const words = this.headerArena.u32;
    const head = (header + HEADS + 4 * kind) >>> 2;
    u32[(b + ALLNEXT) >>> 2] = words[head];
    words[head] = b;
    words[(header + COUNTS + 4 * kind) >>> 2]++;
    return b;
  }

  /** This thread's newest bucket of a kind, or 0 if there is none. `nextOf` gives the others. */
  first(kind: BucketKind): number {
    return this.firstOf(this.header, kind);
  }

  private firstOf(header: number, kind: BucketKind): number {
    return this.headerArena.u32[(header + HEADS + 4 * kind) >>> 2];
  }

  /** Calls `visit` with each bucket of a kind, of all threads. */
  forEach(kind: BucketKind, visit: (bucket: number) => void): void {
    this.forEachHeader((header) => {
      for (let b = this.firstOf(header, kind); b !== 0; b = this.nextOf(b)) visit(b);
    });
  }

  /**
   * Calls `visit` with each stack of a kind and size, in frame numbers of this thread, and with the buckets that have
   * it: one, or with several threads up to one of each thread and weight. Both arrays are valid during the call. The
   * buckets of one thread are visited newest first.
   */
  forEachStack(
    kind: BucketKind,
    visit: (buckets: readonly number[], stack: ArrayLike<number>) => void,
  ): void {
    if (this.several) {
      for (const { buckets, stack } of this.merged(kind).values()) visit(buckets, stack);
      return;
    }
    const one = [0];
    for (let b = this.first(kind); b !== 0; b = this.nextOf(b)) {
      one[0] = b;
      visit(one, this.stackOf(b));
    }
  }

  /** The stacks of all threads. Equal ones of equal size are one. */
  private merged(kind: BucketKind): Map<string, { buckets: number[]; stack: ArrayLike<number> }> {
    const stacks = new Map<string, { buckets: number[]; stack: ArrayLike<number> }>();
    this.forEachHeader((header) => {
      for (let b = this.firstOf(header, kind); b !== 0; b = this.nextOf(b)) {
        const own = this.stackOf(b);
        const stack = header === this.header ? [...own] : this.frames!.translate(header + FRAMES, own);
        const key = `${this.sizeOf(b)}:${stack.join()}`;
        const known = stacks.get(key);
        if (known === undefined) stacks.set(key, { buckets: [b], stack });
        else known.buckets.push(b);
      }
    });
    return stacks;
  }

  /** The bucket of the same kind that was made before `b`, or 0. */
  nextOf(b: number): number {
    return this.arena.u32[(b + ALLNEXT) >>> 2];
  }

  sizeOf(b: number): number {
    return this.arena.f64[(b + SIZE) >>> 3];
  }

  weightOf(b: number): number {
    return 1 << ((this.arena.u32[(b + META) >>> 2] >>> WEIGHT_SHIFT) & WEIGHT_MASK);
  }

  /** The frames of a bucket, innermost first: a view, valid until the next bucket is made. */
  stackOf(b: number): Uint32Array {
    const { u32 } = this.arena;
    const meta = u32[(b + META) >>> 2];
    const at = (b + stackOffset(meta & KIND_MASK)) >>> 2;
    return u32.subarray(at, at + (meta >>> NSTK_SHIFT));
  }

  /** Whether `b` can be a bucket of this kind: refuses tokens that were never issued. */
  is(b: number, kind: BucketKind): boolean {
    const { u32 } = this.arena;
    return b > 0 && b % 8 === 0 && b < u32.byteLength && (u32[(b + META) >>> 2] & KIND_MASK) === kind;
  }
}

function stackOffset(kind: number): number {
  return COUNTERS + (kind === MEM_KIND ? MEM_COUNTERS_SIZE : EVENT_COUNTERS_SIZE);
}
