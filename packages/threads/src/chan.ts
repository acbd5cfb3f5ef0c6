/**
 * Channels in the heap, which goroutines of every thread use.
 *
 * The channel is a record in the heap (hchan.ts), to which each thread has handles: HeapChan. The handle is the
 * algorithm; it has no state of its own except the root that keeps the record alive. The record has a ring of
 * `dataqsiz` elements, and two queues of sudogs (sudog.ts). Between two critical sections:
 *
 *     recvq has a waiter not yet decided  =>  qcount == 0
 *     sendq has a waiter not yet decided  =>  qcount == dataqsiz
 *     closed                              =>  no waiter is in a queue
 *     0 <= qcount <= dataqsiz,  sendx == (recvx + qcount) mod dataqsiz
 *
 * A send, step by step. Only step 3 holds the lock.
 *   1. `take` reads and checks the value, which may run code of the program. `ready` allocates what the element needs:
 *      the bytes of a string, for example.
 *   2. `reserve` makes sure that a place for the element is at hand.
 *   3. Closed: the send panics, after the unlock. A receiver waits: it is taken out of its queue, and the element is
 *      written into its place. A slot of the ring is free: the element is written there. Otherwise the goroutine goes
 *      to sendq, the element into its sudog.
 *   4. The receiver that was taken out is woken: on its own thread by `ready`, else by a post to its M.
 * A receive is the mirror image: the element lands in a place of the thread (elem-type.ts), and becomes a JavaScript
 * value after the unlock. If the ring is full and a sender waits, the sender's element takes the slot that the receiver
 * has freed.
 *
 * close takes all waiters out, and wakes them in the reverse order, as Go does. Receivers get no value; senders panic.
 *
 * The lock is a word of the record (@gort/memory, lock.ts). It knows its holder: if a thread ends inside of a critical
 * section, all others get a FatalError. A thread holds the locks of several channels only in a select, which takes them
 * in the order of their addresses.
 *
 * Critical sections of one thread cannot overlap, because they call no code of the program. So a channel needs its lock
 * only if a second thread can reach it. That begins when its address leaves the handle that made it: `$addr` marks the
 * handle as escaped. All that passes channels on, such as arguments of tasks and fields of heap objects, uses `$addr`.
 * Another handle of the channel comes from the address, so it is marked from its start. While the program has one
 * thread, no lock is taken at all.
 *
 * Roots. A handle roots the record, and a waiting goroutine keeps its handle. So a record outlives every thread's use.
 * The collector finds elements in the ring, which is an array of the element type, and waiting elements in their cells.
 * A goroutine that waits in a channel of the heap is held by the table of its thread. So unlike one that waits in a
 * local channel, it is never reported as leaked.
 *
 * Unlike Go: a closed and drained channel gives undefined, not the zero value, as local channels do.
 *
 * Rejected: a queue without locks (a waiting select must join and leave several queues at once); a wait on the lock by
 * suspending the goroutine (a critical section takes less time than a switch).
 *
 * Sources: Go's runtime/chan.go and select.go.
 */

import { PlainError } from "@gort/base";
import { type Addr, type LinearMemory, lock, unlock } from "@gort/memory";
import type { NotAsync, Operation, RecvChan, RecvResult, SendChan, TryRecvResult } from "@gort/scheduler";
import {
  type AnyOp,
  checkFunction,
  checkResult,
  type G,
  gopark,
  inspectCustom,
  isBody,
  type Schedt,
  sendOnClosed,
  usedAfterClose,
  waitReasonChanReceive,
  waitReasonChanSend,
} from "@gort/scheduler/internal";
import type { Init, Type, Value } from "@gort/types";
import type { PerType, Root } from "@gort/types/internal";
import { armRange, armRecv, armRecv2, armSend, type OpChan } from "./chan-ops.ts";
import type { ElemType } from "./elem-type.ts";
import { HANDLE, HANDLE_CHAN, type HandleDescription } from "./handles.ts";
import { dequeue, EMPTY, ENDED, enqueue, HCHAN_AT, RECEIVED } from "./hchan.ts";
import { SUDOG_AT, type Waiter, type Waiters, type WaitOwner } from "./sudog.ts";

const QCOUNT = HCHAN_AT.qcount >>> 2;
const CLOSED = HCHAN_AT.closed >>> 2;
const SENDX = HCHAN_AT.sendx >>> 2;
const RECVX = HCHAN_AT.recvx >>> 2;
const RECVQ = HCHAN_AT.recvq >>> 2;
const SENDQ = HCHAN_AT.sendq >>> 2;

