import { afterEach, describe, expect, it, vi } from "vitest";
import type { MarkerKind } from "../src/mark-drainer.ts";
import { ParallelMarker } from "../src/mark-phase.ts";
import { GCWORK_AT, MARK_AT, OBLET_BYTES, OBLET_GROUP_BYTES, THREAD_LOST } from "../src/mark-state.ts";
import { markWasm } from "../src/mark-wasm.ts";
import { checkMarks } from "../src/mcheckmark.ts";
import { Marker } from "../src/mgcmark.ts";
import { verifyHeap } from "../src/testing.ts";
import { beginMarking, endMarking, type Marked, randomGraph } from "./graph.ts";
import { MiB, type Random, type Rig, random, rig } from "./kit.ts";

/** The kit's GORT_MARKER names a twin for all tests; then there is no choice to test. */
const free = process.env.GORT_MARKER === undefined;

const seed = Number(process.env.GORT_SEED ?? Date.now() % 1_000_000);

/** Marks by steps. `rnd` decides their length, and `next` which marker does each. */
function mark(r: Rig, marker: Marker, rnd: Random, next: () => Marker): Marked {
  beginMarking(r, marker);
  for (let n = 1; n > 0; ) n = next().drain(1 + rnd(5000));
  expect(marker.idle).toBe(true);
  checkMarks(r.gc.heap, r.gc.roots);
  return endMarking(r, marker);
}

describe(`the two twins (seed ${seed}; GORT_SEED repeats it)`, () => {
  it.each([
    ["a shared memory", {}],
    ["an unshared memory", { shared: false }],
    ["a heap above 2 GiB", { above: 2048 * MiB }],
  ])("mark the same objects in the same steps in %s", (_, options) => {
    for (let round = 0; round < 12; round++) {
      const r = rig({ maxMemory: 64 * MiB, ...options });
      randomGraph(r, random(seed + round), 200 + 2000 * (round % 4));
      const results = (["js", "wasm"] as MarkerKind[]).map((kind) => {
        const marker = new Marker(r.gc.heap, kind);
        return mark(r, marker, random(seed + round), () => marker);
      });
      const [js, wasm] = results as [Marked, Marked];
      expect(js.bytesMarked).toBeGreaterThan(0);
      expect(wasm).toEqual(js);
    }
  });

  it("take turns on the same state", () => {
    for (let round = 0; round < 6; round++) {
      const r = rig({ maxMemory: 64 * MiB });
      const rnd = random(seed + round);
      randomGraph(r, rnd, 4000);
      const js = new Marker(r.gc.heap, "js");
      const alone = mark(r, js, random(1), () => js);
      const wasm = new Marker(r.gc.heap, "wasm", js.work);
      const both = mark(r, js, random(1), () => (rnd(2) === 0 ? js : wasm));
      expect(both).toEqual(alone);
    }
  });

  it.each(["js", "wasm"] as const)("mark although no memory is left for the stack (%s)", (kind) => {
    const r = rig({ maxMemory: 64 * MiB });
    const wide = r.a.newType(800, [1]);
    for (let i = 0; i < 9000; i++) {
      const p = r.a.mallocTyped(wide);
      r.gc.refs.alloc(p);
      r.u32[p >>> 2] = r.a.mallocTyped(wide);
    }
    r.gc.heap.allocWork = () => 0;
    const marker = new Marker(r.gc.heap, kind);
    beginMarking(r, marker);
    while (marker.drain(1 << 20) > 0);
    expect(marker.overflow).toBe(true);
    expect(endMarking(r, marker).bytesMarked).toBe(18_000 * 896);
  });

  it.each(["js", "wasm"] as const)("report a pointer into a free span (%s)", (kind) => {
    const r = rig({ maxMemory: 64 * MiB, marker: kind });
    const node = r.a.mallocTyped(r.node);
    const gone = r.a.mallocNoscan(100_000);
    r.gc.refs.alloc(node);
    r.gc.gc();
    r.u32[node >>> 2] = gone + 50_000;
    expect(() => r.gc.gc()).toThrow("found bad pointer in Go heap");
  });
});

