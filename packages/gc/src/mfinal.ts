/**
 * Finalizers, cleanups and weak pointers: what happens when an object becomes unreachable.
 *
 * Each is a *special* attached to the object: a record in the span's list. It has the address of a queue entry, which
 * names a function, or of a weak cell. The functions are JS values, so they are in a table of the thread that
 * registered them, by number. Only that thread can run them.
 *
 * ## A finalizer's object
 * 1. Marking marks everything that the object refers to, but not the object itself.
 * 2. If the sweep of its span finds the object unmarked, it *revives* the object: it marks it, detaches the finalizer
 *    and queues both. Step 1 marked what the object refers to, so the finalizer gets an intact object.
 * 3. The finalizer is detached, so it runs once. When the object is unreachable again, it is freed, unless the
 *    finalizer has set another one.
 *
 * The consequences are those of Go. In a chain of objects with finalizers, one object is finalized a cycle, from the
 * head, since each keeps the rest alive. A ring with a finalizer is never finalized or freed: the object is reachable
 * from what it refers to. An object that only points to itself is finalized: step 1 passes over pointers from the
 * object to itself.
 *
 * ## Cleanups and weak pointers
 * A cleanup holds nothing of its object, so a ring is no obstacle, and an object may have several. They are queued when
 * the object is freed, which is a cycle after its finalizer. A weak pointer reads nil from the moment its object is
 * found unreachable, before the finalizer runs. It stays nil if the finalizer revives the object.
 *
 * ## The queues
 *     entry   0 next   4 kind (0: not queued)   8 function   12 object (finalizers), a root until the finalizer is done
 *
 * Entries are nodes in blocks that are never freed; free entries form a list. A finalizer or cleanup takes its entry
 * when it is set, because a sweep frees memory and must not need any. Finalizers and cleanups have one queue each,
 * because a finalizer that blocks must not hold up cleanups. Each queue has one consumer, which takes entries in order:
 * the facade's goroutines, or `run` for both queues.
 *
 * A finalizer that throws must end the program, as an unrecovered panic does. Its error goes to the consumer, and the
 * queue goes on behind it, so nothing is lost.
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
/** Offsets in a queue, from its first word. */
const TAIL = FINQ_AT.finalizersTail - FINQ_AT.finalizers;
const COUNT = FINQ_AT.nfinalizers - FINQ_AT.finalizers;
const ENTRY = defineStruct("finalizer", { next: "u32", kind: "u32", fn: "u32", object: "u32" });
const ENTRY_AT = ENTRY.offsets;
/** A block starts with the address of the next block. */
const BLOCK_BYTES = 4096;
const BLOCK_HEADER = 16;

/** Gets the object as a raw pointer: valid until the goroutine's next safepoint unless rooted. */
export type FinalizerFn = (object: Addr) => unknown;
export type CleanupFn<T> = (arg: T) => unknown;

export type FinalizationKind = "finalizer" | "cleanup";

/** A function that has to run now. */
export interface Finalization {
  readonly kind: FinalizationKind;
  readonly fn: (arg: never) => unknown;
  /** The finalizer's object (an address, rooted until `done`), or the cleanup's argument. */
  readonly arg: unknown;
  /** Handle for `done`. */
  readonly entry: number;
}

/** A pending cleanup. */
export interface Cleanup {
  /** Cancels it, unless it is queued already. May be called again. */
  stop(): void;
}

/** Points to an object without keeping it alive. Pointers made from the same address are the same object. */
export interface WeakPointer {
  /**
   * The address, or 0 if the object was found unreachable. Like any raw pointer it is valid until the next safepoint.
   */
  value(): Addr;
}

/** What the finalizers need from the collector. */
export interface FinalizerHost {
  /** Whether a cycle is marking. */
  readonly marking: boolean;
  shade(p: number): void;
  /** Marks what the object refers to, but not the object. */
  scanFinalizerObject(base: number): void;
  /** Sweeps the span if it is not swept yet. */
  ensureSwept(span: number): void;
  /** Called when a queue gets its first entry. */
  wake(): void;
}

/** Registered for a WeakPointer. */
interface WeakCell {
  readonly cell: number;
  /** The WeakRef that #weak had for it. If the cell has a newer pointer, #weak has another. */
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

