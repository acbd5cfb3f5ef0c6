/** The channels of one heap on one thread: makes them, and finds those that other threads have made. */

import { outOfMemory, PlainError, show, wrongNumber } from "@gort/base";
import type { Addr } from "@gort/memory";
import { lock, unlock } from "@gort/memory/internal";
import type { ChosenCase, G, Schedt, SharedChan, SharedWait } from "@gort/scheduler/internal";
import type { RefSlot, TypedHeap } from "@gort/types";
import {
  type ChanHandle,
  type ChanOps,
  type Chans,
  type PerType,
  perTypeOf,
  Type,
  TypeRecords,
} from "@gort/types/internal";
import type { ChanEnv } from "./chan.ts";
import { ElemType } from "./elem-type.ts";
import { ended, enqueue, HCHAN, HCHAN_AT, unlink } from "./hchan.ts";
import { HeapChan, liveAddr, shared } from "./heap-chan.ts";
import { GIVEN_UP, SUDOG_AT, type Waiter, type Waiters } from "./sudog.ts";

/** Bytes of the largest element that lands in the scratch place: a slice has three words. */
const SCRATCH = 24;
/** Largest element, as in Go. */
const MAX_ELEM = 65535;
/** The largest capacity of a channel whose elements have no bytes: `qcount` is a word. */
const MAX_CAPACITY = 2 ** 32 - 1;

export class HeapChans implements ChanEnv, Chans {
  readonly sched: Schedt;
  readonly types: PerType;
  readonly waiters: Waiters;
  private records: TypeRecords | undefined;
  private readonly elemTypes = new Map<Type, ElemType>();
  /** The heap's descriptor of a record whose buffer is another object. */
  private hchanType = 0;
  private readonly scratch: Addr;

  constructor(types: TypedHeap, sched: Schedt, waiters: Waiters) {
    const { mem } = types.heap;
    this.types = perTypeOf(types);
    this.sched = sched;
    this.waiters = waiters;
    this.scratch = mem.persistentAlloc(SCRATCH, 8, "otherSys");
    if (this.scratch === 0) outOfMemory("threads: no room for the elements of channels");
  }

  private elemType(type: Type): ElemType {
    let found = this.elemTypes.get(type);
    if (found === undefined) {
      if (type.size > MAX_ELEM) {
        throw new RangeError(
          `threads: channel element type too large (got ${type.name}, ${type.size} bytes)`,
        );
      }
      this.elemTypes.set(type, (found = new ElemType(this.types, type, this.scratch)));
    }
    return found;
  }

  /** `make(chan T, n)`. Panics as Go's make does if the size is out of range. */
  make<T extends Type>(type: T, n = 0): HeapChan<T> {
    if (!(type instanceof Type)) throw new TypeError(`threads: makeChan needs a type (got ${show(type)})`);
    if (typeof n !== "number" || (!Number.isInteger(n) && Math.abs(n) !== Infinity)) {
      throw wrongNumber("threads", n, "channel capacity must be an integer");
    }
    const elem = this.elemType(type);
    const { heap } = this.types;
    const { u32 } = heap.mem;
    const bytes = n * elem.size;
    if (n < 0 || n > MAX_CAPACITY || bytes > heap.mem.size - HCHAN.size) {
      throw new PlainError("makechan: size out of range", "ERR_GORT_MAKECHAN_SIZE");
    }
    // One object without pointers; or a record and an array of elements.
    const together = elem.typ === 0 || bytes === 0;
    const c = together ? heap.malloc(HCHAN.size + bytes, 0) : heap.malloc(HCHAN.size, this.recordType());
    u32[(c + HCHAN_AT.dataqsiz) >>> 2] = n;
    u32[(c + HCHAN_AT.elemsize) >>> 2] = elem.size;
    if (together) u32[(c + HCHAN_AT.buf) >>> 2] = c + HCHAN.size;
    else heap.storePointer((c + HCHAN_AT.buf) as Addr, heap.malloc(bytes, elem.typ));
    return new HeapChan<T>(this, elem, c, false);
  }

  private recordType(): number {
    if (this.hchanType === 0) {
      const mask = new Uint32Array(1);
      mask[0] = 1 << (HCHAN_AT.buf >>> 3);
      this.hchanType = this.types.heap.newType(HCHAN.size, mask);
    }
    return this.hchanType;
  }

