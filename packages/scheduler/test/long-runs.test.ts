import { describe, expect, it } from "vitest";
import { LongRuns } from "../src/long-runs.ts";
import type { Op } from "../src/op.ts";
import { type G, Gdead, Grunning } from "../src/runtime2.ts";
import { createTestScheduler } from "../src/testing.ts";

describe("goroutines that run for long", () => {
  it("are reported once a creation site, to the hook and on standard error", () => {
    const told: unknown[] = [];
    const s = createTestScheduler({ hooks: { longRun: (run) => told.push(run) } });
    const long = new LongRuns(s, true);
    // Time in host code counts for no goroutine.
    long.note(99);
    s.runMain(function* () {
      long.note(25.4);
      long.note(26);
      for (let i = 0; i < 2; i++) s.go(() => long.note(30 + i));
      yield* s.gosched();
    });
    const site = expect.stringMatching(/^main\.\S+ .*long-runs\.test\.ts:\d+$/);
    const runs = [
      { goid: 1, ms: 25.4, site: "" },
      { goid: 3, ms: 31, site },
    ];
    expect(told).toEqual(runs);
    expect(long.list).toEqual(runs);
    expect(s.errors).toEqual([
      "goroutine 1 ran 25 ms without yielding\n",
      expect.stringMatching(/^goroutine 3 ran 31 ms without yielding\n\tcreated by main\.\S+ .*:\d+\n$/),
    ]);
  });

  it("are not printed unless sysmon=1 is set", () => {
    const s = createTestScheduler();
    const long = new LongRuns(s, false);
    s.runMain(() => long.note(25));
    expect([long.list.length, s.errors]).toEqual([1, []]);
  });

  it("may have ended when their time is known", () => {
    const s = createTestScheduler();
    const long = new LongRuns(s, false);
    s.runMain(() => {
      const g = s.getg()!;
      g.atomicstatus = Gdead;
      long.note(25);
      expect(long.list).toEqual([]);
      long.exited({ goid: 7, site: null } as G);
      long.note(30);
      g.atomicstatus = Grunning;
      expect(long.list).toEqual([{ goid: 7, ms: 30, site: "" }]);
    });
  });
});

describe("an op that a goroutine makes and does not use", () => {
  it("is reported once for each kind and place", () => {
    const s = createTestScheduler();
    const long = new LongRuns(s, false);
    s.runMain(function* () {
      const c = s.makeChan<number>(1);
      const unused = (op: unknown) => long.unusedOp(s.getg()!, op as Op<unknown>);
      unused(c.recv());
      unused(c.recv());
      unused(c.send(1));
      s.go(() => unused(c.recv()));
      yield* s.gosched();
    });
    const text = (goid: number, what: string) =>
      `scheduler: goroutine ${goid} ended with a ${what} that it never used (write yield* before it)`;
    expect(s.errors).toEqual([
      `${text(1, "chan receive")}\n`,
      `${text(1, "chan send")}\n`,
      expect.stringMatching(/^.* goroutine 2 .*\n\tcreated by main\.\S+ .*long-runs\.test\.ts:\d+\n$/),
    ]);
  });
});
