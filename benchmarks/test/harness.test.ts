import { describe, expect, it } from "vitest";
import { inUnit, type Plan, run } from "../src/harness.ts";
import type { Side } from "../src/sides.ts";
import type { Benchmark } from "../src/suite.ts";

const benchmark: Benchmark = {
  name: "Trivial",
  unit: "ns/op",
  what: "nothing",
  n: 100,
  quickN: 10,
  warmup: 0,
  samples: 3,
  go: true,
  procs: 1,
  peers: ["v8"],
};

/** A side that answers with the given figures and logs the order of its calls. */
function scripted(name: string, answers: number[][], log: string[], check = "7", can = true): Side {
  let round = 0;
  return {
    name,
    version: `${name} 1`,
    can: () => can,
    async measure({ name: benchmarkName }, n) {
      log.push(`${name} ${n}`);
      return { name: benchmarkName, samples: answers[round++], check };
    },
  };
}

function plan(gort: Side, peers: Side[], more: Partial<Plan> = {}): Plan {
  return { benchmarks: [benchmark], gort, peers, rounds: 3, quick: false, ...more };
}

describe("a run", () => {
  it("takes medians of the processes' medians, and their ratio", async () => {
    const log: string[] = [];
    const gort = scripted(
      "gort",
      [
        [1, 2, 3],
        [4, 4, 100],
        [6, 6, 6],
      ],
      log,
    );
    const go = scripted(
      "go",
      [
        [10, 10, 10],
        [8, 8, 8],
        [9, 9, 9],
      ],
      log,
    );
    const { results, failures } = await run(plan(gort, [go]));
    expect(failures).toEqual([]);
    expect(results).toEqual([
      {
        name: "Trivial",
        unit: "ns/op",
        gort: 4,
        peers: { go: 9 },
        ratio: { go: 0.4444 },
        samples: { gort: [2, 4, 6], go: [10, 8, 9] },
      },
    ]);
  });

  it("keeps the processor time of the sides that tell it", async () => {
    const gort = scripted("gort", [[1], [1], [1]], []);
    const cpu = [[4, 5], [2], [3]];
    const telling: Side = {
      ...gort,
      measure: async (b, n) => ({ ...(await gort.measure(b, n)), cpu: cpu.shift()! }),
    };
    const { results } = await run(plan(telling, [scripted("go", [[2], [2], [2]], [])]));
    expect(results[0].cpu).toEqual({ gort: 3 });
  });

  it("alternates the sides, and changes their order every round", async () => {
    const log: string[] = [];
    const same = [[1], [1], [1]];
    await run(plan(scripted("gort", same, log), [scripted("go", same, log)], { quick: true }));
    expect(log).toEqual(["gort 10", "go 10", "go 10", "gort 10", "gort 10", "go 10"]);
  });

  it("leaves out a peer that cannot do the work, and has no ratio without peers", async () => {
    const { results } = await run(
      plan(scripted("gort", [[1], [1], [1]], []), [scripted("v8", [], [], "7", false)]),
    );
    expect(results[0]).toMatchObject({ peers: {}, ratio: {}, samples: { gort: [1, 1, 1] } });
  });

  it("reports a benchmark whose sides did different work as failed, and goes on with the next", async () => {
    const ten = Array.from({ length: 10 }, () => [1]);
    const gort = scripted("gort", ten, []);
    const go: Side = {
      ...scripted("go", ten, []),
      measure: async ({ name }) => ({ name, samples: [1], check: name === "Second" ? "7" : "8" }),
    };
    const { results, failures } = await run(
      plan(gort, [go], { benchmarks: [benchmark, { ...benchmark, name: "Second" }] }),
    );
    expect(failures).toHaveLength(1);
    expect(failures[0].error.message).toBe("Trivial: the work of gort came to 7, that of go to 8");
    expect(results.map((r) => r.name)).toEqual(["Second"]);
  });

  it("gives whole programs in milliseconds", () => {
    expect(inUnit({ ...benchmark, unit: "ms" }, 2.5e6)).toBe(2.5);
    expect(inUnit(benchmark, 2.5)).toBe(2.5);
  });
});
