import { Worker } from "node:worker_threads";
import { createLinearMemory } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { createThreads } from "../src/index.ts";
import { verifyThreads } from "../src/testing.ts";
// @ts-expect-error: plain JavaScript, which the workers run as well
import { runTasks } from "./workers/run-tasks.mjs";

const TASKS = 200_000;
const NODES = 100_000;

interface Loop {
  slice(): void;
  spawn(n: number): void;
}

interface Result {
  sum: number;
  run: number;
  posts: number;
  posted: number;
  failures: string[];
}

/** Runs the tasks on `ms` threads, of which this is one. */
async function runOn(ms: number, gomaxprocs: number, seed: number, stopEvery: number): Promise<Result> {
  const mem = createLinearMemory({ maxMemory: 64 << 20 });
  const words = mem.persistentAlloc(64, 64, "otherSys");
  const records = mem.sysReserve(TASKS * 16);
  const nodes = mem.sysReserve(NODES * 16);
  const options = { tasks: TASKS, records, nodes, ms, stopEvery, resize: true };
  const threads = createThreads(mem, gomaxprocs);
  const failures: string[] = [];
  // Workers can't load TypeScript: they run the built package.
  const exits = Array.from({ length: ms - 1 }, (_, k) => {
    const m = threads.registerM();
    const thread = threads.threadOf(m);
    const worker = new Worker(new URL("workers/worker.mjs", import.meta.url), {
      workerData: { memory: mem.memory, thread, m, words, seed: seed * (k + 2), options },
      execArgv: [],
    });
    worker.on("message", (failure: string) => failures.push(failure));
    return new Promise<void>((resolve) => {
      worker.on("error", (err) => failures.push(String(err)));
      worker.on("exit", () => {
        if (threads.died(m, thread)) failures.push(`M ${m} died`);
        resolve();
      });
    });
  });
  await new Promise<void>((resolve) => {
    const loop = runTasks(threads, words, seed, options, (failure: string | null) => {
      if (failure !== null) failures.push(failure);
      resolve();
    }) as Loop;
    loop.spawn(3);
    loop.slice();
  });
  await Promise.all(exits);
  threads.poll();
  threads.releaseP();
  const { ms: left, tasks, waitingMs } = verifyThreads(mem);
  expect([left, tasks.length, waitingMs], `seed ${seed}`).toEqual([1, 0, 0]);
  const word = (k: number): number => mem.u32[(words >>> 2) + k];
  return { sum: word(1), run: word(2), posts: word(5), posted: word(8), failures };
}

describe("tasks on several threads", () => {
  it.each([
    [1, 1],
    [2, 2],
    [4, 2],
    [4, 4],
    [8, 8],
    [8, 3],
  ])(
    "run each once, with stops, commands and changes of gomaxprocs: %i Ms, %i Ps",
    {
      timeout: 120_000,
    },
    async (ms, gomaxprocs) => {
      const seed = Math.floor(Math.random() * 2 ** 30) + 1;
      const { sum, run, posts, posted, failures } = await runOn(ms, gomaxprocs, seed, 500);
      expect(failures, `seed ${seed}`).toEqual([]);
      expect(run, `seed ${seed}`).toBe(TASKS);
      expect(sum, `seed ${seed}`).toBe(((TASKS * (TASKS - 1)) / 2) % 2 ** 32);
      expect(posts, `seed ${seed}`).toBe(posted);
    },
  );
});
