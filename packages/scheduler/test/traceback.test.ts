import { describe, expect, it } from "vitest";
import { collectHostUntil, dropWithReportsDue, hostTurn } from "../../../vitest.hostgc.ts";
import { parseStack } from "../src/frames.ts";
import { gStack } from "../src/gstack.ts";
import { crashReport, createScheduler, type Frame } from "../src/index.ts";
import type { Leak } from "../src/leak.ts";
import { createTestScheduler } from "../src/testing.ts";
import { currentG, goroutineText, stackText } from "../src/traceback.ts";

describe("currentG", () => {
  it("names the goroutine that runs, who started it, and how long it has kept others waiting", () => {
    const s = createTestScheduler();
    expect(currentG(s)).toBeNull();
    const seen: unknown[] = [];
    s.runMain(function* main() {
      expect(currentG(s)).toEqual({ goid: 1, func: "main.main", createdBy: "", runningMs: 0 });
      expect(currentG(createTestScheduler())).toBeNull();
      const g = s.go(function* greedy() {
        for (let i = 0; i < 3; i++) {
          s.fakeClock.set(s.fakeClock.now() + 40);
          seen.push(currentG(s)!.runningMs);
        }
        const { goid, func, createdBy } = currentG(s)!;
        expect({ goid, func }).toEqual({ goid: 2, func: "main.greedy" });
        expect(createdBy).toMatch(/^created by main\.main in goroutine 1\n\t.*traceback\.test\.ts:\d+\n$/);
        s.requestSafepoint();
        yield* s.gosched();
        seen.push(currentG(s)!.runningMs);
      });
      yield* g.done();
    });
    expect(seen).toEqual([40, 80, 120, 0]);
  });
});

describe("stacks on demand", () => {
  it("show every level of yield*, through methods, statics and try blocks, and disturb nothing", () => {
    const s = createTestScheduler();
    let cleaned = 0;
    class Svc {
      *inner(): Generator<undefined, number> {
        return (yield* s.makeChan<number>().recv()) ?? 0;
      }
      *middle(): Generator<undefined, number> {
        try {
          return yield* this.inner();
        } finally {
          cleaned++;
        }
      }
      static *entry(x: Svc): Generator<undefined, number> {
        return yield* x.middle();
      }
    }
    const helper = function* (x: Svc): Generator<undefined, number> {
      return yield* Svc.entry(x);
    };
    const c = s.makeChan<number>();
    let result = 0;
    Svc.prototype.inner = function* inner(): Generator<undefined, number> {
      return (yield* c.recv())!;
    };
    s.runMain(function* () {
      const h = s.go(function* () {
        result = yield* helper(new Svc());
      });
      yield* s.gosched();
      const g = s.gs().find((g) => g.goid === h.id)!;
      // V8 of Node 24 and later names the class of a static method too.
      const stack = () =>
        gStack(g).map((f) => f.func.replace(/^main\./, "").replace("(*Svc).entry", "entry"));
      const names = stack();
      expect(names).toEqual(["(*Svc).inner", "(*Svc).middle", "entry", "helper", "func1"]);
      for (let i = 0; i < 3; i++) expect(stack()).toEqual(names);
      expect(cleaned).toBe(0);
      yield* c.send(5);
      yield* s.gosched();
    });
    expect([result, cleaned]).toEqual([5, 1]);
  });

  it("show goroutines that are runnable, not begun, or sleeping", () => {
    const s = createTestScheduler();
    const text = s.runMain(function* () {
      s.go(function* fresh() {
        yield* s.sleep(1);
      });
      s.go(function* sleeper() {
        yield* s.sleep(120_000);
      });
      s.go(function* spinner() {
        for (;;) yield* s.gosched();
      });
      yield* s.gosched();
      s.go(function* late() {
        yield* s.gosched();
      });
      return stackText(s, true);
    });
    expect(text).toMatch(/goroutine 3 \[sleep\]:\nmain\.sleeper\(\.\.\.\)/);
    expect(text).toMatch(/goroutine 4 \[runnable\]:\nmain\.spinner\(\.\.\.\)/);
    expect(text).toMatch(
      /goroutine 5 \[runnable\]:\nmain\.late\(\.\.\.\)\n\t.*traceback\.test\.ts:\d+\ncreated by main\.main in/,
    );
  });

  it("say for how many whole minutes a goroutine has waited", () => {
    const s = createTestScheduler();
    s.go(function* waiter() {
      yield* s.makeChan().recv();
    });
    s.advance(59_000);
    expect(stackText(s, true)).toMatch(/\[chan receive\]/);
    s.advance(120_000);
    expect(stackText(s, true)).toMatch(/\[chan receive, 2 minutes\]/);
  });

  it("take names and positions from a symbolizer, if there is one", () => {
    const s = createTestScheduler({
      symbolize: (site) => ({
        func: `pkg.${site.getFunctionName() ?? "anonymous"}`,
        file: "mapped.ts",
        line: 7,
      }),
    });
    const text = s.runMain(function* () {
      s.go(function* blocked() {
        yield* s.makeChan().recv();
      });
      yield* s.gosched();
      return stackText(s, true);
    });
    expect(text).toMatch(/\npkg\.blocked\(\.\.\.\)\n\tmapped\.ts:7\n/);
  });

  it("read the stacks of engines other than V8", () => {
    const frames = parseStack("worker@https://x.test/a.js:12:3\n@https://x.test/a.js:20:1\n");
    expect(frames).toEqual([
      { func: "main.worker", file: "https://x.test/a.js", line: 12 },
      { func: "main.func1", file: "https://x.test/a.js", line: 20 },
    ] satisfies Frame[]);
  });
});

