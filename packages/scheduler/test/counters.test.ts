import { describe, expect, it } from "vitest";
import { type LatencyRecorder, LatencySampler } from "../src/counters.ts";
import type { G } from "../src/index.ts";
import {
  Grunnable,
  Grunning,
  Gsyscall,
  Gwaiting,
  SCHED_COUNTERS_LENGTH,
  schedCounters,
} from "../src/internal.ts";
import { Mutex, RWMutex } from "../src/sync/index.ts";
import { createTestScheduler, type TestScheduler, verifyScheduler } from "../src/testing.ts";

/** Each record, and the sum of the transitions that the records stand for. */
class Latencies implements LatencyRecorder {
  readonly list: { ns: number; count: number }[] = [];
  record(ns: number, count: number): void {
    this.list.push({ ns, count });
  }
  get transitions(): number {
    return this.list.reduce((n, r) => n + r.count * 8, 0);
  }
  get meanMs(): number {
    return this.list.reduce((sum, r) => sum + r.ns * r.count * 8, 0) / this.transitions / 1e6;
  }
}

/** The goroutine computes for `ms` of virtual time. */
function compute(s: TestScheduler, ms: number): void {
  s.fakeClock.set(s.fakeClock.now() + ms);
}

describe("counters", () => {
  it("agree with a walk over the goroutines, within a slice and between slices", () => {
    const s = createTestScheduler();
    const check = () => {
      const seen = { [Grunnable]: 0, [Grunning]: 0, [Gsyscall]: 0, [Gwaiting]: 0 };
      s.forEachG((g: G) => {
        seen[g.atomicstatus as keyof typeof seen]++;
      });
      const c = s.readCounters();
      expect({
        [Grunnable]: c[schedCounters.goroutinesRunnable],
        [Grunning]: c[schedCounters.goroutinesRunning],
        [Gsyscall]: c[schedCounters.goroutinesNotInGo],
        [Gwaiting]: c[schedCounters.goroutinesWaiting],
      }).toEqual(seen);
      expect(c[schedCounters.goroutines]).toBe(s.numGoroutine());
      return seen;
    };
    const release = s.makeChan<void>();
    s.runMain(function* () {
      for (let i = 0; i < 3; i++) s.go(() => release.recv());
      for (let i = 0; i < 2; i++) {
        s.go(function* () {
          yield* s.syscall(new Promise(() => {}));
        });
      }
      for (let i = 0; i < 400; i++) s.go(() => s.gosched());
      expect(check()).toEqual({ [Grunnable]: 405, [Grunning]: 1, [Gsyscall]: 0, [Gwaiting]: 0 });
      yield* s.gosched();
      expect(check()).toMatchObject({ [Grunning]: 1, [Gsyscall]: 2, [Gwaiting]: 3 });
      yield* s.gosched();
      verifyScheduler(s);
      expect(check()).toEqual({ [Grunnable]: 0, [Grunning]: 1, [Gsyscall]: 2, [Gwaiting]: 3 });
      release.close();
      yield* s.gosched();
      expect(check()).toEqual({ [Grunnable]: 0, [Grunning]: 1, [Gsyscall]: 2, [Gwaiting]: 0 });
    });
    expect(check()).toEqual({ [Grunnable]: 0, [Grunning]: 0, [Gsyscall]: 0, [Gwaiting]: 0 });
    const c = s.readCounters();
    expect(c[schedCounters.goroutinesCreated]).toBe(406);
    expect(c[schedCounters.threads]).toBe(1);
    expect(c[schedCounters.gomaxprocs]).toBe(1);
    verifyScheduler(s);
  });

  it("are written to the given block after each slice", () => {
    const block = new Float64Array(new SharedArrayBuffer(SCHED_COUNTERS_LENGTH * 8 + 64), 64);
    const s = createTestScheduler({ counters: block, gomaxprocs: 3, procs: { max: 3, why: "" } });
    s.go(() => s.makeChan().recv());
    s.go(() => {});
    s.run();
    expect(block[schedCounters.goroutines]).toBe(1);
    expect(block[schedCounters.goroutinesWaiting]).toBe(1);
    expect(block[schedCounters.goroutinesCreated]).toBe(2);
    expect(block[schedCounters.gomaxprocs]).toBe(3);
    expect(() => createTestScheduler({ counters: new Float64Array(3) })).toThrow(
      "scheduler: counters must have 10 elements (got 3)",
    );
  });

  it("sum the time that goroutines were blocked on locks", () => {
    const s = createTestScheduler();
    const waitedMs = () => s.readCounters()[schedCounters.mutexWaitNs] / 1e6;
    s.runMain(function* () {
      const m = new Mutex();
      yield* m.lock();
      expect(waitedMs()).toBe(0);
      for (let i = 0; i < 2; i++) {
        s.go(function* () {
          yield* m.lock();
          yield* s.sleep(3);
          m.unlock();
        });
      }
      yield* s.sleep(10);
      expect(waitedMs()).toBe(0);
      m.unlock();
      expect(waitedMs()).toBe(10);
      yield* s.sleep(20);
      expect(waitedMs()).toBe(23);

      const rw = new RWMutex();
      yield* rw.rLock();
      s.go(function* () {
        yield* rw.lock(); // 5 ms
        yield* s.sleep(2);
        rw.unlock();
      });
      yield* s.sleep(1);
      for (let i = 0; i < 3; i++) {
        s.go(function* () {
          yield* rw.rLock(); // 6 ms each
          rw.rUnlock();
        });
      }
      yield* s.sleep(4);
      rw.rUnlock();
      expect(waitedMs()).toBe(28);
      yield* s.sleep(100);
      expect(waitedMs()).toBe(46);
      // A second writer waits for the first. In Go this is a mutex, too.
      yield* rw.lock();
      s.go(function* () {
        yield* rw.lock();
        rw.unlock();
      });
      yield* s.sleep(7);
      rw.unlock();
      expect(waitedMs()).toBe(53);
    });
  });

  it("estimate that sum closely when locks are contended all the time and only some waits are timed", () => {
    const s = createTestScheduler();
    let truth = 0;
    s.runMain(function* () {
      const m = new Mutex();
      const workers = [];
      for (let i = 0; i < 7; i++) {
        workers.push(
          s.go(function* () {
            for (let k = 0; k < 3000; k++) {
              yield* m.lock();
              const ms = (1 + (i & 1)) / 4096;
              s.forEachG((g: G) => {
                if (g.atomicstatus === Gwaiting && g.goid !== 1) truth += ms;
              });
              compute(s, ms);
              yield* s.gosched();
              m.unlock();
            }
          }),
        );
      }
      for (const w of workers) yield* w.done();
    });
    const waited = s.readCounters()[schedCounters.mutexWaitNs] / 1e6;
    expect(waited).toBeGreaterThan(truth * 0.9);
    expect(waited).toBeLessThan(truth * 1.1);
  });
});

