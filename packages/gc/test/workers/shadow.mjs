// A program that rewrites a graph of objects at random, beside the same graph in JS, on one of several threads. Objects
// of other threads come through a table of roots that all threads share: of these it checks only that they are objects.

const CHECK = 0x5bd1e995 | 0;

export class Shadow {
  /** table: address of n root slots that all threads share. */
  constructor({ a, gc, table, n, random, thread }) {
    Object.assign(this, { a, gc, table, n, random, thread, u32: a.mem.u32 });
    const type = (size, mask, fields, idAt) => ({ typ: a.newType(size, mask), size, fields, idAt });
    const wide = new Uint32Array(36);
    wide[0] = 0b101;
    wide[35] = 1 << 3;
    this.shapes = [
      type(48, [0b000111], [0, 8, 16], 24),
      // Of the same size, and without pointers where the other has some: its number is no address.
      type(48, [0b011100], [16, 24, 32], 0),
      type(32, [0b0111], [0, 8, 16], 24),
      type(112, [0b100000000011], [0, 8, 88], 96),
      type(640, [1, 0, 1 << 12], [0, 608, 0], 8),
      type(9000, wide, [0, 16, 8984], 8),
    ];
    this.lastId = thread << 24;
    this.nroots = 16;
    this.stack = a.stackAlloc(2048);
    this.u32.fill(0, this.stack >>> 2, (this.stack + 2048) >>> 2);
    gc.setStackRoots((visit) => visit(this.stack, this.stack + 8 * this.nroots));
    this.refs = Array.from({ length: this.nroots }, () => gc.refs.alloc(0));
    this.roots = new Array(2 * this.nroots).fill(null);
    this.foreign = 0;
  }

  /** The last field of a shape holds objects of any thread. */
  alloc() {
    const shape = this.shapes[this.random(16) === 0 ? 5 : this.random(this.random(4) === 0 ? 5 : 3)];
    const addr = this.a.mallocTyped(shape.typ);
    const id = ++this.lastId;
    for (const f of shape.fields)
      if (this.u32[(addr + f) >>> 2] !== 0) throw new Error("a new object is not zero");
    this.u32[(addr + shape.idAt) >>> 2] = id;
    this.u32[(addr + shape.idAt + 4) >>> 2] = id ^ CHECK;
    return { id, addr, shape, fields: [null, null] };
  }

  setRoot(i, o) {
    const p = o === null ? 0 : o.addr;
    if (i < this.nroots) this.u32[(this.stack + 8 * i) >>> 2] = p;
    else this.gc.storePointer(this.refs[i - this.nroots], p);
    this.roots[i] = o;
  }

  setField(o, k, to) {
    this.gc.storePointer(o.addr + o.shape.fields[k], to === null ? 0 : to.addr);
    o.fields[k] = to;
  }

  pick() {
    let o = this.roots[this.random(this.roots.length)];
    for (let n = this.random(12); o !== null && n > 0; n--) {
      const next = o.fields[this.random(2)];
      if (next === null) break;
      o = next;
    }
    return o;
  }

  /** Throws if there is no object of a shadow at p. */
  checkForeign(p) {
    const base = this.a.findObject(p);
    if (base === 0) throw new Error(`0x${p.toString(16)} is no object`);
    const at = p >>> 2;
    for (const idAt of [24, 96, 8, 0]) {
      const id = this.u32[at + (idAt >>> 2)];
      if (id !== 0 && (id ^ CHECK) >>> 0 === this.u32[at + (idAt >>> 2) + 1]) {
        this.foreign++;
        return;
      }
    }
    throw new Error(`the object at 0x${p.toString(16)} has lost its number`);
  }

  mutate() {
    const o = this.pick();
    const what = this.random(12);
    if (o === null || what === 0) this.setRoot(this.random(this.roots.length), this.alloc());
    else if (what < 5) this.setField(o, this.random(2), this.alloc());
    else if (what === 5) this.setField(o, this.random(2), this.pick());
    else if (what === 6) {
      const k = this.random(2);
      const moved = o.fields[k];
      this.setField(o, k, null);
      const to = this.pick();
      if (to === null) this.setRoot(this.random(this.roots.length), moved);
      else this.setField(to, this.random(2), moved);
    } else if (what === 7) this.setRoot(this.random(this.roots.length), this.pick());
    else if (what === 8) this.gc.storePointer(this.table + 8 * this.random(this.n), o.addr);
    else if (what === 9) {
      const p = this.u32[(this.table + 8 * this.random(this.n)) >>> 2];
      if (p !== 0) this.checkForeign(p);
      if (o.shape.fields[2] !== 0) this.gc.storePointer(o.addr + o.shape.fields[2], p);
    } else if (what === 10 && o.shape.fields[2] !== 0) {
      const p = this.u32[(o.addr + o.shape.fields[2]) >>> 2];
      if (p === 0) return;
      this.checkForeign(p);
      this.gc.storePointer(o.addr + o.shape.fields[2], 0);
      this.gc.storePointer(this.table + 8 * this.random(this.n), p);
    } else if (this.random(4) === 0) this.setRoot(this.random(this.roots.length), null);
  }

  /** Compares everything reachable; returns the number of objects. */
  verify() {
    const { u32 } = this;
    const seen = new Set();
    const grey = this.roots.filter((o) => o !== null);
    for (let o = grey.pop(); o !== undefined; o = grey.pop()) {
      if (seen.has(o)) continue;
      seen.add(o);
      const at = (o.addr + o.shape.idAt) >>> 2;
      if (u32[at] !== o.id || u32[at + 1] !== (o.id ^ CHECK) >>> 0) {
        throw new Error(
          `object ${o.id} at 0x${o.addr.toString(16)} of thread ${this.thread} has lost its number`,
        );
      }
      o.fields.forEach((to, k) => {
        const p = u32[(o.addr + o.shape.fields[k]) >>> 2];
        if (p !== (to === null ? 0 : to.addr))
          throw new Error(`field ${k} of object ${o.id} is 0x${p.toString(16)}`);
        if (to !== null) grey.push(to);
      });
      if (o.shape.fields[2] !== 0) {
        const p = u32[(o.addr + o.shape.fields[2]) >>> 2];
        if (p !== 0) this.checkForeign(p);
      }
    }
    return seen.size;
  }
}

export function seeded(seed) {
  let s = seed >>> 0 || 1;
  return (n) => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return Math.floor(((s >>> 0) / 2 ** 32) * n);
  };
}

/** Changes and steps of the collector, at the seed's will. */
export function play(shadow, world, gc, random, changes) {
  let collections = 0;
  for (let i = 0; i < changes; i++) {
    shadow.mutate();
    if (random(16) === 0) {
      world.poll();
      if (random(2) === 0) gc.pollSafepoint();
    }
    if (random(400) === 0) gc.idleWork();
    if (random(1500) === 0) gc.requestGC();
    if (random(6000) === 0) {
      gc.gc();
      collections++;
    }
    if (random(3000) === 0) shadow.verify();
  }
  return collections;
}
