import { describe, expect, it } from "vitest";
import { GCState } from "../src/gc-state.ts";
import { Roots } from "../src/mark-roots.ts";
import type { Marker } from "../src/mgcmark.ts";
import { REF_BLOCK_BYTES } from "../src/ref-table.ts";
import { type Rig, rig } from "./kit.ts";

/** What a marker is asked to scan. */
function recorder() {
  const scanned: [number, number][] = [];
  const shaded: number[] = [];
  const objects: number[] = [];
  const marker = {
    scanRoots: (lo: number, hi: number) => scanned.push([lo, hi]),
    shade: (p: number) => shaded.push(p),
    scanFinalizerObject: (base: number) => objects.push(base),
  } as unknown as Marker;
  return { marker, scanned, shaded, objects };
}

const rootsOf = ({ a, gc }: Rig): Roots =>
  new Roots(gc.heap, gc.refs, gc.finalizers, new GCState(a.mem).roots);

describe("globals", () => {
  it("are whole slots outside of address 0", () => {
    const roots = rootsOf(rig());
    for (const [lo, hi] of [
      [0, 8],
      [-8, 8],
      [16, 8],
      [12, 16],
      [8, 12],
      [Number.NaN, 8],
      [8, Number.NaN],
    ] as const) {
      expect(() => roots.addGlobals(lo, hi)).toThrow(
        new RangeError(`gc: globals must be a range of 8-byte slots (got [${lo}, ${hi}))`),
      );
    }
    expect(roots.globalsBytes).toBe(0);
    roots.addGlobals(8, 8);
    expect(roots.globalsBytes).toBe(0);
  });

  it("are scanned range by range until they are taken back, each once", () => {
    const roots = rootsOf(rig());
    const ranges = [
      [8, 24],
      [24, 32],
      [8, 32],
      [24, 32],
      [32, 64],
    ] as const;
    const undo = ranges.map(([lo, hi]) => roots.addGlobals(lo, hi));
    const scan = () => {
      const r = recorder();
      roots.begin(r.marker);
      expect(roots.globalsScan).toBe(r.scanned.reduce((n, [lo, hi]) => n + hi - lo, 0));
      expect(roots.globalsBytes).toBe(roots.globalsScan);
      return r.scanned;
    };
    expect(scan()).toEqual(ranges);
    undo[3]();
    expect(scan()).toHaveLength(4);
    undo[3]();
    undo[1]();
    expect(scan()).toEqual([ranges[0], ranges[2], ranges[4]]);
    undo[1]();
    undo[0]();
    expect(scan()).toEqual([ranges[2], ranges[4]]);
    undo[2]();
    undo[4]();
    expect(scan()).toEqual([]);
  });
});

describe("a range of globals that is registered twice", () => {
  it("stays when one registration is taken back twice", () => {
    const roots = rootsOf(rig());
    const undo = roots.addGlobals(8, 24);
    roots.addGlobals(8, 24);
    undo();
    undo();
    expect(roots.globalsBytes).toBe(16);
  });
});