describe("latencies", () => {
  it("of goroutines that were started together include the run time of those before", () => {
    const latencies = new Latencies();
    const s = createTestScheduler({ latencies });
    const n = 4000;
    const truth: number[] = [];
    s.runMain(function* () {
      for (let i = 0; i < n; i++) {
        compute(s, 1);
        const t = s.fakeClock.now();
        s.go(() => {
          truth.push(s.fakeClock.now() - t);
          compute(s, 3);
        });
      }
      yield* s.gosched();
    });
    const exact = new Set(truth.map((ms) => ms * 1e6));
    for (const r of latencies.list) expect(exact).toContain(r.ns);
    const mean = truth.reduce((a, b) => a + b) / n;
    expect(latencies.meanMs).toBeGreaterThan(mean * 0.95);
    expect(latencies.meanMs).toBeLessThan(mean * 1.05);
    expect(latencies.transitions).toBeGreaterThan(n * 0.95);
    expect(latencies.transitions).toBeLessThan(n * 1.05);
  });

  it("of goroutines that take turns are the run time of the others", () => {
    const latencies = new Latencies();
    const s = createTestScheduler({ latencies });
    s.runMain(function* () {
      for (let i = 0; i < 9; i++) {
        compute(s, 1);
        s.go(function* () {
          for (;;) {
            compute(s, 1);
            yield* s.gosched();
          }
        });
      }
      for (let i = 0; i < 1000; i++) {
        compute(s, 1);
        yield* s.gosched();
      }
    });
    // Each waits for the nine others. This is not exact: the 61st tick takes the head of the global queue out of turn.
    expect(latencies.meanMs).toBeGreaterThan(8.8);
    expect(latencies.meanMs).toBeLessThan(9.2);
    for (const r of latencies.list) expect(r.ns % 1e6).toBe(0);
    const turns = s.fakeClock.now();
    expect(latencies.transitions).toBeGreaterThan(turns * 0.95);
    expect(latencies.transitions).toBeLessThan(turns * 1.05);
  });

  it("have a weight of the transitions they stand for, when switches are short and fewer are timed", () => {
    const latencies = new Latencies();
    const s = createTestScheduler({ latencies });
    const n = 100_000;
    s.runMain(function* () {
      const c = s.makeChan<number>();
      s.go(function* () {
        for (let i = 0; i < n; i++) yield* c.send(i);
      });
      for (let i = 0; i < n; i++) {
        yield* c.recv();
        if (i % 2 === 0) yield* s.gosched();
      }
    });
    expect(latencies.list.length).toBeLessThan(n / 300);
    const { transitions } = latencies;
    // One a value, and one a gosched.
    expect(transitions).toBeGreaterThan(n * 1.5 * 0.85);
    expect(transitions).toBeLessThan(n * 1.5 * 1.15);
  });

  it("begin at the call of host code that wakes the scheduler", () => {
    const latencies = new Latencies();
    const s = createTestScheduler({ latencies });
    const c = s.makeChan<number>(1);
    s.go(() => c.forEach(() => {}));
    s.run();
    const before = latencies.list.length;
    for (let i = 0; i < 800; i++) {
      c.trySend(1);
      compute(s, 25);
      s.run();
    }
    const since = latencies.list.slice(before);
    expect(since.length).toBeGreaterThan(90);
    expect(since.length).toBeLessThan(110);
    for (const r of since) expect(r).toEqual({ ns: 25e6, count: 1 });
  });

  it("are not recorded for goroutines that end with main before they run", () => {
    const latencies = new Latencies();
    const s = createTestScheduler({ latencies });
    for (let round = 0; round < 3; round++) {
      s.runMain(() => {
        for (let i = 0; i < 100; i++) s.go(() => {});
      });
      verifyScheduler(s);
    }
    expect(latencies.transitions).toBeLessThanOrEqual(16);
    const g = s.gs().find((g) => g.tracking !== 0);
    expect(g).toBeUndefined();
  });

  it("are recorded also while the block profile times waits", () => {
    const latencies = new Latencies();
    const s = createTestScheduler({ latencies });
    s.runMain(function* () {
      for (let i = 0; i < 20_000; i++) {
        s.blockProfileEnabled = i % 3 > 0;
        const c = s.makeChan<number>();
        s.go(() => c.send(1));
        yield* c.recv();
      }
    });
    expect(latencies.transitions).toBeGreaterThan(36_000);
    expect(latencies.transitions).toBeLessThan(44_000);
  });
});

