// Runs benchmarks. In every round each side gets a fresh process, one after the other. The order changes from round to
// round, so a machine that grows slower or faster during the run does so for all sides.

import type { Answer, Side } from "./sides.ts";
import { median, ratio, round4 } from "./stats.ts";
import type { Benchmark } from "./suite.ts";

/** One element of the array that `--json` writes. */
export interface Result {
  readonly name: string;
  readonly unit: string;
  /** Median over the rounds, in `unit`. */
  readonly gort: number;
  /** The same for each measured peer. */
  readonly peers: Readonly<Record<string, number>>;
  /** gort's figure divided by the peer's: under 1 gort is faster. */
  readonly ratio: Readonly<Record<string, number>>;
  /** The values behind the medians, by side: one for each round, which is the median of that process's timed runs. */
  readonly samples: Readonly<Record<string, readonly number[]>>;
  /** Processor time of all threads by side, where it is known: the median over the rounds, in `unit`. */
  readonly cpu?: Readonly<Record<string, number>>;
}

export interface Plan {
  readonly benchmarks: readonly Benchmark[];
  readonly gort: Side;
  readonly peers: readonly Side[];
  readonly rounds: number;
  readonly quick: boolean;
  /** Called after each finished process. */
  readonly progress?: (step: { benchmark: Benchmark; round: number; side: Side; value: number }) => void;
}

export interface Failure {
  readonly name: string;
  readonly error: Error;
}

/** Converts nanoseconds an operation to the benchmark's unit. */
export function inUnit(benchmark: Benchmark, ns: number): number {
  return benchmark.unit === "ms" ? ns / 1e6 : ns;
}

async function runOne(benchmark: Benchmark, plan: Plan): Promise<Result> {
  const n = plan.quick ? benchmark.quickN : benchmark.n;
  const sides = [plan.gort, ...plan.peers.filter((peer) => peer.can(benchmark))];
  const samples: Record<string, number[]> = Object.fromEntries(sides.map(({ name }) => [name, []]));
  const cpu: Record<string, number[]> = {};
  let first: { side: Side; answer: Answer } | undefined;
  for (let round = 0; round < plan.rounds; round++) {
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
      const answer = await side.measure(benchmark, n);
      first ??= { side, answer };
      if (answer.check !== first.answer.check) {
        throw new Error(
          `${benchmark.name}: the work of ${first.side.name} came to ${first.answer.check}, ` +
            `that of ${side.name} to ${answer.check}`,
        );
      }
      const value = inUnit(benchmark, median(answer.samples));
      samples[side.name].push(round4(value));
      if (answer.cpu !== undefined) {
        cpu[side.name] ??= [];
        cpu[side.name].push(inUnit(benchmark, median(answer.cpu)));
      }
      plan.progress?.({ benchmark, round, side, value });
    }
  }
  const gort = median(samples.gort);
  const peers = Object.fromEntries(sides.slice(1).map(({ name }) => [name, round4(median(samples[name]))]));
  return {
    name: benchmark.name,
    unit: benchmark.unit,
    gort: round4(gort),
    peers,
    ratio: Object.fromEntries(
      Object.entries(peers).map(([name, theirs]) => [name, round4(ratio(gort, theirs))]),
    ),
    samples,
    ...(Object.keys(cpu).length === 0
      ? {}
      : {
          cpu: Object.fromEntries(
            Object.entries(cpu).map(([name, values]) => [name, round4(median(values))]),
          ),
        }),
  };
}

/** Runs the plan. If a benchmark fails, its error is reported and the others still run. */
export async function run(plan: Plan): Promise<{ results: Result[]; failures: Failure[] }> {
  const results: Result[] = [];
  const failures: Failure[] = [];
  for (const benchmark of plan.benchmarks) {
    try {
      results.push(await runOne(benchmark, plan));
    } catch (error) {
      failures.push({
        name: benchmark.name,
        error: error instanceof Error ? error : new Error(String(error)),
      });
    }
  }
  return { results, failures };
}
