/** A heap that several threads share: an allocator for each thread, and root slots in the linear memory. */
import { type Allocator, createAllocator } from "@gort/allocator";
import { type Addr, attachLinearMemory, type LinearMemory } from "@gort/memory";
import type { Heap, RefSlot } from "../src/index.ts";

export class SharedHeap implements Heap {
  readonly allocator: Allocator;
  readonly mem: LinearMemory;
  /** The address of the number of roots in use. */
  readonly count: number;
  /** Pointer stores of this thread, and roots that it made for all threads. */
  stores = 0;
  sharedRefs = 0;

  constructor(allocator: Allocator, count: number) {
    this.allocator = allocator;
    this.mem = allocator.mem;
    this.count = count;
  }

  /** A new heap, that may be shared. */
  static create(maxMemory = 64 << 20): SharedHeap {
    const allocator = createAllocator({ maxMemory });
    allocator.share();
    return new SharedHeap(allocator, allocator.mem.persistentAlloc(4, 4, "otherSys"));
  }

  /** The heap as another thread sees it. */
  attach(): SharedHeap {
    const mem = attachLinearMemory(this.mem.memory as never);
    return new SharedHeap(createAllocator({ memory: mem }), this.count);
  }

  get roots(): number {
    return this.mem.kernel.load(this.count);
  }

  malloc(size: number, typ: number, zero = true): Addr {
    return this.allocator.mallocgc(size, typ, zero);
  }

  newType(size: number, mask: Uint32Array): number {
    return this.allocator.newType(size, mask);
  }

  storePointer(slot: Addr, value: Addr): void {
    this.stores++;
    this.mem.u32[slot >>> 2] = value;
  }

  /** A slot is used once: it holds the address + 1, so that a second release is found. */
  newRef(addr: Addr): RefSlot {
    const slot = this.mem.persistentAlloc(8, 8, "otherSys");
    this.mem.f64[slot >>> 3] = addr + 1;
    this.mem.kernel.add(this.count, 1);
    return slot as number as RefSlot;
  }

  newSharedRef(addr: Addr): RefSlot {
    this.sharedRefs++;
    return this.newRef(addr);
  }

  releaseRef(slot: RefSlot): void {
    if (this.mem.f64[slot >>> 3] === 0) throw new Error(`release of a free root 0x${slot.toString(16)}`);
    this.mem.f64[slot >>> 3] = 0;
    this.mem.kernel.add(this.count, -1);
  }

  roundupsize(size: number, noscan: boolean): number {
    return this.allocator.roundupsize(size, noscan);
  }

  writeBarrierEnabled(): boolean {
    return true;
  }
}
