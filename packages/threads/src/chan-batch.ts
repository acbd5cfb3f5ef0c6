/**
 * Batches: many values of a slice through a channel, under one lock.
 *
 * sendAll is a loop of sends, and recvInto a loop of receives that do not wait, except the first. Each value is a send
 * or receive of its own, with Go's order and close. The values of a batch stand together in the channel only as far as
 * one critical section takes them: other goroutines may send or receive between two of them. Under the lock, runs of
 * elements are copied between the slice and the ring, and the partners that wait are chained by `next`. They are woken
 * after the unlock, in their order.
 */

import type { Addr } from "@gort/memory";
import type { Operation } from "@gort/scheduler";
import {
  type AnyOp,
  type G,
  gopark,
  OwnOp,
  type Schedt,
  sendOnClosed,
  waitReasonChanReceive,
  waitReasonChanSend,
} from "@gort/scheduler/internal";
import type { RefSlot, Slice, Type } from "@gort/types";
import { checkSlice, sliceAddr, sliceLen } from "@gort/types/internal";
import { HChanHandle, released } from "./chan.ts";
import { dequeue, HCHAN_AT } from "./hchan.ts";
import { SUDOG_AT, type Waiter } from "./sudog.ts";

const QCOUNT = HCHAN_AT.qcount >>> 2;
const CLOSED = HCHAN_AT.closed >>> 2;
const SENDX = HCHAN_AT.sendx >>> 2;
const RECVX = HCHAN_AT.recvx >>> 2;
const RECVQ = HCHAN_AT.recvq;
const SENDQ = HCHAN_AT.sendq;
const NEXT = SUDOG_AT.next >>> 2;

/** Partners that a critical section has taken out of their queue, linked by `next`: the first and the last. */
let first = 0;
let last = 0;

/** The part of a handle that moves batches. */
export abstract class BatchChan extends HChanHandle {
  /** A value of the program, as a live slice of the channel's elements, or an error. */
  checkBatch(slice: unknown): Slice<Type> {
    if (this.i === 0) throw released();
    return checkSlice(this.elem.slices, slice);
  }

  // ---- under the lock

  /** Moves n elements to the ring, which has room for them. */
  private fill(src: number, n: number): void {
    const { u32, capacity, size, buf, elem } = this;
    const i = this.addr >>> 2;
    const x = u32[i + SENDX];
    const run = Math.min(n, capacity - x);
    elem.move(buf + x * size, src, run);
    if (run < n) elem.move(buf, src + run * size, n - run);
    u32[i + SENDX] = x + n < capacity ? x + n : x + n - capacity;
    u32[i + QCOUNT] += n;
  }

  /** Moves the n oldest elements out of the ring. */
  private drain(dst: number, n: number): void {
    const { u32, capacity, size, buf, elem } = this;
    const i = this.addr >>> 2;
    const x = u32[i + RECVX];
    const run = Math.min(n, capacity - x);
    elem.moveAndClear(dst, buf + x * size, run);
    if (run < n) elem.moveAndClear(dst + run * size, buf, n - run);
    u32[i + RECVX] = x + n < capacity ? x + n : x + n - capacity;
    u32[i + QCOUNT] -= n;
  }

  /** Takes the first partner out of a queue, for `unlockAndWake`; 0 if none waits. */
  private takePartner(q: number): Addr {
    const { u32 } = this;
    const sg = dequeue(this.waiters, this.addr + q);
    if (sg !== 0) {
      u32[(sg >>> 2) + NEXT] = 0;
      if (last === 0) first = sg;
      else u32[(last >>> 2) + NEXT] = sg;
      last = sg;
    }
    return sg;
  }

  /** Sends up to n elements from `src` on, as far as that is possible at once. Returns how many. */
  private putMany(src: number, n: number): number {
    const { elem, size } = this;
    for (let sent = 0; sent < n; sent++) {
      const sg = this.takePartner(RECVQ);
      if (sg === 0) {
        const room = Math.min(n - sent, this.capacity - this.u32[(this.addr >>> 2) + QCOUNT]);
        if (room > 0) this.fill(src + sent * size, room);
        return sent + room;
      }
      elem.copy(elem.place(sg), src + sent * size);
    }
    return n;
  }

