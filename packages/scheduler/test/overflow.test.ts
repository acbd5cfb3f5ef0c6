import { describe, expect, it } from "vitest";
import {
  crashReport,
  createScheduler,
  defer,
  FatalError,
  frame,
  go,
  gosched,
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

/** What the program ends with. */
function ending(f: Body): unknown {
  try {
    return createTestScheduler().runMain(f as () => Generator<undefined, unknown, unknown>);
  } catch (e) {
    return e;
  }
}

/** The first lines of a report, as recorded from Go but for the limit, which Go gives in bytes. */
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
  it("ends the program with the innermost frames, whatever recovers", () => {
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

  it("runs no deferred call on its way, in whatever frame", () => {
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

  it("in a deferred call hides the panic, as in Go", () => {
    const text = expectOverflow(function* () {
      yield* frame(() => {
        defer(() => recover());
        defer(() => recurse(0));
        panic("first");
      });
    });
    expect(text).not.toContain("panic:");
  });

  it("of generators, through frames and through a group is no other", () => {
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

  it("does not include generators of a depth that the engine has room for", () => {
    expect(ending(() => descend(1000))).toBe(1000);
  });

  it("is told from what the program throws, or the engine for another reason", () => {
    const own = new RangeError("Maximum call stack size exceeded");
    const hostile = new Proxy(new RangeError("Maximum call stack size exceeded"), {
      getPrototypeOf() {
        throw new RangeError("no prototype");
      },
    });
    for (const [throws, expected] of [
      [() => panic(own), "Maximum call stack size exceeded"],
      [() => Math.max(...new Array<number>(1_000_000).fill(0)), "Maximum call stack size exceeded"],
      [() => new Array(-1), "Invalid array length"],
    ] as const) {
      let recovered: unknown;
      ending(function* () {
        yield* frame(() => {
          defer(() => {
            recovered = recover();
          });
          throws();
        });
      });
      expect((recovered as Error).message).toBe(expected);
    }
    expect(
      ending(function* () {
        yield* frame(() => {
          throw hostile;
        });
      }),
    ).not.toBeInstanceOf(FatalError);
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
