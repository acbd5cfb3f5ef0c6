import { describe, expect, it, vi } from "vitest";
import type { HChan } from "../src/chan.ts";
import { type Chan, createScheduler, type Operation } from "../src/index.ts";
import { createTestScheduler, type TestScheduler } from "../src/testing.ts";

describe("the host loop", () => {
  /** A scheduler whose clock the test moves, and whose event loop turns it runs. */
  function byHand(godebug = "") {
    const host = { t: 0, turns: [] as (() => void)[], text: [] as string[] };
    const s = createScheduler({
      godebug,
      stderr: (text) => host.text.push(text),
      clock: { now: () => host.t },
      tasks: { task: (f) => host.turns.push(f), microtask: (f) => host.turns.push(f) },
    });
    return { s, host };
  }

  it("yields to the event loop at least every 10 ms while goroutines can run", () => {
    const { s, host } = byHand();
    for (let i = 0; i < 4; i++) {
      s.go(function* () {
        for (;;) {
          host.t += 0.05;
          yield* s.gosched();
        }
      });
    }
    for (let turn = 0; turn < 100; turn++) {
      const t = host.t;
      host.turns.shift()!();
      expect(host.t - t).toBeLessThanOrEqual(10);
      expect(host.t - t).toBeGreaterThanOrEqual(2);
      expect(host.turns.length).toBe(1);
    }
  });

  it.each([0.5, 3, 5, 20])(
    "lets a goroutine with steps of %s ms yield at its first checkpoint after the slice",
    (step) => {
      const { s, host } = byHand();
      let others = 0;
      s.go(function* () {
        for (;;) {
          yield* s.gosched();
          others++;
        }
      });
      s.go(function* () {
        for (;;) {
          host.t += step;
          yield* s.checkpoint();
        }
      });
      for (let turn = 0; turn < 50; turn++) {
        const t = host.t;
        host.turns.shift()!();
        expect(host.t - t).toBeLessThanOrEqual(2 + step);
      }
      expect(others).toBeGreaterThanOrEqual(25);
    },
  );

  it("reads the clock seldom if checkpoints are frequent", () => {
    let reads = 0;
    const s = createScheduler({
      clock: { now: () => 0 * ++reads },
      tasks: { task: (f) => f(), microtask: (f) => f() },
    });
    let inTime = true;
    s.go(() => {
      reads = 0;
      for (let i = 0; i < 16000; i++) inTime &&= !s.shouldYield();
    });
    expect(inTime).toBe(true);
    // At each 16th call, except for the first calls.
    expect(reads).toBeGreaterThan(990);
    expect(reads).toBeLessThan(1010);
  });

  it("doubles the distance between reads up to 16 calls, and reads at every call if steps are long", () => {
    const { s, host } = byHand();
    const now = vi.spyOn(s.clock, "now");
    const calls = (n: number, stepMs: number) =>
      Array.from({ length: n }, (_, i) => {
        const before = now.mock.calls.length;
        host.t += stepMs;
        s.shouldYield();
        return now.mock.calls.length > before ? i + 1 : 0;
      }).filter((i) => i > 0);
    let short: number[] = [];
    let long: number[] = [];
    let again: number[] = [];
    s.go(() => {
      short = calls(70, 0);
      // The rest of the last distance, and from then on each call.
      long = calls(20, 0.3);
      again = calls(10, 0);
    });
    host.turns.shift()!();
    expect(short).toEqual([1, 3, 7, 15, 31, 47, 63]);
    expect(long).toEqual([9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
    expect(again).toEqual([1, 3, 7]);
  });

  it("makes shouldYield true from the end of the slice on, and when the clock was set back", () => {
    const { s, host } = byHand();
    const asked = [0, 1.999, 2, 3, -0.001].map((after) => {
      let yields = false;
      const start = host.t;
      s.go(() => {
        host.t = start + after;
        yields = s.shouldYield();
      });
      host.turns.shift()!();
      return yields;
    });
    expect(asked).toEqual([false, false, true, true, true]);
  });

  it("yields in time when goroutines with short steps suddenly take half a millisecond each", () => {
    const { s, host } = byHand();
    for (let i = 0; i < 16; i++) {
      s.go(function* () {
        for (let k = 0; ; k++) {
          host.t += k % 997 === 0 ? 0.5 : 0.0005;
          yield* s.gosched();
        }
      });
    }
    let worst = 0;
    while (host.t < 500) {
      const t = host.t;
      host.turns.shift()!();
      worst = Math.max(worst, host.t - t);
    }
    expect(worst).toBeLessThanOrEqual(10);
  });

  it("yields in time when goroutines with steps of 1 ms follow goroutines with short steps", () => {
    const { s, host } = byHand();
    let worst = 0;
    const turn = () => {
      const t = host.t;
      host.turns.shift()!();
      worst = Math.max(worst, host.t - t);
    };
    s.go(function* () {
      for (let i = 0; i < 1000; i++) yield* s.gosched();
    });
    while (host.turns.length > 0) turn();
    for (let i = 0; i < 16; i++) {
      s.go(function* () {
        for (;;) {
          host.t += 1;
          yield* s.gosched();
        }
      });
    }
    while (host.t < 200) turn();
    expect(worst).toBeLessThanOrEqual(10);
  });

  it("does not starve the host while promises and goroutines wake each other", async () => {
    const s = createScheduler();
    const c = s.makeChan<number>();
    let timer = false;
    setTimeout(() => {
      timer = true;
    }, 1);
    s.go(function* () {
      for (let i = 0; ; i++) yield* c.send(i);
    });
    const end = performance.now() + 2000;
    while (!timer && performance.now() < end) await c.recv();
    expect(timer).toBe(true);
    s.close();
  });

  it.each(["at once", "later"])(
    "does not resume the goroutine that closes the scheduler %s, in any kind of wait",
    (when) => {
      const waits: Record<string, (s: TestScheduler, c: Chan<number>) => Operation<unknown>> = {
        recv: (_, c) => c.recv(),
        sleep: (s) => s.sleep(1),
        gosched: (s) => s.gosched(),
        timer: (s) => s.after(1).recv(),
      };
      const resumed: string[] = [];
      for (const [name, wait] of Object.entries(waits)) {
        const s = createTestScheduler();
        const c = s.makeChan<number>();
        s.go(function* () {
          if (when === "later") yield* s.gosched();
          s.close();
          yield* wait(s, c);
          resumed.push(name);
        });
        s.run();
        (c as HChan<number>).sendNow(1);
        s.advance(10);
      }
      expect(resumed).toEqual([]);
    },
  );

  it("reports goroutines that run for long, once a creation site", () => {
    const { s, host } = byHand("sysmon=1");
    s.go(function* spawner() {
      for (let i = 0; i < 3; i++) {
        yield* s
          .go(function* busy() {
            host.t += 25;
          })
          .done();
      }
    });
    while (host.turns.length > 0) host.turns.shift()!();
    expect(host.text.length).toBe(1);
    expect(host.text[0]).toMatch(
      /^goroutine \d+ ran 25 ms without yielding\n\tcreated by main\.spawner .*yield\.test\.ts:\d+\n$/,
    );
    expect(s.longRuns.length).toBe(1);
  });

  it("has a checkpoint that yields only after the end of the slice", () => {
    const { s, host } = byHand();
    let others = 0;
    let loops = 0;
    s.go(function* () {
      for (; loops < 10_000; loops++) {
        host.t += 0.01;
        yield* s.checkpoint();
      }
    });
    s.go(function* () {
      while (loops < 10_000) {
        others++;
        yield* s.gosched();
      }
    });
    while (host.turns.length > 0) host.turns.shift()!();
    // A loop of 100 ms, in slices of 2 ms.
    expect(others).toBeGreaterThan(30);
    expect(others).toBeLessThan(80);
  });
});
