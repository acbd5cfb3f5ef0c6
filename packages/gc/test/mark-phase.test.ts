import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import type { MarkerKind } from "../src/mark-drainer.ts";
import { ParallelMarker } from "../src/mark-phase.ts";
import { GCWORK_AT, MARK_AT, WORK_JOINING, WORK_RUNNING } from "../src/mark-state.ts";
import { checkMarks } from "../src/mcheckmark.ts";
import type { Marker } from "../src/mgcmark.ts";
import { beginMarking, endMarking, type Marked, randomGraph } from "./graph.ts";
import { MiB, type Rig, random, rig } from "./kit.ts";

const seed = Number(process.env.GORT_SEED ?? Date.now() % 1_000_000);

interface Helpers {
  ids: number[];
  workers: Worker[];
  errors: string[];
  scanned(): number;
  stop(): Promise<number[]>;
}

/** Starts helpers over the built package: workers can't load TypeScript. */
async function startHelpers(r: Rig, kinds: MarkerKind[], more: object = {}): Promise<Helpers> {
  const words = r.a.mem.persistentAlloc(8, 8, "otherSys");
  r.a.share();
  const errors: string[] = [];
  const workers = kinds.map(
    (kind) =>
      new Worker(new URL("workers/marker.mjs", import.meta.url), {
        workerData: { memory: r.a.mem.memory, stop: words, scanned: words + 4, kind, ...more },
        execArgv: [],
      }),
  );
  const exits = workers.map((w) => new Promise<number>((resolve) => w.on("exit", resolve)));
  for (const w of workers) w.on("error", (err) => errors.push(String(err)));
  const ids = await Promise.all(
    workers.map(
      (w) =>
        new Promise<number>((resolve, reject) => {
          w.once("message", (m: { id: number }) => resolve(m.id));
          // A worker that can't even start: the built package is older than this test.
          w.once("error", reject);
        }),
    ),
  );
  return {
    ids,
    workers,
    errors,
    scanned: () => r.u32[(words + 4) >>> 2],
    stop: () => {
      r.u32[words >>> 2] = 1;
      return Promise.all(exits);
    },
  };
}

