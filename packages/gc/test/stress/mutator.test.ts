import { describe, expect, it } from "vitest";
import type { Godebug } from "../../src/index.ts";
import { verifyTricolour } from "../../src/testing.ts";
import { MiB, type RigOptions, random, rig } from "../kit.ts";
import { Mutator } from "./mutator.ts";

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
