/** The code of several threads run by one: it then marks in the steps of the single-threaded marker, so its counts are exact. */
import { describe, expect, it } from "vitest";
import { checkMarks } from "../src/checkmark.ts";
import { ParallelMarker } from "../src/mark-phase.ts";
import { Marker } from "../src/mgcmark.ts";
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
  it.each(["js", "wasm"] as const)("visits and scans what the single-threaded marker does (%s)", (kind) => {
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
