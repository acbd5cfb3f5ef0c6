/** Each marker, those for several threads run by one: which objects it marks and in which steps, shape by shape. */
import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { classToSize, MSPAN_AT } from "../src/heap.ts";
import { isMarked, objectIndex } from "../src/heap-walk.ts";
import { MarkParallelJS } from "../src/mark-parallel.ts";
import { MARK_AT, OBLET_BYTES, OBLET_GROUP_BYTES, STACK_FULL } from "../src/mark-state.ts";
import type { MarkTwin } from "../src/mark-twin.ts";
import { markWasm } from "../src/mark-wasm.ts";
import { Marker } from "../src/mgcmark.ts";
import { beginMarking, endMarking } from "./graph.ts";
import { MiB, type Rig, random, rig } from "./kit.ts";

const ways: Record<string, (m: Marker) => MarkTwin> = {
  js: (m) => m.js,
  wasm: (m) => markWasm(m.state, m.bufs, m.work),
  "js for several threads": (m) => new MarkParallelJS(m.state, m.bufs, m.work),
  "wasm for several threads": (m) => markWasm(m.state, m.bufs, m.work, true),
};

/** An object under test: where it is, and what marking has to do about it. */
interface Obj {
  addr: Addr;
  /** Bytes of its slot. */
  size: number;
  /** Bytes that a scan of it takes; 0 if it has no pointers. */
  scan: number;
  byPage: boolean;
}

function objectAt(r: Rig, addr: Addr): Obj {
  const { gc, u32 } = r;
  const span = gc.heap.allocator.spanOf(addr) as number;
  const size = u32[(span + MSPAN_AT.elemsize) >>> 2];
  const spanclass = u32[(span + MSPAN_AT.spanclass) >>> 2];
  const large = spanclass >>> 1 === 0;
  // Marking scans neither the header of 8 bytes nor the rest of the last page behind a large object.
  const bytes = large ? u32[(span + MSPAN_AT.limit) >>> 2] - addr : size > 512 ? size - 8 : size;
  const scan = (spanclass & 1) === 1 ? 0 : bytes;
  return { addr, size, scan, byPage: !large && size >= 16 && size <= 512 };
}

function marked({ gc }: Rig, p: Addr): boolean {
  const span = gc.heap.allocator.spanOf(p) as number;
  return isMarked(gc.heap, span, objectIndex(gc.heap, span, p));
}

/** The sums that marking exactly these objects gives. */
function sums(objects: readonly Obj[]) {
  const sum = (f: (o: Obj) => number): number => objects.reduce((n, o) => n + f(o), 0);
  return {
    work: sum((o) => o.scan),
    bytesMarked: sum((o) => o.size),
    spanSparse: sum((o) => (o.scan > 0 && o.byPage ? 1 : 0)),
    sparse: sum((o) =>
      o.scan > 0 && !o.byPage ? (o.size > 32_768 ? Math.ceil(o.scan / OBLET_BYTES) : 1) : 0,
    ),
  };
}

/** Marks from the rig's roots in each way: exactly `wanted` of `objects` have to be marked, and each scanned once. */
function expectMarks(r: Rig, objects: readonly Obj[], wanted: readonly Obj[]) {
  const set = new Set(wanted);
  const results = Object.entries(ways).map(([way, make]) => {
    const marker = new Marker(r.gc.heap, "js");
    beginMarking(r, marker);
    const twin = make(marker);
    // The smallest steps: a visit of a page, or an entry of the stack.
    const steps: number[] = [];
    for (let n = twin.drain(1); n > 0; n = twin.drain(1)) steps.push(n);
    const wrong = objects
      .filter((o) => marked(r, o.addr) !== set.has(o))
      .map((o) => `0x${o.addr.toString(16)}, ${o.size} bytes`);
    const classes = [...marker.classStats()];
    const { bytesMarked, stats } = endMarking(r, marker);
    const work = steps.reduce((n, step) => n + step, 0);
    const got = { work, bytesMarked, spanSparse: stats.spanSparse, sparse: stats.sparse };
    expect({ way, wrong, ...got }).toEqual({ way, wrong: [], ...sums(wanted) });
    const perClass = (f: (s: (typeof classes)[0][1]) => number) => classes.reduce((n, [, s]) => n + f(s), 0);
    expect([
      perClass((s) => s.spanSparse),
      perClass((s) => s.sparse),
      perClass((s) => s.spansSparse),
    ]).toEqual([stats.spanSparse, stats.sparse, stats.spansSparse]);
    return { steps, classes, visits: stats.spansSparse };
  });
  for (const result of results) expect(result).toEqual(results[0]);
  return results[0];
}

