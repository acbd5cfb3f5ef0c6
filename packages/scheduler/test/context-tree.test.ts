import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { durationText, timeText } from "../src/context/text.ts";
import {
  type AfterFuncer,
  afterFunc,
  background,
  type Context,
  canceled,
  cause,
  deadlineExceeded,
  fromAbortSignal,
  toAbortSignal,
  todo,
  withCancel,
  withCancelCause,
  withDeadline,
  withoutCancel,
  withTimeout,
  withValue,
} from "../src/context.ts";
import type { RecvChan } from "../src/index.ts";
import { createTestScheduler, type TestScheduler } from "../src/testing.ts";

function run<T>(f: (s: TestScheduler) => Generator<undefined, T, unknown>): T {
  const s = createTestScheduler();
  return s.runMain(() => f(s));
}

/** A context of the program's own. */
class Own implements Context {
  error: Error | null = null;
  readonly c;
  private readonly up: Context;
  constructor(s: TestScheduler, up: Context = background()) {
    this.c = s.makeChan<never>();
    this.up = up;
  }
  deadline(): number | null {
    return this.up.deadline();
  }
  done(): RecvChan<never> | null {
    return this.c;
  }
  err(): Error | null {
    return this.error;
  }
  value(key: unknown): unknown {
    return this.up.value(key);
  }
  end(e: Error): void {
    this.error = e;
    this.c.close();
  }
}

/** One that calls functions itself. */
class Calling extends Own implements AfterFuncer {
  readonly log: string[] = [];
  private readonly fs = new Set<() => void>();
  afterFunc(f: () => void): () => boolean {
    this.log.push("afterFunc");
    this.fs.add(f);
    return () => {
      this.log.push("stop");
      return this.fs.delete(f);
    };
  }
  override end(e: Error): void {
    super.end(e);
    for (const f of this.fs) f();
  }
}

const mine = new Error("mine");

describe("deep chains of contexts", () => {
  const depth = 100_000;

  it("are cancelled, asked and printed without recursion", () => {
    run(function* () {
      const root = withCancelCause(withValue(background(), "top", 1));
      let ctx: Context = root.ctx;
      for (let i = 0; i < depth; i++) ctx = withCancel(ctx).ctx;
      expect(ctx.deadline()).toBe(null);
      expect([ctx.value("top"), ctx.value("none")]).toEqual([1, undefined]);
      expect(String(ctx).length).toBe("context.Background.WithValue(top, int)".length + 11 * (depth + 1));
      root.cancel("why");
      expect([ctx.err(), cause(ctx)]).toEqual([canceled, "why"]);
      expect((yield* ctx.done()!.recv2()).ok).toBe(false);
    });
  });

  it("of values answer err, done, deadline and value", () => {
    const { ctx: top, cancel } = withDeadline(background(), Date.now() + 60_000);
    let ctx: Context = top;
    for (let i = 0; i < depth; i++) ctx = withValue(ctx, i, i);
    expect([ctx.value(0), ctx.value("none"), ctx.err()]).toEqual([0, undefined, null]);
    expect(ctx.done()).toBe(top.done());
    expect(ctx.deadline()).toBe(top.deadline());
    const { ctx: child } = withCancel(ctx);
    cancel();
    expect([ctx.err(), child.err()]).toEqual([canceled, canceled]);
  });

  it("of contexts without cancel answer values", () => {
    let ctx: Context = withValue(background(), "k", "v");
    for (let i = 0; i < depth; i++) ctx = withoutCancel(ctx);
    expect([ctx.value("k"), withCancel(ctx).ctx.err()]).toEqual(["v", null]);
  });
});

describe("cancel", () => {
  it("has cancelled the whole tree before any code of the program runs", () => {
    const { ctx: root, cancel } = withCancel(background());
    const contexts = [root, withCancel(root).ctx];
    contexts.push(withCancel(contexts[1]).ctx, withCancel(root).ctx);
    const seen: boolean[] = [];
    toAbortSignal(root).addEventListener("abort", () => {
      seen.push(...contexts.map((c) => c.err() === canceled));
    });
    cancel();
    expect(seen).toEqual([true, true, true, true]);
  });
});