  /** Receives up to n elements, as far as that is possible at once. Returns how many. */
  private getMany(dst: number, n: number): number {
    const { elem, size, u32, capacity } = this;
    const qcount = (this.addr >>> 2) + QCOUNT;
    let got = Math.min(n, u32[qcount]);
    if (got > 0) this.drain(dst, got);
    // If senders wait, the ring was full: their elements come after those of the ring.
    while (got < n || u32[qcount] < capacity) {
      const sg = this.takePartner(SENDQ);
      if (sg === 0) break;
      if (got < n) elem.copy(dst + got++ * size, elem.place(sg));
      else this.fill(elem.place(sg), 1);
    }
    return got;
  }

  // ---- steps of an op. The op keeps the channel and the slice alive.

  private unlockAndWake(): void {
    this.wake(this.unlockBatch());
  }

  /** Unlocks. Returns the first partner, for `wake`. */
  private unlockBatch(): Addr {
    const sg = first as Addr;
    first = 0;
    last = 0;
    this.unlock();
    return sg;
  }

  /** Wakes a list of partners. Hooks of the scheduler may run, and use the channel. */
  private wake(sg: Addr): void {
    while (sg !== 0) {
      const next = this.u32[(sg >>> 2) + NEXT] as Addr;
      this.waiters.ready(sg);
      sg = next;
    }
  }

  /**
   * Sends the elements of a slice from index `from` to n. Or sends some of them and parks `g` in `op`, to send the next
   * one. Returns the index of the first that is not sent.
   */
  sendMany(slice: number, from: number, n: number, g: G, op: AnyOp): number {
    const { u32, waiters, elem, size } = this;
    for (let lingered = false; ; ) {
      waiters.reserve();
      elem.reserve();
      this.lock();
      if (u32[(this.addr >>> 2) + CLOSED] !== 0) {
        this.unlock();
        throw sendOnClosed();
      }
      const sent = this.putMany(slice + from * size, n - from);
      from += sent;
      if (from === n) {
        this.unlockAndWake();
        return n;
      }
      if (sent > 0) lingered = false;
      const lingers = !lingered && waiters.mayLinger(g);
      if (lingers && this.capacity > 0) {
        this.unlockAndWake();
        this.lingerWhile(this.capacity);
        lingered = true;
        continue;
      }
      const sg = this.enqueue(g, this.addr + SENDQ);
      elem.copy(elem.place(sg), slice + from * size);
      if (lingers) waiters.beginLinger(sg);
      const partners = this.unlockBatch();
      if (!lingers) gopark(g, op, waitReasonChanSend);
      this.wake(partners);
      if (!lingers) return from;
      if (!waiters.linger(sg)) {
        gopark(g, op, waitReasonChanSend);
        return from;
      }
      if (!this.finishSend(g.shared as Waiter)) throw sendOnClosed();
      if (++from === n) return n;
    }
  }

  /**
   * Receives 1 to n elements. Returns how many; 0 if the channel is closed and drained; -1 if there is none yet: then
   * `g` is parked in `op`, unless it is null.
   */
  receiveMany(dst: number, n: number, g: G | null, op: AnyOp | null): number {
    const { u32, waiters, elem } = this;
    for (let lingered = false; ; lingered = true) {
      if (g !== null) {
        waiters.reserve();
        elem.reserve();
      }
      this.lock();
      const got = this.getMany(dst, n);
      const closed = u32[(this.addr >>> 2) + CLOSED] !== 0;
      if (got > 0 || closed || g === null) {
        this.unlockAndWake();
        return got > 0 || closed ? got : -1;
      }
      const lingers = !lingered && waiters.mayLinger(g);
      if (!lingers || this.capacity === 0) {
        const sg = this.enqueue(g, this.addr + RECVQ);
        if (this.endsAtOnce(sg, lingers)) return this.finishReceiveMany(g.shared as Waiter, dst, n);
        gopark(g, op!, waitReasonChanReceive);
        return -1;
      }
      this.unlock();
      this.lingerWhile(0);
    }
  }