/** A type of `size` bytes with pointers in the slots that `has` names. */
function typeOf(r: Rig, size: number, has: (slot: number) => boolean): number {
  const mask = new Uint32Array(Math.ceil(size / 256));
  for (let s = 0; s < size / 8; s++) if (has(s)) mask[s >>> 5] |= 1 << (s & 31);
  return r.a.newType(size, mask);
}

/** Makers of objects that a pointer may lead to: each is found and queued in its own way. */
function leaves(r: Rig): (() => Addr)[] {
  const types = [16, 24, 48, 512, 8, 640].map((n) => typeOf(r, n, (s) => s === 0));
  const noscan = [16, 48, 1408, 20_000];
  return [...types.map((t) => () => r.a.mallocTyped(t)), ...noscan.map((n) => () => r.a.mallocNoscan(n))];
}

/** A size of every class that is marked by page, 8 bytes, and some that have headers. */
const SIZES = [
  ...[
    8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384, 416,
  ],
  ...[448, 480, 512, 568, 1016, 1400, 2680, 8184],
];

/** Patterns of pointer slots in an object of n slots. */
const patterns = (n: number, rnd: (n: number) => number): ((s: number) => boolean)[] => {
  const some = Array.from({ length: n }, () => rnd(3) === 0);
  return [(s) => s === 0, (s) => s === n - 1, (s) => s % 2 === 0, () => true, (s) => some[s]];
};

