/**
 * Roots for raw pointers. A goroutine's JavaScript locals cannot be scanned. So a pointer that must outlive a safepoint
 * is written into a slot of the goroutine's own stack in the heap. That stack is a stack span, counted in
 * StackInuse, and is made when the goroutine roots its first pointer.
 *
 *     rootLo                                rootLo + rootSp           rootLo + size
 *     | size (u32), 0 | slot | slot | slot  | free                    |
 *     0               8      16     24
 *
 *     slot     0  address rooted     4  number of the Root that owns it
 *
 * `root` pushes slots. `frame` (which restores rootSp), `using` and the end of the goroutine pop them. A full stack is
 * copied to one of twice the size, as in Go. That may happen inside of a frame, so rootSp and the place that a Root
 * knows are offsets. rootSp is 0 until the first root, and again at the end of the frame that made the first root.
 * If a Root outlives its frame, the number tells it that the slot belongs to another Root. Host code has no
 * goroutine; its roots are slots of the collector's table.
 */
import type { Allocator } from "@gort/allocator/internal";
import type { Collector } from "@gort/gc";
import type { Addr, Ptr } from "@gort/memory";
import type { G, Scheduler } from "@gort/scheduler";
import { FatalError } from "@gort/scheduler/internal";

/** Go's smallest stack: 254 roots. */
const STACK_MIN = 2048;
const HEADER = 8;
const SLOT = 8;

/** A slot that keeps its target alive across safepoints. */
export interface Root<T> {
  /** The rooted address, valid across safepoints. Writing roots another one. Both throw after the release. */
  ptr: Ptr<T>;
  /** Releases the slot. `using` calls it; a second call does nothing. */
  release(): void;
  [Symbol.dispose](): void;
}

class StackRoot<T> implements Root<T> {
  readonly #roots: GoroutineRoots;
  readonly #g: G;
  readonly #offset: number;
  readonly #id: number;

  constructor(roots: GoroutineRoots, g: G, offset: number, id: number) {
    this.#roots = roots;
    this.#g = g;
    this.#offset = offset;
    this.#id = id;
  }

  /** Address of the slot; 0 once it was released or its frame has ended. */
  #slot(): number {
    const g = this.#g;
    // A freed stack may belong to another goroutine meanwhile, even of the same G. No two Roots have the same number.
    if (g.rootLo === 0 || this.#offset >= g.rootSp) return 0;
    const slot = g.rootLo + this.#offset;
    return this.#roots.u32[(slot + 4) >>> 2] === this.#id ? slot : 0;
  }

  #live(): number {
    const slot = this.#slot();
    if (slot === 0) throw new TypeError("runtime: use of a root after its frame has ended");
    return slot;
  }

  get ptr(): Ptr<T> {
    return this.#roots.u32[this.#live() >>> 2] as Ptr<T>;
  }

  set ptr(p: Ptr<T>) {
    this.#roots.u32[this.#live() >>> 2] = p;
  }

  release(): void {
    const slot = this.#slot();
    if (slot === 0) return;
    this.#roots.u32[slot >>> 2] = 0;
    this.#roots.u32[(slot + 4) >>> 2] = 0;
    if (this.#offset + SLOT === this.#g.rootSp) this.#g.rootSp = this.#offset;
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

class TableRoot<T> implements Root<T> {
  readonly #collector: Collector;
  readonly #u32: Uint32Array;
  #slot: number;

  constructor(collector: Collector, u32: Uint32Array, p: Addr) {
    this.#collector = collector;
    this.#u32 = u32;
    this.#slot = collector.refs.alloc(p);
  }

  #live(): number {
    if (this.#slot === 0) throw new TypeError("runtime: use of a root after its release");
    return this.#slot;
  }

  get ptr(): Ptr<T> {
    return this.#u32[this.#live() >>> 2] as Ptr<T>;
  }

  set ptr(p: Ptr<T>) {
    this.#collector.storePointer(this.#live(), p);
  }

  release(): void {
    if (this.#slot === 0) return;
    this.#collector.refs.free(this.#slot as Addr);
    this.#slot = 0;
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

/** The stacks of all goroutines that have one. */
export class GoroutineRoots {
  readonly u32: Uint32Array;
  readonly #allocator: Allocator;
  readonly #collector: Collector;
  readonly #scheduler: Scheduler;
  #lastId = 0;
  /** Largest stack of a goroutine, in bytes: a goroutine that needs more ends the program. Go's 64-bit limit. */
  maxStack = 1_000_000_000;

  constructor(allocator: Allocator, collector: Collector, scheduler: Scheduler) {
    this.u32 = allocator.mem.u32;
    this.#allocator = allocator;
    this.#collector = collector;
    this.#scheduler = scheduler;
  }

  /** Roots `p` in the running goroutine, or in the collector's table when host code runs. */
  root<T>(p: Ptr<T>): Root<T> {
    const g = this.#scheduler.getg();
    if (g === null) return new TableRoot<T>(this.#collector, this.u32, p);
    if (g.rootLo === 0) this.#newStack(g);
    else if (g.rootSp === 0) g.rootSp = HEADER;
    else if (g.rootSp === this.u32[g.rootLo >>> 2]) this.#growStack(g);
    const offset = g.rootSp;
    const slot = g.rootLo + offset;
    // The number 0 marks a released slot.
    this.#lastId = (this.#lastId + 1) >>> 0 || 1;
    this.u32[slot >>> 2] = p;
    this.u32[(slot + 4) >>> 2] = this.#lastId;
    g.rootSp = offset + SLOT;
    return new StackRoot<T>(this, g, offset, this.#lastId);
  }

  /** The part of each stack that holds roots, as [lo, hi) address ranges. */
  forEachStack(visit: (lo: number, hi: number) => void): void {
    this.#scheduler.forEachG((g: G) => {
      if (g.rootLo !== 0 && g.rootSp > HEADER) visit(g.rootLo + HEADER, g.rootLo + g.rootSp);
    });
  }

  /** The goroutine has ended: frees its stack. */
  exit(g: G): void {
    if (g.rootLo === 0) return;
    this.#allocator.stackFree(g.rootLo as Addr, this.u32[g.rootLo >>> 2]);
    g.rootLo = 0;
    g.rootSp = 0;
  }

  #newStack(g: G): void {
    const lo = this.#allocator.stackAlloc(STACK_MIN);
    this.u32[lo >>> 2] = STACK_MIN;
    g.rootLo = lo;
    g.rootSp = HEADER;
  }

  #growStack(g: G): void {
    const old = g.rootLo;
    const size = this.u32[old >>> 2];
    if (size * 2 > this.maxStack) {
      const detail = `runtime: goroutine stack exceeds ${this.maxStack}-byte limit`;
      throw new FatalError("throw", "ERR_GORT_STACK_OVERFLOW", "stack overflow", detail);
    }
    const lo = this.#allocator.stackAlloc(size * 2);
    this.#allocator.mem.kernel.copy(lo, old, size);
    this.u32[lo >>> 2] = size * 2;
    g.rootLo = lo;
    this.#allocator.stackFree(old as Addr, size);
  }
}
