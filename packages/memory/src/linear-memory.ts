/**
 * The linear memory: one WebAssembly.Memory, reserved at its full size, seen through typed arrays of fixed
 * length that are made once. An idle reservation costs address space only; the operating system commits a
 * page when it is touched. Views that follow a growing memory would be 10 to 20 times slower, which is why
 * the size never changes.
 *
 * A range of the memory moves through Go's states (mem.go):
 *
 *     None     -sysReserve->  Reserved   owned, never touched
 *     Reserved -sysMap->      Prepared   counted in a SysStat; still without physical pages
 *     Prepared -sysUsed->     Ready      may be read and written; reads zero on first touch
 *     Ready    -sysUnused->   Prepared   physical pages returned (madvise), contents lost
 *     any      -sysFault->    Reserved   returned, not to be touched until mapped again
 *     any      -sysFree->     None       no longer counted; the addresses aren't reused
 *
 * Unlike Go the host commits and protects nothing for us: Prepared and Ready differ only in the accounting,
 * and a touch of a Reserved range does not fault. What is true in each state, and what the counters say, is.
 *
 * A thread that receives the WebAssembly.Memory (postMessage shares it) calls attachLinearMemory: all state,
 * the cursors and counters included, is in the memory itself.
 */
import type { Addr } from "./addr.ts";
import { jsKernel, type Kernel, wasmKernel } from "./kernel.ts";
import {
  CONTROL,
  CONTROL_BASE,
  CONTROL_END,
  CONTROL_MAGIC,
  type SysStatName,
  sysStatAddr,
  sysStatNames,
} from "./layout.ts";
import { LOCK_TIMEOUT_MS, lock, unlock } from "./lock.ts";
import { checkedLockOps, type LockOps, type LockRank, plainLockOps } from "./lockrank.ts";
import { findReleaser, osPageSize } from "./release.ts";
import {
  drawThread,
  enterThread,
  isThread,
  type Member,
  markExited,
  memberOf,
  threadGone,
} from "./threads.ts";
import { isWasmMemory, type WasmMemory, wasmHost } from "./wasm-host.ts";

export const MIN_MEMORY = 64 * 1024 * 1024;
export const MAX_MEMORY = 4 * 1024 * 1024 * 1024;
const WASM_PAGE = 65536;

/** Chunk that persistentAlloc carves: Go's persistentChunkSize. */
const PERSISTENT_CHUNK = 256 * 1024;

const C_LOCK = CONTROL_BASE + CONTROL.offsets.lock;
const C_STATS_LOCK = CONTROL_BASE + CONTROL.offsets.statsLock;
const C_CONTROL_NEXT = (CONTROL_BASE + CONTROL.offsets.controlNext) >>> 2;
const C_LOW = (CONTROL_BASE + CONTROL.offsets.low) >>> 2;
const C_HIGH = (CONTROL_BASE + CONTROL.offsets.high) >>> 3;
const C_PERSISTENT_NEXT = (CONTROL_BASE + CONTROL.offsets.persistentNext) >>> 2;
const C_PERSISTENT_END = (CONTROL_BASE + CONTROL.offsets.persistentEnd) >>> 2;
const C_CHUNK_NEXT = (CONTROL_BASE + CONTROL.offsets.chunkNext) >>> 2;
const C_CHUNK_END = (CONTROL_BASE + CONTROL.offsets.chunkEnd) >>> 2;

export interface LinearMemoryOptions {
  /**
   * Bytes to reserve, 64 MiB to 4 GiB, rounded up to 64 KiB. Default: 4 GiB under Node, 1 GiB elsewhere. If the
   * platform grants less, the largest size it grants is taken.
   */
  maxMemory?: number;
  /** Whether other threads can attach. Default: whether SharedArrayBuffer exists. */
  shared?: boolean;
  /** false: never return physical pages to the operating system. Default true. */
  release?: boolean;
  /** "js" uses the TypeScript twin of the kernel. Default "wasm", and "js" where the host refuses the module. */
  kernel?: "wasm" | "js";
  /** true: this thread checks the order in which it takes locks, and that it holds none when it blocks. Default false. */
  staticLockRanking?: boolean;
}

