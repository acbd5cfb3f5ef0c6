/**
 * The code of several threads run by one: it then marks in the steps of the single-threaded marker, so its counts are
 * exact.
 */
import { describe, expect, it } from "vitest";
import { MarkParallelJS } from "../src/mark-parallel.ts";
import { ParallelMarker } from "../src/mark-phase.ts";
import { MARK_AT, WORK_RUNNING } from "../src/mark-state.ts";
import { checkMarks } from "../src/mcheckmark.ts";
import { Marker } from "../src/mgcmark.ts";
import { WorkBufs } from "../src/mgcwork.ts";
import { beginMarking, endMarking, type Marked, randomGraph } from "./graph.ts";
import { MiB, type Rig, random, rig } from "./kit.ts";

function alone(r: Rig): Marked {
  const marker = new Marker(r.gc.heap, "js");
  beginMarking(r, marker);
  while (marker.drain(1 << 20) > 0);
  return endMarking(r, marker);
}

function inPhase(r: Rig, kind: "js" | "wasm"): Marked {
  const marker = new Marker(r.gc.heap, "js");
  beginMarking(r, marker);
  const phase = new ParallelMarker(marker, kind);
  phase.begin();
  phase.finish();
  checkMarks(r.gc.heap, r.gc.roots);
  return endMarking(r, marker);
}

describe("a phase of one thread", () => {
  it.each(["js", "wasm"] as const)("visits and scans the same as the single-threaded marker (%s)", (kind) => {
    for (let seed = 1; seed <= 6; seed++) {
      const r = rig({ maxMemory: 128 * MiB, shared: true });
      randomGraph(r, random(seed), 3000);
      const want = alone(r);
      expect(inPhase(r, kind), `seed ${seed}`).toEqual(want);
      // And again: what a page's state says is of its cycle.
      expect(inPhase(r, kind), `seed ${seed}`).toEqual(want);
      expect(alone(r), `seed ${seed}`).toEqual(want);
    }
  });
});

describe("a page that its visit leaves", () => {
  /** Marks a page of two grey objects. Another thread marks some `before` the visit leaves the page, others `after`. */
  function visit(before: number, after: number) {
    const r = rig({ maxMemory: 64 * MiB, shared: true });
    const type = r.a.newType(16, [0b01]);
    const [a, b, ...others] = Array.from({ length: 6 }, () => r.a.mallocTyped(type) as number);
    r.gc.refs.alloc(a);
    r.gc.refs.alloc(b);
    const marker = new Marker(r.gc.heap, "js");
    beginMarking(r, marker);
    const { state } = marker;
    const visitor = new MarkParallelJS(state, marker.bufs, marker.work);
    const other = new MarkParallelJS(state, new WorkBufs(state), state.newWork(WORK_RUNNING));
    const { mem } = state;
    const { kernel } = mem;
    const pageState = state.pageState + ((a >>> 13) << 2);
    let leaves = 0;
    const store = (addr: number, value: number): void => {
      const leaving = addr === pageState && value === state.get(MARK_AT.cycle) && ++leaves === 1;
      if (leaving) for (const p of others.slice(0, before)) other.shade(p);
      kernel.store(addr, value);
      if (leaving) for (const p of others.slice(before, before + after)) other.shade(p);
    };
    Object.defineProperty(mem, "kernel", { value: { ...kernel, store } });
    const bytes = [visitor.drain(1 << 20), other.drain(1 << 20)];
    Object.defineProperty(mem, "kernel", { value: kernel });
    const { spanSparse, spansSparse } = marker.scanStats();
    return { bytes, spanSparse, spansSparse, bytesMarked: endMarking(r, marker).bytesMarked };
  }

  it("is taken back if another thread has marked an object at the last moment", () => {
    expect(visit(0, 0)).toEqual({ bytes: [32, 0], spanSparse: 2, spansSparse: 1, bytesMarked: 32 });
    expect(visit(1, 0)).toEqual({ bytes: [48, 0], spanSparse: 3, spansSparse: 1, bytesMarked: 48 });
    expect(visit(3, 0)).toEqual({ bytes: [80, 0], spanSparse: 5, spansSparse: 1, bytesMarked: 80 });
  });

  it("is left to the next visit if it is queued again, which then looks at all of it", () => {
    expect(visit(0, 1)).toEqual({ bytes: [32, 16], spanSparse: 3, spansSparse: 2, bytesMarked: 48 });
    expect(visit(1, 1)).toEqual({ bytes: [32, 32], spanSparse: 4, spansSparse: 2, bytesMarked: 64 });
    expect(visit(1, 2)).toEqual({ bytes: [32, 48], spanSparse: 5, spansSparse: 2, bytesMarked: 80 });
  });
});
