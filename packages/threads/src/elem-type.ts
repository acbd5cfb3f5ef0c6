/**
 * The element type of channels, as their code needs it: one object for each heap, type and thread.
 *
 * An element lies in a buffer, in a sudog, or in a *cell*: an object of the element type with a root of its own. The
 * element of a waiting goroutine lies in its sudog if it is a scalar without pointers. Otherwise it lies in a cell,
 * where the collector sees it. Some idle cells are kept, because most programs wait again.
 *
 * Code of a value runs in `take` only, and only `ready` and `reserve` allocate: all three come before any lock. Under a
 * lock only `store`, `land` and `clear` run, which cannot fail. A received element lands in a place of this thread.
 * After the unlock, `landed` makes a JavaScript value of it. There is no safepoint in between, so the collector need
 * not see it there.
 *
 * A struct or an array is a value in Go. Its JavaScript value is a Ref to an object that nothing else refers to: the
 * cell in which it landed.
 */

import type { Addr, LinearMemory } from "@gort/memory";
import type { Heap, RefSlot, Type } from "@gort/types";
import {
  ArrayType,
  type Codec,
  type Handles,
  type PerType,
  type SliceOps,
  StructType,
  UNROOTED,
  unchanged,
} from "@gort/types/internal";
import { SUDOG_AT } from "./sudog.ts";

/** Idle cells of a type that are kept at most: the collector takes the others of a burst. */
const IDLE_CELLS = 64;

export class ElemType {
  readonly type: Type;
  readonly size: number;
  /** The heap's descriptor of the type; 0 without pointers. */
  readonly typ: number;
  /** Values are numbers, bigints or booleans: `store` writes the result of `take`. */
  readonly primitive: boolean;
  /** Reads and checks a value of the program. */
  readonly take: (value: unknown) => unknown;
  private readonly codec: Codec;
  private readonly put: Codec["put"];
  private readonly load: Codec["load"];
  private readonly types: PerType;
  private readonly heap: Heap;
  private readonly mem: LinearMemory;
  private readonly u32: Uint32Array;
  /** Waiting elements lie in their sudogs: `attach` and `detach` are not for them. */
  readonly inline: boolean;
  /** Values are Refs to objects of their own. */
  private readonly byValue: boolean;
  /** The size, if an element may be copied by words: a batch's slice may begin at an odd address. Otherwise 0. */
  private readonly wordSize: number;
  /** Offsets of the pointers in an element. */
  private readonly pointers: readonly number[];
  /** Elements that are no structs and arrays land here. */
  private readonly scratch: number;
  private handles: Handles | undefined;
  private sliceOps: SliceOps | undefined;
  /** Idle cells: of each the address and the root. */
  private readonly cells: number[] = [];

  constructor(types: PerType, type: Type, scratch: Addr) {
    const codec = types.codec(type);
    const { heap } = types;
    this.type = type;
    this.size = type.size;
    this.typ = types.descriptor(type);
    this.primitive = codec.atomic && codec.ready === unchanged;
    this.take = codec.take;
    this.codec = codec;
    this.put = codec.put;
    this.load = codec.load;
    this.types = types;
    this.heap = heap;
    this.mem = heap.mem;
    this.u32 = heap.mem.u32;
    this.byValue = type instanceof StructType || type instanceof ArrayType;
    this.inline = !type.hasPointers && !this.byValue;
    this.wordSize = type.align % 4 === 0 ? type.size : 0;
    const pointers: number[] = [];
    type.eachPointer((offset) => pointers.push(offset));
    this.pointers = pointers;
    this.scratch = scratch;
  }

  /** What slices of the type share, for batches. An error if values of the type can't be assigned, as of `send`. */
  get slices(): SliceOps {
    if (this.sliceOps === undefined) {
      if (this.type.kind === "opaque") this.take(undefined);
      this.sliceOps = this.types.sliceOps(this.type);
    }
    return this.sliceOps;
  }

  // ---- before a lock

  /** Prepares the result of `take` for `store`. */
  ready(taken: unknown): unknown {
    // The range of the target is empty: a program has no reference into a buffer or a cell.
    return this.codec.ready(taken, 0, 0);
  }

  /** Ends the use of the result of `take`. */
  drop(taken: unknown): void {
    this.codec.drop(taken);
  }

  /** Makes sure that an element can land, and wait. */
  reserve(): void {
    if (!this.inline && this.cells.length === 0) this.addCell();
  }

  /** Makes sure that an element can land. */
  reserveLanding(): void {
    if (this.byValue && this.cells.length === 0) this.addCell();
  }

