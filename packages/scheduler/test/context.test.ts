import { kindOf } from "@gort/base";
import { describe, expect, it } from "vitest";
import {
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
  withDeadlineCause,
  withoutCancel,
  withTimeout,
  withTimeoutCause,
  withValue,
} from "../src/context.ts";
import { createTestScheduler } from "../src/testing.ts";

describe("context", () => {
  it("cancels downwards, never upwards", () => {
    const { ctx: a, cancel } = withCancel(background());
    const { ctx: b, cancel: cancelB } = withCancel(withValue(a, "k", 1));
    const { ctx: c } = withCancel(b);
    cancelB();
    expect([a.err(), b.err(), c.err()]).toEqual([null, canceled, canceled]);
    cancel();
    expect(a.err()).toBe(canceled);
    expect(withCancel(a).ctx.err()).toBe(canceled);
  });

  it("keeps the nearest deadline, and err says why it ended", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const now = s.clock.wall();
      const { ctx: a } = withTimeoutCause(background(), 10, "too slow");
      const { ctx: b } = withDeadline(a, now + 1000);
      expect(b.deadline()).toBe(now + 10);
      yield* b.done()!.recv();
      expect(s.clock.now()).toBe(10);
      expect([b.err(), cause(b)]).toEqual([deadlineExceeded, "too slow"]);
      const { ctx: late } = withDeadlineCause(background(), new Date(now), "past");
      expect([late.err(), cause(late)]).toEqual([deadlineExceeded, "past"]);
    });
  });

  it("has a cancel function that host code can call, too", () => {
    const { ctx, cancel } = withCancel(background());
    cancel();
    expect(ctx.err()?.message).toBe("context canceled");
  });

  it("is cancelled with a parent that is a context of the program", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const c = s.makeChan<never>();
      let err: Error | null = null;
      const own: Context = {
        deadline: () => null,
        done: () => c,
        err: () => err,
        value: () => undefined,
      };
      const { ctx } = withCancel(own);
      err = new Error("mine");
      c.close();
      yield* ctx.done()!.recv();
      expect(ctx.err()).toBe(err);
    });
  });

  it("refuses a nil parent, a nil key and a time that is NaN", () => {
    expect(() => withCancel(null as never)).toThrow("cannot create context from nil parent");
    expect(() => withValue(background(), null, 1)).toThrow("nil key");
    expect(() => withDeadline(todo(), Number.NaN)).toThrow(TypeError);
  });

  it("becomes an AbortSignal and comes from one", () => {
    const { ctx, cancel } = withCancelCause(background());
    const signal = toAbortSignal(ctx);
    expect(signal.aborted).toBe(false);
    cancel("enough");
    expect([signal.aborted, signal.reason]).toEqual([true, "enough"]);
    expect(toAbortSignal(ctx).aborted).toBe(true);
    expect(toAbortSignal(background()).aborted).toBe(false);

    const controller = new AbortController();
    const from = fromAbortSignal(controller.signal);
    expect(from.err()).toBe(null);
    controller.abort("stop");
    expect([from.err(), cause(from)]).toEqual([canceled, "stop"]);
    expect(fromAbortSignal(controller.signal).err()).toBe(canceled);
  });

  it("can end an operation that takes an AbortSignal", async () => {
    const { ctx, cancel } = withTimeout(background(), 10_000);
    const signal = toAbortSignal(ctx);
    const waited = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    cancel();
    await expect(waited).rejects.toBe(canceled);
  });
});

describe("a function that makes a context", () => {
  const makers: Record<string, (parent: Context) => unknown> = {
    withCancel: (parent) => withCancel(parent),
    withCancelCause: (parent) => withCancelCause(parent),
    withDeadline: (parent) => withDeadline(parent, 0),
    withDeadlineCause: (parent) => withDeadlineCause(parent, 0, null),
    withTimeout: (parent) => withTimeout(parent, 0),
    withTimeoutCause: (parent) => withTimeoutCause(parent, 0, null),
    withValue: (parent) => withValue(parent, "k", 1),
    withoutCancel: (parent) => withoutCancel(parent),
    afterFunc: (parent) => afterFunc(parent, () => {}),
    fromAbortSignal: (parent) => fromAbortSignal(new AbortController().signal, parent),
  };

  it.each(Object.entries(makers))("refuses a parent that is no context: %s", (what, make) => {
    for (const bad of [5, "ctx", {}, { ...background() }, new AbortController().signal]) {
      expect(() => make(bad as never)).toThrow(
        new TypeError(`scheduler: ${what}: the parent must be a context (got ${kindOf(bad)})`),
      );
    }
    expect(() => make(null as never)).toThrow(new Error("cannot create context from nil parent"));
  });

  it("names itself when its time is NaN", () => {
    const at = (what: string) => new TypeError(`scheduler: ${what}: when must be a Date or a number (got x)`);
    const after = (what: string) =>
      new TypeError(`scheduler: ${what}: duration must be a number of milliseconds (got x)`);
    expect(() => withDeadline(background(), "x" as never)).toThrow(at("withDeadline"));
    expect(() => withDeadlineCause(background(), "x" as never, null)).toThrow(at("withDeadlineCause"));
    expect(() => withTimeout(background(), "x" as never)).toThrow(after("withTimeout"));
    expect(() => withTimeoutCause(background(), "x" as never, null)).toThrow(after("withTimeoutCause"));
  });
});
