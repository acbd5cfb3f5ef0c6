import { describe, expect, it, vi } from "vitest";
import { defer, FatalError } from "../src/index.ts";
import { createTestScheduler, verifyScheduler } from "../src/testing.ts";

describe("go", () => {
  it("refuses what cannot be a goroutine", () => {
    const s = createTestScheduler();
    // @ts-expect-error an async function
    expect(() => s.go(async () => {})).toThrow(/needs a generator function, not an async one/);
    // @ts-expect-error an async generator function
    expect(() => s.go(async function* () {})).toThrow(TypeError);
    expect(() => s.go(3 as never)).toThrow("scheduler: go needs a function (got number)");
    expect(() => s.go(null as never)).toThrow(FatalError);
    expect(() => s.runMain(() => Promise.resolve(1) as never)).toThrow(/returned a promise/);
  });

  it("passes any number of arguments", () => {
    const s = createTestScheduler();
    const got: unknown[][] = [];
    s.runMain(function* () {
      const f = function* (...args: number[]) {
        got.push(args);
      };
      s.go(f);
      s.go(f, 1);
      s.go(f, 1, 2);
      s.go(f, 1, 2, 3, 4, 5, 6);
      yield* s.gosched();
    });
    expect(got.sort((a, b) => a.length - b.length)).toEqual([[], [1], [1, 2], [1, 2, 3, 4, 5, 6]]);
  });

  it("gives a handle that outlives the goroutine", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const first = s.go(() => {});
      yield* first.done();
      const c = s.makeChan();
      // Reuses the record of the first.
      const second = s.go(() => c.recv());
      yield* s.gosched();
      expect(second.id).not.toBe(first.id);
      yield* first.done();
      c.close();
      yield* second.done();
    });
  });

  it("runs goroutines that host code starts in the order of their start", () => {
    const s = createTestScheduler();
    const log: number[] = [];
    for (let i = 0; i < 5; i++) s.go(() => void log.push(i));
    s.run();
    expect(log).toEqual([0, 1, 2, 3, 4]);
  });

  it("throws into a goroutine that yields something other than an op", () => {
    const s = createTestScheduler();
    expect(() =>
      s.runMain(function* () {
        yield 3 as never;
      }),
    ).toThrow("goroutine 1 yielded a value that is no op");
  });
});

describe("a function that returns one of the engine's iterators", () => {
  const results: Record<string, () => unknown> = {
    "a Map's": () => new Map([[1, 2]]).values(),
    "a Set's": () => new Set([1]).values(),
    "an array's": () => [1].values(),
    "a string's": () => "abc"[Symbol.iterator](),
    "a search's": () => "abc".matchAll(/b/g),
  };

  it.each(Object.entries(results))("is an ordinary function: %s", (_, f) => {
    const s = createTestScheduler();
    s.runMain(function* () {
      s.go(f);
      defer(f);
      yield* s.gosched();
      expect(s.numGoroutine()).toBe(1);
    });
  });
});

describe("the end of a goroutine", () => {
  it("is counted also if it has run deferred calls", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      let called = false;
      s.go(() => {
        defer(() => {
          called = true;
        });
      });
      yield* s.gosched();
      expect([called, s.numGoroutine()]).toEqual([true, 1]);
      verifyScheduler(s);
    });
  });

  it("works without a hook for its stack slots", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      s.go(() => {
        s.getg()!.rootLo = 8;
      });
      yield* s.gosched();
      expect(s.numGoroutine()).toBe(1);
    });
  });

  it("by a panic is reported on standard error if there is neither a main nor a process of Node", () => {
    const s = createTestScheduler();
    s.go(function* worker() {
      throw new Error("x");
    });
    vi.stubGlobal("process", { versions: {} });
    try {
      expect(() => s.run()).toThrow("x");
    } finally {
      vi.unstubAllGlobals();
    }
    expect(s.errors).toEqual([
      expect.stringMatching(/^panic: x\n\ngoroutine 2 \[running\]:\nmain\.worker\(/),
    ]);
  });
});
