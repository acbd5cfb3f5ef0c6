import { describe, expect, it } from "vitest";
import { crashReport, createScheduler, type Scheduler } from "../src/index.ts";

const sentinel = new Error("made once for all");

/** The goroutine of a crash report: its header, and each frame as name and place. */
async function reported(f: (s: Scheduler) => () => unknown): Promise<string[]> {
  const s = createScheduler({ stderr: () => {} });
  const body = f(s);
  try {
    await s.main(body as () => undefined);
  } catch (e) {
    const text = crashReport(e)!.text;
    return text
      .slice(text.indexOf("\n\n") + 2)
      .trimEnd()
      .replaceAll(/\n\t\S*\//g, " ")
      .split("\n");
  } finally {
    s.close();
  }
  throw new Error("the program did not crash");
}

const here = String.raw`reports\.test\.ts:\d+`;
const mainLine = new RegExp(`^main\\.main\\(\\.\\.\\.\\) ${here}$`);
const workerLine = new RegExp(`^main\\.worker\\(\\.\\.\\.\\) ${here}$`);
const createdLine = new RegExp(`^created by main\\.main in goroutine 1 ${here}$`);

/** Programs whose thrown value does not have the stack of the goroutine. */
const thrown: Record<string, (s: Scheduler) => () => unknown> = {
  "a string": () =>
    function* () {
      throw "string";
    },
  "an object without a stack": () => () => {
    throw { message: "no error" };
  },
  "an error whose stack is no text": () => () => {
    throw Object.assign(new Error("x"), { stack: 5 });
  },
  "an error whose stack throws": () => () => {
    throw Object.defineProperty(new Error("x"), "stack", {
      get() {
        throw new Error("stack");
      },
    });
  },
  "an error without frames": () => () => {
    throw Object.assign(new Error("x"), { stack: "Error: x" });
  },
  "a bare yield": () =>
    function* () {
      yield 5;
    },
};

describe("a crash report without a stack of its goroutine", () => {
  it.each(Object.entries(thrown))("names main and the place of its call: %s", async (_, f) => {
    const [header, ...frames] = await reported(f);
    expect(header).toBe("goroutine 1 [running]:");
    expect(frames).toEqual([expect.stringMatching(mainLine)]);
  });

  it.each(Object.entries(thrown))("names the function of go and the place of its start: %s", async (_, f) => {
    const [header, ...frames] = await reported((s) => {
      const body = f(s);
      Object.defineProperty(body, "name", { value: "worker" });
      return function* main() {
        s.go(body as () => undefined);
        yield* s.sleep(1000);
      };
    });
    expect(header).toBe("goroutine 2 [running]:");
    expect(frames).toEqual([expect.stringMatching(workerLine), expect.stringMatching(createdLine)]);
  });

  it("gives a name of Go to a function whose name is empty or no string", async () => {
    const [, frame] = await reported((s) => {
      const body = () => {
        throw 1;
      };
      Object.defineProperty(body, "name", { value: 7 });
      return function* main() {
        s.go(body);
        yield* s.sleep(1000);
      };
    });
    expect(frame).toMatch(/^main\.func1\(\.\.\.\) reports\.test\.ts:\d+$/);
  });

  it("shows the place where the error was made, and then the goroutine", async () => {
    const [, ...frames] = await reported(
      () =>
        function* () {
          throw sentinel;
        },
    );
    expect(frames.length).toBeGreaterThan(1);
    expect(frames.at(-1)).toMatch(mainLine);
  });
});

describe("a crash report of an error that came from outside", () => {
  it("shows where the goroutine waited for the promise", async () => {
    async function fetches(): Promise<never> {
      await null;
      throw new Error("refused");
    }
    const [, ...frames] = await reported((s) => {
      function* waits(): Generator<undefined, void, unknown> {
        yield* s.syscall(fetches);
      }
      return function* main() {
        yield* waits();
      };
    });
    const names = frames.map((f) => f.replace(/\(.*/, ""));
    expect(names).toEqual(["main.fetches", "main.waits", "main.main"]);
  });

  it("shows this place for an error without frames of the program, and not that of an earlier wait", async () => {
    const error = Object.assign(new Error("Premature close"), {
      stack: "Error: Premature close\n    at process.processTicksAndRejections (node:internal/x:1:2)",
    });
    const rejected = Promise.reject(error);
    rejected.catch(() => {});
    const [header, ...frames] = await reported((s) => {
      function* earlier(): Generator<undefined, void, unknown> {
        try {
          yield* s.syscall(rejected);
        } catch {}
      }
      function* worker(): Generator<undefined, void, unknown> {
        yield* s.syscall(rejected);
      }
      return function* main() {
        yield* earlier();
        s.go(worker);
        yield* s.sleep(1000);
      };
    });
    expect(header).toBe("goroutine 2 [running]:");
    expect(frames).toEqual([expect.stringMatching(workerLine), expect.stringMatching(createdLine)]);
    const lineOf = (f: string): number => Number(f.slice(f.lastIndexOf(":") + 1));
    expect(lineOf(frames[0])).not.toBe(lineOf(frames[1]));
  });

  it("shows where the goroutine was when its signal ended the wait", async () => {
    const controller = new AbortController();
    const reason = Object.assign(new Error("stop"), { stack: "Error: stop" });
    for (const before of [true, false]) {
      if (before) controller.abort(reason);
      const [, ...frames] = await reported((s) => {
        function* waits(): Generator<undefined, void, unknown> {
          const c = before ? controller : new AbortController();
          if (!before) setTimeout(() => c.abort(reason), 5);
          yield* s.sleep(10_000).withSignal(c.signal);
        }
        return function* main() {
          yield* waits();
        };
      });
      expect(frames.map((f) => f.replace(/\(.*/, ""))).toEqual(["main.waits", "main.main"]);
    }
  });
});
