import { pathToFileURL } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { clone, go, int, parallel, setDefaultRuntime, sliceOf, struct, task } from "../src/index.ts";
import { make } from "./kit.ts";
import { double, sum, triple } from "./tasks/sums.ts";

const here = import.meta.url;
const sums = new URL("tasks/sums.ts", here);

describe("task", () => {
  it("returns the function itself, which can be called", () => {
    const f = function* (n: number) {
      yield n;
    };
    expect(task(here, f)).toBe(f);
    expect([...f(3)]).toEqual([3]);
  });

  it.each([["tasks.js"], ["/srv/tasks.js"], ["C:\\tasks.js"], [""], [7], [null], [undefined]])(
    "refuses %j as a URL",
    (url) => {
      expect(() => task(url as string, () => {})).toThrow(
        /^runtime: task needs the URL of a module, such as import.meta.url \(got /,
      );
    },
  );

  it("accepts a URL object", () => {
    expect(() => task(new URL(here), () => {})).not.toThrow();
  });

  it("refuses what go refuses", () => {
    expect(() => task(here, 5 as never)).toThrow("runtime: task needs a function (got number)");
    expect(() => task(here, null as never)).toThrow("runtime: task needs a function (got null)");
    // @ts-expect-error a goroutine would not wait for it
    expect(() => task(here, async () => {})).toThrow(
      "runtime: task needs a generator function, not an async one",
    );
  });

  it("refuses a function twice, and a frozen one", () => {
    const f = task(here, function once() {});
    expect(() => task(here, f)).toThrow("runtime: task needs a function of its own (once is a task already)");
    expect(() =>
      task(
        here,
        Object.freeze(function ice() {}),
      ),
    ).toThrow("runtime: task needs a function of its own (ice is frozen, so it cannot be marked)");
  });

  it("has types that check the arguments of go", () => {
    const rt = make();
    const t = task(here, (_n: number, _text: string) => {});
    rt.go(t, 1, "a");
    // @ts-expect-error the second argument is missing
    rt.go(t, 1);
    // @ts-expect-error the first argument is a number
    rt.go(t, "a", "b");
    const u = task(here, (_x: { n: number }, _y: unknown) => {});
    rt.go(u, clone({ n: 1 }), clone([]));
    // @ts-expect-error an object belongs to one thread
    expect(() => rt.go(u, { n: 1 }, 1)).toThrow(TypeError);
    const v = task(here, (_f: () => void) => {});
    // @ts-expect-error a function belongs to one thread
    expect(() => rt.go(v, () => {})).toThrow(TypeError);
  });

  it("refuses wrong options", () => {
    expect(() => task(here, () => {}, null as never)).toThrow(
      "runtime: options of task must be an object (got null)",
    );
    expect(() => task(here, () => {}, { name: 3 as never })).toThrow(
      "runtime: name of task must be a string (got 3)",
    );
  });
});

describe("go of a task, on one thread,", () => {
  it("runs it as a goroutine of the runtime", async () => {
    const rt = make();
    const result = rt.makeSlice(int, 2);
    await rt.main(function* () {
      const numbers = rt.sliceOf(int, [1, 2, 3, 4]);
      const first = rt.go(sum, numbers.slice(0, 2), result, 0);
      rt.go(sum, numbers.slice(2), result, 1);
      expect(rt.numGoroutine()).toBe(3);
      yield* first.done();
      yield* rt.gosched();
    });
    expect([...result]).toEqual([3, 7]);
  });

  it("works as a function of the module, too", async () => {
    const rt = make();
    setDefaultRuntime(rt);
    const result = rt.makeSlice(int, 1);
    await rt.main(function* () {
      yield* go(sum, sliceOf(int, [5, 6]), result, 0).done();
    });
    expect(result.get(0)).toBe(11);
  });

  const Point = struct("Point", { x: int });
  const identity = task(here, (_x: unknown) => {}, { name: "identity" }) as (x: unknown) => void;

  it("passes numbers, strings and other plain values, and values of the heap", () => {
    const rt = make();
    for (const x of [1, -0, 2n ** 70n, "text", true, null, undefined, Number.NaN]) rt.go(identity, x);
    rt.go(identity, rt.newObject(Point));
    rt.go(identity, rt.makeSlice(int, 1));
  });

  it.each([
    [
      "an object",
      {},
      "must be a number, boolean, bigint, string, null, undefined or a value of the heap (got Object)",
    ],
    ["a function", () => {}, "is a function, and functions stay on their thread"],
    ["a symbol", Symbol("s"), "is a symbol, and symbols stay on their thread"],
  ])("refuses %s as an argument", (_, x, why) => {
    expect(() => make().go(identity, x)).toThrow(`runtime: argument 1 of task identity ${why}`);
  });

  it("refuses a value of another heap", () => {
    const other = make();
    expect(() => make().go(identity, other.newObject(Point))).toThrow(/argument 1 of task identity/);
  });
});

describe("go of a task of the main module", () => {
  const { argv } = process;
  afterEach(() => {
    process.argv = argv;
  });
  const path = (file: string) => new URL(file, here).pathname;

  it.each([
    ["the file", path("tasks/sums.ts"), "tasks/sums.ts"],
    ["the file without extension", path("tasks/sums"), "tasks/sums.ts"],
  ])("is refused when Node was started with %s", (_, started, module) => {
    process.argv = [argv[0], started];
    const t = task(new URL(module, here), () => {}, { name: "t" });
    expect(() => make().go(t)).toThrow(
      "runtime: task t is in the program's main module, which a worker would run again: move it to a module of its " +
        `own (${new URL(module, here)})`,
    );
  });

  it("is not refused for other modules", () => {
    process.argv = [argv[0], path("tasks/sums.ts")];
    for (const module of [here, "https://x.org/tasks/sums.ts", "file:///nowhere.js"]) {
      make().go(task(module, () => {}));
    }
  });
});

describe("parallel", () => {
  it.each([
    ["a generator function", "double", double, 14],
    ["an ordinary function", "triple", triple, 21],
  ] as const)("runs an export that is %s", async (_, name, _f, want) => {
    const rt = make();
    const result = rt.makeSlice(int, 1);
    const t = parallel<typeof double>(sums, name);
    await rt.main(function* () {
      yield* rt.go(t, result, 7).done();
    });
    expect(result.get(0)).toBe(want);
  });

  it("ends the program with the name of an export that does not exist", async () => {
    const rt = make();
    const done = rt.main(function* () {
      yield* rt.go(parallel<() => void>(sums, "half")).done();
    });
    await expect(done).rejects.toThrow(`runtime: module ${sums} has no export "half", which a task runs`);
  });

  it("ends the program with the name of an export that is no function", async () => {
    const rt = make();
    const done = rt.main(function* () {
      yield* rt.go(parallel<() => void>(sums, "answer")).done();
    });
    await expect(done).rejects.toThrow(
      `runtime: a task needs a function, but export "answer" of ${sums} is 42`,
    );
  });

  it("ends the program with the URL of a module that cannot be loaded", async () => {
    const rt = make();
    const gone = pathToFileURL("/nowhere/gone.js");
    const done = rt.main(function* () {
      yield* rt.go(parallel<() => void>(gone, "f")).done();
    });
    await expect(done).rejects.toThrow(`runtime: cannot load module ${gone}, which has a task: Error: `);
  });

  it("refuses a wrong URL and a wrong name", () => {
    expect(() => parallel("sums.ts", "f")).toThrow("runtime: parallel needs the URL of a module");
    expect(() => parallel(sums, "")).toThrow('runtime: parallel needs the name of an export (got "")');
    expect(() => parallel(sums, 4 as never)).toThrow("runtime: parallel needs the name of an export (got 4)");
  });
});
