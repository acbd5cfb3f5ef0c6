/**
 * The arguments of a task: from JavaScript values of one thread to JavaScript values of another.
 *
 * A task waits in a queue, and an idle thread may steal it. So its arguments lie in the linear memory meanwhile
 * (args-layout.ts). They are one object of the GC heap with a cell for each argument, and one object for the bytes of
 * texts. A root slot holds the array, and the array holds the values of the heap. So the collector finds them like all
 * else, and nothing must be freed by hand. The slot belongs to no thread: the sender may end before the task runs.
 *
 * `encode`, on the thread of the `go` statement:
 *   1. Read. Each argument is looked at, and refused if it cannot leave its thread. Its type gets a number. This runs
 *      code of the program: traps of a proxy, getters of a type that nothing has used yet.
 *   2. Check that no such code has released a Ref. Make the bytes of texts.
 *   3. Allocate. An error, such as out of memory, leaves nothing behind.
 *   4. Write. No code of the program runs any more, and nothing fails. The caller publishes the address.
 *
 * `decode`, on the thread that runs the task:
 *   1. Take: `state` changes once, so a second taker is a FatalError.
 *   2. Find the types (type-identity.ts of @gort/types), then make the values. Each handle gets a root of its own.
 *   3. Release the root slot. The array is garbage.
 *
 * `drop` is for a task that never runs. Allocation is no safepoint, and a collection ends only when every thread is at
 * one: so addresses in locals stay valid in each function.
 *
 * What crosses and how:
 *   - Numbers, booleans, bigints, strings, null and undefined are copied, each bit of them: -0 and lone surrogates too.
 *   - A Ref becomes a Ref to the same object. A Slice is copied as Go copies it: the elements are shared; pointer,
 *     length and capacity are those of the moment of the `go` statement.
 *   - Other handles of heap objects (handles.ts) become handles to the same object.
 *   - A result of `clone` becomes a new value for each task.
 *
 * The task's handles are its own, on one thread too (`local`): the caller may release its Ref after `go`.
 */
import { show, throwFatal } from "@gort/base";
import type { Addr } from "@gort/memory";
import type { Heap, RefSlot, Type, TypedHeap } from "@gort/types";
import { Crossing, copyOut, type HandleParts, readString, writeBytes } from "@gort/types/internal";
import {
  ARG_BIGINT,
  ARG_CLONE,
  ARG_FALSE,
  ARG_HANDLE,
  ARG_LONG_BIGINT,
  ARG_LONG_SLICE,
  ARG_NULL,
  ARG_NUMBER,
  ARG_REF,
  ARG_SLICE,
  ARG_TEXT,
  ARG_TRUE,
  ARG_UNDEFINED,
  ARG_UTF16,
  ARGS_READY,
  ARGS_TAKEN,
  CELL,
  CELL_AT,
  CELL_MASK,
  DATA_HIGH,
  DATA_LOW,
  HEAD_AT,
} from "./args-layout.ts";
import { clonedBytes, fromClone } from "./clone.ts";
import { HANDLE, type HeapHandle, isHeapHandle, type OpenHandle } from "./handles.ts";
import { ByteBuffer, bigintOf, digitsOf, isLong, utf16Of, wellFormed } from "./value-bytes.ts";

const TWO32 = 4294967296;

/** An argument between the steps of `encode`. */
interface Item {
  tag: number;
  /** Its type's number; 0 if there is none. */
  id: number;
  /** Null for scalars, and for handles of kinds without a type. */
  type: Type | null;
  /** The value of a scalar. */
  value: unknown;
  parts: HandleParts | null;
  handle: HeapHandle | null;
  /** The bytes of a clone. */
  bytes: Uint8Array | null;
  /** Place and number of its bytes; -1 if it has none. */
  offset: number;
  nbytes: number;
}

/**
 * The same number. V8 takes a number from a Float64Array for a double; from this it takes a whole number of 32 bits for
 * an integer. A loop that begins at an argument then counts in integers, which takes 0.75 of the time.
 */
function asInteger(v: number): number {
  const i = v | 0;
  // Not -0, which equals 0.
  return i === v && (i !== 0 || 1 / v > 0) ? i : v;
}

