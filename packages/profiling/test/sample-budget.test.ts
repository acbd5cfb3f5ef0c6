import { describe, expect, it } from "vitest";
import { BufferArena } from "../src/bucket.ts";
import { createProfiler, type Profiler } from "../src/index.ts";
import { MemProfileRecorder, scaleHeapSample } from "../src/mprof.ts";
import { DEFAULT_BURST, SampleBudget } from "../src/sample-budget.ts";
import { verifyMemProfile } from "../src/testing.ts";
import { records } from "./support/records.ts";

describe("the budget", () => {
  it("thins samples that come faster than it allows, without a bias", () => {
    // A clock under control: an allocation takes 1 us, a sample 10 us.
    let now = 0;
    let state = 7;
    const random = () => {
      state = (Math.imul(state, 48271) >>> 0) % 2147483647;
      return state / 2147483647;
    };
    let captures = 0;
    const arena = new BufferArena();
    const p = createProfiler({
      memProfileRate: 4096,
      memProfileBudget: 0.02,
      random,
      arena,
      now: () => now,
      isStackBase: () => false,
    });
    const walk = p.walker.walk.bind(p.walker);
    p.walker.walk = (...args) => {
      captures++;
      now += 0.01;
      return walk(...args);
    };
    const n = 400_000;
    const live: [number, number][] = [];
    for (let i = 0; i < n; i++) {
      now += 0.001;
      const bucket = p.mem.sample(1024);
      if (bucket !== 0) live.push([bucket, i]);
    }
    // 100000 samples in 400 ms of work: 2 % of it are some 800 captures. Rounding to powers of two can double them. The
    // first samples, which are always taken, come on top.
    expect(captures * 0.01).toBeLessThan(0.02 * now + 0.01 * DEFAULT_BURST + 2);
    expect(captures).toBeGreaterThan(200);
    const estimate = () => {
      let bytes = 0;
      for (const r of records(p)) {
        const inuse = r.inUseObjects();
        bytes += scaleHeapSample(inuse, r.inUseBytes(), 4096).bytes;
      }
      return bytes;
    };
    // The weighted count of m captures of weight up to w has a deviation of about sqrt(1 / m).
    expect(Math.abs(estimate() / (n * 1024) - 1)).toBeLessThan(4 / Math.sqrt(captures));
    for (const [bucket, i] of live) if (i % 2 === 0) p.mem.free(bucket, 1024);
    expect(Math.abs(estimate() / (n * 512) - 1)).toBeLessThan(6 / Math.sqrt(captures));
    for (const [bucket, i] of live) if (i % 2 === 1) p.mem.free(bucket, 1024);
    expect(estimate()).toBe(0);
    verifyMemProfile(p);
  });

  /** A program that allocates without a pause. Its first stacks cost 1 ms, later ones 10 us. */
  function slowAtFirst(): { p: Profiler; run(samples: number): void; wait(ms: number): void } {
    let now = 0;
    let captures = 0;
    const p = createProfiler({ now: () => now, random: () => 0.5, isStackBase: () => false });
    const walk = p.walker.walk.bind(p.walker);
    p.walker.walk = (...args) => {
      now += ++captures < 20 ? 1 : 0.01;
      return walk(...args);
    };
    return {
      p,
      run: (samples) => {
        for (let i = 0; i < samples; i++) {
          now += 0.001;
          p.mem.alloc(1 << 20);
        }
      },
      wait: (ms) => (now += ms),
    };
  }
  const taken = (p: Profiler): number =>
    records(p).reduce((n, r) => n + (r.AllocBytes === r.AllocObjects << 20 ? r.AllocObjects : 0), 0);

  it("takes every sample of a short program, although its first stacks cost V8 most", () => {
    const { p, run } = slowAtFirst();
    run(100);
    expect(taken(p)).toBe(100);
    run(DEFAULT_BURST - 100);
    expect(taken(p)).toBe(DEFAULT_BURST);
    // Then the budget thins them: the random number 0.5 times a weight above 2 is not below 1.
    run(500);
    expect(taken(p)).toBeLessThan(DEFAULT_BURST + 50);
  });

  it("takes every sample of a burst after a quiet time", () => {
    const { p, run, wait } = slowAtFirst();
    run(5000);
    const before = taken(p);
    // 2 % of the wait pay for 5000 samples of 10 us with their aftermath, more than the burst of 512.
    wait(5000);
    run(40);
    expect(taken(p) - before).toBeGreaterThanOrEqual(24);
  });

  it("counts a sample with the weight at which it was drawn, not with the weight computed meanwhile", () => {
    const counted: { weight: number; drawn: boolean }[] = [];
    let now = 0;
    let drawn = false;
    const random = () => {
      drawn = true;
      return 0;
    };
    const recorder = new MemProfileRecorder({
      buckets: null as never,
      captureBucket: (_, weight) => {
        counted.push({ weight, drawn });
        now += 10;
        return 0;
      },
      random,
      sampler: { rate: 4096 },
      budget: new SampleBudget({ budget: 0.001, burst: 0, now: () => now, random }),
      budgetAlways: true,
    });
    // A sample each millisecond, which takes ten: each reading of the clock raises the weight.
    for (let i = 0; i < 40; i++) {
      now++;
      drawn = false;
      recorder.alloc(64);
    }
    expect(counted[0]).toEqual({ weight: 1, drawn: false });
    expect(counted.at(-1)).toMatchObject({ drawn: true });
    // No random number is drawn while every sample is taken.
    expect(counted.filter(({ weight, drawn }) => weight > 1 !== drawn)).toEqual([]);
  });

  it("reads the clock once in sixteen samples that it does not take, and restarts when the rate is set", () => {
    let now = 0;
    let looks = 0;
    const p = createProfiler({
      random: () => 0.999,
      now: () => {
        looks++;
        return now;
      },
    });
    const walk = p.walker.walk.bind(p.walker);
    p.walker.walk = (...args) => {
      now += 0.01;
      return walk(...args);
    };
    // A sample each 10 us, and each costs 10 us. Once the budget knows this, the random numbers here take none.
    const feed = (n: number) => {
      let taken = 0;
      for (let i = 0; i < n; i++) {
        now += 0.01;
        if (p.mem.alloc(64) !== 0) taken++;
      }
      return taken;
    };
    feed(1000);
    looks = 0;
    expect(feed(1600)).toBe(0);
    expect(looks).toBe(100);
    // An hour without samples does not count: the profile was off.
    p.memProfileRate = 0;
    now += 3.6e6;
    p.memProfileRate = 512 * 1024;
    expect(feed(1600)).toBe(0);
  });

  it("keeps every sample that comes slowly, and every sample at a rate that was set", () => {
    let now = 0;
    const p = createProfiler({ now: () => now });
    for (let i = 0; i < 200; i++) {
      now += 5;
      expect(p.mem.alloc(64)).not.toBe(0);
    }
    expect(records(p)[0]).toMatchObject({ AllocObjects: 200 });
    const all = createProfiler({ memProfileRate: 1, now: () => 0 });
    for (let i = 0; i < 2000; i++) all.mem.alloc(8);
    expect(records(all)[0]).toMatchObject({ AllocObjects: 2000, AllocBytes: 16000 });
    for (const options of [{ memProfileBudget: 1 }, {}]) {
      const dear = createProfiler({ memProfileRate: 4096, now: () => 0, ...options });
      for (let i = 0; i < 2000; i++) dear.mem.alloc(8);
      expect(records(dear)[0]).toMatchObject({ AllocObjects: 2000 });
    }
    expect(() => createProfiler({ memProfileBudget: 0 })).toThrow(/memProfileBudget must be above 0/);
  });
});
