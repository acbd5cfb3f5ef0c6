import { describe, expect, it } from "vitest";
import { background, cause } from "../../src/context.ts";
import { goexit } from "../../src/index.ts";
import { Group } from "../../src/sync/index.ts";
import { run } from "../kit.ts";

describe("Group", () => {
  it("gives the first error and cancels its context", () => {
    run(function* (s) {
      const { group, ctx } = Group.withContext(background());
      let cancelled = false;
      yield* group.go(function* () {
        yield* ctx.done()!.recv();
        cancelled = true;
      });
      yield* group.go(function* () {
        yield* s.sleep(2);
        throw new Error("first");
      });
      yield* group.go(function* () {
        yield* s.sleep(4);
        return new Error("second");
      });
      expect(yield* group.wait()).toEqual(new Error("first"));
      expect(cancelled).toBe(true);
    });
  });

  it("never runs more goroutines than its limit", () => {
    run(function* (s) {
      const g = new Group();
      g.setLimit(2);
      let now = 0;
      let most = 0;
      for (let i = 0; i < 6; i++) {
        yield* g.go(function* () {
          most = Math.max(most, ++now);
          yield* s.sleep(1);
          now--;
        });
      }
      expect(g.tryGo(() => {})).toBe(false);
      expect(yield* g.wait()).toBe(null);
      expect(most).toBe(2);
    });
  });

  it("treats a returned Error as a failure, and no other value", () => {
    run(function* () {
      const fine = Group.withContext(background());
      yield* fine.group.go(() => 3);
      yield* fine.group.go(function* () {
        return "x";
      });
      expect(yield* fine.group.wait()).toBe(null);
      const { group, ctx } = Group.withContext(background());
      const error = new Error("returned");
      yield* group.go(() => error);
      expect(yield* group.wait()).toBe(error);
      expect([ctx.err()?.message, cause(ctx)]).toEqual(["context canceled", error]);
    });
  });

  it("frees its room when a function ends, with any kind of end", () => {
    run(function* (s) {
      const g = new Group();
      g.setLimit(1);
      expect(g.tryGo(() => {})).toBe(true);
      expect(g.tryGo(() => {})).toBe(false);
      yield* s.gosched();
      expect(
        g.tryGo(() => {
          throw new Error("first");
        }),
      ).toBe(true);
      yield* s.gosched();
      expect(g.tryGo(() => new Error("second"))).toBe(true);
      yield* s.gosched();
      expect(g.tryGo(() => goexit())).toBe(true);
      yield* s.gosched();
      g.setLimit(0);
      expect(g.tryGo(() => {})).toBe(false);
      g.setLimit(-1);
      for (let i = 0; i < 5; i++) expect(g.tryGo(() => {})).toBe(true);
      expect(yield* g.wait()).toEqual(new Error("first"));
    });
  });

  it("makes the caller wait until there is room", () => {
    run(function* (s) {
      const g = new Group();
      g.setLimit(1);
      for (let i = 0; i < 3; i++) {
        yield* g.go(function* () {
          yield* s.sleep(10);
        });
        expect(s.clock.now()).toBe(i * 10);
      }
      yield* g.wait();
      expect(s.clock.now()).toBe(30);
    });
  });

  it("refuses a new limit while a function waits behind the old one", () => {
    run(function* (s) {
      const g = new Group();
      g.setLimit(1);
      for (let i = 0; i < 2; i++) {
        g.go(function* () {
          yield* s.sleep(1);
        });
      }
      yield* s.sleep(1);
      expect(() => g.setLimit(2)).toThrow("while 1 goroutines in the group are still active");
      yield* g.wait();
      g.setLimit(2);
    });
  });

  it("gives a panic value that is no Error as the group's error", () => {
    run(function* () {
      const { group, ctx } = Group.withContext(background());
      yield* group.go(() => {
        throw "a string";
      });
      const error = yield* group.wait();
      expect(error).toBe("a string");
      expect(cause(ctx)).toBe(error);
    });
  });

  it("cancels its context when wait returns, also without a failure", () => {
    run(function* (s) {
      const { group, ctx } = Group.withContext(background());
      yield* group.go(function* () {
        yield* s.sleep(1);
      });
      expect(ctx.err()).toBe(null);
      expect(yield* group.wait()).toBe(null);
      expect(ctx.err()?.message).toBe("context canceled");
    });
  });

  it("treats goexit as an end without a failure", () => {
    run(function* (s) {
      const { group, ctx } = Group.withContext(background());
      yield* group.go(function* () {
        yield* s.gosched();
        goexit();
      });
      yield* s.sleep(1);
      expect(ctx.err()).toBe(null);
      expect(yield* group.wait()).toBe(null);
    });
  });
});

describe("Group without yield*", () => {
  it("starts its function before it returns", () => {
    run(function* (s) {
      const g = new Group();
      let ran = false;
      g.go(function* () {
        yield* s.sleep(1);
        ran = true;
      });
      expect(yield* g.wait()).toBe(null);
      expect(ran).toBe(true);
    });
  });

  it("queues a function behind the limit, and keeps the limit", () => {
    run(function* (s) {
      const g = new Group();
      g.setLimit(2);
      let now = 0;
      let most = 0;
      let ran = 0;
      for (let i = 0; i < 7; i++) {
        g.go(function* () {
          most = Math.max(most, ++now);
          yield* s.sleep(1);
          now--;
          ran++;
        });
      }
      expect(g.tryGo(() => {})).toBe(false);
      expect(yield* g.wait()).toBe(null);
      expect([most, ran]).toEqual([2, 7]);
    });
  });

  it("refuses a new limit while one of its functions runs", () => {
    run(function* (s) {
      const g = new Group();
      g.setLimit(1);
      g.go(function* () {
        yield* s.sleep(1);
      });
      expect(() => g.setLimit(3)).toThrow(
        "errgroup: modify limit while 1 goroutines in the group are still active",
      );
      yield* g.wait();
      g.setLimit(3);
      expect(() => g.setLimit(0.5)).toThrow("scheduler: Group.setLimit: n must be an integer (got 0.5)");
    });
  });
});
