import { describe, expect, it } from "vitest";
import { collectHostUntil, dropWithReportsDue, hostTurn } from "../../../vitest.hostgc.ts";
import type { GPool } from "../src/gpool.ts";
import { createScheduler } from "../src/index.ts";
import { LeakSearch } from "../src/leak-search.ts";
import type { G, Leak } from "../src/runtime2.ts";
import { createTestScheduler, verifyScheduler } from "../src/testing.ts";
import { stackText } from "../src/traceback.ts";

describe("a search for leaks", () => {
  it("keeps every goroutine that can be woken", () => {
    const s = createTestScheduler();
    const c = s.makeChan<number>();
    const got: number[] = [];
    for (let i = 0; i < 3; i++) {
      s.go(function* () {
        got.push((yield* c.recv())!);
      });
    }
    s.run();
    s.beginLeakSearch();
    // Goroutines that end or begin during the search count as usual.
    c.trySend(1);
    s.run();
    s.go(() => {});
    s.run();
    s.endLeakSearch();
    expect([s.leaks, s.numGoroutine()]).toEqual([[], 2]);
    verifyScheduler(s);
    let listed = 0;
    s.forEachG(() => listed++);
    expect(listed).toBe(2);
    c.trySend(2);
    c.trySend(3);
    s.run();
    expect(got).toEqual([1, 2, 3]);
    expect(s.numGoroutine()).toBe(0);
  });

  it("finds exactly the goroutines that nothing can wake, once V8 has collected them", async () => {
    const leaks: Leak[] = [];
    const s = createScheduler({ hooks: { leak: (l) => leaks.push(l) } });
    const held = s.makeChan<number>();
    const lostId = (() => {
      s.go(function* alive() {
        yield* held.recv();
      });
      return s.go(function* lost() {
        yield* s.makeChan<number>().recv();
      }).id;
    })();
    await hostTurn();
    s.beginLeakSearch();
    await collectHostUntil(() => {
      s.endLeakSearch();
      if (leaks.length > 0) return true;
      s.beginLeakSearch();
      return false;
    });
    expect(leaks).toEqual(s.leaks);
    expect(leaks).toEqual([
      {
        goid: lostId,
        func: "lost",
        site: expect.stringMatching(/leak\.test\.ts:\d+$/),
        createdBy: expect.anything(),
      },
    ]);
    expect(s.numGoroutine()).toBe(1);
    expect(stackText(s, true)).toContain("main.alive(");
    s.close();
  });
});

describe("leak detection", () => {
  it("collects goroutines that nothing can wake, and reports where they were started", async () => {
    const leaks: string[] = [];
    const s = createScheduler({
      leakDetection: true,
      hooks: { leak: (l) => leaks.push(`${l.func} ${l.site.replace(/ .*\//, " ")}`) },
    });
    const held = s.makeChan<number>();
    const ended = s.makeChan<number>(1);
    (() => {
      s.go(function* lost() {
        yield* s.makeChan<number>().recv();
      });
      s.go(function* alive() {
        yield* held.recv();
        yield* ended.send(1);
      });
      s.go(function* sleeper() {
        yield* s.sleep(10_000);
      });
    })();
    await collectHostUntil(() => leaks.length > 0);
    expect(leaks.length).toBe(1);
    expect(leaks[0]).toMatch(/^lost main\.\w+ leak\.test\.ts:\d+$/);
    expect(s.numGoroutine()).toBe(2);
    held.trySend(1);
    expect(await ended.recv()).toBe(1);
    s.close();
  });

  it("works on after a scheduler was dropped whose leaks V8 had found but not reported", async () => {
    const leaks: string[] = [];
    const leaky = () => {
      const s = createScheduler({ leakDetection: true, hooks: { leak: (l) => leaks.push(l.func) } });
      for (let i = 0; i < 10; i++) {
        s.go(function* lost() {
          yield* s.makeChan<number>().recv();
        });
      }
      return s;
    };
    await dropWithReportsDue(leaky);
    leaks.length = 0;
    const s = leaky();
    await collectHostUntil(() => leaks.length === 10);
    s.close();
  });

  it("holds all suspects again, and reports all leaks, although the hook throws", () => {
    const s = createTestScheduler();
    for (let k = 0; k < 4; k++) s.go(() => s.makeChan().recv());
    s.run();
    const gs = s.gs();
    const weak = new Set<number>();
    const pool = {
      list: () => gs,
      loosen: (g: G) => weak.add(g.goid),
      // The second and the last one are collected.
      tighten: (goid: number) => weak.delete(goid) && goid !== gs[1].goid && goid !== gs[3].goid,
    };
    const told: number[] = [];
    const search = new LeakSearch(pool as unknown as GPool, (leak) => {
      told.push(leak.goid);
      throw new Error(`hook ${told.length}`);
    });
    search.begin();
    expect(() => search.end()).toThrow("hook 1");
    expect([told, weak.size]).toEqual([[gs[1].goid, gs[3].goid], 0]);
  });
});
