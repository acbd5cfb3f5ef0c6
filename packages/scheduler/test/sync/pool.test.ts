import { describe, expect, it } from "vitest";
import { collectHost, hostTurn } from "../../../../vitest.hostgc.ts";
import { currentScheduler } from "../../src/default.ts";
import { Pool } from "../../src/sync/index.ts";
import { poolCleanup } from "../../src/sync/pool.ts";
import { createTestScheduler } from "../../src/testing.ts";
import { run } from "../kit.ts";

describe("Pool", () => {
  it("gives an object that was put, makes one if it is empty, and is empty after two collections", () => {
    let made = 0;
    const p = new Pool(() => ({ id: ++made }));
    const a = p.get();
    p.put(a);
    expect(p.get()).toBe(a);
    p.put(a);
    poolCleanup(currentScheduler());
    expect(p.get()).toBe(a);
    p.put(a);
    poolCleanup(currentScheduler());
    poolCleanup(currentScheduler());
    expect(p.get().id).toBe(2);
    expect(new Pool<number>().get()).toBe(undefined);
  });

  it("notices V8's collections by itself", async () => {
    const p = new Pool<object>();
    p.put({});
    for (let i = 0; i < 20; i++) {
      collectHost();
      await hostTurn();
    }
    expect(p.get()).toBe(undefined);
  });

  function drain(p: Pool<string>): string {
    let out = "";
    for (let x = p.get(); x !== undefined; x = p.get()) out += x;
    return out;
  }
  function fill(p: Pool<string>, xs: string): void {
    for (const x of xs) p.put(x);
  }
  const collect = () => poolCleanup(currentScheduler());

  // Recorded from Go 1.27 with GOMAXPROCS=1.
  it("gives objects in Go's order: the first that was put, then the last, and victims from the oldest", () => {
    const p = new Pool<string>();
    fill(p, "abcd");
    expect(drain(p)).toBe("adcb");
    fill(p, "abcd");
    collect();
    expect(drain(p)).toBe("abcd");
    fill(p, "abcd");
    collect();
    fill(p, "xy");
    expect(drain(p)).toBe("xyabcd");
    fill(p, "abcd");
    collect();
    expect(p.get()).toBe("a");
    p.put("a");
    collect();
    expect(drain(p)).toBe("a");
    fill(p, "a");
    collect();
    collect();
    expect(drain(p)).toBe("");
  });

  it("ages only with the collections of its own scheduler", () => {
    const a = createTestScheduler();
    const b = createTestScheduler();
    const p = a.runMain(() => {
      const pool = new Pool<string>();
      pool.put("x");
      return pool;
    });
    for (let i = 0; i < 3; i++) poolCleanup(b);
    poolCleanup(a);
    expect(p.get()).toBe("x");
  });

  it("refuses a New that is no function", () => {
    expect(() => new Pool(3 as never)).toThrow("scheduler: Pool: New must be a function (got 3)");
  });

  it("keeps falsy objects, but neither null nor undefined", () => {
    const p = new Pool<unknown>();
    p.put(null);
    p.put(undefined);
    p.put(0);
    p.put("");
    expect([p.get(), p.get(), p.get()]).toEqual([0, "", undefined]);
  });

  it("drops the rest of its victims at the next collection, and makes objects only when it is empty", () => {
    run(function* (s) {
      let made = 0;
      const p = new Pool<string>(() => `new ${++made}`);
      for (const x of "abc") p.put(x);
      poolCleanup(s);
      p.put("x");
      expect([p.get(), p.get(), p.get()]).toEqual(["x", "a", "b"]);
      for (const x of "de") p.put(x);
      poolCleanup(s);
      expect([p.get(), p.get(), p.get(), p.get()]).toEqual(["d", "e", "new 1", "new 2"]);
      poolCleanup(s);
      poolCleanup(s);
      p.put("f");
      poolCleanup(s);
      expect([p.get(), p.get()]).toEqual(["f", "new 3"]);
    });
  });

  it("ignores a put of undefined or null also when it holds an object", () => {
    run(function* (s) {
      let made = 0;
      const p = new Pool<number | undefined>(() => ++made);
      p.put(10);
      p.put(undefined);
      p.put(null as never);
      expect([p.get(), p.get()]).toEqual([10, 1]);
      yield* s.gosched();
    });
  });
});