describe("a host that makes no WebAssembly", () => {
  const { WebAssembly } = globalThis as unknown as {
    WebAssembly: Record<"Module" | "Instance", () => void> & { CompileError: new (text: string) => Error };
  };
  const policy = "refused to compile: 'unsafe-eval' is not allowed";
  const refusals: [string, () => void][] = [
    ["compiles no module", () => vi.spyOn(WebAssembly, "Module").mockImplementation(refuse)],
    ["has no memory for an instance", () => vi.spyOn(WebAssembly, "Instance").mockImplementation(refuse)],
  ];
  function refuse(): never {
    throw new WebAssembly.CompileError(policy);
  }
  afterEach(() => void vi.restoreAllMocks());

  for (const [what, forbid] of refusals) {
    it(`and ${what} leaves marking to JavaScript, in the middle of a cycle, and says so if asked to`, () => {
      const line = `gc: no marking kernel in WebAssembly, marking goes on in JavaScript (CompileError: ${policy})\n`;
      for (const [options, reports] of [
        [{}, 0],
        [{ godebug: "gctrace=1" }, 1],
        [{ marker: "wasm" as const }, 1],
      ] as const) {
        const r = rig({ maxMemory: 64 * MiB, ...options });
        const keep = r.a.newType(512 << 10, new Uint32Array(2048).fill(1, 0, 1));
        for (let i = 0; i < 10; i++) r.gc.refs.alloc(r.a.mallocTyped(keep));
        randomGraph(r, random(seed), 2000);
        forbid();
        r.gc.start();
        while (r.gc.step(4096) !== "terminate");
        vi.restoreAllMocks();
        r.gc.gc();
        expect(r.gc.marker.kind).toBe("js");
        const want = options.marker === undefined && !free && process.env.GORT_MARKER === "js" ? 0 : reports;
        expect(r.lines.filter((l) => l === line)).toHaveLength(want);
        verifyHeap(r.gc);
      }
    });
  }

  it("gives no twin, and says why, where there is no WebAssembly or no memory of its kind", () => {
    const what = new TypeError("gc: marker: wasm needs a WebAssembly.Memory");
    const r = rig({ maxMemory: 64 * MiB });
    const { state, bufs, work } = new Marker(r.gc.heap, "js");
    vi.stubGlobal("WebAssembly", undefined);
    expect(() => markWasm(state, bufs, work)).toThrow(what);
    vi.unstubAllGlobals();
    Object.defineProperty(r.a.mem, "memory", { value: null });
    expect(() => markWasm(state, bufs, work)).toThrow(what);
  });

  it("lets a parallel phase mark in JavaScript", () => {
    const r = rig({ maxMemory: 64 * MiB, shared: true });
    randomGraph(r, random(seed), 2000);
    const js = new Marker(r.gc.heap, "js");
    const alone = mark(r, js, random(1), () => js);
    const told: string[] = [];
    js.onFallback = (err) => void told.push(String(err));
    beginMarking(r, js);
    const phase = new ParallelMarker(js, "wasm");
    vi.spyOn(WebAssembly, "Module").mockImplementation(refuse);
    phase.begin();
    phase.finish();
    expect(told).toEqual([`CompileError: ${policy}`]);
    expect(endMarking(r, js).bits).toEqual(alone.bits);
  });
});

