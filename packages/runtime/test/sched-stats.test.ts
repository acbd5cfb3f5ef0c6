import { createLinearMemory } from "@gort/memory";
import { TIME_BUCKETS } from "@gort/memstats/metrics";
import { SCHED_COUNTERS_LENGTH, schedCounters } from "@gort/scheduler/internal";
import { describe, expect, it } from "vitest";
import { SchedStats } from "../src/sched-stats.ts";

describe("the scheduler's figures of all threads", () => {
  it("keep what ended threads have counted, and use their memory for the next ones", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const main = SchedStats.create(mem);
    main.counters[schedCounters.goroutinesCreated] = 1000;
    const bytes: number[] = [];
    for (let round = 1; round <= 100; round++) {
      for (const m of [1, 2]) {
        const worker = SchedStats.add(mem, m);
        // As the scheduler of a new thread, from 0.
        expect([...worker.counters]).toEqual(new Array(SCHED_COUNTERS_LENGTH).fill(0));
        worker.counters[schedCounters.goroutinesCreated] = m;
        worker.counters[schedCounters.goroutinesRunnable] = 7;
        worker.setCgoCalls(10 * m);
        worker.record(0, 8);
      }
      main.ended(2);
      main.ended(1);
      bytes.push(mem.stats.get("otherSys"));
      const sum = new Float64Array(SCHED_COUNTERS_LENGTH);
      main.addOthers(sum);
      expect(sum[schedCounters.goroutinesCreated]).toBe(3 * round);
      expect([sum[schedCounters.goroutinesRunnable], main.cgoCallsOfOthers()]).toEqual([0, 30 * round]);
      const raw = {} as Parameters<SchedStats["fill"]>[0];
      main.fill(raw);
      expect(raw.goroutinesCreated).toBe(1000 + 3 * round);
      const { counts } = raw.schedLatencies as unknown as { counts: Float64Array };
      expect(counts).toHaveLength(TIME_BUCKETS);
      expect(counts.reduce((a, b) => a + b)).toBe(16 * round);
    }
    expect(bytes.at(-1)).toBe(bytes[0]);
  });

  it("of an M of the same number that lives are left alone", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const main = SchedStats.create(mem);
    const first = SchedStats.add(mem, 1);
    first.setCgoCalls(1);
    main.ended(1);
    const second = SchedStats.add(mem, 1);
    second.setCgoCalls(5);
    expect(main.cgoCallsOfOthers()).toBe(6);
    main.ended(1);
    expect(main.cgoCallsOfOthers()).toBe(6);
    main.ended(1);
    expect(main.cgoCallsOfOthers()).toBe(6);
  });
});