  /** The number of a type, by which all threads know it. */
  typeId(type: Type): number {
    return (this.records ??= new TypeRecords(this.types.heap.mem)).idOf(type);
  }

  /**
   * A handle of the channel at `addr`, which `HeapChan.$addr` gave, perhaps on another thread. Something must have kept
   * the channel alive since.
   */
  at<T extends Type>(addr: Addr, type: T): HeapChan<T> {
    return this.open<T>(addr, this.elemType(type), this.typeId(type));
  }

  /** For places in the heap that hold channels with such elements. */
  of(type: Type): ChanOps {
    const elem = this.elemType(type);
    const id = this.typeId(type);
    return {
      open: (addr) => this.open(addr, elem, id),
      take: (value) => shared(value, this, type),
      addrOf: (handle: ChanHandle) => liveAddr(handle as HeapChan),
    };
  }

  private open<T extends Type>(addr: Addr, elem: ElemType, id: number): HeapChan<T> {
    if (this.types.heap.mem.u32[(addr + HCHAN_AT.elemtype) >>> 2] !== id) {
      throw new TypeError(`threads: the channel's elements have another type (got ${elem.type.name})`);
    }
    return new HeapChan<T>(this, elem, addr, true);
  }

  // ---- for select

  beginSelect(g: G, chans: readonly SharedChan[]): SharedWait {
    for (const c of chans) (c as HeapChan).holds++;
    return this.waiters.begin(g, this, chans);
  }

  addCase(w: SharedWait, c: SharedChan, index: number, sends: boolean, ready: unknown): void {
    (c as HeapChan).addCase(w as Waiter, index, sends, ready);
  }

  enqueueCases(w: SharedWait): void {
    const { u32 } = this.waiters;
    for (let sg = (w as Waiter).head; sg !== 0; sg = u32[(sg + SUDOG_AT.waitlink) >>> 2] as Addr) {
      enqueue(u32, u32[(sg + SUDOG_AT.queue) >>> 2], u32[(sg + SUDOG_AT.q) >>> 2], sg);
    }
  }

  endSelect(wait: SharedWait): ChosenCase | null {
    const { u32 } = this.waiters;
    const w = wait as Waiter;
    this.unqueue(w.head);
    const sg = w.winner;
    if (sg <= GIVEN_UP) {
      this.waiters.end(w);
      return null;
    }
    const c = u32[(sg + SUDOG_AT.queue) >>> 2];
    const index = u32[(sg + SUDOG_AT.index) >>> 2];
    const sends = u32[(sg + SUDOG_AT.q) >>> 2] === c + HCHAN_AT.sendq;
    const chan = (w.hold as HeapChan[]).find((x) => x.order === c)!;
    if (sends) return { index, sends, ok: chan.finishSend(w, sg), value: undefined };
    const v = chan.finishRecv(w, sg);
    return v === ended ? { index, sends, ok: false, value: undefined } : { index, sends, ok: true, value: v };
  }

  // ---- the end of a wait

  unqueue(head: Addr): void {
    const { mem } = this.types.heap;
    const { u32 } = mem;
    const { connected } = this.waiters;
    const winner = (head + SUDOG_AT.winner) >>> 2;
    for (let sg = head; sg !== 0; sg = u32[(sg + SUDOG_AT.waitlink) >>> 2] as Addr) {
      const c = u32[(sg + SUDOG_AT.queue) >>> 2];
      if (connected) lock(mem, c + HCHAN_AT.lock);
      if (u32[(sg + SUDOG_AT.queued) >>> 2] !== 0) unlink(u32, sg);
      if (connected) unlock(mem, c + HCHAN_AT.lock);
      if (u32[winner] !== sg) this.dropCell(sg);
    }
  }

  undelivered(sg: Addr): void {
    this.dropCell(sg);
  }

  unheld(hold: unknown): void {
    if (hold instanceof HeapChan) hold.holds--;
    else for (const c of hold as readonly HeapChan[]) c.holds--;
  }

  /** Frees the place of an element that no goroutine takes. */
  private dropCell(sg: Addr): void {
    const { heap } = this.types;
    const at = (sg + SUDOG_AT.ref) >>> 2;
    const ref = heap.mem.u32[at];
    if (ref !== 0) heap.releaseRef(ref as RefSlot);
    heap.mem.u32[at] = 0;
  }
}