describe("a large object", () => {
  it.each([
    ["js", (r: Rig) => new Marker(r.gc.heap, "js")],
    ["wasm", (r: Rig) => new Marker(r.gc.heap, "wasm")],
  ] as const)("queues a bounded number of its parts at a time (%s)", (_, make) => {
    const r = rig({ maxMemory: 128 * MiB, shared: true });
    const ptr = r.a.newType(8, [1]);
    const size = 40 * MiB + 8192;
    const big = r.a.mallocgc(size, ptr, true);
    r.u32[big >>> 2] = big + 5;
    const last = r.a.mallocTyped(r.node);
    r.u32[(big + size - 8) >>> 2] = last;
    r.gc.refs.alloc(big);
    let bufs = 0;
    const { heap } = r.gc;
    const { allocWork } = heap;
    heap.allocWork = () => {
      bufs++;
      return allocWork.call(heap);
    };
    const marker = make(r);
    beginMarking(r, marker);
    const { work, state } = marker;
    const waiting = (): number => {
      const buf = r.u32[(work + GCWORK_AT.buf) >>> 2];
      return (r.u32[(work + GCWORK_AT.sp) >>> 2] - buf - 16) / 4;
    };
    // One step has scanned the first part.
    expect(marker.drain(1)).toBe(OBLET_BYTES);
    let most = waiting();
    while (marker.drain(1) > 0) most = Math.max(most, waiting());
    expect(most).toBeLessThanOrEqual(OBLET_GROUP_BYTES / OBLET_BYTES);
    expect(bufs).toBe(0);
    expect(state.get(MARK_AT.overflow)).toBe(0);
    checkMarks(r.gc.heap, r.gc.roots);
    expect(marker.scanStats().sparse).toBe(size / OBLET_BYTES);
    expect(endMarking(r, marker).scanWork).toBe(size + 32);
  });

  it("is queued as bounded by several threads", () => {
    const r = rig({ maxMemory: 128 * MiB, shared: true });
    const size = 40 * MiB;
    const big = r.a.mallocgc(size, r.a.newType(8, [1]), true);
    r.u32[(big + size - 8) >>> 2] = r.a.mallocTyped(r.node);
    r.gc.refs.alloc(big);
    for (const kind of ["js", "wasm"] as const) {
      const marker = new Marker(r.gc.heap, "js");
      beginMarking(r, marker);
      const { allocWork } = r.gc.heap;
      r.gc.heap.allocWork = () => 0;
      const phase = new ParallelMarker(marker, kind);
      phase.begin();
      phase.finish();
      r.gc.heap.allocWork = allocWork;
      expect(marker.overflow).toBe(false);
      checkMarks(r.gc.heap, r.gc.roots);
      expect(endMarking(r, marker).scanWork).toBe(size + 32);
    }
  });
});

describe("the marker", () => {
  it.runIf(free)("becomes WebAssembly when there is work for it, where the memory's kernel is", () => {
    const kinds = [{}, { marker: "js" as const }, { kernel: "js" as const }, { marker: "wasm" as const }].map(
      (options) => {
        const r = rig({ maxMemory: 64 * MiB, ...options });
        const half = r.a.newType(512 << 10, new Uint32Array(2048).fill(1, 0, 1));
        const seen = [r.gc.marker.kind];
        for (let i = 0; i < 4; i++) {
          // 512 KiB more.
          const p = r.a.mallocTyped(half);
          r.gc.refs.alloc(p);
          r.gc.gc();
          seen.push(r.gc.marker.kind);
        }
        return seen.join(" ");
      },
    );
    expect(kinds).toEqual([
      "js js js wasm wasm",
      "js js js js js",
      "js js js js js",
      "js wasm wasm wasm wasm",
    ]);
  });
});