describe("a parent of the program's own", () => {
  it("that is cancelled already cancels its child as it is made", () => {
    run(function* (s) {
      const own = new Own(s);
      own.end(mine);
      const { ctx } = withCancel(own);
      expect([ctx.err(), cause(ctx)]).toEqual([mine, mine]);
      let ran = false;
      const stop = afterFunc(own, () => {
        ran = true;
      });
      expect(stop()).toBe(false);
      yield* s.sleep(1);
      expect(ran).toBe(true);
    });
  });

  it("passes on its cause, or else its err", () => {
    run(function* (s) {
      const { ctx: inner, cancel } = withCancelCause(background());
      const own = new Own(s, inner);
      own.error = mine;
      expect(cause(own)).toBe(mine);
      cancel("why");
      expect(cause(own)).toBe("why");
      expect(cause(new Own(s))).toBe(null);
      expect(cause(withoutCancel(inner))).toBe(null);
      yield* s.sleep(1);
    });
  });

  it("is asked to call by its afterFunc, and told to stop when the child ends first", () => {
    run(function* (s) {
      const a = new Calling(s);
      const before = s.numGoroutine();
      const first = withCancel(a);
      expect([a.log, first.ctx.err()]).toEqual([["afterFunc"], null]);
      first.cancel();
      first.cancel();
      expect(a.log).toEqual(["afterFunc", "stop"]);
      const second = withCancel(a);
      a.end(mine);
      expect(second.ctx.err()).toBe(mine);
      expect(a.log).toEqual(["afterFunc", "stop", "afterFunc"]);
      expect(s.numGoroutine()).toBe(before);
      const b = new Calling(s);
      const stop = afterFunc(b, () => {});
      expect([stop(), stop()]).toEqual([true, false]);
      expect(b.log).toEqual(["afterFunc", "stop"]);
      yield* s.sleep(1);
    });
  });

  it("whose afterFunc gives no function, or whose err is missing, is refused", () => {
    run(function* (s) {
      const bad = Object.assign(new Own(s), { afterFunc: () => 3 });
      expect(() => withCancel(bad)).toThrow(
        "scheduler: afterFunc of a context must return a function (got number)",
      );
      const silent = new Own(s);
      silent.c.close();
      expect(() => withCancel(silent)).toThrow("context: internal error: missing cancel error");
      yield* s.sleep(1);
    });
  });
});

describe("AbortSignals", () => {
  const count = (s: AbortSignal) => getEventListeners(s, "abort").length;

  it("are one for a context, however often and through whatever values it is asked", () => {
    const { ctx, cancel } = withCancelCause(background());
    const signal = toAbortSignal(ctx);
    expect(toAbortSignal(ctx)).toBe(signal);
    expect(toAbortSignal(withValue(ctx, "request", 1))).toBe(signal);
    expect(toAbortSignal(withCancel(ctx).ctx)).not.toBe(signal);
    cancel("why");
    expect([signal.aborted, signal.reason]).toEqual([true, "why"]);
  });

  it("leave nothing in a context that lives on", () => {
    run(function* (s) {
      const own = new Calling(s);
      const signal = toAbortSignal(own);
      expect(toAbortSignal(own)).toBe(signal);
      expect(own.log).toEqual(["afterFunc"]);
      own.end(mine);
      expect([signal.aborted, signal.reason]).toEqual([true, mine]);
      expect(toAbortSignal(own).reason).toBe(mine);
      yield* s.sleep(1);
    });
  });

  it("have one listener a parent, which goes with the parent", () => {
    const controller = new AbortController();
    const { signal } = controller;
    const parent = withCancel(background());
    const ctx = fromAbortSignal(signal, parent.ctx);
    for (let i = 0; i < 20; i++) expect(fromAbortSignal(signal, parent.ctx)).toBe(ctx);
    expect(count(signal)).toBe(1);
    parent.cancel();
    expect([ctx.err(), count(signal)]).toEqual([canceled, 0]);
    expect(fromAbortSignal(signal, parent.ctx).err()).toBe(canceled);
    const other = fromAbortSignal(signal);
    controller.abort("enough");
    expect([other.err(), cause(other), count(signal)]).toEqual([canceled, "enough", 0]);
    expect(cause(fromAbortSignal(signal))).toBe("enough");
    expect(() => fromAbortSignal(3 as never)).toThrow(
      "scheduler: fromAbortSignal needs an AbortSignal (got number)",
    );
  });
});

