import { type Addr, createLinearMemory } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { GCState } from "../src/gc-state.ts";
import { CPU_TIMES, type CycleTimes, GCRecord, GCSTATS, newGCStats } from "../src/gc-stats.ts";
import { NO_MEMORY_LIMIT } from "../src/mgcpacer.ts";
import { MiB } from "./kit.ts";

const memory = () => createLinearMemory({ maxMemory: 64 * MiB });

const cycle = (more: Partial<CycleTimes> = {}): CycleTimes => ({
  forced: false,
  pauseNs: 10,
  pauseEnd: 5n,
  procs: 2,
  assistNs: 300,
  dedicatedNs: 4000,
  idleNs: 50_000,
  availableCpuNs: 1e6,
  ...more,
});

describe("the record of a collector", () => {
  it("is none before there is a collector, and one for all threads of a memory then", () => {
    const mem = memory();
    expect(GCRecord.attach(mem)).toBe(null);
    const record = new GCRecord(mem);
    const other = GCRecord.attach(mem) as GCRecord;
    expect(other.base).toBe(record.base);
    record.endCycle(cycle());
    expect(other.numGC).toBe(1);
    expect(GCRecord.attach(mem)?.numGC).toBe(1);
  });

  it("has no limit, no times of processors and no cycle at first", () => {
    const record = new GCRecord(memory());
    const cpu = new Float64Array(8);
    record.readCpu(cpu);
    const unknown = [CPU_TIMES.total, CPU_TIMES.idle];
    expect([...cpu]).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((i) => (unknown.includes(i as 0) ? NaN : 0)));
    expect(record.memoryLimit).toBe(Infinity);
    const stats = newGCStats();
    record.read(stats);
    expect(stats).toEqual({ ...newGCStats(), nextGC: 0n });
  });

  it("ends the program where the memory has no room for it", () => {
    const full = memory();
    full.persistentAlloc = () => 0 as Addr;
    expect(() => new GCRecord(full)).toThrow(
      expect.objectContaining({
        code: "ERR_GORT_OUT_OF_MEMORY",
        detail: "gc: no room for the collector's statistics",
      }),
    );
    expect(GCRecord.attach(full)).toBe(null);
  });

  it("adds up the classes of each cycle, and the stops of all processors", () => {
    const record = new GCRecord(memory());
    record.endCycle(cycle());
    record.endCycle(cycle({ forced: true, pauseNs: 7, pauseEnd: 2n ** 60n + 1n, procs: 3 }));
    expect([record.numGC, record.numForcedGC]).toEqual([2, 1]);
    expect([record.assistNs, record.dedicatedNs, record.idleNs]).toEqual([600, 8000, 100_000]);
    expect([record.pauseTotalNs, record.pauseCpuNs]).toEqual([17, 2 * 10 + 3 * 7]);
    expect(record.gcCPUFraction).toBe((600 + 8000 + 41) / 1e6);
    const stats = newGCStats();
    record.setScan(1, 22, 333);
    record.read(stats);
    expect([...stats.pauseNs.slice(0, 3)]).toEqual([10, 7, 0]);
    expect([...stats.pauseEnd.slice(0, 3)]).toEqual([5n, 2n ** 60n + 1n, 0n]);
    expect(stats).toMatchObject({
      numGC: 2,
      numForcedGC: 1,
      pauseTotalNs: 17,
      lastGC: 2n ** 60n + 1n,
      enableGC: true,
      gcCPUFraction: record.gcCPUFraction,
      gcCpuNs: 8641,
      gcIdleCpuNs: 100_000,
      heapScan: 1,
      stackScan: 22,
      globalsScan: 333,
    });
    expect([record.heapScan, record.stackScan, record.globalsScan]).toEqual([1, 22, 333]);
  });

  it("keeps the last 256 pauses, the oldest giving way", () => {
    const record = new GCRecord(memory());
    for (let i = 1; i <= 257; i++) record.endCycle(cycle({ pauseNs: i, pauseEnd: BigInt(i) << 33n }));
    const stats = newGCStats();
    record.read(stats);
    expect([stats.pauseNs[0], stats.pauseNs[1], stats.pauseNs[255]]).toEqual([257, 2, 256]);
    expect(stats.lastGC).toBe(257n << 33n);
    const words = new Uint32Array(512);
    const ns = new Float64Array(256);
    record.copyRings(ns, words);
    expect([...ns]).toEqual([...stats.pauseNs]);
    expect([...new BigInt64Array(words.buffer)]).toEqual([...stats.pauseEnd]);
  });

  it("gives a fraction below 1, also where no time has passed", () => {
    const record = new GCRecord(memory());
    record.endCycle(cycle({ availableCpuNs: 0 }));
    expect(record.gcCPUFraction).toBe(0.999999999);
    const none = cycle({ pauseNs: 0, assistNs: 0, dedicatedNs: 0, availableCpuNs: 0 });
    const idle = new GCRecord(memory());
    idle.endCycle(none);
    expect(idle.gcCPUFraction).toBe(0);
  });

  it("has the inputs of the goal, counts of queued functions, and the cycle that the limiter put off", () => {
    const mem = memory();
    const record = new GCRecord(mem);
    const { pacer, sweep } = new GCState(mem);
    Object.assign(pacer, { gcPercent: -1, memoryLimit: 2n ** 40n, triggered: 12345 });
    sweep.pending = true;
    expect([record.gcPercent, record.memoryLimit, record.triggered, record.sweepPending]).toEqual([
      -1,
      2 ** 40,
      12345,
      true,
    ]);
    Object.assign(pacer, { gcPercent: 200, memoryLimit: NO_MEMORY_LIMIT, triggered: 0 });
    sweep.pending = false;
    expect([record.gcPercent, record.memoryLimit, record.triggered, record.sweepPending]).toEqual([
      200,
      Infinity,
      0,
      false,
    ]);
    record.countFinalization("cleanupsQueued");
    record.countFinalization("cleanupsQueued");
    record.countFinalization("finalizersExecuted");
    const counts = ["finalizersQueued", "finalizersExecuted", "cleanupsQueued", "cleanupsExecuted"] as const;
    expect(counts.map((name) => record.finalizations(name))).toEqual([0, 1, 2, 0]);
    expect(record.limiterLastEnabled).toBe(0);
    record.endCycle(cycle());
    record.noteLimited();
    expect(record.limiterLastEnabled).toBe(2);
  });

  it("has four histograms apart, which all threads write", () => {
    const mem = memory();
    const record = new GCRecord(mem);
    const names = ["stoppingGC", "stoppingOther", "pausesGC", "pausesOther"] as const;
    for (const [i, name] of names.entries()) record.histogram(name).fill(i + 1);
    const other = GCRecord.attach(mem) as GCRecord;
    for (const [i, name] of names.entries()) {
      const h = other.histogram(name);
      expect(h).toHaveLength(162);
      expect(new Set(h)).toEqual(new Set([i + 1]));
    }
    const stats = newGCStats();
    other.read(stats);
    expect(stats).toEqual(newGCStats());
  });

  it("publishes the classes of processor time together", () => {
    const mem = memory();
    const record = new GCRecord(mem);
    const times = Float64Array.from([80, 10, 1, 2, 3, 4, 5, 6]);
    record.setScan(7, 8, 9);
    record.setCpu(times);
    expect([record.pauseCpuNs, record.heapScan]).toEqual([0, 7]);
    const out = new Float64Array(8);
    (GCRecord.attach(mem) as GCRecord).readCpu(out);
    expect(out).toEqual(times);
    record.setCpu(times.map((t) => t + 1));
    record.readCpu(out);
    expect(out[7]).toBe(7);
  });

  it("has an odd version of the classes of processor time while they are written, else an even one", () => {
    const mem = memory();
    const record = new GCRecord(mem);
    const version = () => mem.u32[(record.base + GCSTATS.offsets.cpuSeq) >>> 2];
    const seen: unknown[] = [version()];
    const times = new Proxy(new Float64Array(8), {
      get(target, key) {
        seen.push(version());
        return Reflect.get(target, key);
      },
    });
    record.setCpu(times);
    expect([...seen, version()]).toEqual([0, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
  });

  it("copies the classes of processor time again if they have changed meanwhile", () => {
    const record = new GCRecord(memory());
    record.setCpu(new Float64Array(8).fill(1));
    let changes = 0;
    const out = new Proxy(new Float64Array(8), {
      set(target, key, value) {
        if (key === "4" && changes++ === 0) record.setCpu(new Float64Array(8).fill(2));
        return Reflect.set(target, key, value);
      },
    });
    record.readCpu(out);
    expect(changes).toBe(2);
    expect([0, 1, 2, 3, 4, 5, 6, 7].map((i) => out[i])).toEqual(new Array(8).fill(2));
  });

  it("has a version that is even between changes and another after each cycle", () => {
    const record = new GCRecord(memory());
    const before = record.version;
    expect(before % 2).toBe(0);
    record.endCycle(cycle());
    expect(record.version % 2).toBe(0);
    expect(record.version).not.toBe(before);
  });

  it("copies the figures again if a cycle has ended meanwhile", () => {
    const record = new GCRecord(memory());
    const seen: number[] = [];
    record.readStable(() => {
      seen.push(record.numGC);
      if (seen.length === 1) record.endCycle(cycle());
    });
    expect(seen).toEqual([0, 1]);
  });
});
