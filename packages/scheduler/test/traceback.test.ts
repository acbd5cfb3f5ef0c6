import { describe, expect, it } from "vitest";
import { parseStack } from "../src/frames.ts";
import { gStack } from "../src/gstack.ts";
import { crashReport, dumpOnSigquit, type Frame, RuntimeError } from "../src/index.ts";
import { createTestScheduler } from "../src/testing.ts";
import { currentG, goroutineHeader, goroutineText, stackText } from "../src/traceback.ts";

describe("currentG", () => {
  it("gives the running goroutine, its creator, and the time since its switch", () => {
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
  it("show every level of yield*, through methods, statics and try blocks, and have no effect", () => {
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
      // V8 of Node 24 and later names the class of a static method, too.
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

  it("show runnable and sleeping goroutines, and those that have not begun", () => {
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

  it("have the number of whole minutes that a goroutine has waited", () => {
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
  it("are those of the go call, also for the last of many goroutines of one function", () => {
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
  it("has the name that a goroutine of the runtime was given, and its function's without one", () => {
    const report = (name?: string): string => {
      const s = createTestScheduler();
      const work = () => {
        throw "broken";
      };
      s.goSystem(work, name);
      let error: unknown;
      try {
        s.runMain(() => s.sleep(1));
      } catch (e) {
        error = e;
      }
      return crashReport(error)!.text;
    };
    expect(report("runtime.gcBgMarkWorker")).toBe(
      "panic: broken\n\ngoroutine 2 [running]:\nruntime.gcBgMarkWorker(...)\n\t<runtime>:0\n",
    );
    expect(report()).toBe("panic: broken\n\ngoroutine 2 [running]:\nmain.work(...)\n\tunknown:0\n");
  });

  it("does not say that frames are missing if the stack is complete, at any length", () => {
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

describe("the line of a goroutine in a dump", () => {
  it("has the whole minutes of a wait or a system call, and of no other state", () => {
    const s = createTestScheduler();
    s.advance(5000);
    s.go(function* () {
      yield* s.makeChan().recv();
    });
    s.go(function* () {
      yield* s.syscall(new Promise(() => {}));
    });
    s.run();
    const headers = (nowSec: number) => {
      const out: string[] = [];
      s.forEachG((g) => out.push(goroutineHeader(g, nowSec)));
      return out;
    };
    const both = (time: string) => [`goroutine 2 [chan receive${time}]:`, `goroutine 3 [syscall${time}]:`];
    expect(headers(64)).toEqual(both(""));
    expect(headers(65)).toEqual(both(", 1 minutes"));
    expect(headers(124)).toEqual(both(", 1 minutes"));
    expect(headers(125)).toEqual(both(", 2 minutes"));
    s.go(() => {});
    expect(headers(1e6)[2]).toBe("goroutine 4 [runnable]:");
  });
});

describe("SIGQUIT", () => {
  it("prints all goroutines until dumpOnSigquit is undone, unless the program listens for the signal", () => {
    const s = createTestScheduler();
    s.go(function* waiter() {
      yield* s.makeChan().recv();
    });
    s.run();
    const before = process.listenerCount("SIGQUIT");
    const undo = dumpOnSigquit(s, false);
    expect(process.listenerCount("SIGQUIT")).toBe(before + 1);
    process.emit("SIGQUIT");
    expect(s.errors).toHaveLength(1);
    expect(s.errors[0]).toMatch(/^SIGQUIT: quit\n\ngoroutine 2 \[chan receive\]:\nmain\.waiter\(/);
    const own = () => {};
    process.on("SIGQUIT", own);
    process.emit("SIGQUIT");
    process.off("SIGQUIT", own);
    expect(s.errors).toHaveLength(1);
    undo();
    expect(process.listenerCount("SIGQUIT")).toBe(before);
  });

  it("prints one line for a program without goroutines", () => {
    const s = createTestScheduler();
    const undo = dumpOnSigquit(s, false);
    process.emit("SIGQUIT");
    undo();
    expect(s.errors).toEqual(["SIGQUIT: quit\n"]);
  });
});

describe("errors", () => {
  it("without a scheduler have no report", () => {
    for (const e of [null, undefined, 1, "x", {}, new Error("x"), RuntimeError])
      expect(crashReport(e)).toBe(undefined);
  });
});
