import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Symbolize } from "../src/frames.ts";
import { gDerived, gSites, gStack, stackOf } from "../src/gstack.ts";
import { createScheduler } from "../src/index.ts";
import type { G } from "../src/runtime2.ts";
import { createTestScheduler, type TestScheduler } from "../src/testing.ts";
import { goroutineText, stackText } from "../src/traceback.ts";

const symbolize: Symbolize = (site) => ({
  func: `main.${site.getFunctionName() || "func1"}`,
  file: "prog.ts",
  line: site.getLineNumber() ?? 0,
});

const byName = (s: TestScheduler, id: number): G => s.gs().find((g) => g.goid === id)!;

const names = (g: G) => gStack(g).map((f) => f.func.replace("main.", ""));

describe.each([
  ["with a symbolizer", symbolize, /^prog\.ts$/],
  ["from V8's text", undefined, /gstack\.test\.ts$/],
])("the stack of a goroutine, %s", (_, symbolizer, file) => {
  const options = symbolizer === undefined ? {} : { symbolize: symbolizer };

  it("is captured once a wait, and again at the next wait", () => {
    const s = createTestScheduler(options);
    const c = s.makeChan<number>();
    function* here(): Generator<undefined, void> {
      yield* c.recv();
    }
    function* there(): Generator<undefined, void> {
      yield* c.recv();
    }
    const h = s.go(function* walker() {
      yield* here();
      yield* there();
      yield* s.gosched();
      for (;;) yield* here();
    });
    s.run();
    const g = byName(s, h.id);
    const first = stackOf(g);
    expect(names(g)).toEqual(["here", "walker"]);
    expect(stackOf(g)).toBe(first);
    c.trySend(1);
    // Runnable: its place is still that of the wait.
    expect(names(g)).toEqual(["here", "walker"]);
    s.run();
    expect(names(g)).toEqual(["there", "walker"]);
    c.trySend(1);
    s.run();
    const again = stackOf(g);
    expect(names(g)).toEqual(["here", "walker"]);
    c.trySend(1);
    s.run();
    // Another wait at the same place has the same stack.
    expect(stackOf(g)).toBe(again);
    expect(again).not.toBe(first);
  });

  it("is that of the current wait, even if the clock was set back", async () => {
    let now = 100_000;
    const s = createScheduler({ ...options, clock: { now: () => now } });
    const c = s.makeChan<number>();
    function* there(): Generator<undefined, void> {
      yield* c.recv();
    }
    s.go(function* walker() {
      yield* c.recv();
      yield* there();
    });
    const turn = () => new Promise((resolve) => setTimeout(resolve, 1));
    await turn();
    now = 0;
    expect(stackText(s, true)).not.toContain("there");
    c.trySend(1);
    await turn();
    expect(stackText(s, true)).toContain("there");
    now = 100_000;
    expect(stackText(s, true)).not.toContain("minutes");
    s.close();
  });

  it("is one object for all that wait at one place; each keeps its own header and creator", () => {
    const s = createTestScheduler(options);
    const c = s.makeChan<number>();
    function* worker(): Generator<undefined, void> {
      yield* c.recv();
    }
    const h = s.go(function* boss() {
      for (let i = 0; i < 3; i++) s.go(worker);
      yield* c.recv();
    });
    const other = s.go(worker);
    s.run();
    const workers = s.gs().filter((g) => g.parentGoid === h.id);
    expect(new Set([...workers, byName(s, other.id)].map(stackOf)).size).toBe(1);
    const text = stackText(s, true);
    for (const g of workers) expect(text).toContain(`\n${goroutineText(g, gStack(g))}`);
    const created = [...text.matchAll(/created by main\.boss in goroutine (\d+)\n\t(.*):\d+\n/g)];
    expect(created).toHaveLength(3);
    for (const [, id, path] of created) {
      expect(Number(id)).toBe(h.id);
      expect(path).toMatch(file);
    }
  });

  it("is that of the caller while it runs, and unknown while host code runs as the goroutine", () => {
    const s = createTestScheduler(options);
    let host: unknown;
    let other: string[] = [];
    s.runMain(function* main() {
      const g = s.getg()!;
      function* inner(): Generator<undefined, string[]> {
        yield* s.gosched();
        return names(g);
      }
      // This symbolizer gives the functions that ask a file of the program.
      const asking = new Set(["names", "gStack"]);
      expect((yield* inner()).filter((name) => !asking.has(name))).toEqual(["inner", "main"]);
      const work = () => {
        host = gStack(g);
        throw new Error("no promise");
      };
      expect(() => s.syscall(work)).toThrow("no promise");
      const h = s.go(function* waiter() {
        yield* s.makeChan().recv();
      });
      expect(gStack(byName(s, h.id))).toEqual([]);
      yield* s.gosched();
      other = names(byName(s, h.id));
    });
    expect(host).toEqual([]);
    expect(other).toEqual(["waiter"]);
  });

  it("has the current waiting time also when its stack is in the cache", () => {
    const s = createTestScheduler(options);
    s.go(function* waiter() {
      yield* s.makeChan().recv();
    });
    s.advance(60_000);
    for (const minutes of [1, 2, 3]) {
      expect(stackText(s, true)).toContain(
        minutes === 1 ? "[chan receive, 1 minutes]" : `[chan receive, ${minutes} minutes]`,
      );
      s.advance(60_000);
    }
  });
});

