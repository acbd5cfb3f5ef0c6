import { describe, expect, it } from "vitest";
import { defaultCase, makeChan, recvCase, type SelectCase, sendCase } from "../src/index.ts";
import { createTestScheduler, verifyScheduler } from "../src/testing.ts";

describe("select", () => {
  it("with two cases on one channel chooses each about equally often", () => {
    const s = createTestScheduler({ seed: 7 });
    const n = 1000;
    const wins = { send: [0, 0], recv: [0, 0, 0] };
    s.runMain(function* () {
      const c = s.makeChan<number>();
      s.go(function* () {
        for (let i = 0; i < n; i++) {
          yield* s.gosched();
          wins.send[(yield* c.recv())!]++;
        }
        for (let i = 0; i < n; i++) {
          yield* s.gosched();
          yield* c.send(i);
        }
      });
      for (let i = 0; i < n; i++) {
        const r = yield* s.select([sendCase(c, 0), sendCase(c, 1)]);
        expect(r.ok).toBe(false);
      }
      for (let i = 0; i < n; i++) {
        const r = yield* s.select([recvCase(c), recvCase(null), recvCase(c)]);
        wins.recv[r.index]++;
        expect(r.value).toBe(i);
      }
    });
    // Within 5 standard deviations of a half (n = 1000: 15.8 each).
    for (const x of [...wins.send, wins.recv[0], wins.recv[2]]) expect(Math.abs(x - n / 2)).toBeLessThan(80);
    expect(wins.recv[1]).toBe(0);
    verifyScheduler(s);
  });

  it("accepts 65536 cases and refuses more", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const idle = s.makeChan<number>();
      const ready = s.makeChan<number>(1);
      const list = (n: number, at: number): SelectCase<number>[] =>
        Array.from({ length: n }, (_, i) => recvCase(i === at ? ready : idle));
      for (const at of [0, 32768, 65535]) {
        ready.trySend(at);
        expect(yield* s.select(list(65536, at))).toEqual({ index: at, value: at, ok: true });
      }
      // All cases wait, and all leave the queue afterwards.
      s.afterFunc(1, () => void ready.trySend(5));
      expect(yield* s.select(list(65536, 65535))).toEqual({ index: 65535, value: 5, ok: true });
      expect(() => s.select(list(65537, 1))).toThrow(
        new RangeError("scheduler: select: too many cases (got 65537, at most 65536)"),
      );
    });
    verifyScheduler(s);
  });

  it("names the invalid case in its error, and has no effect on the ready ones", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const c = s.makeChan<number>(1);
      c.trySend(1);
      for (const [bad, shown] of [
        [null, "null"],
        [undefined, "undefined"],
        [{}, "an object"],
        [c, "an object"],
        [recvCase, "a function"],
        [7, "7"],
      ]) {
        const cases = [recvCase(c), bad] as SelectCase[];
        let error: unknown;
        try {
          yield* s.select(cases);
        } catch (e) {
          error = e;
        }
        expect(error).toEqual(
          new TypeError(
            `scheduler: select: case 1 must be made by recvCase or sendCase, or be defaultCase (got ${shown})`,
          ),
        );
      }
      for (const bad of [null, undefined, {}, 5, "ab"]) {
        expect(() => s.select(bad as never)).toThrow("scheduler: select: cases must be an array (got ");
      }
      for (const bad of [undefined, {}, 5, "ab"]) {
        expect(() => recvCase(bad as never)).toThrow(
          "scheduler: recvCase: c must be a channel or null (got ",
        );
        expect(() => sendCase(bad as never, 1)).toThrow(
          "scheduler: sendCase: c must be a channel or null (got ",
        );
      }
      let error: unknown;
      try {
        yield* s.select([defaultCase, recvCase(s.makeChan()), defaultCase]);
      } catch (e) {
        error = e;
      }
      expect(error).toEqual(new TypeError("scheduler: select: two default cases (at 0 and 2)"));
      expect(c.length).toBe(1);
    });
    verifyScheduler(s);
  });
});

describe("channels and cases of another copy of the package", () => {
  // An object of another copy: only the brands are the same.
  const foreign = { [Symbol.for("gort.HChan")]: true };
  const foreignCase = { [Symbol.for("gort.SelectCase")]: true };

  it("are refused by an error that names the copy", () => {
    const s = createTestScheduler();
    const fault = "belongs to another copy of @gort/scheduler: install one version, and bundle it once";
    expect(Symbol.for("gort.HChan") in makeChan()).toBe(true);
    expect(Symbol.for("gort.SelectCase") in defaultCase).toBe(true);
    expect(() => recvCase(foreign as never)).toThrow(
      new TypeError(`scheduler: recvCase: the channel ${fault}`),
    );
    expect(() => sendCase(foreign as never, 1)).toThrow(
      new TypeError(`scheduler: sendCase: the channel ${fault}`),
    );
    expect(() =>
      s.runMain(function* () {
        yield* s.select([foreignCase as unknown as SelectCase]);
      }),
    ).toThrow(new TypeError(`scheduler: select: case 0 ${fault}`));
  });
});
