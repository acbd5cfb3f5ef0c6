import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { createAllocator } from "@gort/allocator";
import { createLinearMemory } from "@gort/memory";
import { checkIdentities } from "@gort/memstats/testing";
import { afterEach, describe, expect, it } from "vitest";
import { load } from "../conformance/memstats_identities.ts";
import { attachStats } from "../src/attach.ts";
import { createRuntime, int, memStatsJSON, newMemStats, type Runtime, struct } from "../src/index.ts";
import { newSample, type Sample } from "../src/metrics.ts";
import { prometheusText } from "../src/prometheus.ts";

const open: { close?(): void; terminate?(): unknown }[] = [];
afterEach(async () => {
  for (const x of open.splice(0)) await (x.terminate ? x.terminate() : x.close?.());
});

function make(options = {}): Runtime {
  const rt = createRuntime({
    maxMemory: 256 << 20,
    gogc: 100,
    godebug: "",
    seed: 3,
    stderr: () => {},
    ...options,
  });
  open.push(rt);
  return rt;
}

// Workers can't load TypeScript: they run the built package.
async function start(file: string, workerData: object): Promise<Worker> {
  const worker = new Worker(new URL(`workers/${file}`, import.meta.url), { workerData, execArgv: [] });
  open.push(worker);
  return worker;
}

async function startReader(rt: Runtime): Promise<Worker> {
  const worker = await start("stats-reader.mjs", rt.shareStats());
  expect(await once(worker, "message")).toEqual(["ready"]);
  return worker;
}

interface Reading {
  memStats: string;
  metrics: Record<string, unknown>;
  text: string;
  goroutines: number;
  version: string;
}
interface Many {
  broken: string[];
  numGC: number;
  mallocs: number;
}

async function ask<T>(worker: Worker, message: object): Promise<T> {
  worker.postMessage(message);
  return (await once(worker, "message"))[0] as T;
}

function value(s: Sample): unknown {
  const kind = s.Value.kind();
  if (kind === "uint64") return s.Value.uint64();
  if (kind === "float64") return s.Value.float64();
  return kind === "bad" ? "bad" : [...s.Value.float64Histogram().Counts];
}

/** The same on the runtime's thread. prometheusText stops the world, so the metrics come after it. */
function readHere(rt: Runtime): Reading {
  const samples = rt.metrics.all().map((d) => newSample(d.Name));
  const text = prometheusText(rt);
  const memStats = memStatsJSON(rt.readMemStats());
  rt.metrics.read(samples);
  return {
    memStats,
    metrics: Object.fromEntries(samples.map((s) => [s.Name, value(s)])),
    text,
    goroutines: rt.numGoroutine(),
    version: rt.version(),
  };
}

const Thing = struct("Thing", { id: int, a: int, b: int, c: int });

