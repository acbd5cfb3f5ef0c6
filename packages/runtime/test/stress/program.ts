/**
 * A program that rewrites a graph of heap objects at random from several goroutines, beside the same graph in JS.
 * What the shadow reaches must be in the heap, intact, at every moment; what it doesn't must be gone after a
 * collection.
 *
 * Raw pointers are only used between two safepoints, as the rule says: an operation is a plain function, and goroutines
 * suspend between operations. Addresses come out of the heap itself (a root, then fields), never out of the shadow.
 */
import type { Cleanup, WeakPointer } from "@gort/gc";
import type { Addr } from "@gort/memory";
import type { Root } from "../../src/roots.ts";
import type { Runtime } from "../../src/runtime.ts";
import type { RootSlot } from "../../src/unsafe-access.ts";
import { type Random, turn, verify } from "./kit.ts";

export interface Shape {
  readonly name: string;
  readonly typ: number;
  readonly size: number;
  /** Offsets of the pointers that the program uses. */
  readonly fields: readonly number[];
  /** Offset of the word that holds the object's number, -1: none. */
  readonly idAt: number;
}

/** A `stopped` cleanup runs all the same if `stop` itself found the object dead. */
type CleanupState = "set" | "stopped" | "run";

interface Pointer {
  readonly to: Obj;
  /** Interior pointers point this far into the object. */
  readonly offset: number;
}

interface Obj {
  readonly id: number;
  readonly addr: number;
  readonly shape: Shape;
  readonly fields: (Pointer | null)[];
  finalizer: boolean;
  /** Number of finalizers that ran. Weak pointers from before such a run stay nil. */
  finalized: number;
}

interface Weak {
  readonly to: Obj;
  readonly pointer: WeakPointer;
  readonly finalized: number;
}

/** Tiny objects live and die with their block of 16 bytes. */
const isTiny = ({ shape }: Obj): boolean => shape.size < 16 && shape.typ === 0;
const blockOf = (o: Obj): number => (isTiny(o) ? o.addr - (o.addr % 16) : o.addr);

/** A root of the graph, in the heap and in the shadow. */
interface Entry {
  target: Pointer | null;
  read(): number;
  write(p: number): void;
}

export interface ProgramOptions {
  /** Finalizers and cleanups: with them, garbage cannot be counted exactly. */
  finalizers?: boolean;
  /** Largest object. */
  maxSize?: number;
  /** Live objects at most, about. */
  maxLive?: number;
}

/** One shape for each way in which objects are allocated or marked. */
export function shapesOf(rt: Runtime, maxSize: number): Shape[] {
  const shape = (size: number, words: number[], idAt: number): Shape => ({
    name: `${size} bytes, pointers at words ${words}`,
    typ: words.length === 0 ? 0 : rt.unsafe.newType(size, words),
    size,
    fields: words.map((w) => w * 8),
    idAt,
  });
  /**
   * n elements of a type of `size` bytes; pointers of up to 12 elements are used, the first and the last among
   * them.
   */
  const array = (size: number, words: number[], n: number, idAt: number): Shape => {
    const used = [...new Set(Array.from({ length: 12 }, (_, i) => Math.floor((i * (n - 1)) / 11)))];
    return {
      name: `${n} x ${size} bytes, pointers at words ${words}`,
      typ: rt.unsafe.newType(size, words),
      size: n * size,
      fields: used.flatMap((e) => words.map((w) => e * size + w * 8)),
      idAt,
    };
  };
  const all = [
    shape(8, [0], -1),
    shape(16, [0], 8),
    shape(16, [1], 0),
    shape(24, [0, 2], 8),
    shape(32, [0, 1], 24),
    shape(32, [3], 0),
    shape(40, [1, 4], 0),
    shape(48, [1, 4, 5], 0),
    shape(96, [0, 5, 11], 8),
    shape(112, [0, 13], 48),
    shape(256, [0, 16, 31], 8),
    shape(264, [0, 32], 8),
    shape(416, [31, 32, 51], 0),
    shape(512, [0, 31, 32, 63], 8),
    shape(520, [0, 64], 8),
    shape(640, [0, 40], 632),
    shape(1024, [127], 0),
    shape(1408, [1, 175], 0),
    shape(4096, [0, 511], 8),
    shape(32_752, [0, 4093], 8),
    shape(32_760, [4094], 0),
    shape(32_768, [0, 4095], 8),
    shape(50_000, [0, 3125, 6249], 8),
    array(8, [0], 3, -1),
    array(16, [1], 3, 0),
    array(24, [0], 5, 8),
    array(24, [2], 21, 0),
    array(24, [0, 1], 40, 16),
    array(72, [0, 8], 7, 8),
    array(16, [0], 9000, 8),
    array(40, [4], 5000, 0),
    shape(1, [], -1),
    shape(2, [], -1),
    shape(4, [], 0),
    shape(7, [], -1),
    shape(8, [], 0),
    shape(12, [], 8),
    shape(15, [], -1),
    shape(16, [], 0),
    shape(100, [], 0),
    shape(3000, [], 0),
    shape(40_000, [], 0),
    shape(300_000, [], 299_996),
  ];
  return all.filter((s) => s.size <= maxSize);
}

