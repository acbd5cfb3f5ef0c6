/**
 * A program that rewrites a graph of objects at random, beside the same graph in JS. The one in the heap is found again
 * and compared after every collection: reachable objects intact, unreachable ones gone. With several rigs, each change
 * is that of one of their threads.
 */
import type { Addr } from "@gort/memory";
import { GC_LIST_STACKS } from "../../src/gc-cycle.ts";
import { clearRanges, forEachThread } from "../../src/gc-threads.ts";
import type { Collector } from "../../src/index.ts";
import { type HeapSurvey, verifyHeap } from "../../src/testing.ts";
import type { Random, Rig } from "../kit.ts";

interface Shape {
  typ: number;
  size: number;
  /** Offsets of its pointers, and of the word that holds its number (-1: none). */
  fields: number[];
  idAt: number;
}

interface Obj {
  id: number;
  addr: number;
  shape: Shape;
  fields: (Obj | null)[];
}

/** Shapes of every kind that is marked in its own way. */
export function shapes({ a }: Rig): Shape[] {
  const shape = (size: number, fields: number[], idAt: number): Shape => {
    const mask = new Uint32Array(Math.ceil(size / 256));
    for (const f of fields) mask[f >>> 8] |= 1 << ((f >>> 3) & 31);
    return { typ: fields.length === 0 ? 0 : a.newType(size, mask), size, fields, idAt };
  };
  const pair = a.newType(16, [1]);
  const pairs = (n: number): Shape => ({
    typ: pair,
    size: 16 * n,
    fields: Array.from({ length: Math.min(n, 16) }, (_, i) => 16 * Math.floor((i * n) / Math.min(n, 16))),
    idAt: 8,
  });
  return [
    shape(32, [0, 8], 24),
    shape(16, [0], 8),
    shape(8, [0], -1),
    shape(24, [0, 8], 16),
    shape(48, [8, 32, 40], 0),
    shape(112, [0, 104], 48),
    shape(256, [0, 128, 248], 8),
    shape(512, [0, 256, 504], 8),
    shape(640, [0, 320], 632),
    shape(1408, [8, 1400], 0),
    shape(9000, [0, 4496, 8992], 8),
    shape(50_000, [0, 25_000, 49_992], 8),
    pairs(3),
    pairs(40),
    pairs(9000),
    shape(100, [], 0),
    shape(40_000, [], 0),
  ];
}

/** How a mutator writes pointers into objects. */
export interface Stores {
  /** Stores p into the pointer slot. */
  store(rig: Rig, slot: number, p: number): void;
  /** Copies an object of `size` bytes onto another of the same type. */
  copy(rig: Rig, typ: number, dst: Addr, src: Addr, size: number): void;
}

/** Through the write barrier, as the rule is. */
export const withBarrier: Stores = {
  store: ({ gc }, slot, p) => gc.storePointer(slot, p),
  copy: ({ gc }, typ, dst, src, size) => gc.barrier.typedMemmove(typ, dst, src, size),
};

export class Mutator {
  readonly roots: (Obj | null)[] = [];
  readonly #slots: number[] = [];
  readonly #shapes: Shape[];
  #lastId = 0;
  allocated = 0;
  /** The thread that makes the next change. */
  rig: Rig;
  readonly rigs: readonly Rig[];

  constructor(
    rigs: Rig | readonly Rig[],
    readonly random: Random,
    nroots = 24,
    readonly stores: Stores = withBarrier,
  ) {
    this.rigs = Array.isArray(rigs) ? rigs : [rigs as Rig];
    this.rig = this.rigs[0];
    this.#shapes = shapes(this.rig);
    for (const rig of this.rigs) this.#makeRoots(rig, Math.ceil(nroots / this.rigs.length / 3));
    this.roots = this.#slots.map(() => null);
  }

