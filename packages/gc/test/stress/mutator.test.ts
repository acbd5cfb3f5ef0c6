import { type HeapStats, newHeapStats } from "@gort/allocator";
import { describe, expect, it } from "vitest";
import type { Godebug } from "../../src/index.ts";
import { verifyTricolour } from "../../src/testing.ts";
import { MiB, type Random, type Rig, type RigOptions, random, rig } from "../kit.ts";
import { Mutator, type Stores, withBarrier } from "./mutator.ts";

const seed = Number(process.env.GORT_SEED ?? Date.now() % 1_000_000);

/** Runs a mutator with steps of the collector in between, at the seed's will. */
function soak(options: RigOptions, rounds: number, stw: boolean, changes = 400): void {
  const r = rig(options);
  const rnd = random(seed);
  const m = new Mutator(r, rnd);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < changes; i++) {
      m.mutate();
      if (stw) {
        if (rnd(50) === 0) r.gc.pollSafepoint();
        continue;
      }
      if (rnd(40) === 0 && !r.gc.marking) r.gc.requestGC();
      if (rnd(3) === 0) r.gc.step(1 + rnd(4096));
      if (rnd(30) === 0 && r.gc.marking) verifyTricolour(r.gc);
    }
    if (rnd(3) === 0) m.verify();
    r.gc.gc();
    const reachable = m.verify();
    // A collection that begins after the last change frees all garbage.
    expect(r.heapObjects()).toBe(reachable.size);
  }
}

const NO_LIMIT = 2n ** 63n - 1n;

/** Something that a program may do to the heap at any moment between two operations, at the seed's will. */
function meddle({ a, gc }: Rig, rnd: Random, stats: HeapStats): void {
  switch (rnd(8)) {
    case 0:
      gc.setMemoryLimit(Math.max(1, Math.floor(a.readStats(stats).heapAlloc * (0.5 + rnd(100) / 50))));
      break;
    case 1:
      gc.setGCPercent([1, 2, 10, 100, 400, -1][rnd(6)]);
      break;
    case 2:
      a.freeOSMemory();
      break;
    case 3:
      a.readStats(stats);
      break;
    case 4:
      a.flushAll();
      break;
    case 5:
      gc.requestGC();
      break;
    case 6:
      a.scavenge(rnd(1 << 20));
      gc.nextGC();
      break;
    default:
      gc.readGCStats();
  }
}

/** A program that paces itself, whose limits, percentage and memory are changed at random. */
function meddled(options: RigOptions, changes: number): void {
  const r = rig(options);
  const rnd = random(seed);
  const stats = newHeapStats();
  const m = new Mutator(r, rnd, 24);
  for (let i = 0; i < changes; i++) {
    m.mutate();
    if (rnd(20) === 0) meddle(r, rnd, stats);
    if (rnd(30) === 0) r.gc.step(1 + rnd(512));
    if (rnd(16) === 0) r.gc.pollSafepoint();
    if (rnd(1000) === 0) m.verify();
  }
  r.gc.setMemoryLimit(NO_LIMIT);
  r.gc.setGCPercent(100);
  r.gc.gc();
  expect(r.heapObjects()).toBe(m.verify().size);
}

/** All settings of the switches that change what the collector does. */
function* switches(): Generator<Partial<Godebug>> {
  for (const gcstoptheworld of [0, 1, 2])
    for (const clobberfree of [0, 1])
      for (const gccheckmark of [0, 1])
        for (const gcstress of [0, 1])
          for (const allocfreetrace of [0, 1])
            for (const invalidptr of [0, 1])
              yield { gcstoptheworld, clobberfree, gccheckmark, gcstress, allocfreetrace, invalidptr };
}

describe(`a random mutator under every combination of switches (seed ${seed}; GORT_SEED repeats it)`, () => {
  const world = {
    stopTheWorld() {},
    startTheWorld() {},
    gomaxprocs: () => 1,
    ready() {},
    currentStack: () => "goroutine 1 [running]:",
  };
  it("loses nothing and leaks nothing", () => {
    for (const godebug of switches()) {
      try {
        meddled({ godebug, world, maxMemory: 64 * MiB }, 150);
        soak({ godebug, world, maxMemory: 64 * MiB }, 1, godebug.gcstoptheworld !== 0, 150);
      } catch (err) {
        throw new Error(`with ${JSON.stringify(godebug)}`, { cause: err });
      }
    }
  });
});