describe.each([
  ["a low heap", {}],
  ["a heap above 2 GiB", { above: 2048 * MiB }],
])("each marker, over %s,", (_, options) => {
  it.each([
    ["most objects of a page are grey", 2, 12, (i: number) => i % 5 !== 0],
    ["one object of a page is", 12, 2, (i: number, page: number, n: number) => i === (page * 7 + 3) % n],
  ])("follows exactly the pointer slots of an object of any size, if %s", (_, npages, sparse, isRoot) => {
    const r = rig({ maxMemory: 64 * MiB, ...options });
    const rnd = random(1);
    const parents: { addr: Addr; slots: number; has: (s: number) => boolean; root: boolean }[] = [];
    for (const size of SIZES) {
      const types = patterns(size / 8, rnd).map((has) => ({
        has,
        slots: size / 8,
        typ: typeOf(r, size, has),
      }));
      const perPage = Math.max(1, Math.floor(8192 / size));
      for (let k = 0; k < npages * perPage; k++) {
        const type = types[k % types.length];
        const root = isRoot(k % perPage, Math.floor(k / perPage), perPage);
        parents.push({ addr: r.a.mallocTyped(type.typ), root, ...type });
      }
    }
    const makers = leaves(r);
    const decoys = makers.map((make) => objectAt(r, make()));
    const wanted: Obj[] = [];
    const shared: Obj[] = [];
    for (const { addr, slots, has, root } of parents) {
      if (root) {
        r.gc.refs.alloc(addr);
        wanted.push(objectAt(r, addr));
      }
      for (let s = 0; s < slots; s++) {
        // Slots without pointers, and all slots of garbage, hold addresses of otherwise unreachable objects.
        let value: number = decoys[s % decoys.length].addr;
        if (root && has(s)) {
          value = 0;
          if (rnd(sparse) === 0) {
            // Another object points to every third leaf already.
            const leaf =
              rnd(3) === 0 && shared.length > 0
                ? shared[rnd(shared.length)]
                : objectAt(r, makers[rnd(makers.length)]());
            if (!shared.includes(leaf)) {
              wanted.push(leaf);
              if (shared.length < 100) shared.push(leaf);
            }
            value = leaf.addr;
          }
        }
        r.u32[(addr + 8 * s) >>> 2] = value;
      }
    }
    expectMarks(r, [...decoys, ...wanted], wanted);
  });

  it("follows the pointers of elements across all the parts of a large object", () => {
    const r = rig({ maxMemory: 128 * MiB, ...options });
    const rnd = random(2);
    const makers = leaves(r);
    const decoys = makers.map((make) => objectAt(r, make()));
    const wanted: Obj[] = [];
    for (const [elem, has] of [
      [8, () => true],
      [16, (s: number) => s === 0],
      [16, (s: number) => s === 1],
      [40, (s: number) => s === 0 || s === 2],
      [264, (s: number) => s === 32],
      [4104, (s: number) => s === 0 || s === 512],
      [12_000, (s: number) => s % 31 === 3 && s < 1200],
    ] as [number, (s: number) => boolean][]) {
      for (const bytes of [1000, 40_000, 140_000, 270_000]) {
        const n = Math.floor(bytes / elem);
        if (n === 0) continue;
        const typ = typeOf(r, elem, has);
        const addr = r.a.mallocgc(n * elem, typ, true);
        r.gc.refs.alloc(addr);
        wanted.push(objectAt(r, addr));
        for (let off = 0; off < n * elem; off += 8) {
          // Dense around the boundaries of parts, sparse in between.
          const fromPart = (off + 64) % OBLET_BYTES;
          if (fromPart >= 128 && off + 64 < n * elem && rnd(40) !== 0) continue;
          let value: number = decoys[(off >>> 3) % decoys.length].addr;
          if (has((off % elem) >>> 3)) {
            const leaf = objectAt(r, makers[rnd(makers.length)]());
            wanted.push(leaf);
            value = leaf.addr;
          }
          r.u32[(addr + off) >>> 2] = value;
        }
      }
    }
    expectMarks(r, [...decoys, ...wanted], wanted);
  });

  it("finds an object by any of its bytes, and none by an address that is no object's", () => {
    const r = rig({ maxMemory: 64 * MiB, ...options });
    const all: Obj[] = [];
    const wanted: Obj[] = [];
    const sizes = [...Array.from(classToSize).slice(1), 33_000, 100_000];
    const points: number[] = [];
    for (const size of sizes) {
      for (const noscan of [false, true]) {
        // With pointers and a header, a slot holds 8 bytes less.
        const bytes = !noscan && size > 512 && size <= 32_768 ? size - 8 : size;
        const typ = noscan ? 0 : typeOf(r, bytes, (s) => s === 0);
        if (noscan && size < 16) continue;
        for (const offset of [0, 1, 7, bytes - 8, bytes - 1]) {
          const group = [0, 1, 2].map(() => objectAt(r, r.a.mallocgc(bytes, typ, true)));
          all.push(...group);
          wanted.push(group[1]);
          points.push(group[1].addr + offset);
        }
      }
    }
    const stack = r.a.stackAlloc(2048);
    // A span of 16 KiB has eleven objects of 1408 bytes, and 896 bytes behind them.
    const tail = r.a.mallocNoscan(1408);
    const tailSpan = r.gc.heap.allocator.spanOf(tail) as number;
    points.push(0, 8, 4096, r.gc.heap.arenaStart - 8, stack, stack + 2047, r.a.zerobase);
    points.push(
      r.u32[(tailSpan + MSPAN_AT.startAddr) >>> 2] + 11 * 1408,
      r.u32[(tailSpan + MSPAN_AT.startAddr) >>> 2] + 16383,
    );
    all.push(objectAt(r, tail));
    // Some are met in roots, the others in objects.
    const holder = r.a.mallocgc(
      8 * points.length,
      typeOf(r, 8, () => true),
      true,
    );
    r.gc.refs.alloc(holder);
    wanted.push(objectAt(r, holder));
    points.forEach((p, i) => {
      r.u32[(holder + 8 * i) >>> 2] = p;
    });
    expectMarks(r, all, wanted);
    for (const p of points) r.gc.refs.alloc(p);
    expectMarks(r, all, wanted);
  });
});

