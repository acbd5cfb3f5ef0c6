import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import {
  background,
  canceled,
  cause,
  fromAbortSignal,
  toAbortSignal,
  withCancel,
  withCancelCause,
  withValue,
} from "../../src/context.ts";
import { run } from "../kit.ts";
import { Calling, mine } from "./kit.ts";

describe("AbortSignals", () => {
  const count = (s: AbortSignal) => getEventListeners(s, "abort").length;

  it("are one object for a context and all values above it", () => {
    const { ctx, cancel } = withCancelCause(background());
    const signal = toAbortSignal(ctx);
    expect(toAbortSignal(ctx)).toBe(signal);
    expect(toAbortSignal(withValue(ctx, "request", 1))).toBe(signal);
    expect(toAbortSignal(withCancel(ctx).ctx)).not.toBe(signal);
    cancel("why");
    expect([signal.aborted, signal.reason]).toEqual([true, "why"]);
  });

  it("register once with a context of the program, and end with its cause", () => {
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

  it("have one listener for each parent, which a cancel of the parent removes", () => {
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
