import { Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import { pipe } from "../src/adapters.ts";
import {
  crashReport,
  createScheduler,
  defer,
  FatalError,
  frame,
  go,
  gosched,
  makeChan,
  panic,
  recover,
  syscall,
} from "../src/index.ts";
import { Group } from "../src/sync/index.ts";
import { createTestScheduler } from "../src/testing.ts";

type Body = () => unknown;

function recurse(n: number): number {
  return recurse(n + 1) + 1;
}

function* descend(n: number): Generator<undefined, number, unknown> {
  if (n === 0) {
    yield* gosched();
    return 0;
  }
  return (yield* descend(n - 1)) + 1;
}

/** A call with too many arguments for the stack, made at the given depth of calls. */
function tooManyArguments(depth: number): Body {
  let f: Body = () => Math.max(...new Array<number>(1_000_000).fill(0));
  for (let k = 0; k < depth; k++) f = new Function("f", `return function layer${k}() { return f() + 1 }`)(f);
  return f;
}

/** Arrays in arrays, so deep that functions of the engine overflow its stack when they read them. */
function nestedArrays(depth: number): unknown[] {
  let a: unknown[] = [];
  for (let k = 0; k < depth; k++) a = [a];
  return a;
}

/** The error that ends the program. */
function ending(f: Body): unknown {
  try {
    return createTestScheduler().runMain(f);
  } catch (e) {
    return e;
  }
}

/** The value that a deferred call recovers from the panic of `throws`. The program continues after the frame. */
function recovered(throws: Body): unknown {
  let value: unknown;
  const after = ending(function* () {
    yield* frame(() => {
      defer(() => {
        value = recover();
      });
      throws();
    });
    return "after the frame";
  });
  expect(after).toBe("after the frame");
  return value;
}

/** The first lines of a report, as recorded from Go. Only the limit differs: Go gives it in bytes. */
const goFirstLines = "runtime: goroutine stack exceeds the engine's limit\nfatal error: stack overflow\n\n";

function expectOverflow(f: Body): string {
  const e = ending(f);
  expect(e).toBeInstanceOf(FatalError);
  expect(e).toMatchObject({ message: "stack overflow", code: "ERR_GORT_STACK_OVERFLOW", kind: "throw" });
  expect((e as Error).cause).toMatchObject({ name: "RangeError" });
  const report = crashReport(e)!;
  expect(report.exitCode).toBe(2);
  expect(report.text.slice(0, goFirstLines.length)).toBe(goFirstLines);
  return report.text;
}

describe("endless recursion", () => {
  it("ends the program with a report of the innermost frames, even if a deferred call recovers", () => {
    const text = expectOverflow(function* () {
      yield* frame(() => {
        defer(() => recover());
        recurse(0);
      });
    });
    expect(text).toMatch(
      /goroutine 1 \[running\]:\n(main\.recurse\(\.\.\.\)\n\t.*overflow\.test\.ts:\d+\n){40,}/,
    );
    expect(text).toMatch(/\n\.\.\.additional frames elided\.\.\.\n$/);
  });

  it("runs no deferred call, in any frame", () => {
    const called: string[] = [];
    expectOverflow(function* () {
      defer(() => called.push("goroutine"));
      yield* frame(function* () {
        defer(() => called.push("outer"));
        yield* frame(() => {
          defer(() => called.push("inner"));
          recurse(0);
        });
      });
    });
    expect(called).toEqual([]);
  });

  it("ends the program in another goroutine, whose creator the report names", () => {
    const text = expectOverflow(function* () {
      go(function deep() {
        defer(() => recover());
        recurse(0);
      });
      yield* gosched();
    });
    expect(text).toMatch(/goroutine 2 \[running\]:\nmain\.recurse/);
    expect(text).toMatch(/\n\.\.\.additional frames elided\.\.\.\ncreated by .* in goroutine 1\n\t.*\n$/);
  });

  it("in a deferred call replaces the panic in the report, as in Go", () => {
    const text = expectOverflow(function* () {
      yield* frame(() => {
        defer(() => recover());
        defer(() => recurse(0));
        panic("first");
      });
    });
    expect(text).not.toContain("panic:");
  });

  it("of generators, through frames and through a group ends the program alike", () => {
    expectOverflow(function* () {
      yield* descend(100_000);
    });
    expectOverflow(function* () {
      function* nest(): Generator<undefined, unknown, unknown> {
        return yield* frame(function* () {
          defer(() => recover());
          return yield* nest();
        });
      }
      yield* nest();
    });
    expectOverflow(function* () {
      const group = new Group();
      group.go(() => recurse(0));
      yield* group.wait();
    });
  });

  it("is not found in generators whose depth fits the engine's stack", () => {
    expect(ending(() => descend(1000))).toBe(1000);
  });

  it("is distinguished from the program's RangeErrors, and from the engine's for another reason", () => {
    const own = new RangeError("Maximum call stack size exceeded");
    for (const [throws, expected] of [
      [() => panic(own), "Maximum call stack size exceeded"],
      [tooManyArguments(0), "Maximum call stack size exceeded"],
      [tooManyArguments(60), "Maximum call stack size exceeded"],
      [() => String(nestedArrays(20_000)), "Maximum call stack size exceeded"],
      [() => JSON.stringify(nestedArrays(100_000)), "Maximum call stack size exceeded"],
      [() => new Array(-1), "Invalid array length"],
    ] as const) {
      expect(recovered(throws)).toMatchObject({ name: "RangeError", message: expected });
    }
  });

  it("is distinguished from an error whose message cannot be read", () => {
    const hostile = Object.defineProperty(new RangeError(), "message", {
      configurable: true,
      get() {
        throw new RangeError("no message");
      },
    });
    const throws = () => {
      throw hostile;
    };
    expect(recovered(throws)).toBe(hostile);
    let value: unknown;
    ending(function* () {
      const g = go(() => {
        defer(() => {
          value = recover();
        });
        throws();
      });
      yield* g.done();
    });
    expect(value).toBe(hostile);
    Object.defineProperty(hostile, "message", { get: () => recurse(0) });
    expectOverflow(throws);
  });

  it("is distinguished from a value whose prototype cannot be read", () => {
    const hostile = new Proxy(new RangeError("Maximum call stack size exceeded"), {
      getPrototypeOf() {
        throw new RangeError("no prototype");
      },
    });
    expect(
      ending(function* () {
        yield* frame(() => {
          throw hostile;
        });
      }),
    ).not.toBeInstanceOf(FatalError);
  });

  it("is found in stacks of any length, and not in stacks that the program has formatted", () => {
    const { stackTraceLimit, prepareStackTrace } = Error;
    try {
      for (const limit of [10, Number.POSITIVE_INFINITY]) {
        expectOverflow(function* () {
          yield* frame(() => {
            Error.stackTraceLimit = limit;
            defer(() => recover());
            recurse(0);
          });
        });
      }
      Error.stackTraceLimit = stackTraceLimit;
      Error.prepareStackTrace = (_e, sites) => sites;
      expect(recovered(tooManyArguments(0))).toBeInstanceOf(RangeError);
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
      Error.prepareStackTrace = prepareStackTrace;
    }
  });

  it("in a stream of the host is an error like any other", async () => {
    let failure: unknown;
    await createScheduler().main(function* () {
      const stream = new Writable();
      const c = makeChan<string>();
      setTimeout(() => {
        const { stackTraceLimit } = Error;
        Error.stackTraceLimit = 100; // as in goroutines: the stack is cut
        try {
          recurse(0);
        } catch (e) {
          stream.destroy(e as Error);
        }
        Error.stackTraceLimit = stackTraceLimit;
      });
      failure = yield* pipe(c, stream);
    });
    expect(failure).toMatchObject({ name: "RangeError" });
  });

  it("in a callback of the host is a rejection like any other", async () => {
    let recovered: unknown;
    await createScheduler().main(function* () {
      yield* frame(function* () {
        defer(() => {
          recovered = recover();
        });
        yield* syscall(async () => recurse(0));
      });
    });
    expect(recovered).toBeInstanceOf(RangeError);
  });

  it("can be caught by the program, before any frame", () => {
    expect(
      ending(() => {
        try {
          return recurse(0);
        } catch (e) {
          return (e as Error).name;
        }
      }),
    ).toBe("RangeError");
  });
});
