import { describe, expect, it } from "vitest";
import { createScheduler } from "../src/index.ts";
import { createTestScheduler } from "../src/testing.ts";

const tick = () => new Promise((r) => setTimeout(r, 2));

describe("syscall", () => {
  it("wakes its goroutine once, also if a thenable calls back several times", async () => {
    const s = createScheduler();
    let again: ((v: number) => void) | null = null;
    const got = await s.main(function* () {
      const c = s.makeChan<string>();
      const results: unknown[] = [];
      results.push(
        yield* s.syscall<number>({
          // biome-ignore lint/suspicious/noThenProperty: a thenable on purpose
          then(res: (v: number) => void, rej: (e: unknown) => void) {
            res(1);
            res(2);
            rej(3);
            again = res;
          },
        } as never),
      );
      s.afterFunc(5, function* () {
        yield* c.send("value");
      });
      s.afterFunc(1, () => again!(4));
      results.push(yield* c.recv());
      const t = s.clock.now();
      yield* s.sleep(10);
      results.push(s.clock.now() - t >= 10, s.nsyscall, s.nnotInGo);
      return results;
    });
    expect(got).toEqual([1, "value", true, 0, 0]);
    s.close();
  });

  const hostile: Record<string, unknown> = {
    "a then that throws": {
      // biome-ignore lint/suspicious/noThenProperty: a thenable on purpose
      then() {
        throw new Error("then");
      },
    },
    "a getter that throws": {
      // biome-ignore lint/suspicious/noThenProperty: a thenable on purpose
      get then() {
        throw new Error("then");
      },
    },
    "a promise with a then of its own": Object.assign(Promise.resolve(1), {
      // biome-ignore lint/suspicious/noThenProperty: a thenable on purpose
      then() {
        throw new Error("then");
      },
    }),
    "a thenable that resolves with one that throws": {
      // biome-ignore lint/suspicious/noThenProperty: a thenable on purpose
      then(res: (v: unknown) => void) {
        res({
          // biome-ignore lint/suspicious/noThenProperty: a thenable on purpose
          then() {
            throw new Error("then");
          },
        });
      },
    },
  };

  it.each(Object.keys(hostile))(
    "throws the error of %s into its goroutine, and counts the call as ended",
    async (name) => {
      const s = createScheduler();
      const got = await s.main(function* () {
        for (const work of [hostile[name], () => hostile[name]]) {
          try {
            yield* s.syscall(work as never);
            return "no error";
          } catch (e) {
            if ((e as Error).message !== "then") throw e;
          }
        }
        return [s.nsyscall, s.nnotInGo];
      });
      expect(got).toEqual([0, 0]);
      s.close();
    },
  );

  it("gives the value of a thenable in a thenable", async () => {
    const s = createScheduler();
    // biome-ignore lint/suspicious/noThenProperty: a thenable on purpose
    const inner = { then: (res: (v: number) => void) => res(5) };
    // biome-ignore lint/suspicious/noThenProperty: a thenable on purpose
    const outer = { then: (res: (v: unknown) => void) => res(inner) };
    expect(
      await s.main(function* () {
        return yield* s.syscall(outer as never);
      }),
    ).toBe(5);
    s.close();
  });

  it("lets other goroutines run while a promise is pending, and shows the wait", async () => {
    const s = createScheduler();
    const dump = await s.main(function* () {
      s.go(function* reader() {
        yield* s.syscall(new Promise<void>(() => {}));
      });
      yield* s.gosched();
      const buf = new Uint8Array(1 << 16);
      return new TextDecoder().decode(buf.subarray(0, s.stack(buf, true)));
    });
    expect(dump).toMatch(/goroutine \d+ \[syscall\]:\nmain\.reader\(/);
  });

  it("gives the value of the promise, or throws its reason", async () => {
    const s = createScheduler();
    expect(await s.main(() => s.syscall(async () => 5))).toBe(5);
    await expect(
      s.main(function* () {
        yield* s.syscall(Promise.reject(new Error("no such file")));
      }),
    ).rejects.toThrow("no such file");
    expect(await s.main(() => s.syscall(() => 7))).toBe(7);
  });

  it("counts cgo calls of each scheduler separately", () => {
    const s = createTestScheduler();
    const n = s.numCgoCall();
    expect(s.cgocall((a: number, b: number) => a + b, 2, 3)).toBe(5);
    expect(s.numCgoCall()).toBe(n + 1);
    expect(createScheduler().numCgoCall()).toBe(0);
  });
});

describe("a closed scheduler", () => {
  const fault = "scheduler: use of a scheduler after its close";

  it("rejects waits of host code that began before or after close", async () => {
    const s = createScheduler();
    const c = s.makeChan<number>(1);
    const d = s.makeChan<number>(1);
    const started = Promise.resolve(c.recv());
    await tick();
    const unstarted = Promise.resolve(c.recv());
    const early = [expect(started).rejects.toThrow(fault), expect(unstarted).rejects.toThrow(fault)];
    await Promise.resolve();
    s.close();
    await Promise.all(early);
    expect(s.nhost).toBe(0);
    for (const op of [
      () => c.recv(),
      () => c.recv2(),
      () => d.send(1),
      () => s.select([]),
      () => s.sleep(1),
    ]) {
      await expect(Promise.resolve(op())).rejects.toThrow(fault);
    }
    await expect(
      (async () => {
        for await (const _ of c);
      })(),
    ).rejects.toThrow(fault);
  });

  it("refuses calls whose effect would never happen", () => {
    const s = createScheduler();
    const c = s.makeChan<number>(1);
    const timer = s.newTimer(1);
    s.close();
    expect(() => c.trySend(1)).toThrow(`${fault} (trySend)`);
    expect(() => c.tryRecv()).toThrow(`${fault} (tryRecv)`);
    expect(() => s.go(() => {})).toThrow(`${fault} (go)`);
    expect(() => s.after(1)).toThrow(`${fault} (timer)`);
    expect(() => s.newTicker(1)).toThrow(`${fault} (timer)`);
    expect(() => timer.reset(1)).toThrow(`${fault} (timer)`);
    expect(() => s.afterFunc(1, () => {})).toThrow(`${fault} (afterFunc)`);
    expect(timer.stop()).toBe(true);
    expect(c.length).toBe(0);
  });
});