const dispose: typeof Symbol.dispose =
  Symbol.dispose ?? (Symbol.for("Symbol.dispose") as typeof Symbol.dispose);

/** What the channels of one thread and heap share. */
export interface ChanEnv extends WaitOwner {
  readonly sched: Schedt;
  readonly types: PerType;
  readonly waiters: Waiters;
  /** The number of a type, by which all threads know it. */
  typeId(type: Type): number;
}

/** A channel of elements of type T in the heap. */
export class HeapChan<T extends Type = Type> implements OpChan, SendChan<Init<T>>, RecvChan<Value<T>> {
  readonly sched: Schedt;
  readonly elem: ElemType;
  readonly capacity: number;
  private readonly mem: LinearMemory;
  private readonly u32: Uint32Array;
  private readonly env: ChanEnv;
  private readonly waiters: Waiters;
  private readonly roots: PerType["roots"];
  private readonly root: Root;
  private readonly addr: number;
  /** Index of the record in `u32`; 0 once the handle was released. */
  private i: number;
  /** Whether other threads may know the channel. */
  private escaped: boolean;
  /** Address of the ring. */
  private readonly buf: number;
  private readonly size: number;

  /** A handle of the record at `addr`, with a new root. Use `HeapChans`. */
  constructor(env: ChanEnv, elem: ElemType, addr: Addr, escaped: boolean) {
    const { heap, roots } = env.types;
    this.sched = env.sched;
    this.roots = env.types.roots;
    this.elem = elem;
    this.mem = heap.mem;
    this.u32 = heap.mem.u32;
    this.env = env;
    this.waiters = env.waiters;
    this.root = roots.adopt(heap.newRef(addr));
    this.addr = addr;
    this.i = addr >>> 2;
    this.escaped = escaped;
    this.buf = this.u32[(addr + HCHAN_AT.buf) >>> 2];
    this.size = elem.size;
    this.capacity = this.u32[(addr + HCHAN_AT.dataqsiz) >>> 2];
  }

  // ---- sending

  send(value: Init<T>): Operation<void> {
    return armSend(this, value);
  }

  trySend(value: Init<T>): boolean {
    if (this.sched.closed) throw usedAfterClose("trySend");
    return this.start(value, null, null);
  }

  /** Sends, or parks `g` in `op` and returns false. Without `g` it does not wait. */
  start(value: unknown, g: G | null, op: AnyOp | null): boolean {
    const { elem } = this;
    if (g !== null) this.waiters.reserve();
    const taken = elem.take(value);
    if (elem.primitive) return this.sendReady(taken, g, op);
    try {
      const ready = elem.ready(taken);
      elem.reserve();
      return this.sendReady(ready, g, op);
    } finally {
      elem.drop(taken);
    }
  }

  /** Step 3 with room in the ring, so that V8 inlines it. */
  private sendReady(ready: unknown, g: G | null, op: AnyOp | null): boolean {
    const { u32, i } = this;
    if (i === 0) throw released();
    this.lock();
    const n = u32[i + QCOUNT];
    if (n < this.capacity && u32[i + CLOSED] === 0 && u32[i + RECVQ] === 0) {
      const x = u32[i + SENDX];
      this.elem.store(this.buf + x * this.size, ready);
      u32[i + SENDX] = x + 1 === this.capacity ? 0 : x + 1;
      u32[i + QCOUNT] = n + 1;
      this.unlock();
      return true;
    }
    return this.sendSlow(ready, g, op);
  }

  /** Step 3 in all other cases. The lock is held. */
  private sendSlow(ready: unknown, g: G | null, op: AnyOp | null): boolean {
    const { u32, i, waiters, elem } = this;
    if (u32[i + CLOSED] !== 0) {
      this.unlock();
      throw sendOnClosed();
    }
    const sg = dequeue(waiters, (i + RECVQ) * 4);
    if (sg !== 0) {
      elem.store(u32[(sg + SUDOG_AT.elem) >>> 2], ready);
      u32[(sg + SUDOG_AT.success) >>> 2] = 1;
      this.unlock();
      waiters.ready(sg);
      return true;
    }
    // Without a receiver: the selects of all waiters have chosen other cases, or the ring is full.
    if (u32[i + QCOUNT] < this.capacity) {
      this.unlock();
      return this.sendReady(ready, g, op);
    }
    if (g === null) {
      this.unlock();
      return false;
    }
    elem.store(u32[(this.enqueue(g, (i + SENDQ) * 4) + SUDOG_AT.elem) >>> 2], ready);
    this.unlock();
    gopark(g, op!, waitReasonChanSend);
    return false;
  }

