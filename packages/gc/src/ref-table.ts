/**
 * Root slots outside of the heap, for Refs, queued finalizers and global roots. A slot is 8 bytes of linear memory, as
 * a pointer in an object is, and its address is its handle.
 *
 *     slot in use    0  address held (0: nil)    4  0
 *     free slot      0  0                        4  address of the next free slot | 1
 *
 *     block          0  next block    4  -    8  slots, to REF_BLOCK_BYTES
 *
 * A free slot reads as nil, so marking scans a block without tests. The collector scans block by block while the
 * program runs. A slot that is overwritten or freed meanwhile is shaded first (deletion barrier): so the object that it
 * held when the cycle began is marked.
 */
import { outOfMemory } from "@gort/base";
import { type Addr, defineStruct, type LinearMemory } from "@gort/memory";
import { stateBlock } from "./gc-state.ts";

/** Size of a block: a page of the operating system, which holds 511 slots. */
export const REF_BLOCK_BYTES = 4096;
const FREE_TAG = 1;

const REFTABLE = defineStruct("refTable", { free: "u32", blocks: "u32", nblocks: "u32", inuse: "u32" });
const REFTABLE_AT = REFTABLE.offsets;

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
  readonly #state: number;
  readonly #shader: Shader;

  constructor(mem: LinearMemory, shader: Shader) {
    this.#mem = mem;
    this.#u32 = mem.u32;
    this.#shader = shader;
    this.#state = stateBlock(mem, "refTable", () => {
      const block = mem.reserveControl(REFTABLE.size);
      mem.u32[(block + REFTABLE_AT.free) >>> 2] = FREE_TAG;
      return block;
    });
  }

  /** Number of slots in use. */
  get inuse(): number {
    return this.#u32[(this.#state + REFTABLE_AT.inuse) >>> 2];
  }

  /** Returns a new slot that holds addr, which may be 0. Throws out of memory if the table cannot grow. */
  alloc(addr: number): RefSlot {
    const u32 = this.#u32;
    const head = (this.#state + REFTABLE_AT.free) >>> 2;
    if (u32[head] === FREE_TAG) this.#grow();
    const slot = u32[head] & ~FREE_TAG;
    u32[head] = u32[(slot + 4) >>> 2];
    u32[(slot + 4) >>> 2] = 0;
    u32[slot >>> 2] = addr;
    const n = (this.#state + REFTABLE_AT.inuse) >>> 2;
    u32[n] = u32[n] + 1;
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
    const u32 = this.#u32;
    if (u32[(slot + 4) >>> 2] !== 0) {
      throw new TypeError(`gc: free of a ref slot that is not in use (got 0x${slot.toString(16)})`);
    }
    if (this.#shader.marking) this.#shader.shade(u32[slot >>> 2]);
    const head = (this.#state + REFTABLE_AT.free) >>> 2;
    u32[slot >>> 2] = 0;
    u32[(slot + 4) >>> 2] = u32[head];
    u32[head] = slot | FREE_TAG;
    const n = (this.#state + REFTABLE_AT.inuse) >>> 2;
    u32[n] = u32[n] - 1;
  }

  #grow(): void {
    const u32 = this.#u32;
    const block = this.#mem.persistentAlloc(REF_BLOCK_BYTES, 8, "otherSys");
    if (block === 0) outOfMemory("gc: no room for more root slots");
    u32[block >>> 2] = u32[(this.#state + REFTABLE_AT.blocks) >>> 2];
    u32[(this.#state + REFTABLE_AT.blocks) >>> 2] = block;
    const n = (this.#state + REFTABLE_AT.nblocks) >>> 2;
    u32[n] = u32[n] + 1;
    // The list of free slots begins with the lowest one.
    let next = u32[(this.#state + REFTABLE_AT.free) >>> 2];
    for (let slot = block + REF_BLOCK_BYTES - 8; slot > block; slot -= 8) {
      u32[(slot + 4) >>> 2] = next;
      next = slot | FREE_TAG;
    }
    u32[(this.#state + REFTABLE_AT.free) >>> 2] = next;
  }

  /** The newest block, 0 if there is none. */
  get firstBlock(): number {
    return this.#u32[(this.#state + REFTABLE_AT.blocks) >>> 2];
  }

  nextBlock(block: number): number {
    return this.#u32[block >>> 2];
  }
}
