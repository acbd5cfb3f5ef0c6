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
 *     entry       0 next; until it is queued, and while the function runs: id of its thread
 *                 4 kind (0: not queued)   8 function   12 object (finalizers), a root until the finalizer is done
 *     weak cell   0 -   4 threads that have a pointer for it   8 address, 0 if the object is gone   12 0
 *
 * Both are nodes in blocks that are never freed; free nodes form a list of each thread. A finalizer or cleanup takes
 * its entry when it is set, because a sweep frees memory and must not need any. Finalizers and cleanups have one queue
 * each, because a finalizer that blocks must not hold up cleanups. Each queue has one consumer, which takes entries in
 * order: the facade's goroutines, or `run` for both queues.
 *
 * ## Several threads
 * Each thread has its own queues, in its GCTHREAD. A sweep on another thread posts the entry to the inbox of the thread
 * that set it, and has that thread notified. The owner takes its inbox before it looks at a queue (`takeDue`). Numbers
 * of functions are unique among all threads. A thread that ends takes its functions with it: they never run. A sweep
 * that meets a finalizer of an ended thread does not revive the object.
 *
 * Threads share the weak cell of an object. The threads that use it are counted, under COLLECTOR.lock. The sweep clears
 * a cell without the lock: no thread has the object then.
 *
 * A finalizer that throws must end the program, as an unrecovered panic does. Its error goes to the consumer, and the
 * queue goes on behind it, so nothing is lost.
 */
import { hex, outOfMemory, throwFatal } from "@gort/base";
import type { Addr } from "@gort/memory";
import { defineStruct, registryOf } from "@gort/memory/internal";
import { pushEntry, stateWord, withStateLock } from "./gc-state.ts";
import type { GCRecord } from "./gc-stats.ts";
import {
  driverThread,
  forEachThread,
  GCTHREAD_AT,
  isAttached,
  postTo,
  takeInbox,
  threadById,
} from "./gc-threads.ts";
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

