import { describe, expect, it } from "vitest";
import { crashReport, int64, struct } from "../src/index.ts";
import { cond, type HeapMutex, mutex, once, rwMutex, waitGroup } from "../src/sync.ts";
import { make } from "./kit.ts";

const Counter = struct("Counter", { mu: mutex, n: int64 });

describe("locks in the heap", () => {
  it("have the sizes of Go's", () => {
    expect([mutex, rwMutex, waitGroup, once, cond].map((t) => [t.name, t.size, t.align])).toEqual([
      ["sync.Mutex", 8, 4],
      ["sync.RWMutex", 24, 4],
      ["sync.WaitGroup", 16, 8],
      ["sync.Once", 12, 4],
      ["sync.Cond", 56, 8],
    ]);
  });

  it("guard a struct that they are a field of", async () => {
    const rt = make();
    const n = await rt.main(function* () {
      const c = rt.newObject(Counter);
      const wg = rt.newObject(waitGroup);
      for (let i = 0; i < 50; i++) {
        wg.go(function* () {
          const { mu } = c;
          yield* mu.lock();
          const { n } = c;
          yield* rt.gosched();
          c.n = n + 1n;
          mu.unlock();
        });
      }
      yield* wg.wait();
      return c.n;
    });
    expect(n).toBe(50n);
  });

  it("stay locked if the end of the program ends the goroutine that holds them", async () => {
    const rt = make({ deadlock: "eager" });
    const m = rt.newObject(mutex);
    await rt.main(function* () {
      rt.go(function* () {
        rt.defer(() => m.unlock());
        yield* m.lock();
        yield* rt.makeChan().recv();
      });
      yield* rt.gosched();
    });
    const next = rt.main(function* () {
      expect(m.tryLock()).toBe(false);
      yield* m.lock();
    });
    const error: unknown = await next.catch((e: unknown) => e);
    expect(error).toMatchObject({ code: "ERR_GORT_DEADLOCK" });
    // As in Go, no lock knows its owner.
    expect(crashReport(error)?.text).toMatch(/\ngoroutine \d+ \[sync\.Mutex\.Lock\]:\n/);
    m.unlock();
    expect(m.tryLock()).toBe(true);
  });

  it("stay alive while a goroutine waits for them, also if the program gives up all handles", async () => {
    const rt = make({ godebug: "clobberfree=1" });
    await rt.main(function* () {
      const m = rt.newObject(mutex);
      const raw = m.$addr;
      yield* m.lock();
      const waiting = rt.go(function* () {
        yield* m.lock();
      });
      yield* rt.gosched();
      m.release();
      rt.gc();
      expect(rt.readMemStats().HeapObjects).toBeGreaterThan(0);
      // The object is the same: only its waiter roots it.
      const again = rt.types.ref(mutex, raw) as HeapMutex;
      again.unlock();
      yield* waiting.done();
      expect(again.tryLock()).toBe(false);
    });
  });

  it("are freed after the last wait", async () => {
    const rt = make();
    await rt.main(function* () {
      const wait = function* () {
        const m = rt.newObject(mutex);
        yield* m.lock();
        const waiting = rt.go(function* () {
          yield* m.lock();
        });
        yield* rt.gosched();
        m.unlock();
        yield* waiting.done();
        m.release();
      };
      yield* wait();
      rt.gc();
      const { HeapObjects } = rt.readMemStats();
      for (let i = 0; i < 100; i++) yield* wait();
      rt.gc();
      expect(rt.readMemStats().HeapObjects - HeapObjects).toBeLessThan(10);
    });
  });

  it("end a program with Go's text if they are misused, and report a deadlock with Go's wait reason", async () => {
    const rt = make();
    await expect(
      rt.main(function* () {
        yield* rt.gosched();
        rt.newObject(mutex).unlock();
      }),
    ).rejects.toThrow("sync: unlock of unlocked mutex");
    const eager = make({ deadlock: "eager" });
    const error: unknown = await eager
      .main(function* () {
        const m = eager.newObject(mutex);
        yield* m.lock();
        yield* m.lock();
      })
      .catch((e: unknown) => e);
    expect(String(error)).toContain("all goroutines are asleep - deadlock!");
    expect(crashReport(error)?.text).toContain("goroutine 1 [sync.Mutex.Lock]:");
  });

  it("refuse a wait that a signal would end", () => {
    const rt = make();
    const m = rt.newObject(mutex);
    expect(() => m.lock().withSignal(new AbortController().signal)).toThrow(
      "a mutex lock cannot be given up",
    );
  });

  it("serve the next program after one that ended while goroutines waited", async () => {
    const rt = make();
    const c = rt.newObject(Counter);
    await rt.main(function* () {
      yield* c.mu.lock();
      for (let i = 0; i < 3; i++) {
        rt.go(function* () {
          yield* c.mu.lock();
        });
      }
      yield* rt.gosched();
    });
    // The mutex is still locked: its holder ended with the program.
    await rt.main(function* () {
      expect(c.mu.tryLock()).toBe(false);
      c.mu.unlock();
      yield* c.mu.lock();
      c.mu.unlock();
    });
  });
});
