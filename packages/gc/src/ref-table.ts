/**
 * Root slots outside of the heap, for Refs, queued finalizers and global roots. A slot is 8 bytes of linear memory, as
 * a pointer in an object is, and its address is its handle.
 *
 *     slot in use    0  address held (0: nil)    4  id of its thread << 1, 0 for the driver and for slots of no thread
 *     free slot      0  0                        4  address of the next free slot | 1
 *
 *     block          0  next block    4  -    8  slots, to REF_BLOCK_BYTES
 *
 * A free slot reads as nil, so marking scans a block without tests. The collector scans block by block while the
 * program runs. A slot that is overwritten or freed meanwhile is shaded first (deletion barrier): so the object that it
 * held when the cycle began is marked.
 *
 * Each thread has a list of free slots, in its GCTHREAD, so allocating a slot needs no lock. A slot that another thread
 * frees goes to the list of that thread. When a thread ends, its slots are freed: the handles were JavaScript values of
 * that thread. A slot that passes from thread to thread, as in a message, belongs to none (`allocShared`).
 */
import { outOfMemory } from "@gort/base";
import type { Addr, LinearMemory } from "@gort/memory";
import { pushEntry, stateWord } from "./gc-state.ts";
import { driverThread, FREE_TAG, firstThread, GCTHREAD_AT, nextThread } from "./gc-threads.ts";

/** Size of a block: a page of the operating system, which holds 511 slots. */
export const REF_BLOCK_BYTES = 4096;

/** Address of a root slot. Pass it to `storePointer`, and free it once. */
export type RefSlot = Addr;

/** The collector, as the barrier needs it. */
export interface Shader {
  readonly marking: boolean;
  shade(p: number): void;
}

export class RefTable {
  readonly #mem: LinearMemory;
  readonly #u32: Uint32Array;
  readonly #shader: Shader;
  /** Word indices of this thread's list of free slots, and of its count. */
  readonly #free: number;
  readonly #count: number;
  readonly #blocks: number;
  readonly #lastThread: number;
  /** The second word of this thread's slots. */
  readonly #owner: number;

  /** @param thread the GCTHREAD whose free slots are used; default: the driver's */
  constructor(mem: LinearMemory, shader: Shader, thread: number = driverThread(mem)) {
    this.#mem = mem;
    this.#u32 = mem.u32;
    this.#shader = shader;
    this.#free = (thread + GCTHREAD_AT.refFree) >>> 2;
    this.#count = (thread + GCTHREAD_AT.refsInuse) >>> 2;
    this.#blocks = stateWord(mem, "refBlocks");
    this.#lastThread = stateWord(mem, "lastThread") >>> 2;
    this.#owner = mem.u32[(thread + GCTHREAD_AT.id) >>> 2] << 1;
  }

  /** Number of slots in use, by all threads. */
  get inuse(): number {
    const mem = this.#mem;
    let n = 0;
    for (let t = firstThread(mem); t !== 0; t = nextThread(mem, t)) {
      n = (n + this.#u32[(t + GCTHREAD_AT.refsInuse) >>> 2]) | 0;
    }
    return n;
  }

  /** Returns a new slot that holds addr, which may be 0. Throws out of memory if the table cannot grow. */
  alloc(addr: number): RefSlot {
    return this.#alloc(addr, this.#owner);
  }

  /** A slot that outlives this thread: the thread that gets its address frees it. */
  allocShared(addr: number): RefSlot {
    return this.#alloc(addr, 0);
  }

  #alloc(addr: number, owner: number): RefSlot {
    const u32 = this.#u32;
    const head = this.#free;
    if (u32[head] === FREE_TAG) this.#grow();
    const slot = u32[head] & ~FREE_TAG;
    u32[head] = u32[(slot + 4) >>> 2];
    u32[(slot + 4) >>> 2] = owner;
    u32[slot >>> 2] = addr;
    u32[this.#count] = u32[this.#count] + 1;
    // The block may have been scanned already.
    if (this.#shader.marking) this.#shader.shade(addr);
    return (slot >>> 0) as RefSlot;
  }

  /** The address that the slot holds. */
  get(slot: RefSlot): Addr {
    return this.#u32[slot >>> 2] as Addr;
  }

  /** Frees a slot. Throws if the slot is not in use: otherwise its next owner would lose it. */
  free(slot: RefSlot): void {
    const owner = this.#u32[(slot + 4) >>> 2];
    if (owner !== 0 && !this.#isOwner(owner)) {
      throw new TypeError(`gc: free of a ref slot that is not in use (got 0x${slot.toString(16)})`);
    }
    this.#release(slot);
  }

  #isOwner(word: number): boolean {
    return (word & FREE_TAG) === 0 && word >>> 1 <= this.#u32[this.#lastThread];
  }

  #release(slot: number): void {
    const u32 = this.#u32;
    if (this.#shader.marking) this.#shader.shade(u32[slot >>> 2]);
    const head = this.#free;
    u32[slot >>> 2] = 0;
    u32[(slot + 4) >>> 2] = u32[head];
    u32[head] = slot | FREE_TAG;
    u32[this.#count] = u32[this.#count] - 1;
  }

  /** Frees all slots of a thread that ends or has ended, which is not the driver. */
  freeAll(id: number): void {
    const u32 = this.#u32;
    for (let block = this.firstBlock; block !== 0; block = this.nextBlock(block)) {
      for (let slot = block + 8; slot < block + REF_BLOCK_BYTES; slot += 8) {
        if (u32[(slot + 4) >>> 2] === id << 1) this.#release(slot);
      }
    }
  }

  #grow(): void {
    const u32 = this.#u32;
    const block = this.#mem.persistentAlloc(REF_BLOCK_BYTES, 8, "otherSys");
    if (block === 0) outOfMemory("gc: no room for more root slots");
    // The list of free slots begins with the lowest one.
    let next = u32[this.#free];
    for (let slot = block + REF_BLOCK_BYTES - 8; slot > block; slot -= 8) {
      u32[(slot + 4) >>> 2] = next;
      next = slot | FREE_TAG;
    }
    u32[this.#free] = next;
    pushEntry(this.#mem, this.#blocks, block);
  }

  /** The newest block, 0 if there is none. */
  get firstBlock(): number {
    return this.#u32[this.#blocks >>> 2];
  }

  nextBlock(block: number): number {
    return this.#u32[block >>> 2];
  }
}