describe("creation sites", () => {
  it("are those of the go call, also for the last of very many goroutines of one function", () => {
    const s = createTestScheduler();
    const texts = s.runMain(function* spawner() {
      function* worker() {
        yield* s.makeChan().recv();
      }
      for (let i = 0; i < 2000; i++) s.go(worker);
      yield* s.gosched();
      return s
        .gs()
        .filter((g) => g.goid > 1)
        .map((g) => goroutineText(g, gStack(g)));
    });
    expect(texts.length).toBe(2000);
    for (const text of texts)
      expect(text).toMatch(/created by main\.spawner in goroutine 1\n\t.*traceback\.test\.ts:\d+\n$/);
  });
});

describe("the report of a panic", () => {
  it("says of no stack that is complete that frames are missing, however long it is", () => {
    const s = createTestScheduler();
    const before = Error.stackTraceLimit;
    function deep(n: number): void {
      if (n === 0) throw new Error("deep");
      deep(n - 1);
    }
    Error.stackTraceLimit = 200;
    let text = "";
    try {
      s.runMain(() => deep(70));
    } catch (e) {
      text = crashReport(e)!.text;
    } finally {
      Error.stackTraceLimit = before;
    }
    expect(text.match(/^main\.deep\(/gm)).toHaveLength(71);
    expect(text).not.toContain("elided");
  });
});

describe("a search for leaks", () => {
  it("finds goroutines that nothing can wake once V8 has collected them, and no others", async () => {
    const leaks: Leak[] = [];
    const s = createScheduler({ hooks: { leak: (l) => leaks.push(l) } });
    const held = s.makeChan<number>();
    const lostId = (() => {
      s.go(function* alive() {
        yield* held.recv();
      });
      return s.go(function* lost() {
        yield* s.makeChan<number>().recv();
      }).id;
    })();
    await hostTurn();
    s.beginLeakSearch();
    await collectHostUntil(() => {
      s.endLeakSearch();
      if (leaks.length > 0) return true;
      s.beginLeakSearch();
      return false;
    });
    expect(leaks).toEqual(s.leaks);
    expect(leaks).toEqual([
      {
        goid: lostId,
        func: "lost",
        site: expect.stringMatching(/traceback\.test\.ts:\d+$/),
        createdBy: expect.anything(),
      },
    ]);
    expect(s.numGoroutine()).toBe(1);
    expect(stackText(s, true)).toContain("main.alive(");
    s.close();
  });
});

describe("leak detection", () => {
  it("collects goroutines that nothing can wake, and tells where they came from", async () => {
    const leaks: string[] = [];
    const s = createScheduler({
      leakDetection: true,
      hooks: { leak: (l) => leaks.push(`${l.func} ${l.site.replace(/ .*\//, " ")}`) },
    });
    const held = s.makeChan<number>();
    const ended = s.makeChan<number>(1);
    (() => {
      s.go(function* lost() {
        yield* s.makeChan<number>().recv();
      });
      s.go(function* alive() {
        yield* held.recv();
        yield* ended.send(1);
      });
      s.go(function* sleeper() {
        yield* s.sleep(10_000);
      });
    })();
    await collectHostUntil(() => leaks.length > 0);
    expect(leaks.length).toBe(1);
    expect(leaks[0]).toMatch(/^lost main\.\w+ traceback\.test\.ts:\d+$/);
    expect(s.numGoroutine()).toBe(2);
    held.trySend(1);
    expect(await ended.recv()).toBe(1);
    s.close();
  });

  it("goes on after a scheduler was dropped whose leaks V8 had found and not reported", async () => {
    const leaks: string[] = [];
    const leaky = () => {
      const s = createScheduler({ leakDetection: true, hooks: { leak: (l) => leaks.push(l.func) } });
      for (let i = 0; i < 10; i++) {
        s.go(function* lost() {
          yield* s.makeChan<number>().recv();
        });
      }
      return s;
    };
    await dropWithReportsDue(leaky);
    leaks.length = 0;
    const s = leaky();
    await collectHostUntil(() => leaks.length === 10);
    s.close();
  });
});
