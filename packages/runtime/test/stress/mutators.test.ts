import { describe, it } from "vitest";
import type { RuntimeOptions } from "../../src/index.ts";
import { expectEmpty, MiB, make, random, seed } from "./kit.ts";
import { Program, type ProgramOptions } from "./program.ts";

interface Run extends ProgramOptions {
  goroutines?: number;
  rounds?: number;
  phases?: number;
  options?: RuntimeOptions;
  /** The heap begins at this address. */
  heapAt?: number;
}

/** Phases of goroutines that mutate; between them the graph is verified. At the end everything is dropped. */
async function soak(salt: number, run: Run): Promise<void> {
  const { goroutines = 4, rounds = 12, phases = 4, options, heapAt = 0, ...program } = run;
  const rt = make({ ...options, ...(heapAt === 0 ? {} : { maxMemory: 4096 * MiB }), seed: seed + salt });
  if (heapAt !== 0) rt.memory.sysReserve(heapAt - (rt.memory.size - rt.memory.unreserved), 8);
  const p = new Program(rt, random(seed + salt), program);
  for (let phase = 0; phase < phases; phase++) {
    await rt.main(function* () {
      const done = rt.makeChan<boolean>(goroutines);
      for (let k = 0; k < goroutines; k++) {
        rt.go(function* () {
          yield* p.worker(rounds);
          yield* done.send(true);
        });
      }
      for (let k = 0; k < goroutines; k++) yield* done.recv();
    });
    p.collectAndVerify();
  }
  await p.dropAll();
  await expectEmpty(rt);
}

const checks = "clobberfree=1,gccheckmark=1,memprofilerate=0";
const debug = (more: string): RuntimeOptions => ({ godebug: `${checks},${more}` });

// A machine that is busy with other things may need many times the few seconds.
describe(`goroutines that rewrite a graph (seed ${seed}; GORT_SEED repeats it)`, { timeout: 180_000 }, () => {
  it("lose nothing and leak nothing while collections run beside them", async () => {
    for (let k = 0; k < 2; k++) await soak(k, {});
  });
  it("do so with finalizers, cleanups and what these revive", async () => {
    for (let k = 0; k < 2; k++) await soak(100 + k, { finalizers: true });
  });
  it("do so with gcstoptheworld=1", async () => {
    await soak(200, { options: debug("gcstoptheworld=1"), finalizers: true });
  });
  it("do so with gcstoptheworld=2", async () => {
    await soak(300, { options: debug("gcstoptheworld=2"), finalizers: true });
  });
  it("do so with gcstress=1", async () => {
    await soak(400, { options: debug("gcstress=1"), finalizers: true, rounds: 5, phases: 4, maxLive: 200 });
  });
  it("do so without any check", async () => {
    await soak(500, { options: { godebug: "memprofilerate=0" }, phases: 8, rounds: 20 });
  });
  it("do so with small objects only", async () => {
    await soak(600, { maxSize: 512, phases: 8, maxLive: 1500 });
  });
  it("do so above 2 GiB", async () => {
    await soak(700, { heapAt: 2048 * MiB, finalizers: true });
  });
  it("do so across 2 GiB", async () => {
    await soak(800, { heapAt: 2048 * MiB - 8 * MiB });
  });
  it("do so up to the end of 4 GiB", async () => {
    await soak(850, { heapAt: 4096 * MiB - 8 * MiB, maxSize: 4096, maxLive: 300 });
  });
  it("do so under a memory limit that they exceed", async () => {
    await soak(900, { options: { memoryLimit: 12 * MiB }, finalizers: true });
  });
});