/** Waits for the condition. Fails after ten seconds. */
async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error("waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** A heap on which threads meet: many small objects on few pages, and wide ones that fill stacks. */
function busyGraph(r: Rig, salt: number): void {
  randomGraph(r, random(seed + salt), 6000);
  const wide = r.a.newType(2048, [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff]);
  const small = r.a.newType(16, [0b11]);
  const rnd = random(seed + salt);
  const nodes = Array.from({ length: 8000 }, () => r.a.mallocTyped(small));
  const wides = Array.from({ length: 400 }, () => r.a.mallocTyped(wide));
  for (const p of nodes) {
    for (const slot of [p, p + 8]) r.u32[slot >>> 2] = rnd(20) === 0 ? wides[rnd(400)] : nodes[rnd(8000)];
  }
  for (const p of wides) for (let k = 0; k < 128; k++) r.u32[(p + 8 * k) >>> 2] = wides[rnd(400)]!;
  r.gc.refs.alloc(nodes[0]);
  r.gc.refs.alloc(wides[0]);
}

/** What the single-threaded marker finds. */
function markAlone(r: Rig, marker: Marker): Marked {
  beginMarking(r, marker);
  while (marker.drain(1 << 20) > 0);
  return endMarking(r, marker);
}

/**
 * The bits and the sums that do not depend on which thread did what. A large stack may be scanned in another order, not
 * to another sum.
 */
const essence = (m: Marked) => ({ bits: m.bits, bytesMarked: m.bytesMarked, scanWork: m.scanWork });

describe(`marking by several threads (seed ${seed}; GORT_SEED repeats it)`, () => {
  it.each([
    ["wasm", ["wasm", "wasm"]],
    ["js", ["js", "js"]],
    ["wasm", ["js", "wasm", "js"]],
  ] as [MarkerKind, MarkerKind[]][])("marks what one thread marks (%s with %s)", async (own, kinds) => {
    let helped = 0;
    const r = rig({ maxMemory: 128 * MiB });
    const helpers = await startHelpers(r, kinds);
    for (let round = 0; round < 4; round++) {
      busyGraph(r, round);
      const marker = r.gc.marker;
      const alone = markAlone(r, marker);
      for (let again = 0; again < 5; again++) {
        beginMarking(r, marker);
        const parallel = new ParallelMarker(marker, own);
        parallel.begin();
        parallel.finish();
        expect(marker.overflow).toBe(false);
        checkMarks(r.gc.heap, r.gc.roots);
        expect(essence(endMarking(r, marker))).toEqual(essence(alone));
      }
    }
    helped = helpers.scanned();
    expect(await helpers.stop()).toEqual(kinds.map(() => 0));
    expect(helpers.errors).toEqual([]);
    expect(helped).toBeGreaterThan(0);
  });

  it("works alone, if no helper comes", () => {
    for (const kind of ["wasm", "js"] as const) {
      const r = rig({ maxMemory: 64 * MiB });
      busyGraph(r, 1);
      const alone = markAlone(r, r.gc.marker);
      beginMarking(r, r.gc.marker);
      const parallel = new ParallelMarker(r.gc.marker, kind);
      parallel.begin();
      expect(() => parallel.begin()).toThrow("begin() called in a mark phase");
      expect(parallel.nproc).toBe(1);
      parallel.finish();
      expect(essence(endMarking(r, r.gc.marker))).toEqual(essence(alone));
    }
  });

  it("is refused over an unshared memory", () => {
    const r = rig({ maxMemory: 64 * MiB, shared: false });
    expect(() => new ParallelMarker(r.gc.marker)).toThrow(TypeError);
  });

  it("marks again the work in hand of a helper that fails", async () => {
    const r = rig({ maxMemory: 128 * MiB });
    for (let k = 0; k < 4; k++) busyGraph(r, k);
    const { marker } = r.gc;
    const alone = markAlone(r, marker);
    const helpers = await startHelpers(r, ["js", "js"], { fail: true });
    let lost = 0;
    for (let again = 0; again < 100 && lost === 0; again++) {
      beginMarking(r, marker);
      const parallel = new ParallelMarker(marker);
      parallel.begin();
      const deadline = performance.now() + 100;
      while (parallel.nproc === 1 && performance.now() < deadline);
      parallel.finish();
      if (marker.overflow) lost++;
      const { bits, bytesMarked } = endMarking(r, marker);
      expect({ bits, bytesMarked }).toEqual({ bits: alone.bits, bytesMarked: alone.bytesMarked });
    }
    await helpers.stop();
    expect(helpers.errors.length).toBeGreaterThan(0);
    expect(new Set(helpers.errors)).toEqual(new Set(["Error: failed with an object in hand"]));
    expect(lost).toBeGreaterThan(0);
  });

  describe("of which one dies", () => {
    const PROC = 1 << 8;
    const WAIT = 1;
    const deaths: [string, { status: number; gate: number }][] = [
      ["at work", { status: WORK_RUNNING, gate: PROC }],
      ["waiting, and counted", { status: WORK_RUNNING, gate: PROC + WAIT }],
      ["on its way in, and counted", { status: WORK_JOINING, gate: PROC }],
      ["on its way in, and not counted", { status: WORK_JOINING, gate: 0 }],
    ];
    // A thread that dies after it found no work, and before it changed the gate, looks like a thread at work.
    it.each(deaths)("%s goes on without it", (_, { status, gate }) => {
      const r = rig({ maxMemory: 64 * MiB, shared: true });
      randomGraph(r, random(seed), 2000);
      const alone = markAlone(r, r.gc.marker);
      const { marker } = r.gc;
      const { state } = marker;
      beginMarking(r, marker);
      const phase = new ParallelMarker(marker, "js");
      phase.begin();
      const w = state.newWork(status);
      r.u32[(w + GCWORK_AT.phase) >>> 2] = state.get(MARK_AT.gate) >>> 20;
      state.set(MARK_AT.gate, state.get(MARK_AT.gate) + gate);
      for (let i = 0; i < 3; i++) phase.step();
      expect(phase.lost(r.u32[(w + GCWORK_AT.id) >>> 2])).toBe(true);
      expect(phase.lost(r.u32[(w + GCWORK_AT.id) >>> 2])).toBe(false);
      // The bound counts steps, not time: the phase stalls only if nothing happens.
      let steps = 0;
      while (!phase.step()) if (++steps > 10_000) throw new Error("the phase does not end");
      expect(marker.overflow).toBe(true);
      const marked = endMarking(r, marker);
      expect(marked.bits).toEqual(alone.bits);
      expect(marked.bytesMarked).toBe(alone.bytesMarked);
    });

    it("among others, all of whom wait, ends when they have been counted anew", async () => {
      const r = rig({ maxMemory: 64 * MiB, shared: true });
      busyGraph(r, 5);
      const helpers = await startHelpers(r, ["js", "wasm"]);
      const { marker } = r.gc;
      const { state } = marker;
      for (let round = 0; round < 20; round++) {
        beginMarking(r, marker);
        const phase = new ParallelMarker(marker, "js");
        phase.begin();
        const w = state.newWork(WORK_RUNNING);
        r.u32[(w + GCWORK_AT.phase) >>> 2] = state.get(MARK_AT.gate) >>> 20;
        for (let old = -1, at = (state.mark + MARK_AT.gate) >>> 2; old !== state.get(MARK_AT.gate); ) {
          old = state.get(MARK_AT.gate);
          if (Atomics.compareExchange(r.u32, at, old, old + PROC) === old) break;
        }
        // Everything is marked, except what the dead thread may hold.
        const waiting = (): number => state.get(MARK_AT.gate) & 255;
        await until(() => {
          phase.step();
          return waiting() === 2 || phase.over;
        });
        expect(phase.over).toBe(false);
        expect(phase.lost(r.u32[(w + GCWORK_AT.id) >>> 2])).toBe(true);
        phase.finish();
        endMarking(r, marker);
      }
      await helpers.stop();
      expect(helpers.errors).toEqual([]);
    });
  });

  it("says so when a helper stops without a word, and marks all if it goes on", async () => {
    const r = rig({ maxMemory: 128 * MiB });
    for (let k = 0; k < 4; k++) busyGraph(r, k);
    const { marker } = r.gc;
    const alone = markAlone(r, marker);
    const hang = r.a.mem.persistentAlloc(4, 4, "otherSys");
    const helpers = await startHelpers(r, ["js"], { hang });
    beginMarking(r, marker);
    const parallel = new ParallelMarker(marker);
    parallel.begin();
    // The roots are left to the helper, until it stops with an object in hand.
    await until(() => r.a.mem.kernel.load(hang) === 1);
    expect(() => parallel.finish(20)).toThrow(
      "gc: a mark worker does not go on: its thread was terminated, or is stopped",
    );
    expect(parallel.over).toBe(false);
    expect(parallel.nproc).toBe(2);
    r.a.mem.kernel.store(hang, 0);
    Atomics.notify(r.a.mem.i32, hang >>> 2);
    parallel.finish();
    expect(marker.overflow).toBe(false);
    expect(essence(endMarking(r, marker))).toEqual(essence(alone));
    expect(await helpers.stop()).toEqual([0]);
    expect(helpers.errors).toEqual([]);
  });

  it("marks again the work in hand of a terminated helper, when its owner reports it", async () => {
    const r = rig({ maxMemory: 128 * MiB });
    for (let k = 0; k < 4; k++) busyGraph(r, k);
    const { marker } = r.gc;
    const alone = markAlone(r, marker);
    for (let round = 0; round < 4; round++) {
      const kind = round % 2 === 0 ? "wasm" : "js";
      const helpers = await startHelpers(r, [kind, kind]);
      beginMarking(r, marker);
      const parallel = new ParallelMarker(marker, kind);
      parallel.begin();
      const [victim] = helpers.workers as [Worker];
      const gone = new Promise((resolve) => victim.on("exit", resolve));
      // Leave the roots to the helpers for a moment, so that they have work in hand.
      await new Promise((resolve) => setTimeout(resolve, round));
      const ended = victim.terminate();
      let exited = false;
      void gone.then(() => {
        exited = parallel.lost(helpers.ids[0]);
      });
      while (!parallel.step() || !exited) {
        await new Promise((resolve) => setImmediate(resolve));
        if (exited && parallel.over) break;
      }
      await ended;
      const { bits, bytesMarked } = endMarking(r, marker);
      expect({ bits, bytesMarked }).toEqual({ bits: alone.bits, bytesMarked: alone.bytesMarked });
      expect(parallel.lost(helpers.ids[0])).toBe(false);
      expect(parallel.lost(99)).toBe(false);
      await helpers.stop();
    }
  });
});
