import { describe, expect, it } from "vitest";
import { createScheduler, go, makeChan, type Operation, recvCase } from "../src/index.ts";
import { createTestScheduler } from "../src/testing.ts";

describe("an op", () => {
  it("completes without suspending when it can", () => {
    const s = createTestScheduler();
    const c = s.makeChan<number>(1);
    function* body() {
      yield* c.send(1);
      return yield* c.recv();
    }
    let steps = 0;
    s.runMain(function* () {
      const g = body();
      for (let r = g.next(); !r.done; r = g.next()) steps++;
    });
    expect(steps).toBe(0);
  });

  it("works when it is put aside and used later", () => {
    const s = createTestScheduler();
    const got = s.runMain(function* () {
      const a = s.makeChan<string>(1);
      const b = s.makeChan<string>(1);
      const ops = [a.recv(), b.recv(), s.select([]) as unknown as Operation<string>];
      yield* s.sleep(1);
      yield* b.send("b");
      yield* a.send("a");
      return [yield* ops[1], yield* ops[0]];
    });
    expect(got).toEqual(["b", "a"]);
  });

  it("can wait in several goroutines that share one op object", () => {
    const s = createTestScheduler();
    const got: number[] = [];
    s.runMain(function* () {
      const c = s.makeChan<number>();
      for (let i = 0; i < 3; i++) {
        s.go(function* () {
          got.push((yield* c.recv())!);
        });
      }
      yield* s.sleep(1);
      for (let i = 1; i <= 3; i++) yield* c.send(i);
      yield* s.sleep(1);
    });
    expect(got.sort()).toEqual([1, 2, 3]);
  });

  it("refuses to be used twice", () => {
    const s = createTestScheduler();
    const c = s.makeChan<number>(2);
    expect(() =>
      s.runMain(function* () {
        const op = c.send(1);
        yield* op;
        yield* op;
      }),
    ).toThrow("scheduler: chan send op used twice");
    expect(c.length).toBe(1);
  });

  it("refuses yield* outside of a goroutine, and can still be awaited then", async () => {
    const s = createScheduler();
    const c = s.makeChan<number>(1);
    const op = c.recv();
    function* body() {
      yield* op;
    }
    expect(() => body().next()).toThrow("yield* on a chan receive outside of a goroutine");
    c.trySend(5);
    expect(await op).toBe(5);
  });

  it("is reported when a goroutine ends without having used it", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const c = s.makeChan<number>(1);
      yield* s
        .go(function* forgetful() {
          c.send(1);
        })
        .done();
      expect(c.length).toBe(0);
    });
    expect(s.errors.join("")).toMatch(
      /goroutine 2 ended with a chan send that it never used \(write yield\* before it\)/,
    );
  });

  it("may be what an ordinary function given to go returns", () => {
    const s = createTestScheduler();
    expect(
      s.runMain(function* () {
        const c = s.makeChan<string>();
        s.go(() => c.send("hello"));
        return yield* c.recv();
      }),
    ).toBe("hello");
  });
});

describe("awaiting an op in host code", () => {
  it("waits for a goroutine", async () => {
    const s = createScheduler();
    const c = s.makeChan<number>();
    s.go(function* () {
      yield* s.sleep(5);
      yield* c.send(7);
    });
    expect(await c.recv()).toBe(7);
  });

  it("works from both sides without any goroutine", async () => {
    const c = makeChan<number>();
    const [v] = await Promise.all([c.recv(), c.send(3)]);
    expect(v).toBe(3);
  });

  it("rejects with the panic of the operation", async () => {
    const c = makeChan<number>();
    c.close();
    await expect(c.send(1)).rejects.toThrow("send on closed channel");
  });

  it("rejects when the op has been used", async () => {
    const c = makeChan<number>(2);
    const op = c.send(1);
    await op;
    await expect(op).rejects.toThrow("used twice");
  });

  it("gives the values of a channel to for await", async () => {
    const c = makeChan<number>(1);
    go(function* () {
      for (let i = 0; i < 5; i++) yield* c.send(i);
      c.close();
    });
    const got: number[] = [];
    for await (const v of c) got.push(v);
    expect(got).toEqual([0, 1, 2, 3, 4]);
  });

  it("is no deadlock for the goroutines that wait for it", async () => {
    const s = createScheduler();
    const c = s.makeChan<number>();
    const d = s.makeChan<number>();
    const done = s.main(function* () {
      yield* d.send(1);
      return yield* c.recv();
    });
    expect(await d.recv()).toBe(1);
    await c.send(2);
    expect(await done).toBe(2);
  });

  it("works in an async function called by a goroutine", async () => {
    const s = createScheduler();
    const got = await s.main(function* () {
      const c = s.makeChan<number>();
      const work = async () => {
        const v = await c.recv();
        return v! * 2;
      };
      s.go(() => c.send(21));
      return yield* s.syscall(work);
    });
    expect(got).toBe(42);
  });
});

