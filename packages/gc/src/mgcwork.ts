/**
 * Workbufs: the stack of addresses of grey objects, cut into pieces of 8 KiB that threads hand to each other.
 *
 * A thread works at the end of `buf`. When that is full or empty, it is exchanged for `spare`; only if that is in the
 * same state does the thread go to the lists, so a thread that pushes and pops around a boundary leaves them alone.
 * What is in the lists can be taken by any thread: a long stack is shared all but for its last two pieces.
 *
 * The lists are lock-free: Treiber's stack, its head a pair of address and counter that are changed together, as a head
 * that came back to the same buffer is not the same head. An operation is due once in 2044 objects at most, so the two
 * twins share this code and the cost of a BigInt does not matter.
 */
import { GCWORK_AT, MARK_AT, type MarkState, WORKBUF_BYTES, WORKBUF_HEADER } from "./mark-state.ts";

const NEXT = 0;
const NOBJ = 4;

/** Addresses below which a stack is not shared: handing them over would take longer than scanning them. */
const SHARE_MIN = 8;

export class WorkBufs {
  readonly #state: MarkState;
  readonly #u32: Uint32Array;
  readonly #bi64: BigInt64Array;

  constructor(state: MarkState) {
    this.#state = state;
    this.#u32 = state.mem.u32;
    this.#bi64 = state.mem.bi64;
  }

  /** Puts a workbuf on a list: MARK.full or MARK.empty. */
  #put(list: number, buf: number): void {
    const bi64 = this.#bi64;
    const at = (this.#state.mark + list) >>> 3;
    for (;;) {
      const head = Atomics.load(bi64, at);
      this.#u32[(buf + NEXT) >>> 2] = Number(BigInt.asUintN(32, head));
      const next = BigInt.asIntN(64, (((head >> 32n) + 1n) << 32n) | BigInt(buf));
      if (Atomics.compareExchange(bi64, at, head, next) === head) return;
    }
  }

  /** Takes a workbuf off a list, 0 if there is none. */
  #take(list: number): number {
    const bi64 = this.#bi64;
    const at = (this.#state.mark + list) >>> 3;
    for (;;) {
      const head = Atomics.load(bi64, at);
      const buf = Number(BigInt.asUintN(32, head));
      if (buf === 0) return 0;
      // Another thread may have taken it and be writing to it: then the counter or the address has changed.
      const below = BigInt(this.#u32[(buf + NEXT) >>> 2]);
      const next = BigInt.asIntN(64, ((head >> 32n) << 32n) | below);
      if (Atomics.compareExchange(bi64, at, head, next) === head) return buf;
    }
  }

  /** Whether no full workbuf waits for a thread. */
  get noneFull(): boolean {
    return this.#u32[(this.#state.mark + MARK_AT.full) >>> 2] === 0;
  }

  #field(w: number, field: number): number {
    return this.#u32[(w + field) >>> 2];
  }

  #set(w: number, field: number, value: number): void {
    this.#u32[(w + field) >>> 2] = value;
  }

  /** Makes `buf` the one in hand, with the entries it has. */
  #use(w: number, buf: number): void {
    this.#set(w, GCWORK_AT.buf, buf);
    this.#set(w, GCWORK_AT.sp, buf + WORKBUF_HEADER + 4 * this.#u32[(buf + NOBJ) >>> 2]);
  }

  /** Lays the buffer in hand aside: notes its entries. */
  #lay(w: number): number {
    const buf = this.#field(w, GCWORK_AT.buf);
    this.#u32[(buf + NOBJ) >>> 2] = (this.#field(w, GCWORK_AT.sp) - buf - WORKBUF_HEADER) >>> 2;
    return buf;
  }

  /** The buffer in hand is full: finds room for one more. False if there is no memory. */
  grow(w: number): boolean {
    const spare = this.#field(w, GCWORK_AT.spare);
    if (this.#u32[(spare + NOBJ) >>> 2] === 0) {
      this.#set(w, GCWORK_AT.spare, this.#lay(w));
      this.#use(w, spare);
      return true;
    }
    let fresh = this.#take(MARK_AT.empty);
    if (fresh === 0) fresh = this.#allocate();
    if (fresh === 0) return false;
    this.#put(MARK_AT.full, this.#lay(w));
    this.#u32[(fresh + NOBJ) >>> 2] = 0;
    this.#use(w, fresh);
    return true;
  }

  /** The buffer in hand is empty: finds one that is not. False if there is none. */
  refill(w: number): boolean {
    const spare = this.#field(w, GCWORK_AT.spare);
    if (this.#u32[(spare + NOBJ) >>> 2] !== 0) {
      this.#set(w, GCWORK_AT.spare, this.#lay(w));
      this.#use(w, spare);
      return true;
    }
    const full = this.#take(MARK_AT.full);
    if (full === 0) return false;
    this.#put(MARK_AT.empty, this.#lay(w));
    this.#use(w, full);
    return true;
  }

  /**
   * Gives a part of the thread's stack to the others: the spare buffer, or half of the one in hand. False if there is
   * too little, or no memory for it.
   */
  share(w: number): boolean {
    const spare = this.#field(w, GCWORK_AT.spare);
    const buf = this.#field(w, GCWORK_AT.buf);
    const sp = this.#field(w, GCWORK_AT.sp);
    const mine = (sp - buf - WORKBUF_HEADER) >>> 2;
    const laid = this.#u32[(spare + NOBJ) >>> 2];
    if (laid === 0 && mine < SHARE_MIN) return false;
    let fresh = this.#take(MARK_AT.empty);
    if (fresh === 0) fresh = this.#allocate();
    if (fresh === 0) return false;
    this.#u32[(fresh + NOBJ) >>> 2] = 0;
    if (laid !== 0) {
      this.#set(w, GCWORK_AT.spare, fresh);
      this.#put(MARK_AT.full, spare);
      return true;
    }
    const half = mine >>> 1;
    const from = (sp >>> 2) - half;
    this.#u32.copyWithin((fresh + WORKBUF_HEADER) >>> 2, from, from + half);
    this.#u32[(fresh + NOBJ) >>> 2] = half;
    this.#set(w, GCWORK_AT.sp, sp - 4 * half);
    this.#put(MARK_AT.full, fresh);
    return true;
  }

  /** Takes memory from the heap for workbufs; one of them, or 0. */
  #allocate(): number {
    const { heap, mem, mark } = this.#state;
    const chunk = heap.allocWork();
    if (chunk === 0) return 0;
    // The first workbuf's third word is the chunk's link.
    for (;;) {
      const head = mem.kernel.load(mark + MARK_AT.chunks);
      this.#u32[(chunk + 8) >>> 2] = head;
      if (mem.kernel.cas(mark + MARK_AT.chunks, head, chunk) === head) break;
    }
    for (let off = WORKBUF_BYTES; off < heap.workBytes; off += WORKBUF_BYTES) {
      this.#u32[(chunk + off + NOBJ) >>> 2] = 0;
      this.#put(MARK_AT.empty, chunk + off);
    }
    return chunk;
  }

  /** Gives the memory of all workbufs, which are empty, back to the heap. No other thread marks. */
  release(): void {
    const { heap, mark } = this.#state;
    this.#bi64[(mark + MARK_AT.full) >>> 3] = 0n;
    this.#bi64[(mark + MARK_AT.empty) >>> 3] = 0n;
    let chunk = this.#field(mark, MARK_AT.chunks);
    this.#set(mark, MARK_AT.chunks, 0);
    while (chunk !== 0) {
      const next = this.#field(chunk, 8);
      heap.freeWork(chunk);
      chunk = next;
    }
  }
}
