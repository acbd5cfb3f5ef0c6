/** Channels in the heap as programs see them. chan.ts has the essay. */

import { PlainError, show } from "@gort/base";
import type { Addr } from "@gort/memory";
import type { NotAsync, Operation, RecvChan, RecvResult, SendChan, TryRecvResult } from "@gort/scheduler";
import {
  checkFunction,
  checkResult,
  inspectCustom,
  isBody,
  none,
  usedAfterClose,
} from "@gort/scheduler/internal";
import type { Init, Slice, Type, Value } from "@gort/types";
import type { PerType, Root } from "@gort/types/internal";
import { identical } from "@gort/types/internal";
import { type ChanEnv, released } from "./chan.ts";
import { BatchChan, recvInto, sendAll } from "./chan-batch.ts";
import { armRange, armRecv, armRecv2, armSend } from "./chan-ops.ts";
import type { ElemType } from "./elem-type.ts";
import { HANDLE, HANDLE_CHAN, type HandleDescription } from "./handles.ts";
import { ended, HCHAN_AT } from "./hchan.ts";

const dispose: typeof Symbol.dispose =
  Symbol.dispose ?? (Symbol.for("Symbol.dispose") as typeof Symbol.dispose);

/**
 * `x`, if it is a live handle of a channel of `env` whose elements are of type `elem`; else an error. Other threads may
 * find the channel from then on. It reads private fields only, so a program can neither forge the address nor run code
 * here.
 */
export let shared: (x: unknown, env: ChanEnv, elem: Type) => HeapChan;
/** The address of the channel, or an error if the handle was released. */
export let liveAddr: (c: HeapChan) => Addr;

/** The error of a value that is stored as a channel with elements of type `elem`. */
function wrongValue(elem: Type, got: string): never {
  throw new TypeError(`threads: value must be a HeapChan<${elem.name}> or null (got ${got})`);
}

/**
 * A channel of elements of type T in the heap, which goroutines of every thread can use. Several handles may belong to
 * one channel.
 */
export class HeapChan<T extends Type = Type>
  extends BatchChan
  implements SendChan<Init<T>>, RecvChan<Value<T>>
{
  private readonly roots: PerType["roots"];
  private readonly root: Root;
  readonly #env: ChanEnv;
  readonly #type: Type;
  /** 0 once the handle was released. */
  #addr: Addr;

  /** A handle of the record at `addr`, with a new root. Use `HeapChans`. @internal */
  constructor(env: ChanEnv, elem: ElemType, addr: Addr, escaped: boolean) {
    super(env, elem, addr, escaped);
    const { heap, roots } = env.types;
    this.roots = roots;
    this.root = roots.adopt(heap.newRef(addr));
    this.#env = env;
    this.#type = elem.type;
    this.#addr = addr;
  }

  static {
    liveAddr = (c) => {
      if (c.#addr === 0) throw released();
      return c.#addr;
    };

    shared = (x, env, elem) => {
      if (typeof x !== "object" || x === null || !(#addr in x)) return wrongValue(elem, show(x));
      const c = x as unknown as HeapChan;
      if (c.#env !== env) wrongValue(elem, "a HeapChan of another heap");
      if (c.#type !== elem && !identical(c.#type, elem)) wrongValue(elem, `a HeapChan<${c.#type.name}>`);
      c.#share();
      liveAddr(c);
      return c;
    };
  }

  send(value: Init<T>): Operation<void> {
    return armSend(this, value);
  }

  trySend(value: Init<T>): boolean {
    if (this.sched.closed) throw usedAfterClose("trySend");
    return this.start(value, null, null);
  }

  /**
   * Sends the elements of a slice, one after the other: the same as a loop of `send`, with less work for each element.
   * It returns when all are sent, and waits while the channel is full. Each element is a send of its own, and is read
   * when it is sent: other goroutines may send or receive between two of them.
   *
   * @throws TypeError if `values` is no slice of the channel's element type. Panics if the channel is closed, also if
   * it is closed while the operation waits: the elements before that are sent.
   */
  sendAll(values: Slice<T>): Operation<void> {
    return sendAll(this, values);
  }

  recv(): Operation<Value<T> | undefined> {
    return armRecv(this) as Operation<Value<T> | undefined>;
  }

  recv2(): Operation<RecvResult<Value<T>>> {
    return armRecv2(this) as Operation<RecvResult<Value<T>>>;
  }

  /**
   * Receives the values that are there into a slice from its start, at most as many as it has elements, and waits for
   * the first one only. Returns their number; 0 once the channel is closed and drained. The rest of the slice stays as
   * it is. The same as one `recv` and a loop of `tryRecv`, with less work for each value.
   *
   * @throws TypeError if `dst` is no slice of the channel's element type
   * @throws RangeError if the slice is empty
   */
  recvInto(dst: Slice<T>): Operation<number> {
    return recvInto(this, dst);
  }

  tryRecv(): TryRecvResult<Value<T>> {
    if (this.sched.closed) throw usedAfterClose("tryRecv");
    const v = this.receive(null, null);
    if (v === none || v === ended) return { value: undefined, ok: false, received: v === ended };
    return { value: v as Value<T>, ok: true, received: true };
  }

  *forEach<R>(f: (value: Value<T>) => NotAsync<R>): Generator<undefined, void, unknown> {
    checkFunction("forEach", f, "threads");
    for (;;) {
      let v = this.receive(null, null);
      if (v === none) v = yield* armRange(this);
      if (v === ended) return;
      const r = f(v as Value<T>);
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

  close(): void {
    if (!this.closeNow()) throw new PlainError("close of closed channel", "ERR_GORT_CLOSE_OF_CLOSED_CHANNEL");
  }

  /** Address of the channel, by which other threads can find it. */
  get $addr(): Addr {
    this.#share();
    return this.addr;
  }

  /** Lets other threads find the channel. */
  #share(): void {
    if (this.escaped) return;
    // It may run code of the type's declaration, which may release this handle.
    const id = this.#env.typeId(this.#type);
    if (this.#addr === 0) return;
    this.#env.types.heap.mem.u32[(this.#addr + HCHAN_AT.elemtype) >>> 2] = id;
    this.escaped = true;
  }

  /** The type of its elements. */
  get $type(): T {
    return this.elem.type as T;
  }

  /** What of the handle goes to another thread: see handles.ts. */
  [HANDLE](): HandleDescription {
    const { type } = this.elem;
    const addr = this.i === 0 ? (0 as Addr) : this.$addr;
    return { kind: HANDLE_CHAN, name: `HeapChan<${type.name}>`, heap: this.group.types.heap, addr, type };
  }

  /**
   * Gives up the root at once, instead of when V8 collects this object. Later use of this handle throws. Goroutines
   * that wait through it, and other handles of the channel, are not affected.
   */
  release(): void {
    if (this.i === 0) return;
    this.i = 0;
    this.#addr = 0 as Addr;
    // A wait keeps the handle, and so the root, until V8 collects the handle.
    if (this.holds === 0) this.roots.drop(this.root);
  }

  [dispose](): void {
    this.release();
  }

  override toString(): string {
    const name = `chan ${this.elem.type.name}`;
    if (this.i === 0) return `${name} (released)`;
    return `${name}(len ${this.length}, cap ${this.capacity}${this.closed ? ", closed" : ""})`;
  }

  toJSON(): { len: number; cap: number; closed: boolean } {
    return { len: this.length, cap: this.capacity, closed: this.closed };
  }

  [inspectCustom](): string {
    return this.toString();
  }
}