/** Encodes and decodes the arguments of tasks: one object for each heap and thread. */
export class TaskArgs {
  private readonly who: string;
  private readonly heap: Heap;
  private readonly crossing: Crossing;
  private readonly openers: ReadonlyMap<number, OpenHandle>;
  /** The heap's descriptor of a cell; 0 until the first use. */
  private cellType = 0;
  /** The bytes of the arguments that are being encoded. */
  private readonly staging = new ByteBuffer();

  /**
   * @param openers for each kind of handles (handles.ts), the function that makes one on this thread
   * @param who the package that error messages name
   */
  constructor(types: TypedHeap, openers: ReadonlyMap<number, OpenHandle> = new Map(), who = "threads") {
    this.heap = types.heap;
    this.crossing = new Crossing(types);
    this.openers = openers;
    this.who = who;
  }

  // ---- from the thread of the go statement

  /**
   * The values that `encode` and `decode` would give, for a goroutine on this thread. `task` names the task.
   *
   * @throws TypeError for an argument that could not leave this thread
   */
  local(task: string, args: readonly unknown[]): unknown[] {
    const items = this.readAll(task, args);
    this.checkLive(task, items);
    return items.map((it) => this.localValue(it));
  }

  private localValue({ tag, value, parts, handle, bytes, type }: Item): unknown {
    if (tag === ARG_REF) return this.crossing.ref(type as Type, parts!.addr);
    if (tag === ARG_SLICE) return this.crossing.slice(type as Type, parts!.addr, parts!.length, parts!.cap);
    if (tag === ARG_HANDLE) return this.open(value as number, handle![HANDLE]().addr, type);
    return tag === ARG_CLONE ? fromClone(bytes!) : value;
  }

  /**
   * Copies the arguments of a task into the heap. The result belongs to the task: pass it once to `decode` or `drop`,
   * on any thread. 0 if there are no arguments.
   *
   * @throws TypeError for an argument that cannot leave this thread
   */
  encode(task: string, args: readonly unknown[]): Addr {
    if (args.length === 0) return 0 as Addr;
    const items = this.readAll(task, args);
    const { records } = this.crossing;
    for (const it of items) if (it.type !== null) it.id = records.idOf(it.type);
    this.checkLive(task, items);
    const { heap, staging } = this;
    staging.clear();
    for (const it of items) stageBytes(it, staging);
    const nbytes = staging.length;
    const bytes = nbytes === 0 ? 0 : heap.malloc(nbytes, 0, false);
    const block = heap.malloc((items.length + 1) * CELL.size, this.descriptor());
    const root = heap.newSharedRef === undefined ? heap.newRef(block) : heap.newSharedRef(block);
    if (bytes !== 0) writeBytes(heap.mem, bytes, staging.bytes, nbytes);
    this.write(block, root, items, bytes, nbytes);
    return block;
  }

  private readAll(task: string, args: readonly unknown[]): Item[] {
    const items: Item[] = [];
    for (let i = 0; i < args.length; i++) items.push(this.read(task, i, args[i]));
    return items;
  }

  /** Step 1 for one argument. */
  private read(task: string, i: number, x: unknown): Item {
    switch (typeof x) {
      case "undefined":
        return item(ARG_UNDEFINED, x);
      case "boolean":
        return item(x ? ARG_TRUE : ARG_FALSE, x);
      case "number":
        return item(ARG_NUMBER, x);
      case "bigint":
        return item(isLong(x) ? ARG_LONG_BIGINT : ARG_BIGINT, x);
      case "string":
        return item(wellFormed(x) ? ARG_TEXT : ARG_UTF16, x);
      case "object":
        return x === null ? item(ARG_NULL, x) : this.readObject(task, i, x);
      default:
        return this.refuse(task, i, `is a ${typeof x}, and ${typeof x}s stay on their thread`);
    }
  }

