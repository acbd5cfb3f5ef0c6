import { BoundsError, FatalError, PlainError, RuntimeError, TypeAssertionError } from "@gort/base";
import { PanicError } from "@gort/scheduler";
import { describe, expect, it } from "vitest";
import { describeError, errorOf } from "../src/remote-error.ts";

/** As a message to another thread and back. */
const sent = (error: unknown): Error => errorOf(structuredClone(describeError(error)));

describe("an error that comes from another thread", () => {
  it.each([
    new Error("plain"),
    new TypeError("type"),
    new RangeError("range"),
    new SyntaxError("syntax"),
    new RuntimeError("runtime error: x"),
    new PlainError("send on closed channel", "ERR_GORT_SEND_CLOSED"),
    new BoundsError("index", 5, 3),
    new TypeAssertionError("interface is nil"),
    new FatalError("throw", "ERR_GORT_THROW", "bad span", "span 7"),
    new PanicError("boom", "panic: boom"),
  ])("keeps class, text, stack and fields of $name", (error) => {
    const got = sent(error);
    expect(Object.getPrototypeOf(got)).toBe(Object.getPrototypeOf(error));
    expect(got.name).toBe(error.name);
    expect(got.message).toBe(error.message);
    expect(got.stack).toBe(error.stack);
    expect({ ...got }).toEqual({ ...error });
    expect(got).toBeInstanceOf(Error);
  });

  it("keeps its causes, and ends a ring of them", () => {
    const inner = new RangeError("inner");
    const got = sent(new Error("outer", { cause: inner }));
    expect(got.cause).toBeInstanceOf(RangeError);
    expect((got.cause as Error).stack).toBe(inner.stack);
    inner.cause = inner;
    expect(sent(inner).message).toBe("inner");
  });

  it("keeps the name and the properties of the program's own classes", () => {
    class ParseError extends Error {
      override name = "ParseError";
      line = 7;
      tree = { root: 1 };
      visit = () => {};
    }
    const got = sent(new ParseError("bad"));
    expect(got.name).toBe("ParseError");
    expect(String(got)).toBe("ParseError: bad");
    expect(got).toMatchObject({ line: 7 });
    expect(got).not.toHaveProperty("tree");
  });

  it("keeps the value of a panic if a message can carry it", () => {
    expect((sent(new PanicError({ a: [1n] }, "x")) as PanicError).value).toEqual({ a: [1n] });
    expect((sent(new PanicError(() => {}, "x")) as PanicError).value).toBeUndefined();
  });

  it("is an Error even if a value was thrown that is none", () => {
    expect(sent(17).message).toBe("17");
    expect(sent(Symbol("s")).message).toBe("Symbol(s)");
    expect(sent(null).message).toBe("null");
  });
});