describe("a step of marking", () => {
  it.each(["js", "wasm"] as const)(
    "without a budget scans nothing, and with one counts what it scans (%s)",
    (kind) => {
      const r = rig({ maxMemory: 64 * MiB });
      let list = 0;
      for (let i = 0; i < 100; i++) {
        const p = r.a.mallocTyped(r.node);
        r.u32[p >>> 2] = list;
        list = p;
      }
      r.gc.refs.alloc(list);
      const marker = new Marker(r.gc.heap, kind);
      beginMarking(r, marker);
      expect([marker.idle, marker.drain(0), marker.drain(-1), marker.heapScanWork]).toEqual([false, 0, 0, 0]);
      const first = marker.drain(0.5);
      expect(first).toBeGreaterThan(0);
      expect(marker.heapScanWork).toBe(first);
      let sum = first;
      for (let n = marker.drain(64); n > 0; n = marker.drain(64)) sum += n;
      expect([marker.idle, marker.heapScanWork, sum]).toEqual([true, 3200, 3200]);
      const { bytesMarked, stats } = endMarking(r, marker);
      expect([bytesMarked, stats.spanSparse, stats.sparse]).toEqual([3200, 100, 0]);
      // Nothing is left of it in the next cycle, in which the root is marked again.
      beginMarking(r, marker);
      expect([marker.heapScanWork, marker.bytesMarked]).toEqual([0, 32]);
      endMarkingOf(r, marker);
    },
  );

  function endMarkingOf(r: Rig, marker: Marker): void {
    while (marker.drain(1 << 20) > 0);
    expect(endMarking(r, marker).scanWork).toBe(3200);
  }
});

describe("roots and objects that are scanned for the collector", () => {
  /** A marker that records what it shades. */
  function recorded() {
    const r = rig({ maxMemory: 64 * MiB });
    const marker = new Marker(r.gc.heap, "js");
    beginMarking(r, marker);
    const shaded: number[] = [];
    marker.js.shade = (p) => void shaded.push(p);
    return { ...r, marker, shaded };
  }

  it("are shaded slot by slot of a range, nil apart", () => {
    const { a, u32, marker, shaded } = recorded();
    const words = a.mem.persistentAlloc(64, 8, "otherSys");
    for (let k = 0; k < 8; k++) u32[(words + 8 * k) >>> 2] = k === 3 ? 0 : 8 * k + 8;
    u32[(words + 12) >>> 2] = 9999;
    marker.scanRoots(words + 8, words + 56);
    marker.scanRoots(words + 56, words + 56);
    expect(shaded).toEqual([16, 24, 40, 48, 56]);
  });

  it("are the objects to which one with a finalizer refers, without itself, at the price of its slot", () => {
    const { a, u32, marker, shaded } = recorded();
    const p = a.mallocTyped(a.newType(48, [0x3f]));
    const values = [p, p + 47, p + 48, p - 1, 0, 8];
    values.forEach((v, i) => {
      u32[(p + 8 * i) >>> 2] = v;
    });
    marker.scanFinalizerObject(p);
    expect([shaded, marker.heapScanWork]).toEqual([[p + 48, p - 1, 8], 48]);
    const wide = a.mallocTyped(a.newType(1000, [1]));
    u32[wide >>> 2] = p;
    marker.scanFinalizerObject(a.findObject(wide));
    expect([shaded.at(-1), marker.heapScanWork]).toEqual([p, 48 + 1024]);
  });
});

describe("the figures of a cycle", () => {
  it("are sums over all threads, and by size class of the objects scanned there", () => {
    const r = rig({ maxMemory: 64 * MiB });
    const make = (size: number, n: number) => {
      const typ = r.a.newType(size, [1]);
      for (let i = 0; i < n; i++) r.gc.refs.alloc(r.a.mallocTyped(typ));
    };
    make(16, 600);
    make(48, 3);
    make(8, 5);
    make(1000, 2);
    make(40_000, 1);
    const marker = new Marker(r.gc.heap, "js");
    beginMarking(r, marker);
    while (marker.drain(1 << 20) > 0);
    const none = { sparse: 0, spanSparse: 0, spanDense: 0, spansSparse: 0, spansDense: 0 };
    expect([...marker.classStats()]).toEqual([
      [0, { ...none, sparse: 10 }],
      [1, { ...none, sparse: 5 }],
      [2, { ...none, spanSparse: 600, spansSparse: 2 }],
      [5, { ...none, spanSparse: 3, spansSparse: 1 }],
      [32, { ...none, sparse: 2 }],
    ]);
    const stats = { ...none, sparse: 17, spanSparse: 603, spansSparse: 3 };
    expect(marker.scanStats()).toEqual(stats);
    const work = 600 * 16 + 3 * 48 + 5 * 8 + 2 * 1016 + 40_000;
    expect(marker.heapScanWork).toBe(work);
    // Another thread's part counts as well.
    const { state } = marker;
    const other = state.newWork(2);
    r.u32[(other + GCWORK_AT.bytesMarked) >>> 2] = 1000;
    r.u32[(other + GCWORK_AT.objsStacked) >>> 2] = 2;
    r.a.mem.f64[(other + GCWORK_AT.heapScanWork) >>> 3] = 3;
    expect(marker.heapScanWork).toBe(work + 3);
    expect(marker.scanStats()).toEqual({ ...stats, sparse: 19 });
    expect(endMarking(r, marker).bytesMarked).toBe(600 * 16 + 3 * 48 + 5 * 8 + 2 * 1024 + 40_960 + 1000);
  });
});