export interface AttachOptions extends Omit<LinearMemoryOptions, "maxMemory" | "shared"> {
  /**
   * A number that registerThread gave for this thread; 0: none, for a thread that reads. A lock that it takes draws one for as
   * long as it is held. Default: the next free one.
   */
  thread?: number;
}

/** Places of the counters that add up to sys, which allocations under a memory limit read. */
const SYS = sysStatNames.filter((name) => name !== "heapReleased").map((name) => sysStatAddr(name) >>> 3);

/**
 * Byte counters by purpose: f64 slots of the control block, changed under a lock of their own.
 */
export class SysStats {
  readonly #mem: LinearMemory;
  constructor(mem: LinearMemory) {
    this.#mem = mem;
  }
  get(name: SysStatName): number {
    return this.#mem.f64[sysStatAddr(name) >>> 3];
  }
  /** Adds n, which may be negative; safe from any thread. Throws if the counter would fall below 0. */
  add(name: SysStatName, n: number): void {
    if (typeof n !== "number") {
      throw new TypeError(`memory: stats.add needs a number of bytes (got ${String(n)})`);
    }
    const mem = this.#mem;
    const i = sysStatAddr(name) >>> 3;
    if (mem.shared) lock(mem, C_STATS_LOCK);
    const v = mem.f64[i] + n;
    if (v >= 0) mem.f64[i] = v;
    if (mem.shared) unlock(mem, C_STATS_LOCK);
    if (v < 0) throw new Error(`memory: sysStat ${name} underflow: ${v - n} + ${n}`);
  }
  get heapSys(): number {
    return this.get("heapSys");
  }
  get heapReleased(): number {
    return this.get("heapReleased");
  }
  get stackSys(): number {
    return this.get("stackSys");
  }
  get mspanSys(): number {
    return this.get("mspanSys");
  }
  get mcacheSys(): number {
    return this.get("mcacheSys");
  }
  get buckHashSys(): number {
    return this.get("buckHashSys");
  }
  get gcSys(): number {
    return this.get("gcSys");
  }
  get otherSys(): number {
    return this.get("otherSys");
  }
  /** MemStats.Sys: everything but heapReleased, which is a part of heapSys. */
  get sys(): number {
    const { f64 } = this.#mem;
    let total = 0;
    for (let k = 0; k < SYS.length; k++) total += f64[SYS[k]];
    return total;
  }
}

/** How the memory came to be: what was asked for and why less was given. */
export interface Grant {
  readonly requested: number;
  readonly granted: number;
  /** "wasm", or "buffer" where the platform refuses every WebAssembly.Memory. */
  readonly source: "wasm" | "buffer";
}

export class LinearMemory {
  /** null where the platform granted an (Shared)ArrayBuffer only; the JS kernel is used then. */
  readonly memory: WasmMemory | null;
  readonly buffer: ArrayBufferLike;
  readonly size: number;
  readonly shared: boolean;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly f32: Float32Array;
  readonly f64: Float64Array;
  readonly bi64: BigInt64Array;
  readonly view: DataView;
  readonly kernel: Kernel;
  readonly stats: SysStats;
  readonly grant: Grant;
  /** This thread among those of the memory. For lock.ts, and for allocators to join. */
  readonly member: Member;
  readonly lockOps: LockOps;
  /** Milliseconds after which lock gives up on a holder of which nobody can tell whether it lives. */
  lockTimeoutMs = LOCK_TIMEOUT_MS;
  readonly #release: boolean;
  readonly #ranks: ((addr: number) => LockRank | undefined)[] = [];

  /** Use createLinearMemory or attachLinearMemory. */
  constructor(
    memory: WasmMemory | ArrayBufferLike,
    options: LinearMemoryOptions & AttachOptions,
    grant?: Grant,
  ) {
    this.memory = isWasmMemory(memory) ? memory : null;
    const buffer = isWasmMemory(memory) ? memory.buffer : memory;
    this.buffer = buffer;
    this.size = buffer.byteLength;
    this.shared = typeof SharedArrayBuffer !== "undefined" && buffer instanceof SharedArrayBuffer;
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.f32 = new Float32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.bi64 = new BigInt64Array(buffer);
    this.view = new DataView(buffer);
    this.kernel = makeKernel(this.memory, buffer, this.shared, options.kernel);
    this.member =
      options.thread === 0
        ? memberOf(this.kernel, buffer, this.u32)
        : enterThread(this.kernel, buffer, this.u32, options.thread ?? 0);
    this.lockOps = options.staticLockRanking === true ? checkedLockOps(this) : plainLockOps(this);
    this.stats = new SysStats(this);
    this.#release = options.release !== false;
    const source = this.memory === null ? "buffer" : "wasm";
    this.grant = grant ?? { requested: this.size, granted: this.size, source };
    if (this.u32[CONTROL_BASE >>> 2] !== CONTROL_MAGIC) this.#initControl();
  }