  /** A wait for a receiver is over. Returns false if the channel was closed. */
  finishSend(w: Waiter): boolean {
    const sg = w.head;
    const ok = this.u32[(sg + SUDOG_AT.success) >>> 2] !== 0;
    this.elem.detach(sg, false);
    this.waiters.end(w);
    return ok;
  }

  // ---- receiving

  recv(): Operation<Value<T> | undefined> {
    return armRecv(this) as Operation<Value<T> | undefined>;
  }

  recv2(): Operation<RecvResult<Value<T>>> {
    return armRecv2(this) as Operation<RecvResult<Value<T>>>;
  }

  tryRecv(): TryRecvResult<Value<T>> {
    if (this.sched.closed) throw usedAfterClose("tryRecv");
    const outcome = this.receive(null, null);
    if (outcome === RECEIVED) return { value: this.elem.landed() as Value<T>, ok: true, received: true };
    return { value: undefined, ok: false, received: outcome === ENDED };
  }

  /**
   * RECEIVED: an element has landed. ENDED: the channel is closed and drained. EMPTY: there is none yet, and `g` is
   * parked in `op`, unless it is null.
   */
  receive(g: G | null, op: AnyOp | null): number {
    const { u32, i } = this;
    if (i === 0) throw released();
    this.elem.reserve();
    if (g !== null) this.waiters.reserve();
    this.lock();
    const n = u32[i + QCOUNT];
    if (n > 0 && u32[i + SENDQ] === 0) {
      const x = u32[i + RECVX];
      this.elem.landAndClear(this.buf + x * this.size);
      u32[i + RECVX] = x + 1 === this.capacity ? 0 : x + 1;
      u32[i + QCOUNT] = n - 1;
      this.unlock();
      return RECEIVED;
    }
    return this.receiveSlow(g, op);
  }

  /** As receive, in all other cases. The lock is held. */
  private receiveSlow(g: G | null, op: AnyOp | null): number {
    const { u32, i, waiters } = this;
    const sg = dequeue(waiters, (i + SENDQ) * 4);
    const n = u32[i + QCOUNT];
    if (sg !== 0) {
      this.takeFrom(sg, n);
      this.unlock();
      waiters.ready(sg);
      return RECEIVED;
    }
    if (n > 0) {
      this.unlock();
      return this.receive(g, op);
    }
    if (u32[i + CLOSED] !== 0 || g === null) {
      const outcome = u32[i + CLOSED] !== 0 ? ENDED : EMPTY;
      this.unlock();
      return outcome;
    }
    this.enqueue(g, (i + RECVQ) * 4);
    this.unlock();
    gopark(g, op!, waitReasonChanReceive);
    return EMPTY;
  }

  /** Receives while the sender `sg` waits. Its element goes to the freed slot of the full ring, or to this thread. */
  private takeFrom(sg: Addr, n: number): void {
    const { u32, i, elem } = this;
    const sent = u32[(sg + SUDOG_AT.elem) >>> 2];
    if (n === 0) {
      elem.land(sent);
    } else {
      const x = u32[i + RECVX];
      const slot = this.buf + x * this.size;
      elem.land(slot);
      elem.copy(slot, sent);
      // The ring is full, so the slot of the oldest element is also the next to write.
      u32[i + RECVX] = x + 1 === this.capacity ? 0 : x + 1;
      u32[i + SENDX] = u32[i + RECVX];
    }
    u32[(sg + SUDOG_AT.success) >>> 2] = 1;
  }

  /** A wait for a sender is over. Returns whether an element has landed. */
  finishRecv(w: Waiter): boolean {
    const sg = w.head;
    const ok = this.u32[(sg + SUDOG_AT.success) >>> 2] !== 0;
    this.elem.detach(sg, ok);
    this.waiters.end(w);
    return ok;
  }

  private lock(): void {
    if (this.escaped && this.waiters.connected) lock(this.mem, this.addr);
  }

  private unlock(): void {
    if (this.escaped && this.waiters.connected) unlock(this.mem, this.addr);
  }