  private readObject(task: string, i: number, x: object): Item {
    const parts = this.crossing.parts(x);
    if (parts !== null) {
      if (!parts.ours) this.refuse(task, i, `is a ${parts.name} of another heap`);
      const tag = parts.kind === "Ref" ? ARG_REF : ARG_SLICE;
      return { ...item(tag, null), parts, type: parts.type };
    }
    if (isHeapHandle(x)) {
      const { name, heap, type, kind } = x[HANDLE]();
      if (heap.mem.buffer !== this.heap.mem.buffer) this.refuse(task, i, `is a ${name} of another heap`);
      return { ...item(ARG_HANDLE, kind), handle: x, type };
    }
    const bytes = clonedBytes(x);
    if (bytes !== null) return { ...item(ARG_CLONE, null), bytes };
    return this.refuse(
      task,
      i,
      "must be a number, boolean, bigint, string, null, undefined or a value of the heap " +
        `(got ${show(x)}): wrap other values in clone(x)`,
    );
  }

  private refuse(task: string, i: number, why: string): never {
    throw new TypeError(`${this.who}: argument ${i + 1} of task ${task} ${why}`);
  }

  /** The first half of step 2. */
  private checkLive(task: string, items: readonly Item[]): void {
    for (let i = 0; i < items.length; i++) {
      const { parts, handle } = items[i];
      if (parts !== null && !parts.live) this.refuse(task, i, `is a released ${parts.name}`);
      if (handle === null) continue;
      const { addr, name } = handle[HANDLE]();
      if ((addr as number) === 0) this.refuse(task, i, `is a released ${name}`);
    }
  }

  private descriptor(): number {
    if (this.cellType === 0) this.cellType = this.heap.newType(CELL.size, new Uint32Array([CELL_MASK]));
    return this.cellType;
  }

  /** Step 4. */
  private write(block: Addr, root: RefSlot, items: readonly Item[], bytes: number, nbytes: number): void {
    const { heap } = this;
    const { u32 } = heap.mem;
    if (bytes !== 0) heap.storePointer((block + HEAD_AT.bytes) as Addr, bytes as Addr);
    u32[(block + HEAD_AT.n) >>> 2] = items.length;
    u32[(block + HEAD_AT.root) >>> 2] = root;
    u32[(block + HEAD_AT.nbytes) >>> 2] = nbytes;
    for (let i = 0; i < items.length; i++) {
      const cell = block + (i + 1) * CELL.size;
      const it = items[i];
      u32[(cell + CELL_AT.tag) >>> 2] = it.tag;
      u32[(cell + CELL_AT.type) >>> 2] = it.id;
      if (it.offset < 0) {
        this.writeData(cell, it);
        continue;
      }
      if (it.parts !== null) heap.storePointer(cell as Addr, it.parts.addr as Addr);
      u32[(cell + DATA_LOW) >>> 2] = it.offset;
      u32[(cell + DATA_HIGH) >>> 2] = it.nbytes;
    }
    u32[(block + HEAD_AT.state) >>> 2] = ARGS_READY;
  }

  /** Writes an argument without bytes. */
  private writeData(cell: number, { tag, value, parts, handle }: Item): void {
    const { heap } = this;
    const { u32, f64, bi64 } = heap.mem;
    if (tag === ARG_NUMBER) f64[(cell + CELL_AT.data) >>> 3] = value as number;
    else if (tag === ARG_BIGINT) bi64[(cell + CELL_AT.data) >>> 3] = value as bigint;
    else if (parts !== null) {
      heap.storePointer(cell as Addr, parts.addr as Addr);
      u32[(cell + DATA_LOW) >>> 2] = parts.length;
      u32[(cell + DATA_HIGH) >>> 2] = parts.cap;
    } else if (handle !== null) {
      heap.storePointer(cell as Addr, handle[HANDLE]().addr);
      u32[(cell + DATA_LOW) >>> 2] = value as number;
    }
  }

  // ---- on the thread that runs the task

  /**
   * The arguments as values of this thread. It frees them.
   *
   * @throws TypeError if a type or a kind of handles is unknown on this thread
   */
  decode(block: Addr): unknown[] {
    if ((block as number) === 0) return [];
    const root = this.take(block);
    try {
      return this.peek(block);
    } finally {
      this.heap.releaseRef(root);
    }
  }

  /** The same of a task that stays in its queue: the world is stopped. */
  peek(block: Addr): unknown[] {
    if ((block as number) === 0) return [];
    const n = this.heap.mem.u32[(block + HEAD_AT.n) >>> 2];
    const types: (Type | null)[] = [];
    for (let i = 1; i <= n; i++) types.push(this.typeOf(block + i * CELL.size));
    return types.map((type, i) => this.valueOf(block, block + (i + 1) * CELL.size, type));
  }

