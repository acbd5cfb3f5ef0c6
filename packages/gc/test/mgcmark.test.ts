import { describe, expect, it } from "vitest";
import { checkMarks } from "../src/checkmark.ts";
import { Marker, type MarkerKind } from "../src/mgcmark.ts";
import { beginMarking, endMarking, type Marked, randomGraph } from "./graph.ts";
import { MiB, type Random, type Rig, random, rig } from "./kit.ts";

/** The kit's GORT_MARKER names a twin for all tests; then there is no choice to test. */
const free = process.env.GORT_MARKER === undefined;

const seed = Number(process.env.GORT_SEED ?? Date.now() % 1_000_000);

/** Marks by steps whose length `rnd` decides, `next` deciding who does each. */
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