export class Program {
  readonly #rt: Runtime;
  readonly #random: Random;
  readonly #shapes: readonly Shape[];
  readonly #options: Required<ProgramOptions>;
  readonly #u32: Uint32Array;
  readonly #entries: Entry[] = [];
  readonly #slots: RootSlot[] = [];
  readonly #weak: Weak[] = [];
  readonly #cleanups: { handle: Cleanup; state: CleanupState }[] = [];
  readonly #finalizable = new Set<Obj>();
  #lastId = 0;
  #dropping = false;
  operations = 0;
  finalized = 0;

  constructor(rt: Runtime, random: Random, options: ProgramOptions = {}) {
    this.#rt = rt;
    this.#random = random;
    this.#u32 = rt.memory.u32;
    this.#options = { finalizers: false, maxSize: 1 << 20, maxLive: 600, ...options };
    this.#shapes = shapesOf(rt, this.#options.maxSize);
    for (let i = 0; i < 8; i++) {
      const slot = rt.unsafe.newRoot(0);
      this.#slots.push(slot);
      this.#entries.push(
        this.#entry(
          () => this.#u32[slot >>> 2],
          (p) => rt.unsafe.setRoot(slot, p),
        ),
      );
    }
  }

  #entry(read: () => number, write: (p: number) => void): Entry {
    return { target: null, read, write };
  }

  // --- what goroutines do

  /** A goroutine: `rounds` frames, nested at random, of operations between safepoints. */
  *worker(rounds: number): Generator<undefined, void> {
    for (let i = 0; i < rounds; i++) yield* this.#frame(0);
  }

  *#frame(depth: number): Generator<undefined, void> {
    const entries = this.#entries;
    const rt = this.#rt;
    const mine: Entry[] = [];
    yield* rt.frame(
      function* (this: Program) {
        const n = this.#random(8) === 0 ? 300 : 1 + this.#random(4);
        for (let i = 0; i < n; i++) {
          const start = this.#find();
          const root: Root<unknown> = rt.root((start?.[1] ?? 0) as never);
          const e = this.#entry(
            () => root.ptr,
            (p) => {
              root.ptr = p as never;
            },
          );
          e.target = start?.[0] ?? null;
          mine.push(e);
          entries.push(e);
        }
        for (let i = this.#random(12); i >= 0; i--) {
          for (let k = this.#random(6); k >= 0; k--) this.#operation();
          if (depth < 3 && this.#random(8) === 0) yield* this.#frame(depth + 1);
          yield* this.#safepoint();
        }
      }.bind(this),
    );
    for (const e of mine) entries.splice(entries.indexOf(e), 1);
  }

  /** What may happen where no raw pointer is held. */
  *#safepoint(): Generator<undefined, void> {
    const rt = this.#rt;
    const { collector } = rt;
    switch (this.#random(24)) {
      case 0:
        collector.requestGC();
        break;
      case 1:
        rt.gc();
        break;
      case 2:
        rt.safepoint();
        break;
      case 3:
        collector.setGCPercent([10, 50, 100, 400, -1][this.#random(5)]);
        break;
      case 4:
        rt.allocator.freeOSMemory();
        break;
      case 5:
      case 6:
      case 7:
      case 8:
        if (rt.godebug.gcstress === 0) collector.step(1 + this.#random(20_000));
        break;
      default:
    }
    if (this.#random(3) !== 0) yield* rt.gosched();
  }

  #operation(): void {
    this.operations++;
    const kind = this.#random(100);
    if (kind < 40) this.#allocate();
    else if (kind < 62) this.#link();
    else if (kind < 76) this.#cut();
    else if (kind < 82) this.#followWeak();
    else if (kind < 88) this.#makeWeak();
    else if (kind < 91) this.#rt.readMemStats();
    else if (kind < 94) this.#rt.allocator.flushAll();
    else if (kind < 96) this.#rt.memProfileRate = [0, 0, 64, 4096][this.#random(4)]!;
    else if (this.#options.finalizers) this.#attach();
  }

  /** Walks from an entry along fields of the heap: the pointer that is there, and what it is in the shadow. */
  #find(): [Pointer, number] | null {
    const { length } = this.#entries;
    const e = this.#entries[this.#random(length)];
    let at = e.target;
    let p = e.read();
    this.#check(at, p, "an entry");
    for (let steps = this.#random(6); at !== null && steps > 0; steps--) {
      const { to } = at;
      if (to.fields.length === 0) break;
      const i = this.#random(to.fields.length);
      const next = to.fields[i]!;
      if (next === null) break;
      p = this.#u32[(p - at.offset + to.shape.fields[i]) >>> 2]!;
      at = next;
      this.#check(at, p, `field ${i} of ${to.id} (${to.shape.name})`);
    }
    if (at === null) return null;
    this.#checkObject(at.to);
    return [at, p];
  }

  #check(at: Pointer | null, p: number, where: string): void {
    const want = at === null ? 0 : at.to.addr + at.offset;
    if (p !== want) throw new Error(`${where} holds 0x${p.toString(16)}, not 0x${want.toString(16)}`);
  }

  #checkObject(o: Obj): void {
    const { idAt, size, name } = o.shape;
    if (idAt >= 0) {
      const id = this.#u32[(o.addr + idAt) >>> 2];
      if (id !== o.id) throw new Error(`object ${o.id} (${name}) has become ${id.toString(16)}`);
    } else if (isTiny(o)) {
      for (let k = 0; k < size; k++) {
        const b = this.#rt.memory.view.getUint8(o.addr + k);
        if (b !== (o.id & 0xff)) throw new Error(`byte ${k} of the tiny object ${o.id} (${name}) is ${b}`);
      }
    }
  }

  #interior(o: Obj): Pointer {
    return { to: o, offset: this.#random(3) === 0 ? this.#random(o.shape.size) : 0 };
  }

  #allocate(): void {
    const shape = this.#shapes[this.#random(this.#shapes.length)];
    const { typ, size } = shape;
    const { unsafe, memory } = this.#rt;
    const addr = typ === 0 && this.#random(2) === 0 ? unsafe.mallocNoscan(size) : unsafe.mallocgc(size, typ);
    const o: Obj = {
      id: ++this.#lastId,
      addr,
      shape,
      fields: shape.fields.map(() => null),
      finalizer: false,
      finalized: 0,
    };
    const align = size >= 8 && size % 8 === 0 ? 8 : size % 4 === 0 ? 4 : size % 2 === 0 ? 2 : 1;
    if (addr % align !== 0) throw new Error(`${shape.name} at 0x${addr.toString(16)}`);
    const step = size > 4096 ? 4 * (1 + this.#random(32)) : 1;
    for (let k = 0; k < size; k += step) {
      if (memory.view.getUint8(addr + k) !== 0) {
        throw new Error(`byte ${k} of new memory (${shape.name}) at 0x${addr.toString(16)} is not zero`);
      }
    }
    if (shape.idAt >= 0) memory.u32[(addr + shape.idAt) >>> 2] = o.id;
    else if (isTiny(o)) for (let k = 0; k < size; k++) memory.view.setUint8(addr + k, o.id & 0xff);
    // It takes over what another pointed to, or points to something already there.
    for (let i = 0; i < o.fields.length; i++) if (this.#random(3) === 0) this.#store(o, i, this.#find());
    const at = this.#interior(o);
    this.#put(at, addr + at.offset);
  }

  /** Puts a pointer somewhere: into an entry, or into a field of something reachable. */
  #put(at: Pointer | null, p: number): void {
    const holder = this.#random(3) === 0 ? null : this.#find()?.[0].to;
    if (holder && holder.fields.length > 0) {
      this.#store(holder, this.#random(holder.fields.length), at === null ? null : [at, p]);
      return;
    }
    const e = this.#entries[this.#random(this.#entries.length)];
    e.write(p);
    e.target = at;
  }

  #store(o: Obj, i: number, value: [Pointer, number] | null): void {
    this.#rt.unsafe.storePointer((o.addr + o.shape.fields[i]) as Addr, (value?.[1] ?? 0) as Addr);
    o.fields[i] = value?.[0] ?? null;
  }

  #link(): void {
    const found = this.#find();
    if (found === null) return;
    const { to } = found[0];
    const at = this.#interior(to);
    this.#put(at, found[1] - found[0].offset + at.offset);
  }

  #cut(): void {
    this.#put(null, 0);
    // Now and then a whole part of the graph, so that it does not grow without end.
    if (this.#random(16) === 0 && this.reachable().size > this.#options.maxLive) {
      for (const e of this.#entries) {
        if (this.#random(2) !== 0) continue;
        e.write(0);
        e.target = null;
      }
    }
  }

  #makeWeak(): void {
    const found = this.#find();
    if (found === null) return;
    const { to, offset } = found[0];
    const pointer = this.#rt.collector.finalizers.weak((found[1] - offset) as Addr);
    this.#weak.push({ to, pointer, finalized: to.finalized });
    if (this.#weak.length > 40) this.#weak.splice(this.#random(40), 1);
  }

  /** Stores the pointer that a weak pointer gives like any other pointer. */
  #followWeak(): void {
    if (this.#weak.length === 0) return;
    const { to, pointer } = this.#weak[this.#random(this.#weak.length)];
    const p = pointer.value();
    if (p === 0) return;
    if (p !== to.addr)
      throw new Error(`a weak pointer gives 0x${p.toString(16)}, not 0x${to.addr.toString(16)}`);
    this.#checkObject(to);
    this.#put({ to, offset: 0 }, p);
  }

  #attach(): void {
    const found = this.#find();
    if (found === null) return;
    const { to, offset } = found[0];
    const p = (found[1] - offset) as Addr;
    const { finalizers } = this.#rt.collector;
    if (this.#random(2) === 0) {
      const record = { state: "set" as CleanupState, handle: null as unknown as Cleanup };
      record.handle = finalizers.addCleanup(
        p,
        (what: string) => {
          if (record.state === "run" || what !== "cleanup")
            throw new Error(`cleanup of ${to.id}: ${record.state}`);
          record.state = "run";
        },
        "cleanup",
      );
      this.#cleanups.push(record);
      return;
    }
    if (this.#random(3) === 0) {
      const c = this.#cleanups[this.#random(this.#cleanups.length)];
      if (c && c.state === "set") {
        c.handle.stop();
        c.state = "stopped";
      }
    }
    if (to.finalizer) {
      finalizers.setFinalizer(p, null);
      to.finalizer = false;
      this.#finalizable.delete(to);
      return;
    }
    this.#setFinalizer(to, p);
  }

  #setFinalizer(o: Obj, p: Addr): void {
    o.finalizer = true;
    this.#finalizable.add(o);
    this.#rt.collector.finalizers.setFinalizer(p, (q) => {
      if (q !== o.addr) throw new Error(`finalizer of ${o.id} gets 0x${q.toString(16)}`);
      o.finalizer = false;
      o.finalized++;
      this.#finalizable.delete(o);
      this.finalized++;
      // The object, and all that it refers to.
      this.#walk([o]);
      if (this.#dropping) return;
      if (this.#random(3) === 0) this.#put({ to: o, offset: 0 }, q);
      else if (this.#random(4) === 0) this.#setFinalizer(o, q);
    });
  }

  // --- checks

  /** Walks the heap from the entries and compares each object with the shadow word by word. */
  reachable(): Set<Obj> {
    const from: Obj[] = [];
    for (const e of this.#entries) {
      this.#check(e.target, e.read(), "an entry");
      if (e.target !== null) from.push(e.target.to);
    }
    return this.#walk(from);
  }

  #walk(from: Obj[]): Set<Obj> {
    const seen = new Set(from);
    for (const o of seen) {
      this.#checkObject(o);
      o.fields.forEach((f, i) => {
        this.#check(
          f,
          this.#u32[(o.addr + o.shape.fields[i]) >>> 2],
          `field ${i} of ${o.id} (${o.shape.name})`,
        );
        if (f !== null) seen.add(f.to);
      });
    }
    return seen;
  }

  /** Collects, and compares heap and graph in both directions. */
  collectAndVerify(): void {
    const rt = this.#rt;
    rt.gc();
    verify(rt);
    const live = this.reachable();
    const blocks = new Set([...live].map(blockOf));
    for (const w of this.#weak) this.#checkWeak(w, live, blocks);
    const { HeapObjects } = rt.readMemStats();
    if (this.#options.finalizers ? HeapObjects < blocks.size : HeapObjects !== blocks.size) {
      throw new Error(`${HeapObjects} objects in the heap, ${blocks.size} in the graph`);
    }
  }

  #checkWeak({ to, pointer, finalized }: Weak, live: Set<Obj>, blocks: Set<number>): void {
    const p = pointer.value();
    let want = to.addr;
    if (finalized !== to.finalized) want = 0;
    else if (!live.has(to)) {
      // A neighbour in its block, or an object that waits for its finalizer, may keep it alive.
      if (blocks.has(blockOf(to)) || this.#options.finalizers) return;
      want = 0;
    }
    // The finalizers of a block are queued together, and make all weak pointers into it nil.
    if (p === 0 && isTiny(to) && this.#options.finalizers) return;
    if (p !== want) {
      throw new Error(
        `weak pointer to ${to.id}, ${live.has(to) ? "alive" : "dead"}, gives 0x${p.toString(16)}`,
      );
    }
  }

  /** Lets go of everything, rings with finalizers too. */
  async dropAll(): Promise<void> {
    for (const e of this.#entries) e.target = null;
    for (const slot of this.#slots) this.#rt.unsafe.freeRoot(slot);
    this.#entries.length = 0;
    this.#dropping = true;
    const { finalizers } = this.#rt.collector;
    for (let i = 0; i < 4; i++) {
      this.#rt.gc();
      while (finalizers.queued > 0) await turn();
    }
    // What has a finalizer still is alive, so its address is good.
    for (const o of this.#finalizable) finalizers.setFinalizer(o.addr as Addr, null);
    for (let i = 0; i < 2; i++) {
      this.#rt.gc();
      while (finalizers.queued > 0) await turn();
    }
    for (const { state } of this.#cleanups) if (state === "set") throw new Error("a cleanup has not run");
    for (const { pointer } of this.#weak)
      if (pointer.value() !== 0) throw new Error("a weak pointer to garbage");
  }
}
