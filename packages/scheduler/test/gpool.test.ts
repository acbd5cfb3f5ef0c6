import { describe, expect, it } from "vitest";
import { createTestScheduler } from "../src/testing.ts";

describe("the record of a goroutine", () => {
  it("has labels and number of its parent, or none if host code started it", () => {
    const s = createTestScheduler();
    const labels = new Map([["key", "value"]]);
    const seen: unknown[] = [];
    const child = () => {
      const g = s.getg()!;
      seen.push([g.parentGoid, g.labels]);
    };
    s.runMain(function* () {
      s.go(child);
      yield* s.gosched();
      s.getg()!.labels = labels;
      s.go(child);
      yield* s.gosched();
    });
    s.go(child);
    s.run();
    expect(seen).toEqual([
      [1, null],
      [1, labels],
      [0, null],
    ]);
  });

  it("is reused after its end", () => {
    const s = createTestScheduler();
    for (let i = 0; i < 5; i++) s.go(() => {});
    s.run();
    expect([s.gs().length, s.gfreeCount]).toEqual([5, 5]);
    for (let i = 0; i < 2; i++) s.go(() => s.makeChan().recv());
    s.run();
    expect([s.gs().length, s.gfreeCount]).toEqual([5, 3]);
  });
});