describe("a dump", () => {
  it("shows the place of every goroutine at any depth, beside any other goroutines", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            depth: fc.oneof(fc.nat({ max: 6 }), fc.nat({ max: 150 })),
            kind: fc.constantFrom("recv", "send", "sleep", "gosched", "syscall", "fresh", "evaluated"),
          }),
          { minLength: 1, maxLength: 60 },
        ),
        (specs) => {
          const s = createTestScheduler({ symbolize });
          const c = s.makeChan<number>();
          const ended: number[] = [];
          const wait = new Function("c", "return function* evaluated() { yield* c.recv(); }")(
            s.makeChan(),
          ) as () => Generator<undefined, void>;
          function* nest(depth: number, kind: string): Generator<undefined, void> {
            if (depth > 0) yield* nest(depth - 1, kind);
            else if (kind === "recv") yield* c.recv();
            else if (kind === "send") yield* s.makeChan<number>().send(1);
            else if (kind === "sleep") yield* s.sleep(1000);
            else if (kind === "syscall") yield* s.syscall(new Promise(() => {}));
            else if (kind === "evaluated") yield* wait();
            else yield* s.gosched();
          }
          function* root(i: number): Generator<undefined, void> {
            yield* nest(specs[i].depth, specs[i].kind);
            ended.push(i);
          }
          const text = s.runMain(function* main() {
            const begun = specs.map((spec, i) => (spec.kind === "fresh" ? 0 : s.go(root, i).id));
            yield* s.gosched();
            const ids = begun.map((id, i) => id || s.go(root, i).id);
            const dump = stackText(s, true).split("\n\n");
            for (const [i, { depth, kind }] of specs.entries()) {
              const part = dump.find((d) => d.startsWith(`goroutine ${ids[i]} [`))!;
              const nested = part.match(/^main\.nest\(/gm)?.length ?? 0;
              const others = kind === "evaluated" ? 2 : 1;
              if (kind === "fresh") {
                expect(part).toMatch(/^goroutine \d+ \[runnable\]:\nmain\.root\(\.\.\.\)\n/);
              } else if (others + depth + 1 > 100) {
                expect(part).toContain("frames elided...\n");
                expect(nested).toBe(100 - others);
              } else {
                expect(nested).toBe(depth + 1);
                expect(part).toMatch(/^main\.root\(/m);
              }
              expect(/^main\.evaluated\(/m.test(part)).toBe(kind === "evaluated");
              expect(part.split("\n").length).toBeLessThan(210);
            }
            expect(stackText(s, true).split("\n\n").slice(1)).toEqual(dump.slice(1));
            for (const { kind } of specs) if (kind === "recv") yield* c.send(1);
            yield* s.sleep(2000);
            return dump.length;
          });
          expect(text).toBe(specs.length + 1);
          const going = new Set(["send", "syscall", "evaluated"]);
          // The dump disturbed no goroutine.
          expect(ended.sort((a, b) => a - b)).toEqual(
            specs.flatMap(({ kind }, i) => (going.has(kind) ? [] : [i])),
          );
        },
      ),
      { numRuns: 40 },
    );
  });

  it("harms no goroutine when one of them cannot be resumed for its stack", () => {
    const s = createTestScheduler({ symbolize });
    const c = s.makeChan<number>();
    const got: number[] = [];
    function* worker(): Generator<undefined, void> {
      got.push((yield* c.recv())!);
    }
    s.go(worker);
    const faulty = s.go(function* faulty() {
      const op = s.makeChan<number>().recv()[Symbol.iterator]();
      let calls = 0;
      yield* {
        [Symbol.iterator]: () => ({
          next: () => {
            if (++calls > 1) throw new Error("not again");
            return op.next();
          },
        }),
      };
    });
    s.go(worker);
    s.run();
    expect(() => stackText(s, true)).toThrow("not again");
    expect(gStack(byName(s, faulty.id))).toEqual([]);
    for (const n of [1, 2]) c.trySend(n);
    s.run();
    expect(got).toEqual([1, 2]);
  });
});

