/**
 * Finalizers, cleanups and weak pointers: what happens when an object turns out to be unreachable.
 *
 * Each is a *special* attached to the object: a record in the span's list with the address of a queue entry, which says
 * which function, or of a weak cell. The functions themselves are JS values and live in a table of this file, by
 * number.
 *
 * ## A finalizer's object
 * 1. While marking, everything that the object refers to is marked as reachable, the object itself is not.
 * 2. If the object is found unmarked when its span is swept, it is *revived*: marked, the finalizer is detached and
 *    queued with it. As what it refers to was marked in step 1, the finalizer gets an intact object.
 * 3. Being detached, the finalizer runs once. When the object is unreachable again it is freed, unless the finalizer
 *    has set another one.
 *
 * What follows from it, as in Go: of a chain of objects with finalizers one is finalized a cycle, from the head, as
 * each keeps the rest alive. A ring with a finalizer is never finalized or freed: the object is reachable from what it
 * refers to. An object that only points to itself is finalized: its reference to itself is inside of the object, and
 * step 1 would mark it, so a pointer from the object to itself is passed over there.
 *
 * ## Cleanups and weak pointers
 * A cleanup holds nothing of its object, so rings are no obstacle, and several may be attached. They are queued when
 * the object is really freed, hence a cycle after its finalizer. Weak pointers read nil from the moment their object
 * is found unreachable, before its finalizer runs, and stay nil if that revives it.
 *
 * ## The queues
 *     entry   0 next   4 kind (0: not queued)   8 function   12 object (finalizers), a root until the finalizer is done
 * Entries are nodes in blocks that are never freed; a free one is on the free list. A finalizer or cleanup takes its
 * entry when it is set, so that a sweep, which frees memory, never needs any. There is a queue of finalizers and one of
 * cleanups, because a finalizer that blocks must not hold up cleanups. One consumer each takes them in order: the
 * facade's goroutines, or `run` for both. A finalizer that throws must end the program as an unrecovered panic; the
 * consumer is told, and the queue goes on behind it, so nothing is lost.
 */
import { hex, outOfMemory, throwFatal } from "@gort/base";
import { type Addr, defineStruct } from "@gort/memory";
import { registryOf } from "@gort/memory/internal";
import { stateBlock } from "./gc-state.ts";
import type { GCRecord } from "./gc-stats.ts";
import {
  type GCHeap,
  MALLOC_HEADER_SIZE,
  MIN_SIZE_FOR_HEADER,
  MSPAN_AT,
  SPECIAL_AT,
  SPECIAL_CLEANUP,
  SPECIAL_FINALIZER,
  SPECIAL_WEAK,
  TINY_SPAN_CLASS,
} from "./heap.ts";

const FINQ = defineStruct("finq", {
  finalizers: "u32",
  finalizersTail: "u32",
  nfinalizers: "u32",
  cleanups: "u32",
  cleanupsTail: "u32",
  ncleanups: "u32",
  free: "u32",
  blocks: "u32",
  lastId: "u32",
});
const FINQ_AT = FINQ.offsets;
/** The words of a queue, from its first. */
const TAIL = FINQ_AT.finalizersTail - FINQ_AT.finalizers;
const COUNT = FINQ_AT.nfinalizers - FINQ_AT.finalizers;
const ENTRY = defineStruct("finalizer", { next: "u32", kind: "u32", fn: "u32", object: "u32" });
const ENTRY_AT = ENTRY.offsets;
/** A block starts with the address of the next one. */
const BLOCK_BYTES = 4096;
const BLOCK_HEADER = 16;

/** Gets the object. It is a raw pointer: valid until the goroutine's next safepoint unless rooted. */
export type FinalizerFn = (object: Addr) => unknown;
export type CleanupFn<T> = (arg: T) => unknown;

export type FinalizationKind = "finalizer" | "cleanup";

/** A function whose turn has come. */
export interface Finalization {
  readonly kind: FinalizationKind;
  readonly fn: (arg: never) => unknown;
  /** The finalizer's object (an address, rooted until `done`), or the cleanup's argument. */
  readonly arg: unknown;
  /** For `done`. */
  readonly entry: number;
}

