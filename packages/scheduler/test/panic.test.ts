import { describe, expect, it } from "vitest";
import { defer, frame, goexit, panic, recover } from "../src/index.ts";
import { printpanicval } from "../src/panic.ts";
import { createTestScheduler } from "../src/testing.ts";
import { report, run } from "./kit.ts";

describe("frame", () => {
  it("returns the value of its body, after the deferred calls, last first", () => {
    const log: number[] = [];
    const got = run(function* () {
      return yield* frame(function* () {
        defer(() => log.push(1));
        defer(function* () {
          yield* frame(() => {
            defer(() => log.push(2));
          });
          log.push(3);
        });
        return "body";
      });
    });
    expect([got, log]).toEqual(["body", [2, 3, 1]]);
  });

  it("returns undefined after a recovered panic", () => {
    expect(
      run(function* () {
        return yield* frame(() => {
          defer(() => recover());
          panic("x");
          return 1;
        });
      }),
    ).toBe(undefined);
  });

  it("leaves the deferred calls of the goroutine to the goroutine's end", () => {
    const log: string[] = [];
    run(function* () {
      defer(() => log.push("goroutine"));
      yield* frame(() => {
        defer(() => log.push("frame"));
      });
      log.push("body");
    });
    expect(log).toEqual(["frame", "body", "goroutine"]);
  });

  it("restores the goroutine's stack of heap slots", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const g = s.getg()!;
      g.rootSp = 64;
      try {
        yield* frame(() => {
          g.rootSp = 128;
          throw new Error("out");
        });
      } catch {}
      expect(g.rootSp).toBe(64);
    });
  });

  it("lets a deferred call block", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      yield* frame(() => {
        defer(() => s.sleep(7));
      });
      expect(s.clock.now()).toBe(7);
    });
  });
});

describe("recover", () => {
  it("gives null without a panic, outside of a deferred call, and when called twice", () => {
    run(function* () {
      expect(recover()).toBe(null);
      yield* frame(() => {
        defer(() => expect(recover()).toBe(null));
        defer(() => {
          expect(recover()).toBe("v");
          expect(recover()).toBe(null);
        });
        panic("v");
      });
    });
    expect(recover()).toBe(null);
  });

  it("does not reach the panic of an outer frame", () => {
    run(function* () {
      yield* frame(() => {
        defer(() => expect(recover()).toBe("outer"));
        defer(() =>
          frame(() => {
            defer(() => expect(recover()).toBe(null));
          }),
        );
        panic("outer");
      });
    });
  });

  it("never sees Goexit", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      yield* s
        .go(() => {
          defer(() => expect(recover()).toBe(null));
          goexit();
        })
        .done();
    });
  });
});

describe("the report of a panic", () => {
  it("shows panics that replaced each other, and which were recovered", () => {
    expect(
      report(() => {
        defer(() => panic("b"));
        panic("a");
      }),
    ).toBe("panic: a\n\tpanic: b");
    expect(
      report(function* () {
        yield* frame(() => {
          defer(() => {
            recover();
            panic("b");
          });
          panic("a");
        });
      }),
    ).toBe("panic: a [recovered]\n\tpanic: b");
    expect(
      report(function* () {
        yield* frame(function* () {
          yield* frame(() => {
            defer(() => panic(recover()));
            panic("same");
          });
        });
      }),
    ).toBe("panic: same [recovered, repanicked]");
  });

  it("does not show a panic that was over before the next began", () => {
    expect(
      report(function* () {
        yield* frame(() => {
          defer(() => recover());
          panic("old");
        });
        panic("new");
      }),
    ).toBe("panic: new");
  });

  it("shows the panic after Goexit alone", () => {
    expect(
      report(() => {
        defer(() => panic("late"));
        goexit();
      }),
    ).toBe("panic: late");
  });

  it("prints values as Go does, if JavaScript has such values", () => {
    class Point {
      x = 1;
    }
    expect(printpanicval(new Point())).toBe("(*main.Point) {...}");
    expect(printpanicval({})).toBe("(*main.Object) {...}");
    expect(printpanicval([1])).toBe("([]any) {...}");
    expect(printpanicval(() => {})).toBe("(func literal) {...}");
    expect(printpanicval(Symbol("s"))).toBe("Symbol(s)");
    expect(printpanicval(null)).toBe("nil");
    expect(printpanicval(1e21)).toBe("1e+21");
    expect(printpanicval("a\nb")).toBe("a\n\tb");
    expect(printpanicval(new RangeError("bad"))).toBe("RangeError: bad");
    expect(printpanicval(Object.assign(new Error("plain"), {}))).toBe("plain");
  });
});

describe("misuse", () => {
  it("is reported by name", () => {
    expect(() => defer(() => {})).toThrow("scheduler: defer outside of a goroutine");
    expect(() => goexit()).toThrow("scheduler: goexit outside of a goroutine");
    expect(() => frame(() => {}).next()).toThrow("scheduler: frame outside of a goroutine");
    expect(() => run(() => defer(3 as never))).toThrow("scheduler: defer needs a function (got number)");
    expect(() => panic(undefined)).toThrow("panic called with nil argument");
  });
});

describe("a frame that catches a panic by hand", () => {
  it("may throw another value, which becomes the panic", () => {
    const s = createTestScheduler();
    const [a, b] = [new Error("a"), new Error("b")];
    const got: unknown[] = [];
    s.runMain(function* () {
      for (const next of [a, b]) {
        yield* frame(function* () {
          defer(() => void got.push(recover()));
          try {
            yield* frame(function* () {
              defer(() => {});
              yield* s.gosched();
              throw a;
            });
          } catch {
            throw next;
          }
        });
      }
    });
    expect(got).toEqual([a, b]);
  });
});