  /** Puts `g` into a queue. The lock is held. Returns the sudog. */
  private enqueue(g: G, q: number): Addr {
    const { waiters } = this;
    const sg = waiters.add(waiters.begin(g, this.env, this), false);
    this.elem.attach(sg);
    enqueue(this.u32, this.addr, q, sg);
    return sg;
  }

  *forEach<R>(f: (value: Value<T>) => NotAsync<R>): Generator<undefined, void, unknown> {
    checkFunction("forEach", f, "threads");
    for (;;) {
      const outcome = this.receive(null, null);
      if (outcome === ENDED || (outcome === EMPTY && !(yield* armRange(this)))) return;
      const r = f(this.elem.landed() as Value<T>);
      if (isBody(r)) yield* r as Generator<undefined>;
      else if (typeof r === "object") checkResult("forEach", f, r, "threads");
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Value<T>, void, void> {
    for (;;) {
      const r = await this.recv2();
      if (!r.ok) return;
      yield r.value;
    }
  }

  // ---- the channel as a whole

  close(): void {
    const { u32, i, waiters } = this;
    if (i === 0) throw released();
    this.lock();
    if (u32[i + CLOSED] !== 0) {
      this.unlock();
      throw new PlainError("close of closed channel", "ERR_GORT_CLOSE_OF_CLOSED_CHANNEL");
    }
    u32[i + CLOSED] = 1;
    // As in Go: collect all waiters before one is woken, and wake them in reverse order.
    let list = 0;
    for (const q of [RECVQ, SENDQ]) {
      for (let sg = dequeue(waiters, (i + q) * 4); sg !== 0; sg = dequeue(waiters, (i + q) * 4)) {
        u32[(sg + SUDOG_AT.next) >>> 2] = list;
        list = sg;
      }
    }
    this.unlock();
    while (list !== 0) {
      const sg = list as Addr;
      list = u32[(sg + SUDOG_AT.next) >>> 2];
      waiters.ready(sg);
    }
  }

  get length(): number {
    return this.i === 0 ? 0 : this.u32[this.i + QCOUNT];
  }

  /** Address of the channel, by which other threads can find it. */
  get $addr(): Addr {
    if (!this.escaped) {
      this.u32[(this.addr + HCHAN_AT.elemtype) >>> 2] = this.env.typeId(this.elem.type);
      this.escaped = true;
    }
    return this.addr as Addr;
  }

  get $type(): T {
    return this.elem.type as T;
  }

  /** What of the handle goes to another thread: see handles.ts. */
  [HANDLE](): HandleDescription {
    const { type } = this.elem;
    const addr = this.i === 0 ? (0 as Addr) : this.$addr;
    return { kind: HANDLE_CHAN, name: `HeapChan<${type.name}>`, heap: this.env.types.heap, addr, type };
  }

  /**
   * Gives up the root at once, instead of when V8 collects this object. Later use of this handle throws; other handles
   * of the channel go on working.
   */
  release(): void {
    const { i } = this;
    if (i === 0) return;
    this.i = 0;
    // A goroutine of this thread that waits here keeps the handle, and so the root, until it has run.
    this.lock();
    const waits = this.hasOwnWaiter((i + RECVQ) * 4) || this.hasOwnWaiter((i + SENDQ) * 4);
    this.unlock();
    if (!waits) this.roots.drop(this.root);
  }

  /** Whether a goroutine of this thread stands in queue q. */
  private hasOwnWaiter(q: number): boolean {
    const { u32 } = this;
    for (let sg = u32[q >>> 2]; sg !== 0; sg = u32[(sg + SUDOG_AT.next) >>> 2]) {
      if (u32[(sg + SUDOG_AT.m) >>> 2] === this.waiters.m) return true;
    }
    return false;
  }

  [dispose](): void {
    this.release();
  }

  toString(): string {
    const name = `chan ${this.elem.type.name}`;
    if (this.i === 0) return `${name} (released)`;
    const closed = this.u32[this.i + CLOSED] !== 0 ? ", closed" : "";
    return `${name}(len ${this.length}, cap ${this.capacity}${closed})`;
  }

  toJSON(): { len: number; cap: number; closed: boolean } {
    return { len: this.length, cap: this.capacity, closed: this.i !== 0 && this.u32[this.i + CLOSED] !== 0 };
  }

  [inspectCustom](): string {
    return this.toString();
  }
}

function released(): TypeError {
  return new TypeError("threads: use of a released channel");
}