describe("each marker", () => {
  /** Objects of a type that fill npages pages, and nothing else on them. */
  function pages(r: Rig, size: number, npages: number): Addr[][] {
    const typ = typeOf(r, size, () => true);
    const perPage = Math.floor(8192 / size);
    return Array.from({ length: npages }, () => Array.from({ length: perPage }, () => r.a.mallocTyped(typ)));
  }

  function link(r: Rig, chain: readonly Addr[]): void {
    chain.forEach((p, i) => {
      r.u32[p >>> 2] = chain[i + 1] ?? 0;
    });
    r.gc.refs.alloc(chain[0]);
  }

  it.each([16, 48, 256, 512])("scans a chain of objects of %i bytes on one page in one visit", (size) => {
    const r = rig({ maxMemory: 64 * MiB });
    const rnd = random(3);
    const all = pages(r, size, 4);
    // Every second object of each page is garbage: those at odd places on two pages, the others on two.
    const chains = all.map((page, k) => page.filter((_, i) => (i + k) % 2 === 0));
    const [up, down, inwards, shuffled] = chains as [Addr[], Addr[], Addr[], Addr[]];
    const places = shuffled.map((p) => ({ p, at: rnd(1 << 20) })).sort((x, y) => x.at - y.at);
    link(r, up);
    link(r, down.toReversed());
    link(
      r,
      inwards.map((_, i) => inwards.at(i % 2 === 0 ? i / 2 : -(i + 1) / 2)!),
    );
    link(
      r,
      places.map(({ p }) => p),
    );
    const reachable = new Set(chains.flat());
    const objects = all.flat().map((p) => objectAt(r, p));
    const { steps, visits } = expectMarks(
      r,
      objects,
      objects.filter((o) => reachable.has(o.addr)),
    );
    expect([steps, visits]).toEqual([chains.map((chain) => size * chain.length), 4]);
  });

  it("visits a page for each object of a chain that goes to and fro, more often than the ring has slots", () => {
    const r = rig({ maxMemory: 64 * MiB });
    const all = pages(r, 16, 20);
    const chain: Addr[] = [];
    for (let k = 0; k < 20; k += 2) chain.push(...all[k].flatMap((p, i) => [p, all[k + 1][i]]));
    link(r, chain);
    const objects = chain.map((p) => objectAt(r, p));
    expect(objects.length).toBeGreaterThan(r.gc.marker.state.ringMask + 1);
    const { steps, visits } = expectMarks(r, objects, objects);
    expect([steps, visits]).toEqual([chain.map(() => 16), chain.length]);
  });

  it("visits pages in the order in which they were queued, and then the stack", () => {
    const r = rig({ maxMemory: 64 * MiB });
    const make = (size: number) => r.a.mallocTyped(typeOf(r, size, () => true));
    const [a, b, c, d, e, f, g] = [640, 32, 48, 8, 64, 80, 96].map<Addr>(make);
    const other = r.a.mallocTyped(typeOf(r, 48, () => true));
    const point = (from: Addr, to: Addr[]): void => {
      to.forEach((p, i) => {
        r.u32[(from + 8 * i) >>> 2] = p;
      });
    };
    // The two objects of 48 bytes are on one page, which is queued for the first.
    point(b, [e, other, d]);
    point(c, [f]);
    point(a, [g]);
    for (const p of [a, b, c]) r.gc.refs.alloc(p);
    const objects = [a, b, c, d, e, f, g, other].map((p) => objectAt(r, p));
    expect(expectMarks(r, objects, objects).steps).toEqual([32, 48 + 48, 64, 80, 8, 696, 96]);
  });

  /** A list of wide objects, each of which also leads to 510 of 8 bytes: the stack grows by these at each. */
  function deep(r: Rig, n: number): Obj[] {
    const wide = typeOf(r, 4088, () => true);
    const small = typeOf(r, 8, () => true);
    const list = Array.from({ length: n }, () => r.a.mallocTyped(wide));
    const objects = list.map((p) => objectAt(r, p));
    list.forEach((p, i) => {
      for (let s = 0; s < 510; s++) {
        const leaf = r.a.mallocTyped(small);
        r.u32[(p + 8 * s) >>> 2] = leaf;
        objects.push(objectAt(r, leaf));
      }
      // Pushed last, and scanned first.
      r.u32[(p + 8 * 510) >>> 2] = list[i + 1] ?? 0;
    });
    r.gc.refs.alloc(list[0]);
    return objects;
  }

  it("scans on with a stack of many pieces", () => {
    const r = rig({ maxMemory: 64 * MiB });
    const objects = deep(r, 20);
    expectMarks(r, objects, objects);
  });

  it.each(Object.entries(ways))(
    "%s: notes that the stack is full and goes on, if memory is out",
    (_, make) => {
      const r = rig({ maxMemory: 64 * MiB });
      const objects = deep(r, 20);
      const { allocWork } = r.gc.heap;
      r.gc.heap.allocWork = () => 0;
      const marker = new Marker(r.gc.heap, "js");
      beginMarking(r, marker);
      const twin = make(marker);
      while (twin.drain(1 << 20) > 0);
      expect(marker.state.get(MARK_AT.overflow)).toBe(STACK_FULL);
      // All that was found is marked. What fits into two pieces was scanned, and the pieces are empty.
      const found = objects.filter((o) => marked(r, o.addr)).length;
      expect(found).toBeLessThan(objects.length);
      expect(marker.scanStats().sparse).toBeGreaterThanOrEqual(4088);
      expect(marker.idle).toBe(true);
      r.gc.heap.allocWork = allocWork;
      expect(endMarking(r, marker).bytesMarked).toBe(sums(objects).bytesMarked);
    },
  );

  it("ends at its budget, and not a step later", () => {
    const r = rig({ maxMemory: 64 * MiB });
    const all = pages(r, 16, 4);
    const words = Array.from({ length: 4 }, () => r.a.mallocTyped(typeOf(r, 8, () => true)));
    for (const p of [...all.map((page) => page[0]), ...words]) r.gc.refs.alloc(p);
    for (const make of Object.values(ways)) {
      const marker = new Marker(r.gc.heap, "js");
      beginMarking(r, marker);
      const twin = make(marker);
      // Four pages of 16 bytes, then four entries of the stack, of 8.
      expect([16, 17, 15, 8, 9, 7, 8].map((budget) => twin.drain(budget))).toEqual([16, 32, 16, 8, 16, 8, 0]);
      endMarking(r, marker);
    }
  });

  it.each([1, 2])("cuts an object of %i whole groups of parts without one behind its end", (groups) => {
    const r = rig({ maxMemory: 64 * MiB });
    const typ = typeOf(r, 8, () => true);
    const size = groups * OBLET_GROUP_BYTES;
    const [p, next] = [0, 1].map(() => objectAt(r, r.a.mallocgc(size, typ, true))) as [Obj, Obj];
    r.gc.refs.alloc(p.addr);
    const { steps } = expectMarks(r, [p, next], [p]);
    expect(steps).toEqual(new Array(size / OBLET_BYTES).fill(OBLET_BYTES));
  });

  it("scans nothing of an object whose type is not set yet", () => {
    const r = rig({ maxMemory: 64 * MiB });
    const typ = typeOf(r, 8, () => true);
    const decoy = objectAt(r, r.a.mallocTyped(r.node));
    const [header, large] = [1000, 40_000].map((n) => r.a.mallocgc(n, typ, true)) as [Addr, Addr];
    for (const p of [header, large]) {
      r.gc.refs.alloc(p);
      r.u32[p >>> 2] = decoy.addr;
    }
    r.u32[(header - 8) >>> 2] = 0;
    r.u32[((r.gc.heap.allocator.spanOf(large) as number) + MSPAN_AT.largeType) >>> 2] = 0;
    const wanted = [header, large].map((p) => objectAt(r, p));
    expectMarks(r, [decoy, ...wanted], wanted);
  });

  it.each(Object.entries(ways))("%s: stops at a pointer into free pages, if invalidptr is set", (_, make) => {
    for (const holderSize of [16, 48, 8, 640]) {
      const r = rig({ maxMemory: 64 * MiB });
      const holder = r.a.mallocTyped(typeOf(r, holderSize, (s) => s === 0));
      const gone = r.a.mallocNoscan(100_000);
      r.gc.refs.alloc(holder);
      r.gc.gc();
      r.u32[holder >>> 2] = gone + 50_000;
      for (const invalidptr of [false, true]) {
        const marker = new Marker(r.gc.heap, "js");
        beginMarking(r, marker);
        marker.invalidptr = invalidptr;
        const drain = () => make(marker).drain(1 << 20);
        if (invalidptr)
          expect(drain).toThrow("found bad pointer in Go heap (incorrect use of unsafe or cgo?)");
        else {
          expect(drain()).toBe(objectAt(r, holder).scan);
          endMarking(r, marker);
        }
      }
    }
  });
});
