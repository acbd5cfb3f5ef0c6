import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import {
  type AfterFuncer,
  background,
  type Context,
  canceled,
  cause,
  fromAbortSignal,
  toAbortSignal,
  withCancel,
  withCancelCause,
  withValue,
} from "../../src/context.ts";
import type { RecvChan } from "../../src/index.ts";
import type { TestScheduler } from "../../src/testing.ts";
import { run } from "../kit.ts";

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
