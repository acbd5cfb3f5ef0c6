import { beforeEach, describe, expect, it } from "vitest";
import { int, int8, isFatalError, type Runtime, struct } from "../src/index.ts";
import { make } from "./kit.ts";

/** A value that the types refuse, as JavaScript callers may pass it. */
const untyped = (value: unknown): never => value as never;

const T = struct("T", { x: int });
const Pair = struct("Pair", { a: T, b: T, c: T });

let rt: Runtime;
beforeEach(() => {
  rt = make();
});

describe("setFinalizer", () => {
  const T = struct("T", { id: int });

  it("run once in their own goroutine, with the object intact", async () => {
    const rt = make({ gogc: "off" });
    const seen: number[] = [];
    await rt.main(function* () {
      const ran = rt.makeChan<void>();
      const x = rt.newObject(T, { id: 7 });
      rt.setFinalizer(x, function* (o) {
        seen.push(o.id);
        o.release();
        yield* ran.send(undefined);
      });
      x.release();
      rt.gc();
      yield* ran.recv();
      // One that ran again would keep its object, which is counted below.
      rt.gc();
    });
    expect(seen).toEqual([7]);
    expect(rt.readMemStats().HeapObjects).toBe(0);
  });

  it("may block, and hold up those that come after", async () => {
    const rt = make({ gogc: "off" });
    const log: string[] = [];
    await rt.main(function* () {
      const gate = rt.makeChan<void>();
      const ran = rt.makeChan<void>();
      const first = rt.newObject(T);
      rt.setFinalizer(first, function* () {
        log.push("first waits");
        yield* ran.send(undefined);
        yield* gate.recv();
        log.push("first goes on");
      });
      first.release();
      rt.gc();
      yield* ran.recv();
      const second = rt.newObject(T);
      rt.setFinalizer(second, function* () {
        log.push("second");
        yield* ran.send(undefined);
      });
      second.release();
      rt.gc();
      yield* rt.sleep(1);
      log.push("open");
      yield* gate.send(undefined);
      yield* ran.recv();
    });
    expect(log).toEqual(["first waits", "open", "first goes on", "second"]);
  });

  it("end the program with their panic when they throw", async () => {
    const rt = make({ gogc: "off" });
    const run = rt.main(function* () {
      const x = rt.newObject(T);
      rt.setFinalizer(x, () => {
        throw new Error("boom in a finalizer");
      });
      x.release();
      rt.gc();
      // Waits for ever, unless the finalizer ends the program.
      yield* rt.makeChan<void>().recv();
    });
    await expect(run).rejects.toThrow("boom in a finalizer");
  });

  it("refuses a second finalizer, and a thing that is no function", () => {
    const rt = make();
    const x = rt.newObject(T);
    rt.setFinalizer(x, () => {});
    expect(() => rt.setFinalizer(x, () => {})).toThrow(/finalizer already set/);
    expect(() => rt.setFinalizer(x, 3 as never)).toThrow(TypeError);
    rt.setFinalizer(x, null);
    rt.setFinalizer(x, () => {});
  });
});

describe("addCleanup", () => {
  it.each([
    ["nil", "runtime.AddCleanup: ptr is nil", () => rt.addCleanup(null as never, () => {}, 1)],
    [
      "its own argument",
      "runtime.AddCleanup: ptr is equal to arg, cleanup will never run",
      () => {
        const o = rt.newObject(T, { x: 1 });
        rt.addCleanup(o, () => {}, o);
      },
    ],
    [
      "that of another reference to its object",
      "runtime.AddCleanup: ptr is equal to arg, cleanup will never run",
      () => {
        const o = rt.newObject(T, { x: 1 });
        rt.addCleanup(o, () => {}, rt.weak(o).value());
      },
    ],
    [
      "inside of its argument",
      "runtime.AddCleanup: ptr is within arg, cleanup will never run",
      () => {
        const o = rt.newObject(Pair);
        rt.addCleanup(o.b, () => {}, o);
      },
    ],
    [
      "the object that its argument lies in",
      "runtime.AddCleanup: ptr is within arg, cleanup will never run",
      () => {
        const o = rt.newObject(Pair);
        rt.addCleanup(o, () => {}, o.b);
      },
    ],
    [
      "in no object",
      "runtime.AddCleanup: ptr not in allocated block",
      () => rt.addCleanup(rt.types.ref(T, 16 as never)!, () => {}, 1),
    ],
  ])("panics with Go's string when the pointer is %s", (_name, text, f) => {
    let thrown: unknown;
    try {
      f();
    } catch (e) {
      thrown = e;
    }
    expect(isFatalError(thrown)).toBe(false);
    expect(thrown).toMatchObject({ value: text });
  });
});

