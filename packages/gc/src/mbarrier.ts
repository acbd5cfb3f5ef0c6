/**
 * The write barrier, which keeps marking correct while the program changes the heap.
 *
 *     storePointer(slot, ptr):
 *         if writeBarrierEnabled:
 *             shade(*slot)        deletion barrier
 *             shade(ptr)          insertion barrier
 *         *slot = ptr
 *
 * *Deletion.* Every object that was reachable when marking began is marked. The program may hide the only pointer to
 * one: it copies the pointer to a place that is scanned already, and deletes the original. But the deletion shades it.
 * New objects are born black. So the cycle frees no object that was reachable at any time during it.
 *
 * *Insertion.* Go needs it while a goroutine's stack is not scanned yet: that stack might hold the only pointer, and
 * lose it by a plain store to a register. Here the stop that begins the cycle scans all stacks, and a pointer in a JS
 * local was reachable when the cycle began or is new. So safety does not need the shading of the new pointer. We keep
 * it for two reasons: a stored object is seldom garbage, and stacks could be scanned later.
 *
 * *Several threads.* If two threads store into one slot at the same time, both may load the same old pointer. So the
 * deletion barrier misses the pointer that one of them stored and the other overwrote. That is safe: the slot did not
 * hold this pointer when the cycle began, so its object is marked for another reason, or it is new.
 * Each thread shades into its own GCWORK. In a heap that threads share it sets mark bits atomically.
 *
 * Needs the barrier: every store of a pointer into an object, a global or a Ref slot. Does not need it: a store into a
 * goroutine's own stack slots, which are scanned in the first stop; and an initialising store into an object that no
 * other code has seen, since the object is black and its old contents are nil.
 *
 * With the barrier off a store costs one more load and one compare. Sources: Go's proposal 17503 (hybrid barrier);
 * Yuasa 1990; runtime/mbarrier.go.
 */
import type { Addr, LinearMemory } from "@gort/memory";
import { GCCONTROL_AT, type GCHeap, GCTYPE_AT } from "./heap.ts";

/** Makes objects grey. */
interface Shader {
  shade(p: number): void;
}

export class WriteBarrier {
  readonly #mem: LinearMemory;
  readonly #u32: Uint32Array;
  readonly #enabled: number;
  /** Word index of MHEAP.shared. */
  readonly #shared: number;
  readonly #alone: Shader;
  readonly #among: Shader;

  /** @param alone, among shade in a heap of one thread, and in one that threads share */
  constructor(heap: GCHeap, alone: Shader, among: Shader) {
    this.#mem = heap.mem;
    this.#u32 = heap.mem.u32;
    this.#enabled = (heap.control + GCCONTROL_AT.writeBarrierEnabled) >>> 2;
    this.#shared = heap.sharedWord;
    this.#alone = alone;
    this.#among = among;
  }

  #shade(p: number): void {
    (this.#u32[this.#shared] === 0 ? this.#alone : this.#among).shade(p);
  }

  /** Whether a cycle is marking. */
  get enabled(): boolean {
    return this.#u32[this.#enabled] !== 0;
  }

  /** Stores ptr into the pointer slot. */
  storePointer(slot: number, ptr: number): void {
    const u32 = this.#u32;
    if (u32[this.#enabled] !== 0) this.writeBarrier(slot, ptr);
    u32[slot >>> 2] = ptr;
  }

  /**
   * Stores ptr into the pointer slot in one step for all threads, and returns the old pointer.
   *
   * The new pointer is shaded before another thread can see it. The old one is shaded after the exchange, because only
   * then it is known. Marking cannot end in between: this thread is at no safepoint.
   */
  swapPointer(slot: number, ptr: number): number {
    const marking = this.#u32[this.#enabled] !== 0;
    if (marking && ptr !== 0) this.#shade(ptr);
    const old = this.#mem.kernel.xchg(slot, ptr) >>> 0;
    if (marking && old !== 0) this.#shade(old);
    return old;
  }

  /** As swapPointer, if the slot holds `old`. Returns whether it did. */
  compareAndSwapPointer(slot: number, old: number, ptr: number): boolean {
    const marking = this.#u32[this.#enabled] !== 0;
    // If the exchange then fails, one object more lives until the next cycle.
    if (marking && ptr !== 0) this.#shade(ptr);
    if (this.#mem.kernel.cas(slot, old, ptr) >>> 0 !== old) return false;
    if (marking && old !== 0) this.#shade(old);
    return true;
  }

  /** The barrier before a store of ptr into the slot, for code that does the store itself. Only while marking. */
  writeBarrier(slot: number, ptr: number): void {
    const u32 = this.#u32;
    const old = u32[slot >>> 2];
    // Chosen once, and here: V8 then inlines both calls into the caller's loop.
    const shader = u32[this.#shared] === 0 ? this.#alone : this.#among;
    if (old !== 0) shader.shade(old);
    if (ptr !== 0) shader.shade(ptr);
  }

  /**
   * The barrier before n bytes at dst are overwritten by those at src (0: by zeros). It does nothing while no cycle
   * marks. The bytes are whole elements of the type.
   */
  bulkBarrier(dst: number, src: number, n: number, typ: number): void {
    const u32 = this.#u32;
    if (u32[this.#enabled] === 0 || typ === 0) return;
    const size = u32[(typ + GCTYPE_AT.size) >>> 2];
    const ptrdata = u32[(typ + GCTYPE_AT.ptrdata) >>> 2];
    const mask = u32[(typ + GCTYPE_AT.maskAddr) >>> 2] >>> 2;
    for (let elem = 0; elem < n; elem += size) {
      for (let off = 0; off < ptrdata; off += 8) {
        const bit = off >>> 3;
        if ((u32[mask + (bit >>> 5)] & (1 << (bit & 31))) === 0) continue;
        const old = u32[(dst + elem + off) >>> 2];
        if (old !== 0) this.#shade(old);
        const ptr = src === 0 ? 0 : u32[(src + elem + off) >>> 2];
        if (ptr !== 0) this.#shade(ptr);
      }
    }
  }

  /** Copies n bytes, whole elements of the type; the ranges may overlap. */
  typedMemmove(typ: number, dst: Addr, src: Addr, n: number): void {
    if (n === 0 || dst === src) return;
    this.bulkBarrier(dst, src, n, typ);
    this.#mem.kernel.copy(dst, src, n);
  }

  /** Zeroes n bytes, whole elements of the type. */
  typedMemclr(typ: number, dst: Addr, n: number): void {
    if (n === 0) return;
    this.bulkBarrier(dst, 0, n, typ);
    this.#mem.kernel.fill(dst, 0, n);
  }
}