  #initControl(): void {
    const { u32 } = this;
    const persistentEnd = CONTROL_END + Math.ceil(this.size / 64 / PERSISTENT_CHUNK) * PERSISTENT_CHUNK;
    u32[(CONTROL_BASE + CONTROL.offsets.version) >>> 2] = 1;
    u32[C_CONTROL_NEXT] = CONTROL_BASE + Math.ceil(CONTROL.size / 64) * 64;
    u32[C_PERSISTENT_NEXT] = CONTROL_END;
    u32[C_PERSISTENT_END] = persistentEnd;
    u32[C_LOW] = persistentEnd;
    this.f64[C_HIGH] = this.size;
    this.stats.add("otherSys", CONTROL_END);
    u32[CONTROL_BASE >>> 2] = CONTROL_MAGIC;
  }

  /** Bytes of an operating system page (the unit of release). */
  get pageSizeOS(): number {
    return osPageSize();
  }

  /** Whether sysUnused really returns physical pages. */
  get canRelease(): boolean {
    // A bare buffer's storage begins 16 bytes into malloc's mapping: madvise wants page boundaries.
    return this.#release && this.memory !== null && findReleaser() !== null;
  }

  /** Whether a page that sysUnused returned reads as zeros afterwards. */
  get releaseZeroes(): boolean {
    return this.canRelease && (findReleaser()?.zeroes ?? false);
  }

  // --- threads and their locks

  /** Number of this thread among those of the memory: above 0 and below 2^30; 0 after leave, or if it attached without. */
  get thread(): number {
    return this.member.thread;
  }

  /**
   * Gives this thread's number back, for a thread that ends and has not closed an allocator on this memory (`close` does the
   * same). Nothing happens while an allocator of this thread is open. A lock that is taken afterwards draws a number for as
   * long as it is held.
   */
  leave(): void {
    this.member.leave();
  }

  /** A number for a thread that is about to be started: its attachLinearMemory takes it as the option `thread`. */
  registerThread(): number {
    return drawThread(this);
  }

  /**
   * To be called when a thread has ended, as from a Worker's "exit" event: whoever waits for a lock that it held gets
   * a FatalError instead of waiting on. A thread that is attached later has another number, so that a report that comes late
   * or twice is of no effect.
   */
  threadExited(thread: number): void {
    this.mustBeOtherThread(thread);
    markExited(this, thread);
  }

  /** Throws a RangeError for what threadExited would not take. */
  mustBeOtherThread(thread: number): void {
    if (!isThread(thread) || thread === this.thread) {
      throw new RangeError(`memory: threadExited needs the number of another thread (got ${String(thread)})`);
    }
  }

  /** Whether the thread has ended, as far as anybody has told; Linux tells by itself. */
  threadGone(thread: number): boolean {
    return !isThread(thread) || threadGone(this, thread);
  }

  /** Tells which rank the locks of a subsystem have: for messages, and for checks of their order. */
  rankLocks(rankOf: (addr: number) => LockRank | undefined): void {
    this.#ranks.push(rankOf);
  }

  /** The memory's own locks. */
  get lockAddrs(): readonly number[] {
    return [C_LOCK, C_STATS_LOCK];
  }

  /** Rank of the lock at the address; undefined for a program's own. */
  lockRankOf(addr: number): LockRank | undefined {
    if (addr === C_LOCK) return "globalAlloc";
    if (addr === C_STATS_LOCK) return "sysStats";
    for (const rankOf of this.#ranks) {
      const rank = rankOf(addr);
      if (rank !== undefined) return rank;
    }
    return undefined;
  }

  /** To be called before a thread blocks on anything but a lock. Throws a FatalError if it holds one and checks are on. */
  willBlock(what: string): void {
    this.lockOps.blocking(what);
  }

  /** The word that a subsystem keeps for threads that attach; 0 until setRoot. index: a ROOT_ constant. */
  root(index: number): number {
    return this.u32[((CONTROL_BASE + CONTROL.offsets.roots) >>> 2) + index];
  }

  setRoot(index: number, value: number): void {
    this.u32[((CONTROL_BASE + CONTROL.offsets.roots) >>> 2) + index] = value;
  }

  /** A zeroed range of the control block, for state that every thread finds at a known place. 8-aligned. */
  reserveControl(size: number): Addr {
    if (!isCount(size)) {
      throw new RangeError(`memory: reserveControl needs a whole number of bytes (got ${show(size)})`);
    }
    lock(this, C_LOCK);
    const addr = this.u32[C_CONTROL_NEXT];
    const next = addr + ((size + 7) & ~7);
    if (next > CONTROL_END) {
      unlock(this, C_LOCK);
      throw new RangeError(`memory: control block is full (${next - CONTROL_END} bytes over)`);
    }
    this.u32[C_CONTROL_NEXT] = next;
    unlock(this, C_LOCK);
    return addr as Addr;
  }

  /**
   * None -> Reserved. n is rounded up to 8; align is a power of two. "low" grows upwards from the tables, "high"
   * downwards from the end. Returns 0 if the two would meet.
   */
  sysReserve(n: number, align = WASM_PAGE, from: "low" | "high" = "low"): Addr {
    if (!isCount(n) || !isCount(align) || align === 0) {
      throw new RangeError(
        `memory: sysReserve needs a whole number of bytes and an alignment (got ${String(n)}, ${String(align)})`,
      );
    }
    lock(this, C_LOCK);
    const addr = this.#reserveLocked(n, align, from);
    unlock(this, C_LOCK);
    return addr as Addr;
  }

  #reserveLocked(n: number, align: number, from: "low" | "high"): number {
    const size = n + ((8 - (n % 8)) % 8);
    const low = this.u32[C_LOW];
    const high = this.f64[C_HIGH];
    if (from === "low") {
      const addr = low + ((align - (low % align)) % align);
      if (addr + size > high) return 0;
      this.u32[C_LOW] = addr + size;
      // A cursor of exactly 2^32 doesn't fit its word; the last page is given up for it.
      if (addr + size > 0xffffffff) this.u32[C_LOW] = 0xfffffff8;
      return addr;
    }
    const top = high - size;
    const addr = top - (top % align);
    if (addr < low) return 0;
    this.f64[C_HIGH] = addr;
    return addr;
  }

  /** Bytes that sysReserve can still give out in one piece. */
  get unreserved(): number {
    return this.f64[C_HIGH] - this.u32[C_LOW];
  }

  /** Reserved -> Prepared: the range counts under `stat` from now on. Its contents are zero. */
  sysMap(addr: number, n: number, stat: SysStatName): void {
    this.#check(addr, n);
    this.stats.add(stat, n);
  }

  /** Prepared -> Ready: tells that the range is going to be touched. */
  sysUsed(addr: number, n: number): void {
    this.#check(addr, n);
  }

  /**
   * Ready -> Prepared: returns the physical pages of the range, which is multiples of pageSizeOS. True if they
   * were returned; false where the platform can't or refuses, and the contents are unchanged then.
   */
  sysUnused(addr: number, n: number): boolean {
    this.#check(addr, n);
    if (n === 0 || !this.canRelease) return false;
    const page = osPageSize();
    if (addr % page !== 0 || n % page !== 0) {
      throw new RangeError(`memory: sysUnused range must be multiples of ${page} (got ${addr}, ${n})`);
    }
    return findReleaser()?.release(this.buffer, addr, n) ?? false;
  }

  /** any -> Reserved: the range must not be touched until it is mapped again. Its pages are returned. */
  sysFault(addr: number, n: number): void {
    this.sysUnused(addr, n);
  }

  /** any -> None: no longer counted under `stat`. Pages wholly inside the range are returned. */
  sysFree(addr: number, n: number, stat: SysStatName): void {
    this.#check(addr, n);
    this.stats.add(stat, -n);
    const page = osPageSize();
    const lo = Math.ceil(addr / page) * page;
    const hi = Math.floor((addr + n) / page) * page;
    if (hi > lo) this.sysUnused(lo, hi - lo);
  }

  /**
   * Zeroed metadata that is never freed. Carved from chunks of 256 KiB, so a page is not wasted on every small
   * struct; a chunk's unused rest counts under otherSys, as in Go. Returns 0 if the memory is exhausted.
   */
  persistentAlloc(size: number, align: number, stat: SysStatName): Addr {
    if (!isCount(size) || size === 0 || !isCount(align) || (align & (align - 1)) !== 0) {
      throw new RangeError(
        `memory: persistentAlloc needs a size and a power of two (got ${String(size)}, ${String(align)})`,
      );
    }
    lock(this, C_LOCK);
    const addr = this.#persistentLocked(size, align);
    if (addr !== 0 && stat !== "otherSys") {
      this.stats.add("otherSys", -size);
      this.stats.add(stat, size);
    }
    unlock(this, C_LOCK);
    return addr as Addr;
  }

  #persistentLocked(size: number, align: number): number {
    const { u32 } = this;
    const next = u32[C_CHUNK_NEXT];
    const addr = next + ((align - (next % align)) % align);
    if (next !== 0 && addr + size <= u32[C_CHUNK_END]) {
      u32[C_CHUNK_NEXT] = addr + size;
      return addr;
    }
    const chunk = Math.ceil(size / PERSISTENT_CHUNK) * PERSISTENT_CHUNK;
    const base = this.#persistentChunk(chunk, Math.max(align, 4096));
    if (base === 0) return 0;
    this.stats.add("otherSys", chunk);
    // A chunk made for one large piece does not replace a current chunk with more room left.
    if (chunk - size >= u32[C_CHUNK_END] - next) {
      u32[C_CHUNK_NEXT] = base + size;
      u32[C_CHUNK_END] = base + chunk;
    }
    return base;
  }

  #persistentChunk(n: number, align: number): number {
    const { u32 } = this;
    const next = u32[C_PERSISTENT_NEXT];
    const addr = next + ((align - (next % align)) % align);
    if (addr + n <= u32[C_PERSISTENT_END]) {
      u32[C_PERSISTENT_NEXT] = addr + n;
      return addr;
    }
    return this.#reserveLocked(n, align, "high");
  }

  #check(addr: number, n: number): void {
    if (!(isCount(addr) && isCount(n) && addr + n <= this.size)) {
      throw new RangeError(
        `memory: a range needs an address and bytes inside the memory of ${this.size} bytes (got ${String(addr)}, ${String(n)})`,
      );
    }
  }
}

