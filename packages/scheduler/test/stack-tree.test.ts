import { runInThisContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { stackOf } from "../src/gstack.ts";
import type { G } from "../src/runtime2.ts";
import { createTestScheduler, type TestScheduler } from "../src/testing.ts";

const byName = (s: TestScheduler, id: number): G => s.gs().find((g) => g.goid === id)!;

describe("the tree of places", () => {
  it("distinguishes files whose functions stand at the same line and column", () => {
    const s = createTestScheduler({
      symbolize: (site) => ({ func: "main.f", file: site.getFileName() ?? "", line: 1 }),
    });
    const c = s.makeChan<number>();
    const bodies = ["/one.js", "/two.js", "/three.js"].map(
      (filename) =>
        runInThisContext("(function* (c) { yield* c.recv(); })", { filename }) as (
          c: unknown,
        ) => Generator<undefined, void>,
    );
    const stacks = (): unknown[] =>
      bodies.map((body) => {
        const h = s.go(body, c);
        s.run();
        return stackOf(byName(s, h.id));
      });
    const first = stacks();
    expect(first).toMatchObject(
      ["/one.js", "/two.js", "/three.js"].map((file) => ({ frames: [{ file, outermost: true }] })),
    );
    const again = stacks();
    for (const [i, stack] of first.entries()) expect(again[i]).toBe(stack);
  });
});