const twins = ["wasm", "js"] as const;

describe.each(twins)(`a random mutator (marked by %s, seed ${seed}; GORT_SEED repeats it)`, (marker) => {
  const debug = { clobberfree: 1, gccheckmark: 1 };

  it("loses nothing and leaks nothing while marking and sweeping go on in small steps", () => {
    soak({ marker, godebug: debug }, 60, false);
  });
  it("does so with the world stopped", () => {
    soak({ marker, godebug: { ...debug, gcstoptheworld: 1 } }, 30, true);
  });
  it("does so with a collection at every safepoint", () => {
    soak({ marker, godebug: { ...debug, gcstress: 1 } }, 5, true);
  });
  it("does so above 2 GiB", () => {
    soak({ marker, godebug: debug, above: 2048 * MiB }, 20, false);
  });
  it("does so under limits, percentages and releases that change at any moment", () => {
    for (const godebug of [debug, { ...debug, gcstoptheworld: 1 }, { gcstress: 1 }]) {
      meddled({ marker, godebug, gogc: 20 }, 10_000);
    }
  });
  it("does so in a program that paces itself", () => {
    const r = rig({ marker, godebug: debug, gogc: 50 });
    const rnd = random(seed);
    const m = new Mutator(r, rnd, 48);
    for (let i = 0; i < 60_000; i++) {
      m.mutate();
      if (i % 16 === 0) r.gc.pollSafepoint();
    }
    expect(r.gc.readGCStats().numGC).toBeGreaterThan(0);
    r.gc.gc();
    expect(r.heapObjects()).toBe(m.verify().size);
  });
});

/** What a program that breaks the rule of the barrier does. Only while marking does it matter. */
const broken: Record<string, { stores: Stores; lose?: (m: Mutator) => void }> = {
  "a store without barrier": {
    stores: { ...withBarrier, store: ({ u32 }, slot, p) => void (u32[slot >>> 2] = p) },
  },
  "a copy without barrier": {
    stores: { ...withBarrier, copy: ({ a }, _typ, dst, src, size) => a.mem.kernel.copy(dst, src, size) },
    lose: (m) => m.moveToNew(),
  },
  "a move that shades the new place only after the old one is cleared": {
    stores: {
      ...withBarrier,
      // Clears are hidden from the barrier: the snapshot at the beginning has a hole.
      store: ({ gc, u32 }, slot, p) => (p === 0 ? void (u32[slot >>> 2] = 0) : gc.storePointer(slot, p)),
    },
    // A clear alone loses nothing that a goroutine's own stack does not hold: the object must move to where marking
    // has been.
    lose: (m) => m.moveToStack(),
  },
};

describe(`a program that breaks the barrier's rule (seed ${seed}; GORT_SEED repeats it)`, () => {
  it.each(Object.entries(broken))("is caught: %s", (_what, { stores, lose }) => {
    let caught = 0;
    for (let k = 0; k < 50 && caught === 0; k++) {
      try {
        breakRule(stores, seed + k, lose);
      } catch {
        caught++;
      }
    }
    expect(caught).toBe(1);
  });

  it("and one that keeps it is not", () => {
    for (let k = 0; k < 20; k++) {
      breakRule(withBarrier, seed + k);
      for (const { lose } of Object.values(broken))
        if (lose !== undefined) breakRule(withBarrier, seed + k, lose);
    }
  });

  function breakRule(stores: Stores, from: number, lose?: (m: Mutator) => void): void {
    const r = rig({ godebug: { clobberfree: 1, gccheckmark: 1 } });
    const rnd = random(from);
    const m = new Mutator(r, rnd, 24, stores);
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 600; i++) {
        m.mutate();
        if (lose !== undefined && rnd(4) === 0) lose(m);
        if (rnd(60) === 0 && !r.gc.marking) r.gc.requestGC();
        if (rnd(4) === 0) r.gc.step(1 + rnd(1024));
      }
      r.gc.gc();
      m.verify();
    }
  }
});