function makeKernel(
  memory: WasmMemory | null,
  buffer: ArrayBufferLike,
  shared: boolean,
  kind: "wasm" | "js" | undefined,
): Kernel {
  if (kind === "js" || memory === null) return jsKernel(buffer);
  try {
    return wasmKernel(memory, shared);
  } catch (err) {
    if (kind === "wasm") throw err;
    return jsKernel(buffer);
  }
}

function isCount(n: unknown): n is number {
  return Number.isInteger(n) && (n as number) >= 0;
}

/** A value, for messages. */
function show(x: unknown): string {
  if (typeof x === "object" && x !== null) return `a ${x.constructor?.name ?? "object"}`;
  return typeof x === "function" ? "a function" : String(x);
}

/** Options of a memory that is made as of one that is attached to. */
function checkCommon(options: Omit<LinearMemoryOptions, "maxMemory">): void {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`memory: options must be an object (got ${show(options)})`);
  }
  const { shared, release, kernel, staticLockRanking } = options;
  for (const [key, value] of Object.entries({ shared, release, staticLockRanking })) {
    if (value !== undefined && typeof value !== "boolean") {
      throw new TypeError(`memory: ${key} must be a boolean (got ${show(value)})`);
    }
  }
  if (kernel !== undefined && kernel !== "wasm" && kernel !== "js") {
    throw new TypeError(`memory: kernel must be "wasm" or "js" (got ${show(kernel)})`);
  }
}

