/**
 * Channels in the heap, which goroutines of every thread use.
 *
 * The channel is a record in the heap (hchan.ts), to which each thread has handles. The handle has no state of its own
 * except the root that keeps the record alive. This file has the algorithm. HeapChan (heap-chan.ts) is what programs
 * see of it, and chan-ops.ts has the operations that wait. The record has a ring of `dataqsiz` elements, and two queues
 * of sudogs (sudog.ts). Between two critical sections:
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
 * Waiting costs two threads a pass through their run loops, which is more than an element costs. So if nothing else can
 * run on the thread, a goroutine lingers before it parks. If the channel has no ring, the goroutine goes to the queue
 * and looks at its sudog (sudog.ts). With a ring it stays out of the queue and looks at qcount from time to time: the
 * other thread puts, or takes, several elements meanwhile, instead of one by one through a sudog.
 *
 * close takes all waiters out, and wakes them in the reverse order, as Go does. Receivers get no value; senders panic.
 *
 * The lock is a word of the record (@gort/memory, lock.ts). It knows its holder: if a thread ends inside of a critical
 * section, all others get a FatalError. A thread holds the locks of several channels only in a select, which takes them
 * in the order of their addresses.
 *
 * Critical sections of one thread cannot overlap, because they call no code of the program. So a channel needs its lock
 * only if a second thread can reach it. That begins when its address leaves the handle that made it: `$addr` marks the
 * handle as escaped. All that passes channels on, such as arguments of tasks and fields of heap objects, marks it, too.
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

import type { Addr, LinearMemory } from "@gort/memory";
import { lock, tryLock, unlock } from "@gort/memory/internal";
import {
  type AnyOp,
  CASE_CLOSED,
  CASE_DONE,
  CASE_WAITS,
  type G,
  gopark,
  none,
  type Schedt,
  SharedChan,
  type SharedChans,
  sendOnClosed,
  waitReasonChanReceive,
  waitReasonChanSend,
} from "@gort/scheduler/internal";
import type { Type } from "@gort/types";
import type { PerType } from "@gort/types/internal";
import type { OpChan } from "./chan-ops.ts";
import type { ElemType } from "./elem-type.ts";
import { dequeue, ended, enqueue, HCHAN_AT } from "./hchan.ts";
import { SUDOG_AT, type Waiter, type Waiters, type WaitOwner } from "./sudog.ts";

const QCOUNT = HCHAN_AT.qcount >>> 2;
const CLOSED = HCHAN_AT.closed >>> 2;
const SENDX = HCHAN_AT.sendx >>> 2;
const RECVX = HCHAN_AT.recvx >>> 2;
const RECVQ = HCHAN_AT.recvq >>> 2;
const SENDQ = HCHAN_AT.sendq >>> 2;

/** What the channels of one thread and heap share. */
export interface ChanEnv extends WaitOwner, SharedChans {
  readonly sched: Schedt;
  readonly types: PerType;
  readonly waiters: Waiters;
  /** The number of a type, by which all threads know it. */
  typeId(type: Type): number;
}

/**
 * Steps that a thread waits if another one holds the lock of a channel: some 300 ns. A thread that asks again at once
 * takes the lock's line of the cache away at each operation of the other one. After this time the holder has done
 * several operations. With 0 an item through a buffer takes 1.5 times as long across threads; with 1000, twice.
 */
const BACKOFF_STEPS = 300;

/**
 * How often a goroutine looks, one `backOff` apart, whether another thread has changed an empty or full ring, before it
 * joins the queue: some 2 us.
 */
const LINGER_LOOKS = 6;

/** The result of `backOff`, so that no compiler drops its loop. */
let backedOff = 0;

/** Takes some time without using memory. */
function backOff(): void {
  let x = backedOff;
  for (let i = 0; i < BACKOFF_STEPS; i++) x = (Math.imul(x, 1664525) + 1013904223) | 0;
  backedOff = x;
}

/** The sudog that the last critical section has taken out of a queue, to be woken after the unlock; 0 if none. */
let partner = 0 as Addr;

/** A handle of a channel: the algorithm. */
export abstract class HChanHandle extends SharedChan implements OpChan {
  readonly sched: Schedt;
  readonly group: ChanEnv;
  readonly capacity: number;
  protected readonly elem: ElemType;
  protected readonly u32: Uint32Array;
  protected readonly waiters: Waiters;
  protected readonly addr: Addr;
  /** Waiting elements lie in their sudogs. */
  private readonly inline: boolean;
  /**
   * Elements go from goroutine to goroutine through a sudog: they are inline, and there is no ring. For a channel that
   * has no lock, sendPrivate and receivePrivate then do the steps with less; that takes 0.93 of the time.
   */
  private readonly direct: boolean;
  /** Index of the record in `u32`; 0 once the handle was released. */
  protected i: number;
  /**
   * Waits that keep the handle. A wait needs the record to its end, also if its sudogs stand in no queue any more: it
   * takes the locks of their queues.
   *
   * @internal
   */
  holds = 0;
  /** Whether other threads may know the channel. */
  protected escaped: boolean;
  private readonly mem: LinearMemory;
  /** Address of the ring. */
  protected readonly buf: number;
  protected readonly size: number;