  /** A wait of `receiveMany` is over: takes its element, and those that are there by now. */
  finishReceiveMany(w: Waiter, dst: number, n: number): number {
    const { elem } = this;
    const sg = w.head;
    const ok = !this.wasClosed(sg);
    if (ok) elem.copy(dst, elem.place(sg));
    this.endWait(w, sg);
    if (!ok) return 0;
    return n === 1 ? 1 : 1 + Math.max(0, this.receiveMany(dst + this.size, n - 1, null, null));
  }
}

/** The op of a batch: an object of its own. It roots the slice and the channel until it ends. */
abstract class BatchOp<R> extends OwnOp<R> {
  protected readonly c: BatchChan;
  private readonly slice: Slice<Type>;
  /** The slice's array and length when the op starts. */
  protected addr = 0;
  protected n = 0;
  private readonly refs: RefSlot[] = [];

  constructor(c: BatchChan, slice: unknown) {
    super();
    this.c = c;
    this.slice = c.checkBatch(slice);
  }

  protected start(g: G): boolean {
    const slice = this.c.checkBatch(this.slice);
    this.addr = sliceAddr(slice);
    this.n = sliceLen(slice);
    let parked = false;
    try {
      // Before the goroutine may be in a queue: a root needs memory.
      if (this.n > 0) {
        this.hold(this.c.order);
        this.hold(this.addr);
      }
      parked = !this.begin(g);
    } finally {
      if (!parked) this.release();
    }
    return !parked;
  }

  protected override finish(g: G): boolean {
    let parked = false;
    try {
      parked = !this.resume(g, g.shared as Waiter);
    } finally {
      if (!parked) this.release();
    }
    return !parked;
  }

  override abandoned(): void {
    this.release();
  }

  private hold(addr: number): void {
    this.refs.push(this.c.group.types.heap.newRef(addr as Addr));
  }

  private release(): void {
    for (const ref of this.refs.splice(0)) this.c.group.types.heap.releaseRef(ref);
  }

  /** Starts the operation, or goes on after a wait. Returns false if the goroutine is parked. */
  protected abstract begin(g: G): boolean;
  protected abstract resume(g: G, w: Waiter): boolean;

  protected hostScheduler(): Schedt {
    return this.c.sched;
  }
}

class SendAllOp extends BatchOp<void> {
  private sent = 0;

  get what(): string {
    return "chan send";
  }

  protected begin(g: G): boolean {
    if (this.sent < this.n) this.sent = this.c.sendMany(this.addr, this.sent, this.n, g, this);
    return this.sent === this.n;
  }

  protected resume(g: G, w: Waiter): boolean {
    if (!this.c.finishSend(w)) throw sendOnClosed();
    this.sent++;
    return this.begin(g);
  }
}

class RecvIntoOp extends BatchOp<number> {
  get what(): string {
    return "chan receive";
  }

  protected override get cancellable(): boolean {
    return true;
  }

  protected begin(g: G): boolean {
    if (this.n === 0) throw new RangeError("threads: recvInto needs room for a value (got an empty slice)");
    return this.ends(this.c.receiveMany(this.addr, this.n, g, this));
  }

  protected resume(_g: G, w: Waiter): boolean {
    return this.ends(this.c.finishReceiveMany(w, this.addr, this.n));
  }

  private ends(got: number): boolean {
    this.value = got;
    return got >= 0;
  }
}

/** Sends all elements of a slice. */
export function sendAll(c: BatchChan, values: unknown): Operation<void> {
  return new SendAllOp(c, values);
}

/** Receives up to as many elements as a slice has. */
export function recvInto(c: BatchChan, dst: unknown): Operation<number> {
  return new RecvIntoOp(c, dst);
}