describe("another thread that attaches", () => {
  it("reads the same figures as the runtime's own thread, all of them", { timeout: 30_000 }, async () => {
    const rt = make({ memoryLimit: 200 << 20, gomaxprocs: 2 });
    const reader = await startReader(rt);
    await rt.main(function* () {
      const mu = rt.makeChan<number>(1);
      const ran = rt.makeChan<void>();
      for (let i = 0; i < 20; i++) rt.go(load, rt, 100 + i);
      for (let i = 0; i < 5; i++) {
        const x = rt.newObject(Thing);
        rt.setFinalizer(x, function* (o) {
          o.release();
          yield* ran.send(undefined);
        });
        x.release();
        rt.gc();
        yield* ran.recv();
      }
      yield* mu.send(1);
    });
    rt.freeOSMemory();
    let here = readHere(rt);
    let there = await ask<Reading>(reader, {});
    // CPU times are published once a second: not often between the two readings.
    for (let i = 0; i < 5 && JSON.stringify(there.metrics) !== JSON.stringify(here.metrics); i++) {
      here = readHere(rt);
      there = await ask<Reading>(reader, {});
    }
    expect(there).toEqual(here);
    expect(JSON.parse(there.memStats)).toMatchObject({ NumGC: expect.any(Number), NumForcedGC: 6 });
    expect(there.metrics["/gc/finalizers/executed:finalizers"]).toBe(5);
    expect(there.metrics["/cpu/classes/total:cpu-seconds"]).toBeGreaterThan(0);

    // The reader sees later allocations of the runtime's thread at once, and exactly.
    for (let i = 0; i < 7; i++) rt.unsafe.mallocNoscan(48);
    const mallocs = (r: Reading): number => JSON.parse(r.memStats).Mallocs;
    expect(mallocs(await ask<Reading>(reader, {}))).toBe(mallocs(here) + 7);
  });

  it("sees every relation hold in 10,000 samples while the runtime works and collects", {
    timeout: 60_000,
  }, async () => {
    const rt = make();
    const reader = await startReader(rt);
    let many: Many | null = null;
    const asked = ask<Many>(reader, { count: 10_000, context: { gogc: 100 } }).then((m) => {
      many = m;
    });
    await rt.main(function* () {
      while (many === null) {
        for (let i = 0; i < 3; i++) rt.go(load, rt, i);
        const x = rt.newObject(Thing);
        rt.addCleanup(x, () => {}, 1);
        x.release();
        yield* rt.sleep(1);
      }
    });
    await asked;
    expect(many!.broken).toEqual([]);
    expect(many!.numGC).toBeGreaterThan(2);
  });

  it("sees them hold, as the runtime's thread does, while several threads allocate and free", {
    timeout: 60_000,
  }, async () => {
    const rt = make({ gogc: "off" });
    const reader = await startReader(rt);
    const stop = rt.memory.persistentAlloc(8, 8, "otherSys");
    const exits: Promise<unknown>[] = [];
    for (const size of [32_000, 48]) {
      const worker = await start("stats-load.mjs", { memory: rt.memory.memory, stop, size });
      exits.push(once(worker, "exit"));
    }
    while (rt.memory.kernel.load(stop + 4) < 2) await new Promise((r) => setTimeout(r, 5));
    const asked = ask<Many>(reader, { count: 5000, context: {} });
    const broken: string[] = [];
    let previous = newMemStats();
    let now = newMemStats();
    for (let i = 0; i < 5000 && broken.length === 0; i++) {
      rt.unsafe.mallocNoscan(1 + (i % 2000));
      rt.readMemStats(now);
      broken.push(...checkIdentities(now, i === 0 ? {} : { previous }));
      [previous, now] = [now, previous];
      if (i % 500 === 0) await new Promise((r) => setTimeout(r, 1));
    }
    const many = await asked;
    rt.memory.u32[stop >>> 2] = 1;
    expect(await Promise.all(exits)).toEqual([[0], [0]]);
    expect(broken).toEqual([]);
    expect(many.broken).toEqual([]);
    expect(previous.Mallocs).toBeGreaterThan(100_000);
    // A reading by the runtime gives back the blocks that the ended workers had put aside. A reading by another thread
    // gives nothing back.
    rt.readMemStats();
    const reading = await ask<Reading>(reader, {});
    expect(reading.memStats).toBe(memStatsJSON(rt.readMemStats()));
  });

  it("takes no thread number, so that any number of readers may come and go", async () => {
    const rt = make();
    const reader = await startReader(rt);
    expect((await ask<Reading>(reader, {})).version).toBe(rt.version());
    // 510 of 511 numbers are free: the runtime's own thread has one.
    for (let k = 0; k < 510; k++) rt.memory.registerThread();
    expect(() => rt.memory.registerThread()).toThrow("more than 511 threads");
  });

  it("is refused a memory that belongs to no runtime", () => {
    const rt = make();
    const unshared = createLinearMemory({ maxMemory: 64 << 20, shared: false });
    const bare = createLinearMemory({ maxMemory: 64 << 20 });
    createAllocator({ memory: bare });
    expect(() => attachStats(null as never)).toThrow("needs what rt.shareStats() gave (got null)");
    expect(() => attachStats(rt as never)).toThrow("got an object without its memory and version");
    expect(() => attachStats({ memory: unshared.memory!, version: "" })).toThrow("got no shared memory");
    expect(() => attachStats({ memory: bare.memory!, version: "" })).toThrow("without its statistics");
    expect(() => attachStats({ memory: rt.memory.memory!, version: "" })).toThrow("call its share()");
    expect(() => make({ shared: false }).shareStats()).toThrow(TypeError);
    expect(attachStats(rt.shareStats()).readGCStats().NumGC).toBe(0);
  });
});
