/**
 * The linear memory: one WebAssembly.Memory, reserved at its full size, seen through typed arrays of fixed length that
 * are made once. An idle reservation costs address space only; the operating system commits a page when it is touched.
 * The size never changes, because views that follow a growing memory are 10 to 20 times slower.
 *
 * All state, the cursors and counters included, lies in the memory itself. A thread that receives the
 * WebAssembly.Memory (postMessage shares it) calls attachLinearMemory and finds that state.
 *
 *   layout.ts            the fixed part: nil page, control block, regions, roots
 *   create.ts            createLinearMemory and attachLinearMemory; options.ts their options, grant.ts the reservation
 *   control-block.ts     its initialisation, and pieces of its free part
 *   mem.ts               the states of a range: sysReserve, sysMap, ... (Go's mem.go)
 *   persistent-alloc.ts  metadata that is never freed; sys-stats.ts the byte counters by purpose
 *   threads.ts           numbers of threads; lock.ts and lockrank.ts locks that name their holder
 *   kernel.ts            atomics and bulk operations; release.ts madvise
 *   seqlock.ts           figures that other threads read; struct.ts struct layouts
 *   roots.ts             where a subsystem's state is, for threads that attach
 *
 * This file is the object that a thread holds: the views, and one method for each operation of these files.
 */
import type { Addr } from "./addr.ts";
import { initControlBlock, reserveControl } from "./control-block.ts";
import type { Grant } from "./grant.ts";
import { type Kernel, makeKernel } from "./kernel.ts";
import {
  CONTROL_BASE,
  CONTROL_LOCK,
  CONTROL_MAGIC,
  ROOTS_LOCK,
  STATS_LOCK,
  type SysStatName,
  WASM_PAGE,
} from "./layout.ts";
import { LOCK_TIMEOUT_MS } from "./lock.ts";
import { checkedLockOps, type LockOps, type LockRank, plainLockOps } from "./lockrank.ts";
import { checkRange, sysFree, sysMap, sysReserve, sysUnused, unreserved } from "./mem.ts";
import type { AttachOptions, LinearMemoryOptions } from "./options.ts";
import { persistentAlloc } from "./persistent-alloc.ts";
import { findReleaser, osPageSize } from "./release.ts";
import { makeRoot, rootOf, setRoot } from "./roots.ts";
import { SysStats } from "./sys-stats.ts";
import {
  drawThread,
  enterThread,
  isThread,
  type Member,
  markExited,
  memberOf,
  threadGone,
} from "./threads.ts";
import { isWasmMemory, type WasmMemory } from "./wasm-host.ts";