describe("finalizers and cleanups", () => {
  it("take neighbours of a shared block for objects of their own, as Go does", () => {
    const [a, b] = [rt.newObject(int8), rt.newObject(int8)];
    expect(() => rt.addCleanup(a, () => {}, b)).not.toThrow();
  });

  it("refuse async functions, and functions that return a promise", async () => {
    const o = rt.newObject(T);
    const refusal = /^runtime: (setFinalizer|addCleanup) needs a generator function, not an async one/;
    // @ts-expect-error an async function
    expect(() => rt.setFinalizer(o, async () => {})).toThrow(refusal);
    // @ts-expect-error an async function
    expect(() => rt.addCleanup(o, async () => {}, 1)).toThrow(refusal);
    // @ts-expect-error an async generator function
    expect(() => rt.addCleanup(o, async function* () {}, 1)).toThrow(refusal);
    rt.addCleanup(
      o,
      untyped(() => Promise.resolve()),
      1,
    );
    o.release();
    const ended = rt.main(function* () {
      rt.gc();
      yield* rt.sleep(50);
    });
    await expect(ended).rejects.toThrow(/^runtime: addCleanup needs .* returned a promise/);
  });

  it("may return what can be iterated, or an op, which is waited for", async () => {
    const ran: string[] = [];
    const results: [string, () => unknown][] = [
      ["array", () => [1, 2]],
      ["map", () => new Map([["k", 1]])],
      ["iterator", () => new Map([["k", 1]]).values()],
      ["op", () => rt.sleep(1)],
    ];
    for (const [name, result] of results) {
      const o = rt.newObject(T);
      rt.setFinalizer(o, () => {
        ran.push(name);
        return result();
      });
      rt.addCleanup(
        o,
        (n) => {
          ran.push(n);
          return result();
        },
        `${name}, cleanup`,
      );
      o.release();
    }
    await rt.main(function* () {
      for (let i = 0; i < 100 && ran.length < 2 * results.length; i++) {
        // What a finalizer got is given up when V8 has collected it.
        rt.gc();
        yield* rt.sleep(10);
      }
    });
    const names = results.map(([name]) => name);
    expect(ran.sort()).toEqual(names.flatMap((name) => [name, `${name}, cleanup`]).sort());
  });

  it("take a number that equals the address", () => {
    const o = rt.newObject(T);
    const got: number[] = [];
    rt.addCleanup(o, (n) => void got.push(n), o.$addr);
    o.release();
    rt.gc();
    expect(rt.collector.finalizers.run()).toBe(1);
    expect(got).toHaveLength(1);
  });

  it("die of a nil pointer, as Go does", () => {
    // Go 1.27.3, runtime.SetFinalizer(nil, f): a fatal error, where AddCleanup panics.
    let thrown: unknown;
    try {
      rt.setFinalizer(null as never, () => {});
    } catch (err) {
      thrown = err;
    }
    if (!isFatalError(thrown)) throw thrown;
    expect(thrown.message).toBe("runtime.SetFinalizer: first argument is nil");
  });

  it("are goroutines that dumps show and numGoroutine does not count while they run", async () => {
    // Go 1.27.3: NumGoroutine is 1 throughout, and runtime.Stack(all) ends with these two goroutines.
    const block = rt.makeChan<number>();
    const [a, b] = [rt.newObject(Pair), rt.newObject(Pair)];
    rt.setFinalizer(a, function* fin() {
      yield* block.recv();
    });
    rt.addCleanup(
      b,
      function* clean() {
        yield* block.recv();
      },
      1,
    );
    a.release();
    b.release();
    const dump = (): string => {
      const buf = new Uint8Array(1 << 16);
      return new TextDecoder().decode(buf.subarray(0, rt.stack(buf, true))).replaceAll(/\t.*\n/g, "");
    };
    await rt.main(function* main() {
      rt.gc();
      yield* rt.sleep(5);
      expect(rt.numGoroutine()).toBe(1);
      const [, ...others] = dump().trimEnd().split("\n\n");
      const frames = others.map((text) => text.split("\n").slice(1).join(" "));
      expect(frames).toEqual([
        expect.stringMatching(/^\S+\.fin\(\.\.\.\) runtime\.runFinalizers\(\.\.\.\)$/),
        expect.stringMatching(/^\S+\.clean\(\.\.\.\) runtime\.runCleanups\(\.\.\.\)$/),
      ]);
      yield* block.send(1);
      yield* block.send(1);
      yield* rt.sleep(5);
      expect(dump()).not.toContain("runtime.run");
    });
  });

  it("go on with cleanups while a finalizer blocks", async () => {
    const ran: string[] = [];
    const block = rt.makeChan<number>();
    for (const name of ["first", "second"]) {
      const o = rt.newObject(T);
      rt.setFinalizer(o, function* () {
        ran.push(`${name} finalizer`);
        yield* block.recv();
      });
      o.release();
    }
    const clean = rt.newObject(T);
    rt.addCleanup(clean, (n) => void ran.push(n), "cleanup");
    clean.release();
    await rt.main(function* () {
      rt.gc();
      yield* rt.sleep(5);
      const late = rt.newObject(T);
      rt.addCleanup(late, (n) => void ran.push(n), "late cleanup");
      late.release();
      rt.gc();
      yield* rt.sleep(5);
    });
    expect(ran.slice(0, 2).sort()).toEqual(["cleanup", expect.stringMatching(/ finalizer$/)]);
    expect(ran.slice(2)).toEqual(["late cleanup"]);
  });

  it.each(["finalizer", "cleanup"] as const)("go on behind a %s that panics", async (kind) => {
    const ran: number[] = [];
    const f = (i: number): void => {
      ran.push(i);
      if (ran.length === 1) throw new Error("first");
    };
    for (let i = 0; i < 3; i++) {
      const o = rt.newObject(T, { x: i });
      if (kind === "finalizer") rt.setFinalizer(o, (x) => f(x.x));
      else rt.addCleanup(o, f, i);
      o.release();
    }
    const ended = rt.main(function* () {
      rt.gc();
      yield* rt.sleep(50);
    });
    await expect(ended).rejects.toThrow("first");
    for (let i = 0; i < 100 && ran.length < 3; i++) await new Promise((r) => setTimeout(r, 1));
    expect(ran.sort()).toEqual([0, 1, 2]);
  });
});