  /** Takes the entry with which the function will be queued. */
  #reserve(fn: (arg: never) => unknown, arg: unknown): number {
    const entry = this.#takeEntry();
    const id = this.#get(FINQ_AT.lastId) + 1;
    this.#set(FINQ_AT.lastId, id);
    this.#fns.set(id, { fn, arg });
    this.#u32[(entry + ENTRY_AT.fn) >>> 2] = id;
    return entry;
  }

  /** Gives the entry back: the function will not be queued. */
  #unreserve(entry: number): void {
    this.#fns.delete(this.#u32[(entry + ENTRY_AT.fn) >>> 2]);
    this.#freeEntry(entry);
  }

  /**
   * Runs fn with the object some time after it became unreachable; null removes the finalizer. As in Go it ends the
   * program if the address is not the beginning of an object, or if the object has a finalizer already.
   */
  setFinalizer(object: Addr, fn: FinalizerFn | null): void {
    if (object === 0) throwFatal("runtime.SetFinalizer: first argument is nil");
    if (fn !== null && typeof fn !== "function") {
      throw new TypeError(`gc: setFinalizer needs a function or null (got ${String(fn)})`);
    }
    const base = this.#objectOf(object);
    if (base === 0) {
      // As in Go, an object without size or in a global is never collected, so its finalizer would never run.
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
    // The scan of specials may be past the object's span.
    if (this.#host.marking) this.#host.scanFinalizerObject(base);
  }

  /**
   * Runs fn(arg) some time after the object was freed. The argument is kept alive until then, so it must not refer to
   * the object. A raw pointer is a number and keeps nothing alive.
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
    // While #fns has the id, the entry is this cleanup's; its kind says whether it is queued.
    const pending = (): boolean => this.#fns.has(id) && this.#u32[(entry + ENTRY_AT.kind) >>> 2] === 0;
    return {
      stop: () => {
        // If it is queued or has run, the special is gone, and the address may belong to another object.
        if (!pending()) return;
        this.#host.ensureSwept(allocator.spanOf(object));
        if (!pending()) return;
        allocator.removeSpecial(object, SPECIAL_CLEANUP, entry);
        this.#unreserve(entry);
      },
    };
  }

  /** Makes a pointer to the object that does not keep it alive. */
  weak(object: Addr): WeakPointer {
    if (object === 0) return { value: () => 0 as Addr };
    const { allocator } = this.#heap;
    if (this.#objectOf(object) === 0) {
      if (object === allocator.zerobase) return { value: () => object };
      throwFatal("runtime: weak pointer to an address that is not in the heap", `pointer ${hex(object)}`);
    }
    this.#host.ensureSwept(allocator.spanOf(object));
    // The caller has the object, so the object must survive this cycle even if only the weak pointer leads to it.
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
    // If the span is unswept, the object may be known garbage: the sweep clears the cell then.
    this.#host.ensureSwept(this.#heap.allocator.spanOf(p));
    if (this.#u32[at] !== 0 && this.#host.marking) this.#host.shade(p);
    return this.#u32[at] as Addr;
  }

  /** V8 has collected the WeakPointer of a cell. */
  #dropWeakCell(cell: number, ref: WeakRef<WeakPointer>): void {
    // A newer pointer, collected or not, owns the cell.
    if (this.#weak.get(cell) !== ref) return;
    this.#weak.delete(cell);
    const p = this.#u32[(cell + ENTRY_AT.fn) >>> 2] as Addr;
    if (p !== 0) {
      this.#host.ensureSwept(this.#heap.allocator.spanOf(p));
      if (this.#u32[(cell + ENTRY_AT.fn) >>> 2] !== 0) this.#heap.allocator.removeSpecial(p, SPECIAL_WEAK);
    }
    this.#freeEntry(cell);
  }

  /**
   * Whether both point into one object. False for tiny objects that share a block: the heap does not tell them apart.
   */
  sameObject(p: Addr, q: Addr): boolean {
    const base = this.#objectOf(p);
    return base !== 0 && !this.#isTiny(p) && base === this.#objectOf(q);
  }

  #objectOf(p: Addr): number {
    const { allocator } = this.#heap;
    const base = allocator.findObject(p);
    if (base === 0) return 0;
    // An object with a header begins behind the header.
    const span = allocator.spanOf(p);
    const spanclass = this.#u32[(span + MSPAN_AT.spanclass) >>> 2];
    const size = this.#u32[(span + MSPAN_AT.elemsize) >>> 2];
    return (spanclass & 1) === 0 && spanclass >>> 1 !== 0 && size > MIN_SIZE_FOR_HEADER
      ? base + MALLOC_HEADER_SIZE
      : base;
  }

  /** Tiny objects begin anywhere in their block of 16 bytes, and are freed with it. */
  #isTiny(p: Addr): boolean {
    const span = this.#heap.allocator.spanOf(p);
    return this.#u32[(span + MSPAN_AT.spanclass) >>> 2] === TINY_SPAN_CLASS;
  }

  // --- the sweeper's side

  /** The object's finalizer is due. Its special, which had the entry, is detached, and the object revived. */
  queueFinalizer(entry: number, object: number): void {
    this.#record.countFinalization("finalizersQueued");
    this.#enqueue(entry, SPECIAL_FINALIZER, object);
  }

  /** The object is being freed: its cleanup is due. */
  queueCleanup(entry: number): void {
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

  /** Calls f with every object whose finalizer waits to run, or has not returned: they are roots. */
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

  /** Number of functions that wait to run. */
  get queued(): number {
    return this.#get(FINQ_AT.nfinalizers) + this.#get(FINQ_AT.ncleanups);
  }

  /** Number of waiting functions of a kind. */
  queuedOf(kind: FinalizationKind): number {
    return this.#get(kind === "finalizer" ? FINQ_AT.nfinalizers : FINQ_AT.ncleanups);
  }

  /**
   * Takes the next function to run, of a kind, or of any kind with finalizers first; null if there is none. Call `done`
   * with it when it has returned or thrown.
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
    return {
      kind,
      fn: record.fn,
      arg: kind === "finalizer" ? u32[(entry + ENTRY_AT.object) >>> 2] : record.arg,
      entry,
    };
  }

  /** The function has returned. Its object is no root any more. */
  done(f: Finalization): void {
    this.#record.countFinalization(f.kind === "finalizer" ? "finalizersExecuted" : "cleanupsExecuted");
    const object = this.#u32[(f.entry + ENTRY_AT.object) >>> 2];
    if (object !== 0 && this.#host.marking) this.#host.shade(object);
    this.#freeEntry(f.entry);
  }

  /**
   * Runs all queued functions, one after the other, and returns their number. For programs without a finalizer
   * goroutine. An error of a function goes to `onThrow`; without it, `run` throws the error, and the other functions
   * stay queued.
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
