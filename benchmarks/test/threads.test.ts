// The benchmarks of channels in the heap and of two threads do their work. Each runs in a process, on the built suite.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import type { Answer } from "../src/sides.ts";
import { suite } from "../src/suite.ts";

const child = fileURLToPath(new URL("../dist/child.js", import.meta.url));

async function measure(name: string, n: number, procs: number): Promise<Answer> {
  const { GODEBUG, GOGC, GOMEMLIMIT, NODE_OPTIONS, ...env } = process.env;
  const args = [child, "gort", "-bench", name, "-n", String(n), "-warmup", "1", "-samples", "2"];
  const options = { env: { ...env, GOMAXPROCS: String(procs) }, timeout: 50_000 };
  return JSON.parse((await promisify(execFile)(process.execPath, args, options)).stdout) as Answer;
}

/** Operations, and the check of Go's side for as many. */
const checks: Record<string, [number, string]> = {
  HeapChanUnbuffered: [1000, "499500"],
  HeapChanBuffered100: [1000, "499500"],
  HeapChanSharedUnbuffered: [1000, "499500"],
  HeapChanSharedBuffered100: [1000, "499500"],
  HeapChanAcrossThreads: [1000, "499500"],
  HeapChanAcrossThreads100: [1000, "499500"],
  HeapChanBatched: [1020, "519690"],
  WakeRoundTrip: [100, "4950"],
  AtomicRoundTrip: [1000, "1000"],
  ParallelSum2: [10_000, "875497411"],
  WordCount2: [100_000, "16994 3652 287"],
  MallocTwoThreads16: [20_000, "20000"],
  MallocTwoThreads1K: [2000, "2000"],
  MarkTwoThreads: [16_383, "10000"],
  BinaryTrees18P2: [1, "34847678"],
  WorkerReady: [1, "1"],
};

describe("benchmarks of channels in the heap and of two threads", () => {
  it("are in the suite, all of them", () => {
    const threaded = suite.filter(({ name, procs }) => procs === 2 || name.startsWith("HeapChan"));
    expect(threaded.map(({ name }) => name).sort()).toEqual(Object.keys(checks).sort());
  });

  const runs = suite
    .filter(({ name }) => name in checks)
    .flatMap(({ name, procs, peers }) => [
      [name, procs] as const,
      ...(peers.includes("gort@1") ? [[name, 1] as const] : []),
    ]);

  it.each(runs)("%s does its work at GOMAXPROCS=%i", async (name, procs) => {
    const [n, check] = checks[name];
    const answer = await measure(name, n, procs);
    expect(answer).toMatchObject({ name, check });
    expect(answer.samples).toHaveLength(2);
    expect(answer.cpu).toHaveLength(2);
    for (const ns of [...answer.samples, ...answer.cpu!]) expect(ns).toBeGreaterThan(0);
  });
});