function checkOptions(options: LinearMemoryOptions): { size: number; shared: boolean } {
  checkCommon(options);
  const { shared } = options;
  const hasShared = typeof SharedArrayBuffer !== "undefined";
  if (shared === true && !hasShared) {
    throw new TypeError("memory: shared must be false where SharedArrayBuffer does not exist (got true)");
  }
  const inNode = globalThis.process?.versions?.node !== undefined;
  const { maxMemory: size = inNode ? MAX_MEMORY : MAX_MEMORY / 4 } = options;
  if (typeof size !== "number") {
    throw new TypeError(`memory: maxMemory must be a number of bytes (got ${show(size)})`);
  }
  if (!Number.isInteger(size) || size < MIN_MEMORY || size > MAX_MEMORY) {
    throw new RangeError(
      `memory: maxMemory must be a whole number from ${MIN_MEMORY} to ${MAX_MEMORY} bytes (got ${size})`,
    );
  }
  return { size: Math.ceil(size / WASM_PAGE) * WASM_PAGE, shared: shared ?? hasShared };
}

/** Steps of the descent: each candidate is this part of the one before, so a grant is at worst that much less. */
const DESCENT = 7 / 8;

function* candidates(size: number): Generator<number> {
  for (let n = size; n > MIN_MEMORY; n = Math.floor((n * DESCENT) / WASM_PAGE) * WASM_PAGE) yield n;
  yield MIN_MEMORY;
}

