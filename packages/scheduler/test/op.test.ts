import { describe, expect, it } from "vitest";
import {
  createScheduler,
  defaultScheduler,
  go,
  main,
  makeChan,
  type Operation,
  recvCase,
  type Scheduler,
  sendCase,
} from "../src/index.ts";
import { recvFrom, sendTo } from "../src/nil-chan.ts";
import { Mutex, RWMutex, WaitGroup, Weighted } from "../src/sync/index.ts";
import { createTestScheduler } from "../src/testing.ts";
import { stackText } from "../src/traceback.ts";

/** An op of each kind. `happened` reports whether the op at index `i` has had its effect. */
interface OpKind {
  make(i: number): Operation<unknown>;
  happened(i: number): boolean;
  /** The result of the operation. */
  value?(i: number): unknown;
}

function opKinds(s: Scheduler): Record<string, OpKind> {
  const full = () =>
    [0, 1].map((i) => {
      const c = s.makeChan<number>(1);
      c.trySend(i);
      return c;
    });
  const empty = () => [0, 1].map(() => s.makeChan<number>(1));
  const [a, b, c, d, e, f] = [empty(), full(), full(), empty(), full(), full()];
  const never = s.makeChan<number>();
  const mutexes = [new Mutex(), new Mutex()];
  const written = [new RWMutex(), new RWMutex()];
  const read = [new RWMutex(), new RWMutex()];
  const groups = [new WaitGroup(), new WaitGroup()];
  const semaphores = [new Weighted(1), new Weighted(1)];
  const done = () => true;
  return {
    "chan send": { make: (i) => a[i].send(i), happened: (i) => a[i].length === 1 },
    recv: { make: (i) => b[i].recv(), happened: (i) => b[i].length === 0, value: (i) => i },
    recv2: {
      make: (i) => c[i].recv2(),
      happened: (i) => c[i].length === 0,
      value: (i) => ({ value: i, ok: true }),
    },
    "select send": {
      make: (i) => s.select([sendCase(d[i], i), recvCase(never)]),
      happened: (i) => d[i].length === 1,
      value: () => ({ index: 0, value: undefined, ok: false }),
    },
    "select receive": {
      make: (i) => s.select([recvCase(never), recvCase(e[i])]),
      happened: (i) => e[i].length === 0,
      value: (i) => ({ index: 1, value: i, ok: true }),
    },
    "recv of a null channel's neighbour": {
      make: (i) => s.select([recvCase(null), recvCase(f[i])]),
      happened: (i) => f[i].length === 0,
      value: (i) => ({ index: 1, value: i, ok: true }),
    },
    sleep: { make: (i) => s.sleep(i), happened: done },
    gosched: { make: () => s.gosched(), happened: done },
    checkpoint: { make: () => s.checkpoint(), happened: done },
    syscall: { make: (i) => s.syscall(() => i), happened: done, value: (i) => i },
    "mutex lock": { make: (i) => mutexes[i].lock(), happened: (i) => !mutexes[i].tryLock() },
    "rwmutex lock": { make: (i) => written[i].lock(), happened: (i) => !written[i].tryRLock() },
    "rwmutex rlock": { make: (i) => read[i].rLock(), happened: (i) => !read[i].tryLock() },
    "waitgroup wait": { make: (i) => groups[i].wait(), happened: done },
    "semaphore acquire": {
      make: (i) => semaphores[i].acquire(),
      happened: (i) => !semaphores[i].tryAcquire(),
    },
  };
}

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

  it("works when it is kept in a variable and used later", () => {
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

  it("refuses yield* outside of a goroutine, and can be awaited afterwards", async () => {
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

  it("is reported when its goroutine ends without using it", () => {
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

  it("may be the result of an ordinary function that go runs", () => {
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

describe("an op on a nil channel", () => {
  it("is named in messages and in dumps", () => {
    const s = createTestScheduler();
    const ops = {
      "chan send": () => sendTo(() => s, null, 1),
      "chan receive": () => recvFrom(() => s, null),
    };
    for (const [what, make] of Object.entries(ops)) {
      expect(String(make())).toBe(`operation(${what})`);
      s.go(make);
    }
    s.run();
    const headers = stackText(s, true).match(/^goroutine [1-9].*$/gm);
    expect(headers).toEqual([
      "goroutine 2 [chan send (nil chan)]:",
      "goroutine 3 [chan receive (nil chan)]:",
    ]);
  });
});

describe("awaiting an op in host code", () => {
  it("works after goroutines have run that did not make the op", async () => {
    const s = createTestScheduler();
    const c = s.makeChan<number>(1);
    const op = c.recv();
    s.go(() => {});
    s.run();
    expect(s.errors).toEqual([]);
    c.trySend(5);
    const got = Promise.resolve(op);
    await null;
    s.run();
    expect(await got).toBe(5);
  });

  it("waits until a goroutine completes the operation", async () => {
    const s = createScheduler();
    const c = s.makeChan<number>();
    s.go(function* () {
      yield* s.sleep(5);
      yield* c.send(7);
    });
    expect(await c.recv()).toBe(7);
  });

  it("works on both sides of a channel without a goroutine", async () => {
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

  it("is what `for await` over a channel does", async () => {
    const c = makeChan<number>(1);
    go(function* () {
      for (let i = 0; i < 5; i++) yield* c.send(i);
      c.close();
    });
    const got: number[] = [];
    for await (const v of c) got.push(v);
    expect(got).toEqual([0, 1, 2, 3, 4]);
  });

  it("prevents a deadlock of the goroutines that wait for host code", async () => {
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
      `scheduler: next() of a ${what} op was called by hand; ` +
        "an op is used with yield* (or await), which suspends the goroutine",
    );

  it("is refused at the next op, and transfers no value", () => {
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

  it("is refused when the goroutine has become ready meanwhile", () => {
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
  it("throws an error that says so", () => {
    const s = createTestScheduler();
    const copies = (globalThis as unknown as Record<symbol, { curg: unknown }[]>)[Symbol.for("gort.m0")];
    const other = { curg: {} };
    copies.push(other);
    try {
      expect(() => s.sleep(1)[Symbol.iterator]().next()).toThrow(
        new TypeError(
          "scheduler: a sleep in a goroutine that belongs to another copy of @gort/scheduler: " +
            "install one version, and bundle it once",
        ),
      );
    } finally {
      copies.splice(copies.indexOf(other), 1);
    }
    expect(() => s.sleep(1)[Symbol.iterator]().next()).toThrow("outside of a goroutine");
  });
});

describe("an op of any kind", () => {
  const names = Object.keys(opKinds(createScheduler()));

  it.each(names)("may be kept while another is made and used; each is used once (%s)", async (name) => {
    await main(function* () {
      const { make, happened, value = () => undefined } = opKinds(defaultScheduler())[name];
      const first = make(0);
      const second = make(1);
      expect(yield* second).toEqual(value(1));
      expect(happened(1)).toBe(true);
      expect(yield* first).toEqual(value(0));
      expect(happened(0)).toBe(true);
      for (const op of [first, second]) {
        let error: unknown;
        try {
          yield* op;
        } catch (e) {
          error = e;
        }
        expect(String(error)).toMatch(/^TypeError: scheduler: [\w ]+ op used twice; an op is used once/);
      }
    });
  });

  it.each(names)("can be awaited by host code that makes another meanwhile (%s)", async (name) => {
    const { make, happened, value = () => undefined } = opKinds(defaultScheduler())[name];
    const first = make(0);
    const second = make(1);
    expect(await second).toEqual(value(1));
    expect(happened(1)).toBe(true);
    expect(await first).toEqual(value(0));
    expect(happened(0)).toBe(true);
    await expect(Promise.resolve(first)).rejects.toThrow("op used twice");
  });

  it.each(names)(
    "refuses yield* outside of a goroutine, and can be awaited afterwards (%s)",
    async (name) => {
      const { make, value = () => undefined } = opKinds(defaultScheduler())[name];
      const op = make(0);
      expect(() => op[Symbol.iterator]().next()).toThrow(
        "outside of a goroutine (start it with go, or await the op)",
      );
      expect(await op).toEqual(value(0));
    },
  );
});

describe("a yield of what is no op", () => {
  const bad = 3 as never;

  it("throws an error that the goroutine may catch, to return or to wait for an op", () => {
    const s = createTestScheduler();
    const caught: string[] = [];
    function* careless(): Generator<undefined, void, unknown> {
      try {
        yield bad;
      } catch (e) {
        caught.push((e as Error).message);
      }
    }
    const ends = s.runMain(function* () {
      yield* careless();
      return "returned";
    });
    const waits = s.runMain(function* () {
      yield* careless();
      yield* s.sleep(1);
      return "waited";
    });
    expect([ends, waits]).toEqual(["returned", "waited"]);
    const fault = "scheduler: goroutine 1 yielded a value that is no op; suspend with yield* on an op";
    expect(caught).toEqual([fault, fault]);
  });

  it("ends the program at a second such yield, or if the generator has no throw method", () => {
    const s = createTestScheduler();
    expect(() =>
      s.runMain(function* () {
        try {
          yield bad;
        } catch {
          yield bad;
        }
      }),
    ).toThrow("goroutine 1 yielded a value that is no op");
    const iterator = { next: () => ({ done: false, value: 3 }), [Symbol.iterator]: () => iterator };
    expect(() => s.runMain(() => iterator as never)).toThrow(TypeError);
  });
});