/** Offsets in a queue, from its first word. */
const TAIL = GCTHREAD_AT.finalizersTail - GCTHREAD_AT.finalizers;
const COUNT = GCTHREAD_AT.nfinalizers - GCTHREAD_AT.finalizers;
const ENTRY = defineStruct("finalizer", { next: "u32", kind: "u32", fn: "u32", object: "u32" });
const ENTRY_AT = ENTRY.offsets;
/** The kind of an entry whose function runs. No weak cell has as many users. */
const RUNNING = 0x80000000;
/** In a weak cell: threads that have a pointer for it. */
const USERS = ENTRY_AT.kind;
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
  /** Has the thread of this GCTHREAD notified: its inbox has an entry. */
  notify?(thread: number): void;
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
  /** Address of this thread's GCTHREAD, and its id. */
  readonly #state: number;
  readonly #id: number;
  readonly #fns = new Map<number, { fn: (arg: never) => unknown; arg: unknown }>();
  /** Entries whose functions run. */
  readonly #running = new Set<number>();
  readonly #weak = new Map<number, WeakRef<WeakPointer>>();
  readonly #weakRegistry: FinalizationRegistry<WeakCell>;

  /** @param thread the GCTHREAD whose queues these are; default: the driver's */
  constructor(heap: GCHeap, host: FinalizerHost, record: GCRecord, thread: number = driverThread(heap.mem)) {
    this.#heap = heap;
    this.#u32 = heap.mem.u32;
    this.#host = host;
    this.#record = record;
    this.#state = thread;
    this.#id = this.#u32[(thread + GCTHREAD_AT.id) >>> 2];
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
    const { mem } = this.#heap;
    const id = (mem.kernel.add(stateWord(mem, "lastFn"), 1) + 1) >>> 0;
    this.#fns.set(id, { fn, arg });
    this.#u32[(entry + ENTRY_AT.fn) >>> 2] = id;
    this.#u32[(entry + ENTRY_AT.next) >>> 2] = this.#id;
    return entry;
  }

  /** Gives the entry back: the function will not be queued. The entry may be that of another thread. */
  #unreserve(entry: number): void {
    if (this.#u32[(entry + ENTRY_AT.next) >>> 2] !== this.#id) this.#post(entry);
    else this.#giveBack(entry);
  }

  #giveBack(entry: number): void {
    this.#fns.delete(this.#u32[(entry + ENTRY_AT.fn) >>> 2]);
    this.#freeEntry(entry);
  }

  /** Posts an entry to the thread that set it. If that thread has ended, the entry is free. */
  #post(entry: number): void {
    const { mem } = this.#heap;
    const t = threadById(mem, this.#u32[(entry + ENTRY_AT.next) >>> 2]);
    if (t === 0) {
      this.#freeEntry(entry);
      return;
    }
    postTo(mem, t, "entries", entry);
    this.#host.notify?.(t);
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
    // Before the special exists: from the next cycle on, marking looks for it.
    this.#u32[stateWord(this.#heap.mem, "anyFinalizer") >>> 2] = 1;
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
    return this.#locked(() => this.#weakPointer(object));
  }

  /** Runs f while no other thread takes or gives up a weak cell. */
  #locked<R>(f: () => R): R {
    return this.#heap.shared ? withStateLock(this.#heap.mem, f) : f();
  }

  #weakPointer(object: Addr): WeakPointer {
    const { allocator } = this.#heap;
    const u32 = this.#u32;
    const special = allocator.findSpecial(object, SPECIAL_WEAK);
    let cell = special === 0 ? 0 : u32[(special + SPECIAL_AT.data) >>> 2];
    const known = cell === 0 ? undefined : this.#weak.get(cell)?.deref();
    if (known) return known;
    if (cell === 0) {
      cell = this.#takeEntry();
      u32[(cell + ENTRY_AT.fn) >>> 2] = object;
      if (allocator.addSpecial(object, SPECIAL_WEAK, cell) <= 0)
        outOfMemory("gc: no room for a weak pointer's special");
    }
    if (!this.#weak.has(cell)) u32[(cell + USERS) >>> 2] = u32[(cell + USERS) >>> 2] + 1;
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
    this.#giveUpCell(cell);
  }

  /** This thread uses the cell no more. */
  #giveUpCell(cell: number): void {
    const u32 = this.#u32;
    const at = (cell + ENTRY_AT.fn) >>> 2;
    if (u32[at] !== 0) this.#host.ensureSwept(this.#heap.allocator.spanOf(u32[at] as Addr));
    this.#locked(() => {
      const users = u32[(cell + USERS) >>> 2] - 1;
      u32[(cell + USERS) >>> 2] = users;
      if (users > 0) return;
      if (u32[at] !== 0) this.#heap.allocator.removeSpecial(u32[at] as Addr, SPECIAL_WEAK);
      this.#freeEntry(cell);
    });
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

  /** Whether the thread that set the finalizer with this entry lives. Otherwise the object is not to be revived. */
  canRun(entry: number): boolean {
    const id = this.#u32[(entry + ENTRY_AT.next) >>> 2];
    return id === this.#id || threadById(this.#heap.mem, id) !== 0;
  }

  /** The object's finalizer is due. Its special, which had the entry, is detached, and the object revived. */
  queueFinalizer(entry: number, object: number): void {
    this.#record.countFinalization("finalizersQueued");
    this.#due(entry, SPECIAL_FINALIZER, object);
  }

  /** The object is being freed: its cleanup is due. */
  queueCleanup(entry: number): void {
    this.#record.countFinalization("cleanupsQueued");
    this.#due(entry, SPECIAL_CLEANUP, 0);
  }

  /** The object with this finalizer, of a thread that has ended, is being freed. */
  dropFinalizer(entry: number): void {
    this.#freeEntry(entry);
  }

  /** The object of the weak cell is unreachable. */
  clearWeak(cell: number): void {
    this.#u32[(cell + ENTRY_AT.fn) >>> 2] = 0;
  }

  #due(entry: number, kind: number, object: number): void {
    const u32 = this.#u32;
    u32[(entry + ENTRY_AT.kind) >>> 2] = kind;
    u32[(entry + ENTRY_AT.object) >>> 2] = object;
    if (u32[(entry + ENTRY_AT.next) >>> 2] === this.#id) this.#enqueue(entry);
    else this.#post(entry);
  }

  #enqueue(entry: number): void {
    const u32 = this.#u32;
    const kind = u32[(entry + ENTRY_AT.kind) >>> 2];
    u32[(entry + ENTRY_AT.next) >>> 2] = 0;
    const queue = kind === SPECIAL_FINALIZER ? GCTHREAD_AT.finalizers : GCTHREAD_AT.cleanups;
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
    if (this.#get(GCTHREAD_AT.freeEntries) === 0) {
      const block = this.#heap.mem.persistentAlloc(BLOCK_BYTES, 8, "otherSys");
      if (block === 0) outOfMemory("gc: no room for the finalizer queue");
      pushEntry(this.#heap.mem, stateWord(this.#heap.mem, "finBlocks"), block);
      for (let e = block + BLOCK_BYTES - ENTRY.size; e >= block + BLOCK_HEADER; e -= ENTRY.size)
        this.#freeEntry(e);
    }
    const entry = this.#get(GCTHREAD_AT.freeEntries);
    this.#set(GCTHREAD_AT.freeEntries, u32[(entry + ENTRY_AT.next) >>> 2]);
    u32[(entry + ENTRY_AT.next) >>> 2] = 0;
    return entry;
  }

  #freeEntry(entry: number): void {
    const u32 = this.#u32;
    u32[(entry + ENTRY_AT.kind) >>> 2] = 0;
    u32[(entry + ENTRY_AT.fn) >>> 2] = 0;
    u32[(entry + ENTRY_AT.object) >>> 2] = 0;
    u32[(entry + ENTRY_AT.next) >>> 2] = this.#get(GCTHREAD_AT.freeEntries);
    this.#set(GCTHREAD_AT.freeEntries, entry);
  }

  /** Calls f with every object whose finalizer waits to run, or has not returned: they are roots. */
  forEachQueued(f: (object: number) => void): void {
    this.#forEachNode((e) => {
      const object = this.#u32[(e + ENTRY_AT.object) >>> 2];
      if (object !== 0) f(object);
    });
  }

  /** Calls f with every entry and weak cell, free ones included. */
  #forEachNode(f: (e: number) => void): void {
    const u32 = this.#u32;
    const first = u32[stateWord(this.#heap.mem, "finBlocks") >>> 2];
    for (let block = first; block !== 0; block = u32[block >>> 2]) {
      for (let e = block + BLOCK_HEADER; e < block + BLOCK_BYTES; e += ENTRY.size) f(e);
    }
  }

  // --- the consumer's side

  /** Takes the entries that other threads have posted: functions that are due, and entries that are given back. */
  takeDue(): void {
    const { mem } = this.#heap;
    for (let entry = takeInbox(mem, this.#state, "entries"); entry !== 0; ) {
      const next = mem.u32[(entry + ENTRY_AT.next) >>> 2];
      // An entry of a previous owner of the GCTHREAD: its function is gone.
      if (!this.#fns.has(mem.u32[(entry + ENTRY_AT.fn) >>> 2])) this.#freeEntry(entry);
      else if (mem.u32[(entry + ENTRY_AT.kind) >>> 2] === 0) this.#giveBack(entry);
      else this.#enqueue(entry);
      entry = next;
    }
  }

  /** The thread ends: its functions never run, and its weak pointers are not used any more. */
  close(): void {
    this.takeDue();
    for (const kind of ["finalizer", "cleanup"] as const) {
      while (this.next(kind) !== null);
    }
    for (const entry of this.#running) this.#freeEntry(entry);
    this.#running.clear();
    for (const cell of this.#weak.keys()) this.#giveUpCell(cell);
    this.#weak.clear();
    this.#fns.clear();
  }

  /** Frees the entries of a thread that has died: queued functions never run, and those that ran never return. */
  dropEntries(thread: number): void {
    const u32 = this.#u32;
    for (const queue of [GCTHREAD_AT.finalizers, GCTHREAD_AT.cleanups]) {
      for (let entry = u32[(thread + queue) >>> 2]; entry !== 0; ) {
        const next = u32[(entry + ENTRY_AT.next) >>> 2];
        this.#freeEntry(entry);
        entry = next;
      }
      u32.fill(0, (thread + queue) >>> 2, ((thread + queue + COUNT) >>> 2) + 1);
    }
    const id = u32[(thread + GCTHREAD_AT.id) >>> 2];
    this.#forEachNode((e) => {
      if (u32[(e + ENTRY_AT.kind) >>> 2] === RUNNING && u32[(e + ENTRY_AT.next) >>> 2] === id)
        this.#unroot(e);
    });
  }

  /** Frees the entries that were posted to a thread as it ended. The world is stopped. */
  dropOrphans(): void {
    const { mem } = this.#heap;
    forEachThread(mem, (t) => {
      if (isAttached(mem, t)) return;
      for (let entry = takeInbox(mem, t, "entries"); entry !== 0; ) {
        const next = mem.u32[(entry + ENTRY_AT.next) >>> 2];
        this.#freeEntry(entry);
        entry = next;
      }
    });
  }

  /** Number of functions that wait to run. */
  get queued(): number {
    this.takeDue();
    return this.#get(GCTHREAD_AT.nfinalizers) + this.#get(GCTHREAD_AT.ncleanups);
  }

  /** Number of waiting functions of a kind. */
  queuedOf(kind: FinalizationKind): number {
    this.takeDue();
    return this.#get(kind === "finalizer" ? GCTHREAD_AT.nfinalizers : GCTHREAD_AT.ncleanups);
  }

  /**
   * Takes the next function to run, of a kind, or of any kind with finalizers first; null if there is none. Call `done`
   * with it when it has returned or thrown.
   */
  next(of?: FinalizationKind): Finalization | null {
    this.takeDue();
    const u32 = this.#u32;
    const kind = of ?? (this.#get(GCTHREAD_AT.finalizers) !== 0 ? "finalizer" : "cleanup");
    const queue = kind === "finalizer" ? GCTHREAD_AT.finalizers : GCTHREAD_AT.cleanups;
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
    this.#running.add(entry);
    // If this thread dies now, the entry is found.
    u32[(entry + ENTRY_AT.next) >>> 2] = this.#id;
    u32[(entry + ENTRY_AT.kind) >>> 2] = RUNNING;
    return {
      kind,
      fn: record.fn,
      arg: kind === "finalizer" ? u32[(entry + ENTRY_AT.object) >>> 2] : record.arg,
      entry,
    };
  }

  /** The function has returned. */
  done(f: Finalization): void {
    if (!this.#running.delete(f.entry)) return;
    this.#record.countFinalization(f.kind === "finalizer" ? "finalizersExecuted" : "cleanupsExecuted");
    this.#unroot(f.entry);
  }

  /** Frees an entry whose function ran. Its object is no root any more. */
  #unroot(entry: number): void {
    const object = this.#u32[(entry + ENTRY_AT.object) >>> 2];
    if (object !== 0 && this.#host.marking) this.#host.shade(object);
    this.#freeEntry(entry);
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