describe("the text of a context", () => {
  class Stringer {
    toString(): string {
      return "stringer!";
    }
  }
  class Key {}

  // Recorded from Go 1.27, with the JavaScript type in place of Go's.
  it.each<[unknown, unknown, string]>([
    [new Key(), 1, "*main.Key, int"],
    ["key", "v", "key, v"],
    ["key", null, "key, <nil>"],
    ["key", undefined, "key, <nil>"],
    [1, [1], "int, []any"],
    ["k", new Stringer(), "k, stringer!"],
    [new Stringer(), new Error("e"), "stringer!, *errors.errorString"],
    ["k", new RangeError("e"), "k, *main.RangeError"],
    ["k", 1.5, "k, float64"],
    ["k", 1n, "k, int64"],
    ["k", true, "k, bool"],
    ["k", () => {}, "k, func()"],
    ["k", {}, "k, map[string]any"],
    ["k", new Uint8Array(1), "k, []uint8"],
    [Symbol("s"), new Map(), "Symbol(s), *main.Map"],
  ])("with %s and %s", (key, value, text) => {
    expect(String(withValue(background(), key, value))).toBe(`context.Background.WithValue(${text})`);
  });

  it.each<[number, string]>([
    [60_000, "1m0s"],
    [59_990, "59.99s"],
    [90 * 60_000, "1h30m0s"],
    [1.5, "1.5ms"],
    [-1000, "-1s"],
    [0, "0s"],
    [48 * 3_600_000 + 1, "48h0m0.001s"],
  ])("with a deadline in %d ms", (ms, text) => {
    run(function* (s) {
      const at = s.clock.wall() + ms;
      const { ctx } = withTimeout(background(), ms);
      const time = new Date(at)
        .toISOString()
        .replace("T", " ")
        .replace(/\.?0*Z$/, "");
      expect(String(ctx)).toBe(`context.Background.WithDeadline(${time} +0000 UTC [${text}])`);
      yield* s.sleep(0);
    });
  });

  it.each<[number, string]>([
    [0.0015, "1.5µs"],
    [0.000999, "999ns"],
    [0.001, "1µs"],
    [0.999999, "999.999µs"],
    [1, "1ms"],
    [999.999999, "999.999999ms"],
    [1000, "1s"],
    [3_600_000, "1h0m0s"],
    [0.0000004, "0s"],
    [-0.0000004, "0s"],
    [Infinity, "2562047h47m16.854775807s"],
    [-Infinity, "-2562047h47m16.854775808s"],
    [0.000002, "2ns"],
    [-0.25, "-250µs"],
    [3_599_999.999999, "59m59.999999999s"],
  ])("with a duration of %d ms", (ms, text) => {
    expect(durationText(ms)).toBe(text);
  });

  it.each<[number, string]>([
    [120, "1970-01-01 00:00:00.12 +0000 UTC"],
    [-1, "1969-12-31 23:59:59.999 +0000 UTC"],
    [1764397264789, "2025-11-29 06:21:04.789 +0000 UTC"],
    [951782400000, "2000-02-29 00:00:00 +0000 UTC"],
    [253402300800000, "10000-01-01 00:00:00 +0000 UTC"],
    [-62167219200000, "0000-01-01 00:00:00 +0000 UTC"],
    [-62167219200001, "-0001-12-31 23:59:59.999 +0000 UTC"],
  ])("with a time of %d ms", (ms, text) => {
    expect(timeText(ms)).toBe(text);
  });

  it("of times before 1970 and beyond all dates, and of chains", () => {
    run(function* (s) {
      expect(String(withDeadline(background(), 0).ctx)).toContain("(1970-01-01 00:00:00 +0000 UTC [-");
      expect(String(withDeadline(background(), -62135596800000).ctx)).toContain(
        "(0001-01-01 00:00:00 +0000 UTC [",
      );
      expect(String(withDeadline(background(), Number.POSITIVE_INFINITY).ctx)).toContain(
        "(Infinityms since 1970 [2562047h47m16.854775807s])",
      );
      const { ctx } = withCancel(todo());
      expect(String(withValue(withoutCancel(ctx), "a", 1))).toBe(
        "context.TODO.WithCancel.WithoutCancel.WithValue(a, int)",
      );
      expect(String(withCancel(new Own(s)).ctx)).toBe("*main.Own.WithCancel");
      expect(deadlineExceeded.message).toBe("context deadline exceeded");
      // The counterpart of the method Timeout.
      expect([deadlineExceeded, canceled].map((e) => "timeout" in e && e.timeout)).toEqual([true, false]);
      yield* s.sleep(0);
    });
  });
});