  private addCell(): void {
    const { heap, cells } = this;
    const addr = heap.malloc(this.size, this.typ);
    cells.push(addr, heap.newRef(addr));
  }

  // ---- under a lock

  /** Writes a value that is ready. */
  store(dst: number, ready: unknown): void {
    // A struct from a plain object, or an array from a list, may leave parts at zero.
    if (this.byValue) this.zero(dst);
    this.put(dst, ready);
  }

  private zero(dst: number): void {
    this.clear(dst);
    this.mem.kernel.zero(dst, this.size);
  }

  /** Takes the pointers out of an element that was received. */
  clear(src: number): void {
    const { heap, pointers } = this;
    for (let i = 0; i < pointers.length; i++) heap.storePointer((src + pointers[i]) as Addr, 0 as Addr);
  }

  /** Copies an element from one place in the heap to another. */
  copy(dst: number, src: number): void {
    const { heap, u32, pointers } = this;
    for (let i = 0; i < pointers.length; i++) {
      heap.storePointer((dst + pointers[i]) as Addr, u32[(src + pointers[i]) >>> 2] as Addr);
    }
    this.copyWords(dst, src);
  }

  private copyWords(dst: number, src: number): void {
    const { u32, wordSize } = this;
    if (wordSize === 8) {
      u32[dst >>> 2] = u32[src >>> 2];
      u32[(dst + 4) >>> 2] = u32[(src + 4) >>> 2];
    } else if (wordSize === 4) {
      u32[dst >>> 2] = u32[src >>> 2];
    } else {
      this.mem.kernel.copy(dst, src, this.size);
    }
  }

  /** Copies n elements from one place in the heap to another. */
  move(dst: number, src: number, n: number): void {
    if (n === 1) this.copy(dst, src);
    else this.slices.move(dst, src, n);
  }

  /** Takes n elements out of the slots of a ring. */
  moveAndClear(dst: number, slot: number, n: number): void {
    this.move(dst, slot, n);
    if (this.typ !== 0) for (let k = 0; k < n; k++) this.clear(slot + k * this.size);
  }

  /** Takes an element out of a slot of a ring. */
  landAndClear(slot: number): void {
    this.land(slot);
    if (this.typ !== 0) this.clear(slot);
  }

  /** Takes an element for this thread. */
  land(src: number): void {
    if (this.byValue) this.copy(this.cells[this.cells.length - 2], src);
    else this.copyWords(this.scratch, src);
  }

  /** The place of a waiting element. */
  place(sg: Addr): number {
    return this.inline ? sg + SUDOG_AT.inline : this.u32[(sg + SUDOG_AT.elem) >>> 2];
  }

  /** Gives a sudog a cell for its element. */
  attach(sg: Addr): void {
    const { u32 } = this;
    u32[(sg + SUDOG_AT.ref) >>> 2] = this.cells.pop()!;
    u32[(sg + SUDOG_AT.elem) >>> 2] = this.cells.pop()!;
  }

  // ---- after the unlock

  /** The value of an element in the place of a sudog. */
  inlineValue(sg: Addr): unknown {
    return this.load(sg + SUDOG_AT.inline, UNROOTED);
  }

  /** The value of the element that has landed. */
  landed(): unknown {
    if (!this.byValue) return this.load(this.scratch, UNROOTED);
    const ref = this.cells.pop()!;
    return this.refTo(this.cells.pop()!, ref);
  }

  private refTo(addr: number, ref: number): unknown {
    const { types } = this;
    // At the first use, because types may be recursive.
    const { Ref, home } = (this.handles ??= types.handles(this.type));
    return new Ref(types.roots.adopt(ref as RefSlot, home, addr));
  }

  /** Ends the use of a sudog's cell. With `take`, the element lands first. */
  detach(sg: Addr, take: boolean): void {
    const { u32 } = this;
    const addr = u32[(sg + SUDOG_AT.elem) >>> 2];
    const ref = u32[(sg + SUDOG_AT.ref) >>> 2];
    u32[(sg + SUDOG_AT.ref) >>> 2] = 0;
    if (take && !this.byValue) this.copyWords(this.scratch, addr);
    // The value of a struct is the cell itself.
    if (!(take && this.byValue)) {
      this.clear(addr);
      if (this.cells.length >= 2 * IDLE_CELLS) {
        this.heap.releaseRef(ref as RefSlot);
        return;
      }
    }
    this.cells.push(addr, ref);
  }
}