describe("the roots of a cycle", () => {
  it("are globals, stacks and queued finalizers at once, and refs block by block", () => {
    const r = rig();
    const roots = rootsOf(r);
    roots.addGlobals(64, 128);
    roots.stacks = (visit) => {
      visit(1000, 1016);
      visit(2000, 2000);
      visit(3000, 3008);
    };
    const first = r.gc.refs.alloc(r.a.mallocTyped(r.node));
    const seen = recorder();
    roots.begin(seen.marker);
    expect(seen.scanned).toEqual([
      [64, 128],
      [1000, 1016],
      [2000, 2000],
      [3000, 3008],
    ]);
    expect([roots.stackScan, roots.globalsScan, roots.done]).toEqual([24, 64, false]);
    expect(roots.globalsBytes).toBe(64 + 8);
    seen.scanned.length = 0;
    expect(roots.step(seen.marker)).toBe(REF_BLOCK_BYTES);
    expect(seen.scanned).toEqual([[r.gc.refs.firstBlock + 8, r.gc.refs.firstBlock + REF_BLOCK_BYTES]]);
    expect(first).toBeGreaterThan(seen.scanned[0][0] - 1);
    expect(first).toBeLessThan(seen.scanned[0][1]);
    expect(roots.globalsScan).toBe(64 + REF_BLOCK_BYTES - 8);
    while (!roots.done) expect(roots.step(seen.marker)).toBeGreaterThan(0);
    expect(roots.step(seen.marker)).toBe(0);
    // The next cycle begins anew.
    roots.begin(seen.marker);
    expect([roots.stackScan, roots.globalsScan, roots.done]).toEqual([24, 64, false]);
  });

  it("are the objects to which objects with finalizers refer, 512 spans a step", () => {
    const r = rig();
    const roots = rootsOf(r);
    const some: number[] = [];
    const large = r.a.newType(40_000, [1]);
    for (let i = 0; i < 1200; i++) {
      const p = r.a.mallocTyped(large);
      if (i % 400 === 7) {
        some.push(r.a.findObject(p));
        r.gc.finalizers.setFinalizer(p, () => {});
      }
    }
    const seen = recorder();
    roots.begin(seen.marker);
    while (roots.step(seen.marker) === REF_BLOCK_BYTES);
    const n = r.a.nspans;
    expect(n).toBeGreaterThan(1200);
    // The first step of spans is over.
    let work = 512 * 64;
    for (let step = roots.step(seen.marker); step > 0; step = roots.step(seen.marker)) work += step;
    expect(work).toBe(n * 64);
    expect(seen.objects.sort((x, y) => x - y)).toEqual(some.sort((x, y) => x - y));
  });

  it("are no spans as long as no finalizer was set, whatever else objects have", () => {
    const r = rig();
    const roots = rootsOf(r);
    const p = r.a.mallocTyped(r.node);
    r.gc.finalizers.addCleanup(p, () => {}, null);
    r.gc.finalizers.weak(p);
    const seen = recorder();
    roots.begin(seen.marker);
    while (roots.step(seen.marker) === REF_BLOCK_BYTES);
    expect(roots.done).toBe(true);
    r.gc.finalizers.setFinalizer(p, () => {});
    r.gc.finalizers.setFinalizer(p, null);
    roots.begin(seen.marker);
    while (roots.step(seen.marker) === REF_BLOCK_BYTES);
    expect([roots.done, seen.objects]).toEqual([true, []]);
    r.gc.finalizers.setFinalizer(p, () => {});
    roots.begin(seen.marker);
    while (roots.step(seen.marker) > 0);
    expect(seen.objects).toEqual([r.a.findObject(p)]);
  });
});

describe("the walk over all roots", () => {
  it("gives the pointers of all slots that are not nil: globals, stacks, queued finalizers and refs", () => {
    const r = rig();
    const roots = rootsOf(r);
    const words = r.a.mem.persistentAlloc(96, 8, "otherSys");
    for (let k = 0; k < 12; k++) r.u32[(words + 8 * k) >>> 2] = k === 2 ? 0 : 8000 + 8 * k;
    // Words 0 and 5 to 7 belong to no root.
    roots.addGlobals(words + 8, words + 32);
    roots.addGlobals(words + 32, words + 40);
    roots.stacks = (visit) => {
      visit(words + 64, words + 80);
      visit(words + 80, words + 96);
      visit(words + 96, words + 96);
    };
    const p = r.a.mallocTyped(r.node);
    r.gc.refs.alloc(16);
    r.gc.refs.alloc(0);
    r.gc.refs.alloc(24);
    r.gc.finalizers.setFinalizer(p, () => {});
    const seen = () => {
      const found: number[] = [];
      roots.forEachRoot((root) => found.push(root));
      return found;
    };
    const fixed = [8008, 8024, 8032, 8064, 8072, 8080, 8088];
    expect(seen()).toEqual([...fixed, 16, 24]);
    r.gc.gc();
    expect(seen()).toEqual([...fixed, p, 16, 24]);
    // Of two equal ranges, one is taken back; a range that begins where another ends is not.
    const undo = roots.addGlobals(words + 32, words + 40);
    undo();
    expect(seen()).toEqual([...fixed, p, 16, 24]);
    const other = roots.addGlobals(words + 8, words + 16);
    other();
    expect(seen()).toEqual([...fixed, p, 16, 24]);
  });
});