describe("next() of an op, called by hand", () => {
  const fault = (what: string) =>
    new TypeError(
      `scheduler: next() of a ${what} op was called by hand; an op is used with yield* (or await), which suspends the goroutine`,
    );

  it("is refused at the next op, and hands nothing over", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const c = s.makeChan<number>();
      const d = s.makeChan<number>(1);
      const waits: [string, () => Operation<unknown>][] = [
        ["chan receive", () => c.recv()],
        ["chan receive", () => c.recv2()],
        ["chan send", () => c.send(1)],
        ["select", () => s.select([recvCase(c), recvCase(s.makeChan())])],
        ["sleep", () => s.sleep(5)],
        ["gosched", () => s.gosched()],
        ["syscall", () => s.syscall(new Promise(() => {}))],
      ];
      for (const [what, wait] of waits) {
        const it = wait()[Symbol.iterator]();
        expect(it.next().done).toBe(false);
        let error: unknown;
        try {
          yield* d.send(1);
        } catch (e) {
          error = e;
        }
        expect(error).toEqual(fault(what));
        expect(c.trySend(5)).toBe(false);
        expect(c.tryRecv().received).toBe(false);
        expect(s.nsyscall).toBe(0);
      }
      expect(d.length).toBe(0);
      const it = c.recv()[Symbol.iterator]();
      it.next();
      expect(() => it.next()).toThrow(fault("chan receive"));
    });
  });

  it("is refused when the goroutine has been readied meanwhile", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const c = s.makeChan<number>();
      const it = c.recv()[Symbol.iterator]();
      it.next();
      c.trySend(1);
      expect(() => it.next()).toThrow(fault("chan receive"));
      const t = s.clock.now();
      yield* s.sleep(3);
      expect(s.clock.now() - t).toBe(3);
    });
  });

  it("is refused when the goroutine ends, or panics, before its next op", () => {
    const s = createTestScheduler();
    const c = s.makeChan<number>();
    const run = (end: () => void) =>
      s.runMain(function* () {
        yield* s.gosched();
        c.recv()[Symbol.iterator]().next();
        end();
      });
    expect(() => run(() => {})).toThrow(fault("chan receive"));
    expect(() =>
      run(() => {
        throw new Error("own");
      }),
    ).toThrow("own");
    expect(c.trySend(1)).toBe(false);
  });
});

describe("an op in another copy of the package's goroutine", () => {
  it("says so", () => {
    const s = createTestScheduler();
    const copies = (globalThis as unknown as Record<symbol, { curg: unknown }[]>)[Symbol.for("gort.m0")];
    const other = { curg: {} };
    copies.push(other);
    try {
      expect(() => s.sleep(1)[Symbol.iterator]().next()).toThrow(
        new TypeError(
          "scheduler: a sleep in a goroutine that belongs to another copy of @gort/scheduler: install one version, and bundle it once",
        ),
      );
    } finally {
      copies.splice(copies.indexOf(other), 1);
    }
    expect(() => s.sleep(1)[Symbol.iterator]().next()).toThrow("outside of a goroutine");
  });
});