/** A pending cleanup. */
export interface Cleanup {
  /** Cancels it, unless it is queued already. May be called again. */
  stop(): void;
}

/** Points to an object without keeping it alive. Pointers made from the same address are the same object. */
export interface WeakPointer {
  /** The address, or 0 once the object was found unreachable. Valid until the next safepoint, as any raw pointer. */
  value(): Addr;
}

/** What the finalizers need from the collector. */
export interface FinalizerHost {
  /** Whether a cycle is marking. */
  readonly marking: boolean;
  shade(p: number): void;
  /** Marks what the object refers to, but for itself. */
  scanFinalizerObject(base: number): void;
  /** Sweeps the span if it is not swept yet. */
  ensureSwept(span: number): void;
  /** A queue got its first entry. */
  wake(): void;
}

/** What is registered for a WeakPointer. */
interface WeakCell {
  readonly cell: number;
  /** Its entry of #weak: the cell may have a newer one. */
  readonly ref: WeakRef<WeakPointer>;
}

export class Finalizers {
  readonly #heap: GCHeap;
  readonly #u32: Uint32Array;
  readonly #host: FinalizerHost;
  readonly #record: GCRecord;
  readonly #state: number;
  readonly #fns = new Map<number, { fn: (arg: never) => unknown; arg: unknown }>();
  readonly #weak = new Map<number, WeakRef<WeakPointer>>();
  readonly #weakRegistry: FinalizationRegistry<WeakCell>;