export class LinearMemory {
  /** null where the platform granted only a plain (Shared)ArrayBuffer: then the kernel is in TypeScript. */
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
  /** This thread among the threads of the memory. For lock.ts, and for allocators to join. */
  readonly member: Member;
  readonly lockOps: LockOps;
  /** Milliseconds after which lock gives up on a holder if nothing tells whether the holder lives. */
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
    if (this.u32[CONTROL_BASE >>> 2] !== CONTROL_MAGIC) initControlBlock(this);
  }

  /** Bytes of an operating system page (the unit of release). */
  get pageSizeOS(): number {
    return osPageSize();
  }

  /** Whether sysUnused really returns physical pages. */
  get canRelease(): boolean {
    // madvise wants page boundaries, but a bare buffer's storage begins 16 bytes into malloc's mapping.
    return this.#release && this.memory !== null && findReleaser() !== null;
  }

  /** Whether a page that sysUnused returned reads as zeros afterwards. */
  get releaseZeroes(): boolean {
    return this.canRelease && (findReleaser()?.zeroes ?? false);
  }

  // --- threads and their locks

  /**
   * Number of this thread among the threads of the memory: above 0 and below 2^30. 0 after leave, or if the thread
   * attached without a number.
   */
  get thread(): number {
    return this.member.thread;
  }

  /**
   * Gives this thread's number back. Closing the thread's last allocator on this memory does the same; call `leave` on
   * a thread that ends without that. While an allocator of this thread is open, `leave` does nothing. If the thread
   * takes a lock afterwards, it draws a number for as long as it holds the lock.
   */
  leave(): void {
    this.member.leave();
  }

  /** Draws a number for a thread that is about to start. That thread's attachLinearMemory takes it as `thread`. */
  registerThread(): number {
    return drawThread(this);
  }

  /**
   * Tells the memory that a thread has ended; call it in a Worker's "exit" event, for example. A thread that waits for
   * a lock of the ended thread then gets a FatalError instead of waiting on. Thread numbers differ from one thread to
   * the next, so a late or repeated report has no effect.
   *
   * @throws RangeError if the number is not that of another thread
   */
  threadExited(thread: number): void {
    this.mustBeOtherThread(thread);
    markExited(this, thread);
  }

  /** Throws the RangeError of threadExited for a number that threadExited refuses. */
  mustBeOtherThread(thread: number): void {
    if (!isThread(thread) || thread === this.thread) {
      throw new RangeError(`memory: threadExited needs the number of another thread (got ${String(thread)})`);
    }
  }

  /** Whether the memory knows that the thread has ended: by threadExited, by its own leave, or from Linux. */
  threadGone(thread: number): boolean {
    return !isThread(thread) || threadGone(this, thread);
  }

  /** Registers the ranks of a subsystem's locks, for messages and for checks of the lock order. */
  rankLocks(rankOf: (addr: number) => LockRank | undefined): void {
    this.#ranks.push(rankOf);
  }

  /** The memory's own locks. */
  get lockAddrs(): readonly number[] {
    return [CONTROL_LOCK, STATS_LOCK, ROOTS_LOCK];
  }

  /** Rank of the lock at the address; undefined for a lock of the program. */
  lockRankOf(addr: number): LockRank | undefined {
    if (addr === CONTROL_LOCK) return "globalAlloc";
    if (addr === STATS_LOCK) return "sysStats";
    if (addr === ROOTS_LOCK) return "roots";
    for (const rankOf of this.#ranks) {
      const rank = rankOf(addr);
      if (rank !== undefined) return rank;
    }
    return undefined;
  }

  /**
   * Call it before a thread blocks on anything but a lock. `what` names the operation.
   *
   * @throws FatalError if the thread holds a lock and checks are on
   */
  willBlock(what: string): void {
    this.lockOps.blocking(what);
  }

  // --- the control block

  /** The word that a subsystem keeps for threads that attach; 0 until setRoot. index: a ROOT_ constant. */
  root(index: number): number {
    return rootOf(this, index);
  }

  setRoot(index: number, value: number): void {
    setRoot(this, index, value);
  }

  /**
   * The word of a root. If it is 0, `make` makes the state, and its result, an address, becomes the root. Any thread
   * may call it: only one makes the state, and the others wait. `make` must not call makeRoot.
   */
  makeRoot(index: number, make: () => number): number {
    return makeRoot(this, index, make);
  }

  /** A zeroed range of the control block, for state that every thread finds at a known place. 8-aligned. */
  reserveControl(size: number): Addr {
    return reserveControl(this, size);
  }

  // --- ranges of the memory: mem.ts

  /**
   * None -> Reserved. n is rounded up to 8; align is a power of two. "low" grows upwards from the tables, "high"
   * downwards from the end. Returns 0 if the two would meet.
   */
  sysReserve(n: number, align = WASM_PAGE, from: "low" | "high" = "low"): Addr {
    return sysReserve(this, n, align, from);
  }

  /** Bytes that sysReserve can still give out in one piece. */
  get unreserved(): number {
    return unreserved(this);
  }

  /** Reserved -> Prepared: the range counts under `stat`. Its contents are zero. */
  sysMap(addr: number, n: number, stat: SysStatName): void {
    sysMap(this, addr, n, stat);
  }

  /** Prepared -> Ready: announces that the range is going to be touched. */
  sysUsed(addr: number, n: number): void {
    checkRange(this, addr, n);
  }

  /**
   * Ready -> Prepared: returns the physical pages of the range. addr and n are multiples of pageSizeOS. Returns true if
   * the pages were returned. Returns false where the platform can't return pages or refuses; the contents stay then.
   */
  sysUnused(addr: number, n: number): boolean {
    return sysUnused(this, addr, n);
  }

  /** any -> Reserved: the range must not be touched until it is mapped again. Its pages are returned. */
  sysFault(addr: number, n: number): void {
    sysUnused(this, addr, n);
  }

  /** any -> None: takes the range out of `stat`. Pages wholly inside the range are returned. */
  sysFree(addr: number, n: number, stat: SysStatName): void {
    sysFree(this, addr, n, stat);
  }

  /** Zeroed metadata that is never freed, at a multiple of align, a power of two. Returns 0 if memory is exhausted. */
  persistentAlloc(size: number, align: number, stat: SysStatName): Addr {
    return persistentAlloc(this, size, align, stat);
  }
}