describe("gDerived", () => {
  it("is called once for all goroutines at a place", () => {
    const s = createTestScheduler({ symbolize });
    function* worker(): Generator<undefined, void> {
      yield* s.makeChan().recv();
    }
    for (let i = 0; i < 5; i++) s.go(worker);
    s.run();
    let calls = 0;
    const derive = (sites: { getFunctionName(): string | null }[]) => {
      calls++;
      return sites[0].getFunctionName();
    };
    for (const g of s.gs()) {
      expect(gSites(g).length).toBeGreaterThan(1);
      expect(gDerived(g, derive)).toBe("worker");
    }
    expect(calls).toBe(1);
  });

  it("is not cached without a symbolizer, and not for a running goroutine", () => {
    const first = (sites: { getFunctionName(): string | null }[]) => {
      calls++;
      return sites.find((site) => site.getFunctionName() !== "gDerived")!.getFunctionName();
    };
    let calls = 0;
    const plain = createTestScheduler();
    const h = plain.go(function* waiter() {
      yield* plain.makeChan().recv();
    });
    plain.run();
    const g = byName(plain, h.id);
    expect([gDerived(g, first), gDerived(g, first)]).toEqual(["waiter", "waiter"]);
    expect(calls).toBe(2);
    const s = createTestScheduler({ symbolize });
    s.runMain(function* main() {
      for (let i = 0; i < 2; i++) expect(gDerived(s.getg()!, first)).toBe("main");
      yield* s.gosched();
    });
    expect(calls).toBe(4);
  });

  it("is null for a goroutine that has not begun, and its function is not called", () => {
    const s = createTestScheduler({ symbolize });
    const h = s.go(() => {});
    expect(gSites(byName(s, h.id))).toEqual([]);
    expect(
      gDerived(byName(s, h.id), () => {
        throw new Error("made of nothing");
      }),
    ).toBe(null);
  });

  it("works also for a goroutine whose stack a dump has captured before", () => {
    const s = createTestScheduler({ symbolize });
    const h = s.go(function* waiter() {
      yield* s.makeChan().recv();
    });
    s.run();
    const g = byName(s, h.id);
    const stack = stackOf(g);
    for (let i = 0; i < 2; i++) expect(gDerived(g, (sites) => sites[0].getFunctionName())).toBe("waiter");
    expect(stackOf(g)).toBe(stack);
  });
});