/** The allocators of the platform, replaceable by tests that play a platform which refuses. */
export interface Platform {
  wasmMemory(pages: number, shared: boolean): WasmMemory;
  buffer(size: number, shared: boolean): ArrayBufferLike;
}

const hostPlatform: Platform = {
  wasmMemory(pages, shared) {
    const host = wasmHost();
    if (host === undefined) throw new RangeError("this host has no WebAssembly");
    return new host.Memory({ initial: pages, maximum: pages, shared });
  },
  buffer: (size, shared) => (shared ? new SharedArrayBuffer(size) : new ArrayBuffer(size)),
};

/**
 * Reserves a memory. Where every WebAssembly.Memory is refused (V8 reserves 10 GiB of addresses for one of any
 * size, which `ulimit -v` may forbid) a plain buffer is taken. Throws a RangeError if less than 64 MiB is granted.
 */
export function createLinearMemory(options: LinearMemoryOptions = {}, platform = hostPlatform): LinearMemory {
  const { size, shared } = checkOptions(options);
  let refusal: unknown;
  for (const n of candidates(size)) {
    try {
      const memory = platform.wasmMemory(n / WASM_PAGE, shared);
      return new LinearMemory(memory, options, { requested: size, granted: n, source: "wasm" });
    } catch (err) {
      if (!(err instanceof RangeError)) throw err;
      refusal = err;
    }
  }
  for (const n of candidates(size)) {
    try {
      const buffer = platform.buffer(n, shared);
      return new LinearMemory(buffer, options, { requested: size, granted: n, source: "buffer" });
    } catch (err) {
      if (!(err instanceof RangeError)) throw err;
      refusal = err;
    }
  }
  throw new RangeError(
    `memory: the platform grants less than ${MIN_MEMORY} bytes (requested ${size}): ${String(refusal)}`,
    { cause: refusal },
  );
}

function isBuffer(x: unknown): x is ArrayBufferLike {
  const shared = typeof SharedArrayBuffer !== "undefined" && x instanceof SharedArrayBuffer;
  return shared || x instanceof ArrayBuffer;
}

/** A view of a memory that another thread created. The memory must be shared, or the same thread's. */
export function attachLinearMemory(
  memory: WasmMemory | ArrayBufferLike,
  options: AttachOptions = {},
): LinearMemory {
  checkCommon(options);
  const buffer: unknown = isWasmMemory(memory) ? memory.buffer : memory;
  if (
    !isBuffer(buffer) ||
    buffer.byteLength < MIN_MEMORY ||
    new Uint32Array(buffer, CONTROL_BASE, 1)[0] !== CONTROL_MAGIC
  ) {
    throw new TypeError(
      "memory: attachLinearMemory needs a memory made by createLinearMemory: its `memory`, or its `buffer` where that is null",
    );
  }
  return new LinearMemory(memory, options);
}
