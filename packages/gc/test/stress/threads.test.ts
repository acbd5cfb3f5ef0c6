import { describe, expect, it } from "vitest";
import type { Godebug } from "../../src/index.ts";
import { verifyTricolour } from "../../src/testing.ts";
import { MiB, type Random, type RigOptions, random } from "../kit.ts";
import { type TestWorld, threads } from "../threads-kit.ts";
import { Mutator } from "./mutator.ts";

const seed = Number(process.env.GORT_SEED ?? Date.now() % 1_000_000);

/** A random thread does a random piece of the collector's work. */
function work(world: TestWorld, rnd: Random): void {
  const { gc } = world.rigs[rnd(world.rigs.length)];
  switch (rnd(8)) {
    case 0:
      world.safepoint(gc);
      break;
    case 1:
      world.deliver(gc);
      gc.idleWork();
      break;
    case 2:
      gc.requestGC();
      break;
    default:
      gc.step(1 + rnd(4096));
  }
}

/** Mutators on several threads, with steps of all collectors in between, at the seed's will. */
function soak(n: number, options: RigOptions, rounds: number, changes = 400): void {
  const world = threads(n, options);
  const [driver] = world.rigs;
  const rnd = random(seed);
  const m = new Mutator(world.rigs, rnd, 12 * n);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < changes; i++) {
      m.mutate();
      if (rnd(3) === 0) work(world, rnd);
      if (rnd(30) === 0 && driver.gc.marking) verifyTricolour(driver.gc);
    }
    if (rnd(3) === 0) m.verify();
    world.rigs[rnd(n)].gc.gc();
    const reachable = m.verify();
    // A collection that begins after the last change frees all garbage.
    expect(world.objects()).toBe(reachable.size);
  }
}

function* switches(): Generator<Partial<Godebug>> {
  for (const gcstoptheworld of [0, 1, 2])
    for (const clobberfree of [0, 1])
      for (const gccheckmark of [0, 1])
        for (const gcstress of [0, 1])
          for (const invalidptr of [0, 1])
            yield { gcstoptheworld, clobberfree, gccheckmark, gcstress, invalidptr };
}

describe.each(["wasm", "js"] as const)(
  `random mutators on several threads (marked by %s, seed ${seed}; GORT_SEED repeats it)`,
  (marker) => {
    const godebug = { clobberfree: 1, gccheckmark: 1 };

    it("lose nothing and leak nothing while all threads mark and sweep", () => {
      for (const n of [2, 3, 4]) soak(n, { marker, godebug, maxMemory: 64 * MiB }, 20);
    });
    it("do so above 2 GiB", () => {
      soak(2, { marker, godebug, above: 2048 * MiB }, 8);
    });
    it("do so under every combination of switches", () => {
      for (const switched of switches()) {
        try {
          soak(3, { marker, godebug: switched, maxMemory: 64 * MiB }, 1, 150);
        } catch (err) {
          throw new Error(`with ${JSON.stringify(switched)}`, { cause: err });
        }
      }
    });
  },
);
