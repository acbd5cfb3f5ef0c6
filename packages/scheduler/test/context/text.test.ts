import { describe, expect, it } from "vitest";
import { durationText, timeText } from "../../src/context/text.ts";
import {
  background,
  canceled,
  deadlineExceeded,
  todo,
  withCancel,
  withDeadline,
  withoutCancel,
  withTimeout,
  withValue,
} from "../../src/context.ts";
import { run } from "../kit.ts";
import { Own } from "./kit.ts";

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