  /** The roots of a thread, a third each: refs, globals, a stack. */
  #makeRoots({ a, gc }: Rig, third: number): void {
    const globals = a.mem.persistentAlloc(8 * third, 8, "otherSys");
    gc.addGlobals(globals, (globals + 8 * third) as Addr);
    const stack = a.stackAlloc(2048);
    a.mem.u32.fill(0, stack >>> 2, (stack + 2048) >>> 2);
    gc.setStackRoots((visit) => visit(stack, stack + 8 * third));
    for (let i = 0; i < third; i++) this.#slots.push(gc.refs.alloc(0), globals + 8 * i, stack + 8 * i);
  }

  /** Small shapes most of the time. */
  #anyShape(): Shape {
    return this.#shapes[this.random(this.random(8) === 0 ? this.#shapes.length : 8)];
  }

  #alloc(shape = this.#anyShape()): Obj {
    const { a } = this.rig;
    const addr = a.mallocgc(shape.size, shape.typ, true);
    const id = ++this.#lastId;
    this.allocated += shape.size;
    for (const f of shape.fields) {
      if (a.mem.u32[(addr + f) >>> 2] !== 0) throw new Error(`new object 0x${addr.toString(16)} is not zero`);
    }
    if (shape.idAt >= 0) a.mem.u32[(addr + shape.idAt) >>> 2] = id;
    return { id, addr, shape, fields: shape.fields.map(() => null) };
  }

  #setRoot(i: number, o: Obj | null): void {
    // Stack slots (every third) are stored to without a barrier.
    if (i % 3 === 2) this.rig.u32[this.#slots[i] >>> 2] = o?.addr ?? 0;
    else this.rig.gc.storePointer(this.#slots[i], o?.addr ?? 0);
    this.roots[i] = o;
  }

  #setField(o: Obj, k: number, to: Obj | null): void {
    // An interior pointer now and then.
    const inside = to !== null && this.random(4) === 0 ? this.random(to.shape.size) : 0;
    this.stores.store(this.rig, o.addr + o.shape.fields[k], to === null ? 0 : to.addr + inside);
    o.fields[k] = to;
  }

  /** An object that a root reaches, by a random walk. */
  #pick(): Obj | null {
    let o = this.roots[this.random(this.roots.length)] ?? null;
    for (let n = this.random(12); o !== null && n > 0; n--) {
      const next: Obj | null = o.fields.length === 0 ? null : o.fields[this.random(o.fields.length)]!;
      if (next === null) break;
      o = next;
    }
    return o;
  }

  /**
   * Overwrites an object with another of its shape, number and pointers: `o` is then as good as `from`, but keeps its
   * number.
   */
  #copy(o: Obj, from: Obj): void {
    this.#overwrite(o, from);
    // A move now and then: `o` may hold the only pointers to what `from` had.
    if (this.random(2) !== 0 && this.random(4) !== 0) this.#overwrite(from, this.#alloc(from.shape));
  }

  #overwrite(o: Obj, from: Obj): void {
    const { typ, size, idAt } = o.shape;
    this.stores.copy(this.rig, typ, o.addr as Addr, from.addr as Addr, size);
    if (idAt >= 0) this.rig.u32[(o.addr + idAt) >>> 2] = o.id;
    o.fields = [...from.fields];
  }

  /** Moves what an object holds into a new one, which is not scanned if it was born while marking goes on. */
  moveToNew(): void {
    const from = this.#pick();
    if (from === null || from.fields.length === 0) return;
    const to = this.#alloc(from.shape);
    this.#setRoot(3 * this.random(this.roots.length / 3) + 2, to);
    this.#overwrite(to, from);
    this.#overwrite(from, this.#alloc(from.shape));
  }

  /**
   * Moves the only pointer to an object: it is taken out of `from` and put into an object that a root reaches. A
   * collector that has scanned the new place and not the old one sees the object nowhere.
   */
  #moveOnly(from: Obj): void {
    const k = this.random(from.fields.length);
    const only = this.#alloc();
    this.#setField(from, k, only);
    const to = this.#pick();
    if (to === null || to.fields.length === 0) return;
    // Through a local, as a program does.
    const j = this.random(to.fields.length);
    this.#setField(to, j, only);
    if (to !== from || j !== k) this.#setField(from, k, null);
  }

  /**
   * Moves the only pointer to an object from a field to a stack slot, which has no barrier and may have been scanned.
   */
  moveToStack(): void {
    const o = this.#pick();
    if (o === null || o.fields.length === 0) return;
    const k = this.random(o.fields.length);
    const moved = o.fields[k]!;
    if (moved === null) return;
    this.#setRoot(3 * this.random(this.roots.length / 3) + 2, moved);
    this.#setField(o, k, null);
  }

  /** One random change of the graph. */
  mutate(): void {
    if (this.rigs.length > 1) this.rig = this.rigs[this.random(this.rigs.length)];
    const o = this.#pick();
    const what = this.random(13);
    if (o === null || what === 0) {
      this.#setRoot(this.random(this.roots.length), this.#alloc());
    } else if (what < 6 && o.fields.length > 0) {
      this.#setField(o, this.random(o.fields.length), this.#alloc());
    } else if (what === 6 && o.fields.length > 0) {
      this.#setField(o, this.random(o.fields.length), this.#pick());
    } else if (what === 7 && o.fields.length > 0) {
      // Hide: take a pointer out of one place and put it elsewhere, which is what a missing barrier loses.
      const k = this.random(o.fields.length);
      const moved = o.fields[k]!;
      this.#setField(o, k, null);
      const to = this.#pick();
      if (to !== null && to.fields.length > 0) this.#setField(to, this.random(to.fields.length), moved);
      else this.#setRoot(this.random(this.roots.length), moved);
    } else if (what === 10 && o.fields.length > 0) {
      this.#moveOnly(o);
    } else if (what >= 11 && o.fields.length > 0) {
      const from = this.#pick();
      if (from !== null && from !== o && from.shape === o.shape) this.#copy(o, from);
    } else if (what === 8) {
      this.#setRoot(this.random(this.roots.length), this.#pick());
    } else if (this.random(4) === 0) {
      this.#setRoot(this.random(this.roots.length), null);
    }
  }

  /** Objects that a root reaches. */
  reachable(): Set<Obj> {
    const seen = new Set<Obj>();
    const grey = this.roots.filter((o) => o !== null);
    for (let o = grey.pop(); o !== undefined; o = grey.pop()) {
      if (seen.has(o)) continue;
      seen.add(o);
      for (const f of o.fields) if (f !== null && !seen.has(f)) grey.push(f);
    }
    return seen;
  }

  /** Compares everything reachable. */
  verify(): Set<Obj> {
    const { u32, gc } = this.rig;
    const all = this.reachable();
    for (const o of all) {
      if (o.shape.idAt >= 0 && u32[(o.addr + o.shape.idAt) >>> 2] !== o.id) {
        throw new Error(`object ${o.id} at 0x${o.addr.toString(16)} has lost its number`);
      }
      o.shape.fields.forEach((f, k) => {
        const p = u32[(o.addr + f) >>> 2];
        const to = o.fields[k]!;
        if (to === null ? p !== 0 : p < to.addr || p >= to.addr + to.shape.size) {
          throw new Error(`field ${k} of object ${o.id} is 0x${p.toString(16)}, want object ${to?.id}`);
        }
      });
    }
    const survey = this.#survey(gc);
    if (survey.reachable !== all.size) {
      throw new Error(`the heap's walker reaches ${survey.reachable} objects, the shadow ${all.size}`);
    }
    return all;
  }

  #survey(gc: Collector): HeapSurvey {
    for (const rig of this.rigs) rig.a.flushAll();
    const others = this.rigs.filter((rig) => rig.gc !== gc);
    for (const rig of others) rig.gc.threads.command(GC_LIST_STACKS, 0);
    const survey = verifyHeap(gc);
    forEachThread(gc.heap.mem, (t) => clearRanges(gc.heap.mem, t));
    return survey;
  }
}
