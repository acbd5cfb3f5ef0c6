import { describe, expect, it } from "vitest";
import { createScheduler, FatalError } from "../src/index.ts";
import { createTestScheduler } from "../src/testing.ts";

describe("hooks", () => {
  it("call safepoint between goroutines, once for each request", () => {
    let n = 0;
    const s = createTestScheduler({
      hooks: {
        safepoint: () => {
          n++;
          expect(s.getg()).toBe(null);
        },
      },
    });
    s.runMain(function* () {
      yield* s.gosched();
      expect(n).toBe(0);
      s.requestSafepoint();
      expect(n).toBe(0);
      yield* s.gosched();
      expect(n).toBe(1);
      yield* s.gosched();
      expect(n).toBe(1);
    });
  });

  it("may give the event loop a turn before any goroutine continues, also when none can run", async () => {
    const log: string[] = [];
    let left = 2;
    const s = createScheduler({
      hooks: {
        safepoint() {
          log.push("safepoint");
          if (left-- === 0) return;
          setTimeout(() => log.push("timer"), 0);
          // Later than any timer that is due.
          for (const end = performance.now() + 2; performance.now() < end; );
          s.yieldToHost();
          s.requestSafepoint();
        },
      },
    });
    await s.main(function* () {
      s.requestSafepoint();
      yield* s.gosched();
      log.push("goroutine");
    });
    expect(log).toEqual(["safepoint", "timer", "safepoint", "timer", "safepoint", "goroutine"]);
    log.length = 0;
    left = 1;
    s.requestSafepoint();
    for (let i = 0; i < 100 && log.length < 3; i++) await new Promise((r) => setTimeout(r, 1));
    expect(log).toEqual(["safepoint", "timer", "safepoint"]);
  });

  it("end the program when one of them throws", async () => {
    const s = createScheduler({
      hooks: {
        safepoint() {
          throw new FatalError("throw", "TEST", "found pointer to free object");
        },
      },
    });
    await expect(
      s.main(function* () {
        s.requestSafepoint();
        for (;;) yield* s.gosched();
      }),
    ).rejects.toThrow("found pointer to free object");
    expect(await s.main(() => 1)).toBe(1);
  });

  it("report every kind of end of goroutines that have stack slots", () => {
    const ended: number[] = [];
    const s = createTestScheduler({ hooks: { gExit: (g) => ended.push(g.rootLo) } });
    s.runMain(function* () {
      yield* s
        .go(() => {
          s.getg()!.rootLo = 100;
        })
        .done();
      s.go(function* () {
        s.getg()!.rootLo = 200;
        yield* s.makeChan().recv();
      });
      yield* s.gosched();
    });
    expect(ended).toEqual([100, 200]);
  });

  it("report the time of waits while block profiling is on", () => {
    const events: [number, number][] = [];
    const s = createTestScheduler({ hooks: { blockEvent: (_g, ns, reason) => events.push([ns, reason]) } });
    s.runMain(function* () {
      s.blockProfileEnabled = true;
      const c = s.makeChan<number>();
      s.go(function* () {
        yield* s.sleep(5);
        yield* c.send(1);
      });
      yield* s.sleep(1);
      yield* c.recv();
      s.blockProfileEnabled = false;
    });
    expect(events).toContainEqual([4e6, 19]);
  });
});

describe("a profiler's hook", () => {
  it("is called for each goroutine that runs, and for the host between slices", () => {
    const s = createTestScheduler();
    const seen: (number | null)[] = [];
    s.onSwitch = (g) => seen.push(g === null ? null : g.goid);
    s.runMain(function* () {
      s.go(() => {});
      yield* s.gosched();
      yield* s.sleep(1);
    });
    expect(seen).toEqual([1, 2, 1, null, 1, null]);
  });
});

describe("a stop of the world", () => {
  it("is refused while another one lasts", () => {
    const s = createTestScheduler();
    s.stopTheWorld("first");
    expect(() => s.stopTheWorld("second")).toThrow("stopTheWorld: world is already stopped");
    s.startTheWorld();
    s.stopTheWorld("third");
    s.startTheWorld();
  });
});
