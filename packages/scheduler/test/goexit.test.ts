import { describe, expect, it } from "vitest";
import { defer, frame, go, goexit, panic, recover } from "../src/index.ts";
import { Mutex } from "../src/sync/index.ts";
import { createTestScheduler } from "../src/testing.ts";
import { report } from "./kit.ts";

type Body = () => Generator<undefined, unknown, unknown>;

/** Runs each body in a goroutine of its own, and gives the lines that Go's fmt.Println would print. */
function printed(bodies: Record<string, (log: (text: unknown) => void) => Body>): string[] {
  const s = createTestScheduler();
  const out: string[] = [];
  const log = (text: unknown): void => {
    out.push(text === null ? "<nil>" : text instanceof Error ? text.message : String(text));
  };
  s.runMain(function* () {
    for (const [name, make] of Object.entries(bodies)) {
      const body = make(log);
      const g = go(function* () {
        yield* body();
        log(`${name} went on`);
      });
      yield* g.done();
      log(`${name} over`);
    }
  });
  return out;
}

describe("Goexit", () => {
  it("continues after a panic in one of its deferred calls is recovered, as recorded from Go", () => {
    expect(
      printed({
        "recovered panic in a deferred call of goexit": (log) =>
          function* () {
            yield* frame(function* () {
              defer(() => log("last"));
              defer(() => log(recover()));
              defer(() => panic("p"));
              goexit();
            });
          },
        "recovered in an inner frame": (log) =>
          function* () {
            defer(function* () {
              yield* frame(function* () {
                defer(() => log(recover()));
                panic("inner");
              });
            });
            goexit();
          },
        "goexit in a deferred call of a panic": (log) =>
          function* () {
            defer(() => log(recover()));
            defer(() => goexit());
            panic("p");
          },
        "panic twice during goexit": (log) =>
          function* () {
            defer(() => log(recover()));
            defer(() => panic("b"));
            defer(() => panic("a"));
            goexit();
          },
        "goexit in a frame": (log) =>
          function* () {
            yield* frame(function* () {
              defer(() => log(recover()));
              defer(() => panic("p"));
              goexit();
            });
            log("not reached");
          },
        "recover of goexit": (log) =>
          function* () {
            defer(() => log(recover()));
            goexit();
          },
      }),
    ).toEqual([
      "p",
      "last",
      "recovered panic in a deferred call of goexit over",
      "inner",
      "recovered in an inner frame over",
      "<nil>",
      "goexit in a deferred call of a panic over",
      "b",
      "panic twice during goexit over",
      "p",
      "goexit in a frame over",
      "<nil>",
      "recover of goexit over",
    ]);
  });

  it("in main ends the program when the others have ended, also after a recovered panic", () => {
    const main: Body = function* () {
      yield* frame(function* () {
        defer(() => recover());
        defer(() => panic("during goexit"));
        goexit();
      });
    };
    expect(report(main)).toBe("fatal error: no goroutines (main called runtime.Goexit) - deadlock!\n");
  });
});

describe("a deferred nil function", () => {
  it("panics at the end of the function, as recorded from Go", () => {
    expect(
      printed({
        nil: (log) =>
          function* () {
            yield* frame(function* () {
              defer(() => log(recover()));
              defer(null as never);
              log("body");
            });
          },
      }),
    ).toEqual([
      "body",
      "runtime error: invalid memory address or nil pointer dereference",
      "nil went on",
      "nil over",
    ]);
  });
});

describe("a panic", () => {
  it("that is recovered makes no text of its value, and gives the value itself", () => {
    let asked = 0;
    const value = {
      toString(): string {
        asked++;
        return "text";
      },
    };
    let got: unknown;
    createTestScheduler().runMain(function* () {
      yield* frame(function* () {
        defer(() => {
          got = recover();
        });
        panic(value);
      });
    });
    expect([got === value, asked]).toEqual([true, 0]);
    expect(
      report(function* () {
        panic(value);
      }),
    ).toBe("panic: text");
    expect(asked).toBeGreaterThan(0);
  });

  it("stands before a fatal error of its deferred call in the report, as in Go", () => {
    expect(
      report(function* () {
        defer(() => new Mutex().unlock());
        panic("first");
      }),
    ).toBe("panic: first\n\tfatal error: sync: unlock of unlocked mutex");
  });

  it("may be the last of ten thousand, each in a deferred call of the previous one", () => {
    const s = createTestScheduler();
    let deepest = false;
    const nest = (n: number): void => {
      defer(() => {
        if (n > 0) nest(n - 1);
        else deepest = true;
      });
      if (n > 0) panic(n);
    };
    let last: unknown;
    s.runMain(function* () {
      yield* frame(function* () {
        defer(() => {
          last = recover();
        });
        yield* frame(function* () {
          nest(10_000);
        });
      });
    });
    expect([deepest, last]).toEqual([true, 1]);
  });
});