  constructor(heap: GCHeap, host: FinalizerHost, record: GCRecord) {
    this.#heap = heap;
    this.#u32 = heap.mem.u32;
    this.#host = host;
    this.#record = record;
    this.#state = stateBlock(heap.mem, "finq", () => heap.mem.reserveControl(FINQ.size));
    this.#weakRegistry = registryOf(this, (finalizers, { cell, ref }: WeakCell) =>
      finalizers.#dropWeakCell(cell, ref),
    );
  }

  #get(offset: number): number {
    return this.#u32[(this.#state + offset) >>> 2];
  }

  #set(offset: number, v: number): void {
    this.#u32[(this.#state + offset) >>> 2] = v;
  }

  /** The entry that the function will be queued with. */
  #reserve(fn: (arg: never) => unknown, arg: unknown): number {
    const entry = this.#takeEntry();
    const id = this.#get(FINQ_AT.lastId) + 1;
    this.#set(FINQ_AT.lastId, id);
    this.#fns.set(id, { fn, arg });
    this.#u32[(entry + ENTRY_AT.fn) >>> 2] = id;
    return entry;
  }

  /** The function is not going to be queued. */
  #unreserve(entry: number): void {
    this.#fns.delete(this.#u32[(entry + ENTRY_AT.fn) >>> 2]);
    this.#freeEntry(entry);
  }

  /**
   * Runs fn with the object some time after it became unreachable; null takes the finalizer away. The address must be
   * the beginning of an object, and an object has one finalizer at a time: else Go ends the program, and so do we.
   */
  setFinalizer(object: Addr, fn: FinalizerFn | null): void {
    if (object === 0) throwFatal("runtime.SetFinalizer: first argument is nil");
    if (fn !== null && typeof fn !== "function") {
      throw new TypeError(`gc: setFinalizer needs a function or null (got ${String(fn)})`);
    }
    const base = this.#objectOf(object);
    if (base === 0) {
      // As in Go, an object of no size or in a global can't be collected, so there is nothing to wait for.
      if (object === this.#heap.allocator.zerobase) return;
      throwFatal("runtime.SetFinalizer: pointer not in allocated block", `pointer ${hex(object)}`);
    }
    if (object !== base && !this.#isTiny(object)) {
      throwFatal(
        "runtime.SetFinalizer: pointer not at beginning of allocated block",
        `pointer ${hex(object)}`,
      );
    }
    this.#host.ensureSwept(this.#heap.allocator.spanOf(object));
    const { allocator } = this.#heap;
    if (fn === null) {
      const entry = allocator.removeSpecial(object, SPECIAL_FINALIZER);
      if (entry >= 0) this.#unreserve(entry);
      return;
    }
    const entry = this.#reserve(fn, undefined);
    const special = allocator.addSpecial(object, SPECIAL_FINALIZER, entry);
    if (special <= 0) {
      this.#unreserve(entry);
      if (special < 0) outOfMemory("gc: no room for a finalizer's special");
      throwFatal("runtime.SetFinalizer: finalizer already set", `pointer ${hex(object)}`);
    }
    // The marking of specials may have passed the object's span already.
    if (this.#host.marking) this.#host.scanFinalizerObject(base);
  }

  /**
   * Runs fn(arg) some time after the object was freed. The argument is held until then: it must not hold the object. A
   * raw pointer is a number and holds nothing.
   */
  addCleanup<T>(object: Addr, fn: CleanupFn<T>, arg: T): Cleanup {
    if (object === 0) throwFatal("runtime.AddCleanup: ptr is nil");
    if (typeof fn !== "function") throw new TypeError(`gc: addCleanup needs a function (got ${String(fn)})`);
    const { allocator } = this.#heap;
    if (this.#objectOf(object) === 0) {
      if (object === allocator.zerobase) return { stop() {} };
      throwFatal("runtime.AddCleanup: ptr not in allocated block", `pointer ${hex(object)}`);
    }
    this.#host.ensureSwept(allocator.spanOf(object));
    const entry = this.#reserve(fn, arg);
    if (allocator.addSpecial(object, SPECIAL_CLEANUP, entry) <= 0) {
      this.#unreserve(entry);
      outOfMemory("gc: no room for a cleanup's special");
    }
    const id = this.#u32[(entry + ENTRY_AT.fn) >>> 2];
    return {
      stop: () => {
        // Queued or run: the special is gone, and the address may be another object's.
        if (!this.#fns.has(id) || this.#queuedCleanups.has(id)) return;
        this.#host.ensureSwept(allocator.spanOf(object));
        if (!this.#fns.has(id) || this.#queuedCleanups.has(id)) return;
        allocator.removeSpecial(object, SPECIAL_CLEANUP, entry);
        this.#unreserve(entry);
      },
    };
  }

  readonly #queuedCleanups = new Set<number>();

  /** A pointer to the object that does not keep it alive. */
  weak(object: Addr): WeakPointer {
    if (object === 0) return { value: () => 0 as Addr };
    const { allocator } = this.#heap;
    if (this.#objectOf(object) === 0) {
      if (object === allocator.zerobase) return { value: () => object };
      throwFatal("runtime: weak pointer to an address that is not in the heap", `pointer ${hex(object)}`);
    }
    this.#host.ensureSwept(allocator.spanOf(object));
    // The caller has the object, so it lives through this cycle whatever the weak pointer may say.
    if (this.#host.marking) this.#host.shade(object);
    const special = allocator.findSpecial(object, SPECIAL_WEAK);
    let cell = special === 0 ? 0 : this.#u32[(special + SPECIAL_AT.data) >>> 2];
    const known = cell === 0 ? undefined : this.#weak.get(cell)?.deref();
    if (known) return known;
    if (cell === 0) {
      cell = this.#takeEntry();
      this.#u32[(cell + ENTRY_AT.fn) >>> 2] = object;
      if (allocator.addSpecial(object, SPECIAL_WEAK, cell) <= 0)
        outOfMemory("gc: no room for a weak pointer's special");
    }
    const pointer: WeakPointer = { value: () => this.#weakValue(cell) };
    const ref = new WeakRef(pointer);
    this.#weak.set(cell, ref);
    this.#weakRegistry.register(pointer, { cell, ref });
    return pointer;
  }

  #weakValue(cell: number): Addr {
    const at = (cell + ENTRY_AT.fn) >>> 2;
    const p = this.#u32[at] as Addr;
    if (p === 0) return p;
    // An unswept span may hold the object although it is known to be garbage.
    this.#host.ensureSwept(this.#heap.allocator.spanOf(p));
    if (this.#u32[at] !== 0 && this.#host.marking) this.#host.shade(p);
    return this.#u32[at] as Addr;
  }

  /** V8 has collected the WeakPointer of a cell. */
  #dropWeakCell(cell: number, ref: WeakRef<WeakPointer>): void {
    // Another pointer was made meanwhile, collected or not: the cell is that one's to give back.
    if (this.#weak.get(cell) !== ref) return;
    this.#weak.delete(cell);
    const p = this.#u32[(cell + ENTRY_AT.fn) >>> 2] as Addr;
    if (p !== 0) {
      this.#host.ensureSwept(this.#heap.allocator.spanOf(p));
      if (this.#u32[(cell + ENTRY_AT.fn) >>> 2] !== 0) this.#heap.allocator.removeSpecial(p, SPECIAL_WEAK);
    }
    this.#freeEntry(cell);
  }

  /** Whether both point into one object. Of objects that share a block as tiny ones, nothing is known: false. */
  sameObject(p: Addr, q: Addr): boolean {
    const base = this.#objectOf(p);
    return base !== 0 && !this.#isTiny(p) && base === this.#objectOf(q);
  }

  #objectOf(p: Addr): number {
    const { allocator } = this.#heap;
    const base = allocator.findObject(p);
    if (base === 0) return 0;
    // An object with a header begins behind it.
    const span = allocator.spanOf(p);
    const spanclass = this.#u32[(span + MSPAN_AT.spanclass) >>> 2];
    const size = this.#u32[(span + MSPAN_AT.elemsize) >>> 2];
    return (spanclass & 1) === 0 && spanclass >>> 1 !== 0 && size > MIN_SIZE_FOR_HEADER
      ? base + MALLOC_HEADER_SIZE
      : base;
  }

  /** Objects that share a block of 16 bytes begin anywhere in it; their fate is the block's. */
  #isTiny(p: Addr): boolean {
    const span = this.#heap.allocator.spanOf(p);
    return this.#u32[(span + MSPAN_AT.spanclass) >>> 2] === TINY_SPAN_CLASS;
  }

  // --- the sweeper's side

  /** The object's finalizer is due: its special, which had the entry, was detached, and the object revived. */
  queueFinalizer(entry: number, object: number): void {
    this.#record.countFinalization("finalizersQueued");
    this.#enqueue(entry, SPECIAL_FINALIZER, object);
  }

  /** The object is being freed: its cleanup is due. */
  queueCleanup(entry: number): void {
    this.#queuedCleanups.add(this.#u32[(entry + ENTRY_AT.fn) >>> 2]);
    this.#record.countFinalization("cleanupsQueued");
    this.#enqueue(entry, SPECIAL_CLEANUP, 0);
  }

  /** The object of the weak cell is unreachable. */
  clearWeak(cell: number): void {
    this.#u32[(cell + ENTRY_AT.fn) >>> 2] = 0;
  }

  #enqueue(entry: number, kind: number, object: number): void {
    const u32 = this.#u32;
    u32[(entry + ENTRY_AT.kind) >>> 2] = kind;
    u32[(entry + ENTRY_AT.object) >>> 2] = object;
    const queue = kind === SPECIAL_FINALIZER ? FINQ_AT.finalizers : FINQ_AT.cleanups;
    const tail = this.#get(queue + TAIL);
    if (tail === 0) this.#set(queue, entry);
    else u32[(tail + ENTRY_AT.next) >>> 2] = entry;
    this.#set(queue + TAIL, entry);
    const n = this.#get(queue + COUNT) + 1;
    this.#set(queue + COUNT, n);
    if (n === 1) this.#host.wake();
  }

  #takeEntry(): number {
    const u32 = this.#u32;
    if (this.#get(FINQ_AT.free) === 0) {
      const block = this.#heap.mem.persistentAlloc(BLOCK_BYTES, 8, "otherSys");
      if (block === 0) outOfMemory("gc: no room for the finalizer queue");
      u32[block >>> 2] = this.#get(FINQ_AT.blocks);
      this.#set(FINQ_AT.blocks, block);
      for (let e = block + BLOCK_BYTES - ENTRY.size; e >= block + BLOCK_HEADER; e -= ENTRY.size)
        this.#freeEntry(e);
    }
    const entry = this.#get(FINQ_AT.free);
    this.#set(FINQ_AT.free, u32[(entry + ENTRY_AT.next) >>> 2]);
    u32[(entry + ENTRY_AT.next) >>> 2] = 0;
    return entry;
  }

  #freeEntry(entry: number): void {
    const u32 = this.#u32;
    u32[(entry + ENTRY_AT.kind) >>> 2] = 0;
    u32[(entry + ENTRY_AT.fn) >>> 2] = 0;
    u32[(entry + ENTRY_AT.object) >>> 2] = 0;
    u32[(entry + ENTRY_AT.next) >>> 2] = this.#get(FINQ_AT.free);
    this.#set(FINQ_AT.free, entry);
  }

  /** Calls f with every object that waits for its finalizer to run, or to return: they are roots. */
  forEachQueued(f: (object: number) => void): void {
    const u32 = this.#u32;
    for (let block = this.#get(FINQ_AT.blocks); block !== 0; block = u32[block >>> 2]) {
      for (let e = block + BLOCK_HEADER; e < block + BLOCK_BYTES; e += ENTRY.size) {
        const object = u32[(e + ENTRY_AT.object) >>> 2];
        if (object !== 0) f(object);
      }
    }
  }

  // --- the consumer's side

  /** Functions waiting to be run. */
  get queued(): number {
    return this.#get(FINQ_AT.nfinalizers) + this.#get(FINQ_AT.ncleanups);
  }

  /** Those of a kind. */
  queuedOf(kind: FinalizationKind): number {
    return this.#get(kind === "finalizer" ? FINQ_AT.nfinalizers : FINQ_AT.ncleanups);
  }

  /**
   * The next function to run, of a kind or with finalizers first; null if there is none. Call `done` with it when it
   * has returned or thrown.
   */
  next(of?: FinalizationKind): Finalization | null {
    const u32 = this.#u32;
    const kind = of ?? (this.#get(FINQ_AT.finalizers) !== 0 ? "finalizer" : "cleanup");
    const queue = kind === "finalizer" ? FINQ_AT.finalizers : FINQ_AT.cleanups;
    const entry = this.#get(queue);
    if (entry === 0) return null;
    const next = u32[(entry + ENTRY_AT.next) >>> 2];
    this.#set(queue, next);
    if (next === 0) this.#set(queue + TAIL, 0);
    this.#set(queue + COUNT, this.#get(queue + COUNT) - 1);
    const id = u32[(entry + ENTRY_AT.fn) >>> 2];
    const record = this.#fns.get(id);
    if (!record) throwFatal("gc: finalizer queue names an unknown function", `id ${id}`);
    this.#fns.delete(id);
    this.#queuedCleanups.delete(id);
    return {
      kind,
      fn: record.fn,
      arg: kind === "finalizer" ? u32[(entry + ENTRY_AT.object) >>> 2] : record.arg,
      entry,
    };
  }

  /** The function has returned: its object is no longer rooted by the queue. */
  done(f: Finalization): void {
    this.#record.countFinalization(f.kind === "finalizer" ? "finalizersExecuted" : "cleanupsExecuted");
    const object = this.#u32[(f.entry + ENTRY_AT.object) >>> 2];
    if (object !== 0 && this.#host.marking) this.#host.shade(object);
    this.#freeEntry(f.entry);
  }

  /**
   * Runs everything that is queued, one after the other, and gives their number: for programs without a finalizer
   * goroutine. What a function throws is passed to `onThrow`; without it the rest stays queued and it is thrown on.
   */
  run(onThrow?: (err: unknown, f: Finalization) => void): number {
    let n = 0;
    for (let f = this.next(); f !== null; f = this.next()) {
      n++;
      try {
        f.fn(f.arg as never);
      } catch (err) {
        if (!onThrow) throw err;
        onThrow(err, f);
      } finally {
        this.done(f);
      }
    }
    return n;
  }
}