describe("the choice of latencies", () => {
  const g = (): G => ({ tracking: 0 }) as G;

  it("times one in 8, and one in 1024 while the last two are within 2 us a transition", () => {
    const sampler = new LatencySampler(new Latencies());
    expect(sampler.period).toBe(8);
    const periods = [1, 1.0159, 3.06, 5.2, 5.2161].map((now) => {
      sampler.start(g(), now, 8);
      return sampler.period;
    });
    // 16 us for 8 transitions, 2.048 ms for 1024.
    expect(periods).toEqual([8, 1024, 1024, 8, 8]);
  });

  it("returns to one in 8 when the last is 2.048 ms old", () => {
    const sampler = new LatencySampler(new Latencies());
    sampler.start(g(), 1, 8);
    expect([sampler.relax(1000), sampler.period]).toEqual([false, 8]);
    sampler.start(g(), 1000, 8);
    sampler.start(g(), 1000, 8);
    expect([sampler.relax(1002.047), sampler.period]).toEqual([false, 1024]);
    expect([sampler.relax(1002.049), sampler.period]).toEqual([true, 8]);
    expect(sampler.relax(1002.049)).toBe(false);
  });

  it("draws random distances whose mean is the period", () => {
    const sampler = new LatencySampler(new Latencies());
    const draws = Array.from({ length: 20_000 }, () => sampler.next());
    expect([Math.min(...draws), Math.max(...draws)]).toEqual([1, 15]);
    expect(draws.reduce((a, b) => a + b) / draws.length).toBeCloseTo(8, 0);
    for (let n = 1; n <= 15; n++) {
      expect(Math.abs(draws.filter((d) => d === n).length / draws.length - 1 / 15)).toBeLessThan(0.01);
    }
  });

  it("distinguishes all that wait at once, and reuses the slot of one that ran", () => {
    const latencies = new Latencies();
    const sampler = new LatencySampler(latencies);
    const waiting = Array.from({ length: 100 }, g);
    for (const [i, x] of waiting.entries()) sampler.start(x, 10 * i, 8 * (i + 1));
    expect(new Set(waiting.map((x) => x.tracking)).size).toBe(100);
    // A goroutine that is timed already stays timed.
    sampler.start(waiting[0], 5000, 8);
    for (const x of waiting) sampler.ran(x, 2000);
    expect(latencies.list).toEqual(waiting.map((_, i) => ({ ns: (2000 - 10 * i) * 1e6, count: i + 1 })));
    expect(waiting.every((x) => x.tracking === 0)).toBe(true);
    const again = g();
    sampler.start(again, 3000, 8);
    expect(again.tracking).toBeLessThanOrEqual(100);
    sampler.ran(again, 2999);
    // The clock was set back.
    expect(latencies.list.at(-1)).toEqual({ ns: 0, count: 1 });
    sampler.start(again, 4000, 8);
    sampler.drop(again);
    expect([again.tracking, latencies.list.length]).toEqual([0, 101]);
  });
});
