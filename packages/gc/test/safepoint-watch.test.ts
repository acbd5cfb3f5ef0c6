import { beforeEach, describe, expect, it } from "vitest";
import { DEADLINE_NS, SafepointWatch, WATCH_BYTES } from "../src/safepoint-watch.ts";
import { FakeClock } from "../src/testing.ts";

describe("the watch for safepoints", () => {
  let clock: FakeClock;
  let looks: number;
  let told: string[];
  let watch: SafepointWatch;
  let live: number;

  beforeEach(() => {
    clock = new FakeClock();
    clock.advance(1e9);
    looks = 0;
    told = [];
    live = 5 << 20;
    const looking = {
      nanotime: () => {
        looks++;
        return clock.now;
      },
      walltime: () => clock.walltime(),
    };
    watch = new SafepointWatch(
      looking,
      () => "goroutine 7 [running]:\n\n",
      (text) => told.push(text),
    );
  });

  /** An allocation of a watched size, `ns` later. */
  const allocate = (ns: number, bytes = WATCH_BYTES) => {
    clock.advance(ns);
    live += bytes;
    watch.allocation(live);
  };
  const text = (seconds: number, mb: number) =>
    `runtime: a collection has waited ${seconds} s for a safepoint (${mb} MB in use): ` +
    "this goroutine allocates without yielding\ngoroutine 7 [running]:\n";

  it("counts from the first allocation, not from the last safepoint", () => {
    watch.safepoint();
    clock.advance(2 * DEADLINE_NS);
    allocate(0);
    allocate(DEADLINE_NS - 1);
    expect(told).toEqual([]);
    allocate(1);
    expect(told).toEqual([text(10, 8)]);
  });

  it("counts anew from the first allocation behind a safepoint, however small", () => {
    allocate(0);
    watch.safepoint();
    allocate(DEADLINE_NS, 1);
    expect(looks).toBe(2);
    allocate(DEADLINE_NS);
    expect(told).toEqual([text(10, 7)]);
  });

  it("looks at the clock once a MiB", () => {
    allocate(0);
    expect(looks).toBe(1);
    allocate(2 * DEADLINE_NS, WATCH_BYTES - 1);
    expect([looks, told]).toEqual([1, []]);
    allocate(0, 1);
    expect([looks, told]).toEqual([2, [text(20, 7)]]);
  });

  it("tells once, and again when a safepoint has come in between", () => {
    allocate(0);
    allocate(DEADLINE_NS);
    for (let i = 0; i < 5; i++) allocate(DEADLINE_NS);
    expect([told.length, looks]).toEqual([1, 2]);
    watch.safepoint();
    allocate(DEADLINE_NS, 1);
    expect(told).toHaveLength(1);
    allocate(DEADLINE_NS - 1);
    expect(told).toHaveLength(1);
    allocate(1e9);
    expect(told).toHaveLength(2);
    expect(told[1]).toContain("has waited 10 s");
  });
});