  constructor(env: ChanEnv, elem: ElemType, addr: Addr, escaped: boolean) {
    super();
    const { mem } = env.types.heap;
    this.sched = env.sched;
    this.group = env;
    this.elem = elem;
    this.mem = mem;
    this.u32 = mem.u32;
    this.waiters = env.waiters;
    this.addr = addr;
    this.inline = elem.inline;
    this.i = addr >>> 2;
    this.escaped = escaped;
    this.buf = mem.u32[(addr + HCHAN_AT.buf) >>> 2];
    this.size = elem.size;
    this.capacity = mem.u32[(addr + HCHAN_AT.dataqsiz) >>> 2];
    this.direct = this.inline && this.capacity === 0;
  }

  protected lock(): void {
    if (this.escaped && this.waiters.connected && !tryLock(this.mem, this.addr)) this.lockSlow();
  }

  private lockSlow(): void {
    backOff();
    lock(this.mem, this.addr);
  }

  protected unlock(): void {
    if (this.escaped && this.waiters.connected) unlock(this.mem, this.addr);
  }

  /** Puts `g` into a queue. The lock is held. Returns the sudog. */
  protected enqueue(g: G, q: number): Addr {
    const { waiters } = this;
    this.holds++;
    const sg = waiters.add(waiters.begin(g, this.group, this), false);
    if (!this.inline) this.elem.attach(sg);
    enqueue(this.u32, this.addr, q, sg);
    return sg;
  }

  // ---- sending

