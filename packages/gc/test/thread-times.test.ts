/** The figures of a cycle that several threads have marked. */
import { describe, expect, it } from "vitest";
import { GCState } from "../src/gc-state.ts";
import { FakeClock, finishCycle } from "../src/testing.ts";
import { threads } from "./threads-kit.ts";

describe("the times of a cycle", () => {
  it("are sums of all threads, and gctrace counts the processors", () => {
    const clock = new FakeClock();
    clock.now = 1e9;
    clock.nanotime = () => (clock.now += 20_000);
    const world = threads(3, { clock, godebug: { gctrace: 1 }, gogc: 40 });
    const [driver, second, third] = world.rigs;
    for (let k = 0; k < 100_000; k++) driver.gc.refs.alloc(driver.a.mallocTyped(driver.node));
    driver.gc.gc();
    driver.lines.length = 0;
    driver.gc.start();
    second.gc.pollSafepoint();
    third.gc.idleWork();
    const times = (r = driver) => {
      const { backgroundNs = 0, idleNs = 0, assistNs = 0 } = r.gc.runningCycle ?? {};
      return [backgroundNs, idleNs, assistNs];
    };
    const [b2, i2, a2] = times(second);
    const [b3, i3, a3] = times(third);
    expect([b2 > 0, i2, a2, b3, i3 > 0, a3]).toEqual([true, 0, 0, 0, true, 0]);
    while (times(second)[2] === 0) second.a.mallocNoscan(64 << 10);
    const assisted = times(second)[2];
    const own = times();
    while (driver.gc.step() !== "terminate");
    const { cycle } = new GCState(driver.a.mem);
    expect([cycle.backgroundNs, cycle.idleNs, cycle.assistNs]).toEqual([
      own[0] + b2,
      own[1] + i3,
      own[2] + assisted,
    ]);
    const ms = (ns: number): string => (ns < 10e6 ? (ns / 1e6).toFixed(ns < 1e6 ? 2 : 1) : String(ns / 1e6));
    const [line] = driver.lines;
    expect(line).toMatch(/, 3 P\n$/);
    expect(line).toContain(`/${ms(cycle.backgroundNs)}/`);
    finishCycle(driver.gc);
    // They begin anew with each cycle.
    driver.gc.start();
    expect(times(second)).toEqual([0, 0, 0]);
    finishCycle(driver.gc);
  });
});
