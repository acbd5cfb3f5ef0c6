// The study on a real runtime, compared with recorded runs of Go with the same buffers (test/vectors/seeds.json).
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createRuntime } from "@gort/runtime";
import { describe, expect, it } from "vitest";
import { type Row, recycling, STANDARD, type Variant } from "../src/recycling.ts";

interface Vectors {
  parameters: {
    Pool: number;
    PoolMin: number;
    PoolSpan: number;
    PoolIters: number;
    PoolSeed: number;
    PoolChan: number;
  };
  seeds: { name: string; result: Record<string, number | number[]>; noisy?: Record<string, unknown[]> }[];
}

const own = fileURLToPath(new URL("vectors/", import.meta.url));
const given = join(process.env.ORACLE_DIR ?? own, "seeds.json");
const vectors = JSON.parse(
  readFileSync(existsSync(given) ? given : join(own, "seeds.json"), "utf8"),
) as Vectors;
const { parameters: p } = vectors;

/** The recorded runs keep one row in so many. */
const EVERY = 20;
const MIB = 2 ** 20;

async function study(variant: Variant): Promise<{ rows: Row[]; NumGC: number }> {
  const rt = createRuntime({ gogc: 100, godebug: "", stderr: () => {} });
  const rows: Row[] = [];
  try {
    await rt.main(function* main() {
      yield* recycling(rt, {
        ...STANDARD,
        variant,
        steps: p.PoolIters,
        seed: p.PoolSeed,
        slots: p.Pool,
        minBytes: p.PoolMin,
        spanBytes: p.PoolSpan,
        channelCapacity: p.PoolChan,
        intervalMs: 0,
        stop: null,
        onRow: (row) => rows.push(row),
      });
    });
    return { rows, NumGC: rt.readMemStats().NumGC };
  } finally {
    rt.close();
  }
}

/** One recorded run of Go. */
function recorded(name: string) {
  const { result, noisy = {} } = vectors.seeds.find((s) => s.name === name)!;
  // Some figures differed between runs: the first run stands for all.
  return (key: string) => (result[key] ?? noisy[key][0]) as number & number[];
}

const sampled = (rows: readonly Row[]) => rows.filter((_, i) => i % EVERY === EVERY - 1);
const mean = (xs: readonly number[]) => xs.reduce((a, b) => a + b, 0) / xs.length;
/** The second half of a curve: the pool is full. */
const settled = <T>(xs: readonly T[]) => xs.slice(xs.length >> 1);

describe.each([
  ["garbage", "pool_none"],
  ["channel", "pool_channel"],
  ["recycler", "pool_list"],
] as const)("buffers --variant %s", (variant, name) => {
  const go = recorded(name);
  const run = study(variant);

  it("makes as many buffers, of the same sizes, as Go's runtime did", async () => {
    const { rows } = await run;
    expect(rows).toHaveLength(p.PoolIters);
    expect(rows.at(-1)!.makes).toBe(go("makes"));
    expect(sampled(rows).map((row) => row.bytes)).toEqual(go("bytes_in_pool_every_20"));
  });

  it("never counts fewer allocated bytes than the pool holds", async () => {
    for (const row of (await run).rows) expect(row.HeapAlloc).toBeGreaterThanOrEqual(row.bytes);
  });

  it("accounts for the heap: HeapReleased <= HeapIdle <= HeapSys, HeapAlloc within the rest", async () => {
    for (const { HeapSys, HeapAlloc, HeapIdle, HeapReleased } of (await run).rows) {
      expect(HeapReleased).toBeLessThanOrEqual(HeapIdle);
      expect(HeapAlloc + HeapIdle).toBeLessThanOrEqual(HeapSys);
    }
  });

  it("keeps the shape of Go's curves", async () => {
    const { rows } = await run;
    // We compare means over all of our rows: each row falls into a random moment of a collection cycle, so few rows
    // would give a noisy mean. Of Go's run only one row in 20 is recorded.
    const ours = settled(rows);
    const live = settled(go("bytes_in_pool_every_20"));
    for (const [column, key] of [
      ["HeapSys", "HeapSys_MiB_every_20"],
      ["HeapAlloc", "HeapAlloc_MiB_every_20"],
    ] as const) {
      const here = mean(ours.map((row) => row[column] / row.bytes));
      const there = mean(settled(go(key)).map((mib, i) => (mib * MIB) / live[i]));
      expect(here, column).toBeGreaterThan(there * 0.75);
      expect(here, column).toBeLessThan(there * 1.25);
    }
  });

  it("collects about as often as Go", async () => {
    const { NumGC } = await run;
    expect(NumGC).toBeGreaterThanOrEqual(Math.floor(go("NumGC") * 0.5));
    expect(NumGC).toBeLessThanOrEqual(Math.ceil(go("NumGC") * 1.5));
  });
});

describe("buffers", () => {
  it("hold a multiple of the live bytes as garbage, and hardly more with recycling", async () => {
    const last = async (v: Variant) => (await study(v)).rows.at(-1)!;
    const ratio = (row: Row) => row.HeapSys / row.bytes;
    expect(ratio(await last("garbage"))).toBeGreaterThan(1.6);
    expect(ratio(await last("channel"))).toBeLessThan(1.25);
    expect(ratio(await last("recycler"))).toBeLessThan(1.25);
  });

  it("are dropped by the recycler after they were idle for too long", async () => {
    const rt = createRuntime({ gogc: 100, godebug: "", stderr: () => {} });
    try {
      const rows: Row[] = [];
      await rt.main(function* main() {
        const study = {
          ...STANDARD,
          variant: "recycler" as const,
          minBytes: 100_000,
          spanBytes: 100_000,
          seed: 1,
        };
        // The pool is small, so that all steps after the first few replace a buffer.
        yield* recycling(rt, {
          ...study,
          slots: 2,
          maxIdleMs: 40,
          steps: 10,
          intervalMs: 0,
          stop: null,
          onRow: (r) => rows.push(r),
        });
        yield* rt.sleep(150);
        rt.gc();
        rows.push({ ...rows.at(-1)!, HeapAlloc: rt.readMemStats().HeapAlloc });
      });
      // One buffer is left: the recycler made it to offer it, after it had dropped the old ones.
      expect(rows.at(-1)!.HeapAlloc).toBeLessThan(2 * 200_000 + 50_000);
    } finally {
      rt.close();
    }
  });
});