describe("an object that is born while a cycle marks", () => {
  it.each(["js", "wasm"] as const)("is counted once, also on a page that marking visits (%s)", (kind) => {
    const r = rig({ maxMemory: 64 * MiB, marker: kind });
    const { gc } = r;
    // A list of every second object of its pages: the collection frees the others.
    let list = 0;
    for (let i = 0; i < 2000; i++) {
      const p = r.a.mallocTyped(r.node);
      if (i % 2 !== 0) continue;
      r.u32[p >>> 2] = list;
      list = p;
    }
    gc.refs.alloc(list);
    gc.gc();
    expect(gc.heap.heapMarked).toBe(1000 * 32);
    gc.start();
    gc.step(1);
    expect(gc.marking).toBe(true);
    for (let i = 0; i < 500; i++) r.a.mallocTyped(r.node);
    while (gc.step() !== "terminate");
    expect(gc.heap.heapMarked).toBe(1500 * 32);
    while (gc.step() !== "idle");
    expect(verifyHeap(gc).objects).toBe(1500);
  });
});

describe("a stack", () => {
  it("is not given back while something waits in it", () => {
    const r = rig({ maxMemory: 64 * MiB });
    r.gc.refs.alloc(r.a.mallocTyped(r.a.newType(1000, [1])));
    const marker = new Marker(r.gc.heap, "js");
    beginMarking(r, marker);
    expect(() => marker.releaseWorkbufs()).toThrow("gc: releasing workbufs of an unfinished mark");
    expect(marker.drain(2 ** 40)).toBe(1016);
    marker.releaseWorkbufs();
  });
});

describe("the loss of a thread", () => {
  /** Marks a part, allocates a black object, and marks the rest after what waited was lost, or was not. */
  function outcome(lost: boolean, waiting: "kept" | "dropped") {
    const r = rig({ maxMemory: 64 * MiB });
    randomGraph(r, random(7), 3000);
    const marker = new Marker(r.gc.heap, "js");
    beginMarking(r, marker);
    marker.drain(20_000);
    const before = r.gc.heap.heapLive;
    for (let i = 0; i < 100; i++) r.a.mallocTyped(r.node);
    r.a.mallocNoscan(100_000);
    r.a.flushAll();
    expect(r.gc.heap.heapLive).toBeGreaterThan(before + 100_000);
    const other = marker.state.newWork(2);
    if (lost) {
      r.u32[(other + GCWORK_AT.bytesMarked) >>> 2] = 123;
      marker.state.set(MARK_AT.overflow, THREAD_LOST);
      if (waiting === "dropped") marker.state.dropWork();
      expect(marker.overflow).toBe(true);
    } else while (marker.drain(1 << 20) > 0);
    marker.markOverflow();
    expect([marker.overflow, marker.idle]).toEqual([false, true]);
    checkMarks(r.gc.heap, r.gc.roots);
    const { bits, bytesMarked } = endMarking(r, marker);
    return { bits, bytesMarked };
  }

  it("costs no mark, and no byte of the count", () => {
    const want = outcome(false, "kept");
    expect(outcome(true, "kept")).toEqual(want);
    expect(outcome(true, "dropped")).toEqual(want);
  });
});
