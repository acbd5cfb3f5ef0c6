import { describe, expect, it } from "vitest";
import {
  afterFunc,
  background,
  type Context,
  canceled,
  cause,
  toAbortSignal,
  withCancel,
  withCancelCause,
  withDeadline,
  withoutCancel,
  withTimeout,
  withValue,
} from "../../src/context.ts";
import { createTestScheduler } from "../../src/testing.ts";
import { run } from "../kit.ts";
import { Calling, mine, Own } from "./kit.ts";

describe("deep chains of contexts", () => {
  const depth = 100_000;

  it("are cancelled, queried and printed without recursion", () => {
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
  it("that is cancelled already makes cancelled children", () => {
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

  it("passes its cause on to its child, or its err if it has no cause", () => {
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

  it("calls its child through afterFunc, and gets a call of stop if the child ends first", () => {
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

  it("is refused if its afterFunc returns no function or its err is missing", () => {
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

describe("a context", () => {
  interface Inner {
    children: Set<unknown>;
  }

  it("holds no child that was cancelled, alone or with its parent", () => {
    run(function* (s) {
      const { ctx, cancel } = withCancel(background());
      const inner = ctx as unknown as Inner;
      const goroutines = s.numGoroutine();
      for (let i = 0; i < 10; i++) {
        const child = withCancel(ctx);
        const timed = withTimeout(child.ctx, 1000);
        expect(inner.children.size).toBe(1);
        child.cancel();
        expect(timed.ctx.err()).not.toBe(null);
        expect(inner.children.size).toBe(0);
      }
      withCancel(ctx);
      cancel();
      expect(inner.children.size).toBe(0);
      yield* s.gosched();
      expect(s.numGoroutine()).toBe(goroutines);
    });
  });

  it("of the program has no watching goroutine once the child is cancelled", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const done = s.makeChan<never>();
      const own: Context = {
        deadline: () => null,
        done: () => done,
        err: () => null,
        value: () => undefined,
      };
      const before = s.gs().filter((g) => g.atomicstatus !== 6).length;
      for (let i = 0; i < 20; i++) withCancel(own).cancel();
      yield* s.gosched();
      yield* s.gosched();
      const live = s.gs().filter((g) => g.gen !== null || g.fn !== null).length;
      expect(live).toBeLessThanOrEqual(before);
    });
  });
});