  /** Sends; or parks `g` in `op` and returns false. Without `g` it does not wait. */
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
      this.put(ready, n);
      this.unlock();
      return true;
    }
    return this.sendSlow(ready, g, op);
  }

  /** Puts an element into the ring, which has n elements and room for more. */
  private put(ready: unknown, n: number): void {
    const { u32, i } = this;
    const x = u32[i + SENDX];
    this.elem.store(this.buf + x * this.size, ready);
    u32[i + SENDX] = x + 1 === this.capacity ? 0 : x + 1;
    u32[i + QCOUNT] = n + 1;
  }

  /** Step 3 in all other cases. The lock is held. `lingered`: the goroutine has lingered, and goes to sendq now. */
  private sendSlow(ready: unknown, g: G | null, op: AnyOp | null, lingered = false): boolean {
    if (this.direct && !this.needsLock) return this.sendPrivate(ready, g, op);
    const outcome = this.selectSend(ready);
    if (outcome === CASE_WAITS && g !== null) return this.waitToSend(ready, g, op!, lingered);
    this.unlock();
    if (outcome === CASE_CLOSED) throw sendOnClosed();
    if (outcome === CASE_DONE) this.afterSelect(false);
    return outcome === CASE_DONE;
  }

  /** Lingers, and then parks `g`. The lock is held. Returns whether the value was sent without parking. */
  private waitToSend(ready: unknown, g: G, op: AnyOp, lingered: boolean): boolean {
    const lingers = !lingered && this.waiters.mayLinger(g);
    if (lingers && this.capacity > 0) {
      this.unlock();
      this.lingerWhile(this.capacity);
      this.lock();
      return this.sendSlow(ready, g, op, true);
    }
    const sg = this.enqueue(g, (this.i + SENDQ) * 4);
    this.elem.store(this.elem.place(sg), ready);
    if (this.endsAtOnce(sg, lingers)) {
      if (!this.finishSend(g.shared as Waiter)) throw sendOnClosed();
      return true;
    }
    gopark(g, op, waitReasonChanSend);
    return false;
  }

  /** As sendSlow, for a `direct` channel of this thread alone. */
  private sendPrivate(ready: unknown, g: G | null, op: AnyOp | null): boolean {
    const { elem } = this;
    if (this.u32[this.i + CLOSED] !== 0) throw sendOnClosed();
    const sg = dequeue(this.waiters, (this.i + RECVQ) * 4);
    if (sg !== 0) {
      elem.store(elem.place(sg), ready);
      this.waiters.ready(sg);
      return true;
    }
    if (g !== null) {
      elem.store(elem.place(this.enqueue(g, (this.i + SENDQ) * 4)), ready);
      gopark(g, op!, waitReasonChanSend);
    }
    return false;
  }

  selectSend(ready: unknown): number {
    const { u32, i } = this;
    partner = 0 as Addr;
    if (u32[i + CLOSED] !== 0) return CASE_CLOSED;
    const sg = dequeue(this.waiters, (i + RECVQ) * 4);
    if (sg !== 0) {
      this.elem.store(this.elem.place(sg), ready);
      partner = sg;
      return CASE_DONE;
    }
    const n = u32[i + QCOUNT];
    if (n >= this.capacity) return CASE_WAITS;
    this.put(ready, n);
    return CASE_DONE;
  }

  /** A wait is over by the sudog `sg`, which a receiver or close has taken. Returns false if the channel was closed. */
  finishSend(w: Waiter, sg = w.head): boolean {
    const ok = !this.wasClosed(sg);
    this.endWait(w, sg);
    return ok;
  }

  /** Ends a wait by the sudog `sg`, whose element is of no use any more. */
  protected endWait(w: Waiter, sg: Addr): void {
    if (!this.inline) this.elem.detach(sg, false);
    this.waiters.end(w);
  }

  /** Whether close has taken the sudog out of its queue. */
  protected wasClosed(sg: Addr): boolean {
    const i = (sg + SUDOG_AT.closed) >>> 2;
    if (this.u32[i] === 0) return false;
    this.u32[i] = 0;
    return true;
  }

  // ---- receiving

  /**
   * The received value; `ended` if the channel is closed and drained. `none` if there is no value yet: then `g` is
   * parked in `op`, unless it is null.
   */
  receive(g: G | null, op: AnyOp | null): unknown {
    const { u32, i, elem } = this;
    if (i === 0) throw released();
    elem.reserve();
    if (g !== null) this.waiters.reserve();
    this.lock();
    const n = u32[i + QCOUNT];
    if (n > 0 && u32[i + SENDQ] === 0) {
      this.get(n);
      this.unlock();
      return elem.landed();
    }
    return this.receiveSlow(g, op);
  }

  /** Takes the oldest element out of the ring, which has n > 0 elements. */
  private get(n: number): void {
    const { u32, i } = this;
    const x = u32[i + RECVX];
    this.elem.landAndClear(this.buf + x * this.size);
    u32[i + RECVX] = x + 1 === this.capacity ? 0 : x + 1;
    u32[i + QCOUNT] = n - 1;
  }

  /** As receive, in all other cases. The lock is held. */
  private receiveSlow(g: G | null, op: AnyOp | null, lingered = false): unknown {
    if (this.direct && !this.needsLock) return this.receivePrivate(g, op);
    const outcome = this.selectRecv();
    if (outcome === CASE_WAITS && g !== null) return this.waitToReceive(g, op!, lingered);
    this.unlock();
    if (outcome === CASE_DONE) return this.afterSelect(true);
    return outcome === CASE_CLOSED ? ended : none;
  }

  /** Lingers, and then parks `g`. The lock is held. Returns what came without parking, or `none`. */
  private waitToReceive(g: G, op: AnyOp, lingered: boolean): unknown {
    const lingers = !lingered && this.waiters.mayLinger(g);
    if (lingers && this.capacity > 0) {
      this.unlock();
      this.lingerWhile(0);
      this.lock();
      return this.receiveSlow(g, op, true);
    }
    const sg = this.enqueue(g, (this.i + RECVQ) * 4);
    if (this.endsAtOnce(sg, lingers)) return this.finishRecv(g.shared as Waiter);
    gopark(g, op, waitReasonChanReceive);
    return none;
  }

  /** As receiveSlow, for a `direct` channel of this thread alone: no unlock comes, so the element need not land. */
  private receivePrivate(g: G | null, op: AnyOp | null): unknown {
    const { u32, i } = this;
    const sg = dequeue(this.waiters, (i + SENDQ) * 4);
    if (sg !== 0) {
      this.waiters.ready(sg);
      // The sender has not run, so its sudog still has the element.
      return this.elem.inlineValue(sg);
    }
    if (u32[i + CLOSED] !== 0) return ended;
    if (g !== null) {
      this.enqueue(g, (i + RECVQ) * 4);
      gopark(g, op!, waitReasonChanReceive);
    }
    return none;
  }

  selectRecv(): number {
    const { u32, i } = this;
    const sg = dequeue(this.waiters, (i + SENDQ) * 4);
    partner = sg;
    const n = u32[i + QCOUNT];
    if (sg !== 0) {
      this.takeFrom(sg, n);
      return CASE_DONE;
    }
    if (n > 0) {
      this.get(n);
      return CASE_DONE;
    }
    return u32[i + CLOSED] !== 0 ? CASE_CLOSED : CASE_WAITS;
  }

  /** Receives while the sender `sg` waits. Its element goes to the freed slot of the full ring, or to this thread. */
  private takeFrom(sg: Addr, n: number): void {
    const { u32, i, elem } = this;
    const sent = elem.place(sg);
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
  }

  /** A wait is over by the sudog `sg`, which a sender or close has taken. Returns the value, or `ended`. */
  finishRecv(w: Waiter, sg = w.head): unknown {
    const { elem } = this;
    const ok = !this.wasClosed(sg);
    if (this.inline) {
      this.waiters.end(w);
      // The sudog is free, but no other wait has begun.
      return ok ? elem.inlineValue(sg) : ended;
    }
    elem.detach(sg, ok);
    this.waiters.end(w);
    return ok ? elem.landed() : ended;
  }

  // ---- both

  /**
   * Waits for a moment while the ring stays empty, or full with n elements. The looks are rare, so the other thread
   * works on several elements between two of them. The caller holds no lock.
   */
  protected lingerWhile(n: number): void {
    const { kernel } = this.mem;
    const at = this.addr + HCHAN_AT.qcount;
    for (let k = LINGER_LOOKS; k > 0 && kernel.load(at) === n; k--) backOff();
  }

  /** Unlocks after a goroutine was enqueued by `sg`. If it `lingers`, returns whether its wait is over already. */
  protected endsAtOnce(sg: Addr, lingers: boolean): boolean {
    if (lingers) this.waiters.beginLinger(sg);
    this.unlock();
    return lingers && this.waiters.linger(sg);
  }

  /** Closes the channel. Returns false if it is closed already. */
  protected closeNow(): boolean {
    const { u32, i, waiters } = this;
    if (i === 0) throw released();
    this.lock();
    if (u32[i + CLOSED] !== 0) {
      this.unlock();
      return false;
    }
    u32[i + CLOSED] = 1;
    // As in Go: collect all waiters before one is woken, and wake them in reverse order.
    let list = 0;
    for (const q of [RECVQ, SENDQ]) {
      for (let sg = dequeue(waiters, (i + q) * 4); sg !== 0; sg = dequeue(waiters, (i + q) * 4)) {
        u32[(sg + SUDOG_AT.closed) >>> 2] = 1;
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
    return true;
  }

  get length(): number {
    return this.i === 0 ? 0 : this.u32[this.i + QCOUNT];
  }

  get closed(): boolean {
    return this.i !== 0 && this.u32[this.i + CLOSED] !== 0;
  }

  // ---- for select

  get order(): number {
    return this.addr;
  }

  get needsLock(): boolean {
    return this.escaped && this.waiters.connected;
  }

  lockForSelect(): void {
    this.lock();
  }

  unlockForSelect(): void {
    this.unlock();
  }

  take(value: unknown): unknown {
    if (this.i === 0) throw released();
    return this.elem.take(value);
  }

  ready(taken: unknown): unknown {
    // Code of a later case's value may have released the handle.
    if (this.i === 0) throw released();
    return this.elem.ready(taken);
  }

  drop(taken: unknown): void {
    this.elem.drop(taken);
  }

  reserve(): void {
    if (this.i === 0) throw released();
    this.elem.reserve();
  }

  afterSelect(received: boolean): unknown {
    // Code of the type's declaration may run when the value is read, and use other channels.
    const sg = partner;
    // The value first: code that runs when a goroutine is readied may use the place where it has landed.
    try {
      return received ? this.elem.landed() : undefined;
    } finally {
      if (sg !== 0) this.waiters.ready(sg);
    }
  }

  /** A sudog of a select for this channel, in no queue yet. */
  addCase(w: Waiter, index: number, sends: boolean, ready: unknown): void {
    const { u32, elem, i } = this;
    const sg = this.waiters.add(w, true);
    // Before the rest may fail: then endSelect takes the lock of each sudog's channel.
    u32[(sg + SUDOG_AT.index) >>> 2] = index;
    u32[(sg + SUDOG_AT.queue) >>> 2] = this.addr;
    u32[(sg + SUDOG_AT.q) >>> 2] = (i + (sends ? SENDQ : RECVQ)) * 4;
    if (!this.inline) {
      elem.reserve();
      elem.attach(sg);
      // The select looks at all channels again, and may then receive without its wait.
      elem.reserveLanding();
    }
    if (sends) elem.store(elem.place(sg), ready);
  }
}

/** The error of a use of a handle after its release. */
export function released(): TypeError {
  return new TypeError("threads: use of a released channel");
}
