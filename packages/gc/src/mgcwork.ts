/**
 * Workbufs: the stack of addresses of grey objects, cut into pieces of 8 KiB that threads hand to each other.
 *
 * A thread works at the end of `buf`. When `buf` is full or empty, the thread exchanges it for `spare`. Only if `spare`
 * is in the same state does it go to the lists: so pushes and pops around a boundary leave the lists alone. Any thread
 * can take workbufs from the lists: all of a long stack is shared except its last two pieces.
 *
 * The lists are lock-free: Treiber's stack. Its head is a pair of address and counter that change together, against
 * ABA. A thread needs an operation at most once in 2044 objects. So the two twins share this code, and the cost of a
 * BigInt does not matter.
 */
import {
  GCWORK_AT,
  MARK_AT,
  type MarkState,
  WORKBUF_BYTES,
  WORKBUF_HEADER,
  WORKBUF_MASK,
} from "./mark-state.ts";

const NEXT = 0;
const NOBJ = 4;

/** Stacks with fewer addresses are not shared: handing them over would take longer than scanning them. */
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

  /** Takes a workbuf off a list; 0 if the list is empty. */
  #take(list: number): number {
    const bi64 = this.#bi64;
    const at = (this.#state.mark + list) >>> 3;
    for (;;) {
      const head = Atomics.load(bi64, at);
      const buf = Number(BigInt.asUintN(32, head));
      if (buf === 0) return 0;
      // Another thread may have taken the buffer and be writing to it. Then the counter or the address has changed.
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

  /** Puts `buf` in hand, with its entries. */
  #use(w: number, buf: number): void {
    this.#set(w, GCWORK_AT.buf, buf);
    this.#set(w, GCWORK_AT.sp, buf + WORKBUF_HEADER + 4 * this.#u32[(buf + NOBJ) >>> 2]);
  }

  /** Notes the number of entries of the buffer in hand, and returns the buffer. */
  #lay(w: number): number {
    const buf = this.#field(w, GCWORK_AT.buf);
    this.#u32[(buf + NOBJ) >>> 2] = (this.#field(w, GCWORK_AT.sp) - buf - WORKBUF_HEADER) >>> 2;
    return buf;
  }

  /** The buffer in hand is full: finds one with room. False if there is no memory. */
  grow(w: number): boolean {
    const spare = this.#field(w, GCWORK_AT.spare);
    if (this.#u32[(spare + NOBJ) >>> 2] === 0) {
      this.#set(w, GCWORK_AT.spare, this.#lay(w));
      this.#use(w, spare);
      return true;
    }
    const fresh = this.#fresh();
    if (fresh === 0) return false;
    this.#put(MARK_AT.full, this.#lay(w));
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
   * Shares a part of the thread's stack: the spare buffer, or half of the one in hand. False if the stack is too short,
   * or if there is no memory.
   */
  share(w: number): boolean {
    const spare = this.#field(w, GCWORK_AT.spare);
    const buf = this.#field(w, GCWORK_AT.buf);
    const sp = this.#field(w, GCWORK_AT.sp);
    const mine = (sp - buf - WORKBUF_HEADER) >>> 2;
    const laid = this.#u32[(spare + NOBJ) >>> 2];
    if (laid === 0 && mine < SHARE_MIN) return false;
    const fresh = this.#fresh();
    if (fresh === 0) return false;
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

  /**
   * Shares the whole stack of the thread, which turns to other work. A stack that is too short to be shared stays, and
   * so does one for which there is no memory.
   */
  shareAll(w: number): void {
    if (this.#u32[(this.#field(w, GCWORK_AT.spare) + NOBJ) >>> 2] !== 0 && !this.share(w)) return;
    const n = (this.#field(w, GCWORK_AT.sp) - this.#field(w, GCWORK_AT.buf) - WORKBUF_HEADER) >>> 2;
    if (n < SHARE_MIN) return;
    const fresh = this.#fresh();
    if (fresh === 0) return;
    const buf = this.#lay(w);
    this.#use(w, fresh);
    this.#put(MARK_AT.full, buf);
  }

  /** An empty workbuf; 0 if there is no memory. */
  #fresh(): number {
    let fresh = this.#take(MARK_AT.empty);
    if (fresh === 0) fresh = this.#allocate();
    if (fresh !== 0) this.#u32[(fresh + NOBJ) >>> 2] = 0;
    return fresh;
  }

  /**
   * Whether the end of the entries lies in the buffer in hand. It does not if the thread has died in an exchange of
   * buffers: the two words are of different ones.
   */
  isWhole(w: number): boolean {
    const n = this.#field(w, GCWORK_AT.sp) - this.#field(w, GCWORK_AT.buf);
    return n >= WORKBUF_HEADER && n <= WORKBUF_BYTES;
  }

  /**
   * Moves the stack of another thread, which is stopped, to that of w. False if there is no memory: then addresses are
   * lost.
   */
  adopt(w: number, from: number): boolean {
    const u32 = this.#u32;
    const spare = this.#field(from, GCWORK_AT.spare);
    const whole = this.#move(w, this.#lay(from)) && this.#move(w, spare);
    u32[(spare + NOBJ) >>> 2] = 0;
    this.#set(from, GCWORK_AT.sp, this.#field(from, GCWORK_AT.buf) + WORKBUF_HEADER);
    return whole;
  }

  #move(w: number, buf: number): boolean {
    const u32 = this.#u32;
    const n = u32[(buf + NOBJ) >>> 2];
    for (let k = 0; k < n; k++) {
      if ((this.#field(w, GCWORK_AT.sp) & WORKBUF_MASK) === 0 && !this.grow(w)) return false;
      const sp = this.#field(w, GCWORK_AT.sp);
      u32[sp >>> 2] = u32[(buf + WORKBUF_HEADER + 4 * k) >>> 2];
      this.#set(w, GCWORK_AT.sp, sp + 4);
    }
    return true;
  }

  /** Takes memory from the heap for workbufs. Returns one of them, or 0. */
  #allocate(): number {
    const { heap, mem, mark } = this.#state;
    const chunk = heap.allocWork();
    if (chunk === 0) return 0;
    // The third word of the first workbuf links the chunks.
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