  /** Frees the arguments of a task that never runs. */
  drop(block: Addr): void {
    if ((block as number) !== 0) this.heap.releaseRef(this.take(block));
  }

  private take(block: Addr): RefSlot {
    const { kernel, u32 } = this.heap.mem;
    const root = u32[(block + HEAD_AT.root) >>> 2];
    const state = kernel.cas(block + HEAD_AT.state, ARGS_READY, ARGS_TAKEN);
    if (state !== ARGS_READY)
      throwFatal("threads: the arguments of a task are taken twice", `args=${block} state=${state}`);
    return root as RefSlot;
  }

  private typeOf(cell: number): Type | null {
    const id = this.heap.mem.u32[(cell + CELL_AT.type) >>> 2];
    return id === 0 ? null : this.crossing.records.typeOf(id);
  }

  private valueOf(block: number, cell: number, type: Type | null): unknown {
    const { u32, f64, bi64 } = this.heap.mem;
    const data = cell + CELL_AT.data;
    const object = u32[(cell + CELL_AT.object) >>> 2];
    const tag = u32[(cell + CELL_AT.tag) >>> 2];
    switch (tag) {
      case ARG_UNDEFINED:
        return undefined;
      case ARG_NULL:
        return null;
      case ARG_FALSE:
      case ARG_TRUE:
        return tag === ARG_TRUE;
      case ARG_NUMBER:
        return asInteger(f64[data >>> 3]);
      case ARG_BIGINT:
        return bi64[data >>> 3];
      case ARG_REF:
        return this.crossing.ref(type as Type, object);
      case ARG_SLICE:
        return this.crossing.slice(type as Type, object, u32[data >>> 2], u32[(data + 4) >>> 2]);
      case ARG_HANDLE:
        return this.open(u32[data >>> 2], object as Addr, type);
      default:
        return this.fromBytes(block, cell, tag, type);
    }
  }

  private open(kind: number, addr: Addr, type: Type | null): unknown {
    const open = this.openers.get(kind);
    if (open === undefined) throw new TypeError(`${this.who}: unknown kind of handle (got ${kind})`);
    return open(addr, type);
  }

  /** The value of an argument with bytes. */
  private fromBytes(block: number, cell: number, tag: number, type: Type | null): unknown {
    const { mem } = this.heap;
    const { u32, f64 } = mem;
    const from = u32[(block + HEAD_AT.bytes) >>> 2] + u32[(cell + DATA_LOW) >>> 2];
    const n = u32[(cell + DATA_HIGH) >>> 2];
    if (tag === ARG_TEXT) return readString(mem, from, n);
    if (tag === ARG_LONG_BIGINT) return bigintOf(readString(mem, from, n));
    if (tag === ARG_UTF16) return utf16Of(copyOut(mem, from, n));
    if (tag === ARG_CLONE) return fromClone(copyOut(mem, from, n));
    const array = u32[(cell + CELL_AT.object) >>> 2];
    return this.crossing.slice(type as Type, array, f64[from >>> 3], f64[(from + 8) >>> 3]);
  }
}

function item(tag: number, value: unknown): Item {
  return { tag, id: 0, type: null, value, parts: null, handle: null, bytes: null, offset: -1, nbytes: 0 };
}

/** The second half of step 2. */
function stageBytes(it: Item, staging: ByteBuffer): void {
  const { tag, value, parts, bytes } = it;
  const offset = staging.length;
  if (tag === ARG_TEXT || tag === ARG_UTF16) {
    it.nbytes = staging.addText(value as string, tag === ARG_UTF16);
  } else if (tag === ARG_LONG_BIGINT) it.nbytes = staging.addText(digitsOf(value as bigint), false);
  else if (bytes !== null) it.nbytes = staging.add(bytes);
  else if (parts !== null && (parts.length >= TWO32 || parts.cap >= TWO32)) {
    it.tag = ARG_LONG_SLICE;
    it.nbytes = staging.add(new Uint8Array(new Float64Array([parts.length, parts.cap]).buffer));
  } else return;
  it.offset = offset;
}
