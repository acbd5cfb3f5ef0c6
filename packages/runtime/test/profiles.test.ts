import { decodeProfile } from "@gort/profiling/pprof";
import { describe, expect, it, vi } from "vitest";
import {
  BlockProfileRecord,
  type Chan,
  MemProfileRecord,
  type Runtime,
  recvCase,
  StackRecord,
} from "../src/index.ts";
import { Mutex, RWMutex, WaitGroup } from "../src/sync.ts";
import { FastClock } from "./fast-clock.ts";
import { make, profileText } from "./kit.ts";

describe("the goroutine profile", () => {
  it("shows every goroutine once, with its stack and its labels", async () => {
    const rt = make();
    await rt.main(function* () {
      const never = rt.makeChan<number>();
      function* waits() {
        yield* never.recv();
      }
      rt.profiler.setGoroutineLabels({ job: "test" });
      for (let i = 0; i < 20; i++) rt.go(waits);
      yield* rt.gosched();
      expect(rt.goroutineProfile(null)).toEqual({ n: 21, ok: false });
      const records = Array.from({ length: 21 }, () => new StackRecord());
      expect(rt.goroutineProfile(records)).toEqual({ n: 21, ok: true });
      const waiting = records.filter((r) =>
        [...rt.callersFrames(r.stack())].some((f) => f.Function.includes("waits")),
      );
      expect(waiting).toHaveLength(20);
      const grouped = (yield* rt.syscall(profileText(rt, "goroutine", 1))).split("\n");
      expect(grouped[0]).toBe("goroutine profile: total 21");
      expect(grouped[1]).toMatch(/^20 @ 0x/);
      expect(grouped[2]).toBe('# labels: {"job":"test"}');
    });
  });
});

describe("the block profile", () => {
  it("charges the time of a wait to the place that waits", async () => {
    const rt = make({ clock: new FastClock() });
    rt.setBlockProfileRate(1);
    await rt.main(function* () {
      const c = rt.makeChan<number>();
      function* slowSender() {
        for (let i = 0; i < 3; i++) {
          yield* rt.sleep(5);
          yield* c.send(i);
        }
      }
      function* impatientReceiver() {
        for (let i = 0; i < 3; i++) yield* c.recv();
      }
      rt.go(slowSender);
      yield* rt.go(impatientReceiver).done();
    });
    const { n } = rt.blockProfile(null);
    const records = Array.from({ length: n }, () => new BlockProfileRecord());
    expect(rt.blockProfile(records).ok).toBe(true);
    const receiver = records.filter((r) =>
      [...rt.callersFrames(r.stack())].some((f) => f.Function.includes("impatientReceiver")),
    );
    expect(receiver.reduce((sum, r) => sum + r.Count, 0)).toBe(3);
    expect(receiver.reduce((sum, r) => sum + r.Cycles, 0)).toBe(15e6);
  });

  it("counts every wait of a loop at its place, without a stack of each under blockStackPeriod", async () => {
    const capture = vi.spyOn(Error, "captureStackTrace");
    try {
      const n = 20_000;
      const exact = {};
      for (const options of [exact, { blockStackPeriod: 16 }]) {
        const rt = make(options);
        await pingPong(rt, 1); // with the profile off
        rt.setBlockProfileRate(1);
        capture.mockClear();
        await pingPong(rt, n);
        const waits = records(rt, "blockProfile");
        expect(waits.map((r) => r.functions[0]).sort()).toEqual(["runtime.chanrecv1", "runtime.chansend1"]);
        expect(waits.filter((r) => r.functions[1].endsWith(".pongs"))).toHaveLength(1);
        // On an unbuffered channel, one side waits for each value.
        const events = waits.reduce((sum, r) => sum + r.count, 0);
        expect(Math.abs(events / n - 1)).toBeLessThan(0.01);
        if (options === exact) expect(capture.mock.calls.length).toBeGreaterThanOrEqual(events);
        else expect(capture.mock.calls.length).toBeLessThan(events / 8);
      }
    } finally {
      capture.mockRestore();
    }
  });

  it("shows every wait where it was, however often the goroutine waited elsewhere", async () => {
    const rt = make();
    rt.setBlockProfileRate(1);
    await rt.main(function* () {
      const c = rt.makeChan<void>();
      function* waits(n: number) {
        for (let i = 0; i < n; i++) yield* c.recv();
      }
      function* often() {
        yield* waits(99);
      }
      function* once() {
        yield* waits(1);
      }
      rt.go(function* sends() {
        // Only to a receiver that waits.
        for (let i = 0; i < 1000; i++) while (!c.trySend()) yield* rt.gosched();
      });
      for (let i = 0; i < 10; i++) {
        yield* often();
        yield* once();
      }
    });
    const of = (name: string) => {
      const mine = records(rt, "blockProfile").filter((r) => r.functions.some((f) => f.endsWith(`.${name}`)));
      return mine.reduce((sum, r) => sum + r.count, 0);
    };
    expect([of("often"), of("once")]).toEqual([990, 10]);
  });

  it("keeps apart the places of one goroutine", async () => {
    const rt = make({ blockStackPeriod: 16 });
    rt.setBlockProfileRate(1);
    await rt.main(function* () {
      const c = rt.makeChan<number>();
      rt.go(sendAll, rt, c, 600);
      function* first() {
        yield* c.recv();
      }
      function* second() {
        yield* c.recv();
      }
      for (let i = 0; i < 300; i++) {
        yield* first();
        yield* second();
      }
    });
    expect(share(rt, "first", 300)).toBeCloseTo(1, 1);
    expect(share(rt, "second", 300)).toBeCloseTo(1, 1);
  });

  it("keeps apart goroutines that share a number, or that use the same G one after the other", async () => {
    const rt = make({ blockStackPeriod: 16 });
    rt.setBlockProfileRate(1);
    // Both are goroutine 1.
    await rt.main(function* one() {
      const c = rt.makeChan<number>();
      rt.go(sendAll, rt, c, 150);
      for (let i = 0; i < 150; i++) yield* c.recv();
    });
    await rt.main(function* two() {
      const c = rt.makeChan<number>();
      rt.go(sendAll, rt, c, 150);
      for (let i = 0; i < 150; i++) yield* c.recv();
    });
    expect(share(rt, "one", 150)).toBeCloseTo(1, 1);
    expect(share(rt, "two", 150)).toBeCloseTo(1, 1);
  });

  it("records nothing at rate 0", async () => {
    const rt = make();
    await rt.main(function* () {
      yield* rt.sleep(1);
    });
    expect(rt.blockProfile(null)).toEqual({ n: 0, ok: true });
  });
});

describe("at rates of 0", () => {
  it("no stack is taken, whatever the program does", async () => {
    const rt = make({ godebug: "memprofilerate=0" });
    const mu = new Mutex();
    await pingPong(rt, 10); // goroutines start: their sites are taken within a budget, which is not the profiles'
    const capture = vi.spyOn(Error, "captureStackTrace");
    const prepare = vi.fn();
    const old = Error.prepareStackTrace;
    Error.prepareStackTrace = prepare;
    try {
      await rt.main(function* () {
        const c = rt.makeChan<number>(1);
        const worker = rt.go(function* worker() {
          for (;;) {
            yield* mu.lock();
            yield* rt.gosched();
            mu.unlock();
            if ((yield* c.recv()) === -1) return;
          }
        });
        capture.mockClear();
        prepare.mockClear();
        for (let i = 0; i < 2000; i++) {
          rt.unsafe.mallocgc(16 << 10);
          rt.unsafe.mallocgc(16);
          yield* mu.lock();
          mu.unlock();
          yield* c.send(i);
        }
        rt.gc();
        expect(capture).not.toHaveBeenCalled();
        expect(prepare).not.toHaveBeenCalled();
        yield* c.send(-1);
        yield* worker.done();
      });
      // The same with a rate shows that the counters count.
      rt.memProfileRate = 1;
      rt.unsafe.mallocgc(16);
      expect(capture).toHaveBeenCalled();
    } finally {
      capture.mockRestore();
      Error.prepareStackTrace = old;
    }
    for (const name of ["blockProfile", "mutexProfile"] as const) expect(rt[name](null).n).toBe(0);
  });
});

/** Sends `n` values, each to a receiver that waits already. */
function* sendAll(rt: Runtime, c: Chan<number>, n: number) {
  for (let i = 0; i < n; i++) {
    yield* rt.gosched();
    yield* c.send(i);
  }
}

/**
 * Part of `n` waits that the block profile shows in the function of this name. It is about 1: now and then a sender
 * comes first, so the receiver does not wait.
 */
function share(rt: Runtime, name: string, n: number): number {
  const mine = records(rt, "blockProfile").filter((r) => r.functions[1].endsWith(`.${name}`));
  return mine.reduce((sum, r) => sum + r.count, 0) / n;
}

/** Sends `n` values from one goroutine to another. */
function pingPong(rt: Runtime, n: number): Promise<void> {
  return rt.main(function* () {
    const c = rt.makeChan<number>();
    rt.go(function* pongs() {
      for (let i = 0; i < n; i++) yield* c.send(i);
    });
    for (let i = 0; i < n; i++) yield* c.recv();
  });
}

/** The records of a profile: the stack as names of functions, and the counts. */
function records(rt: Runtime, profile: "blockProfile" | "mutexProfile") {
  const list = Array.from({ length: rt[profile](null).n }, () => new BlockProfileRecord());
  expect(rt[profile](list).ok).toBe(true);
  return list.map((r) => ({
    functions: [...rt.callersFrames(r.stack())].map((f) => f.Function.replace(/^.*\//, "")),
    count: r.Count,
    ms: r.Cycles / 1e6,
  }));
}

describe("which waits the block profile holds", () => {
  it("waits for goroutines and locks, not sleep and system calls, as in Go; the operation is the leaf", async () => {
    const rt = make();
    rt.setBlockProfileRate(1);
    const mu = new Mutex();
    const wg = new WaitGroup();
    await rt.main(function* () {
      yield* rt.sleep(2);
      yield* rt.syscall(new Promise((r) => setTimeout(r, 2)));
      yield* mu.lock();
      wg.add(1);
      rt.go(function* locks() {
        yield* mu.lock();
        mu.unlock();
        wg.done();
      });
      yield* rt.gosched();
      mu.unlock();
      yield* wg.wait();
      const c = rt.makeChan<number>();
      rt.go(function* sends() {
        yield* rt.gosched();
        yield* c.send(1);
      });
      yield* rt.select([recvCase(c), recvCase(rt.makeChan<number>())]);
    });
    const leaves = records(rt, "blockProfile").map((r) => r.functions[0]);
    expect(leaves.sort()).toEqual(
      ["runtime.selectgo", "sync.(*Mutex).Lock", "sync.(*WaitGroup).Wait"].sort(),
    );
  });

  it("puts the first slice of a goroutine and the later ones in one bucket", async () => {
    const rt = make();
    rt.memProfileRate = 1;
    await rt.main(function* () {
      function* allocates() {
        for (let i = 0; i < 3; i++) {
          rt.unsafe.mallocgc(48);
          yield* rt.gosched();
        }
      }
      yield* rt.go(allocates).done();
    });
    rt.gc();
    rt.gc();
    const list = Array.from({ length: rt.memProfile(null, true).n }, () => new MemProfileRecord());
    rt.memProfile(list, true);
    const own = list.filter((r) =>
      [...rt.callersFrames(r.stack())].some((f) => f.Function.endsWith(".allocates")),
    );
    expect(own.map((r) => r.AllocObjects)).toEqual([3]);
    const functions = [...rt.callersFrames(own[0].stack())].map((f) => f.Function);
    expect(functions.at(-1)).toBe("runtime.goexit");
    expect(functions.at(-2)).toMatch(/\.allocates$/);
  });
});

describe("the mutex profile", () => {
  it("charges what all waiters waited to the place that unlocks", async () => {
    const rt = make({ clock: new FastClock() });
    expect(rt.setMutexProfileFraction(1)).toBe(0);
    const mu = new Mutex();
    await rt.main(function* () {
      const enough = rt.makeChan<void>();
      function* holdsLong() {
        yield* mu.lock();
        yield* enough.recv();
        mu.unlock();
      }
      function* holdsShort() {
        yield* mu.lock();
        mu.unlock();
      }
      const first = rt.go(holdsLong);
      yield* rt.gosched();
      const others = [rt.go(holdsShort), rt.go(holdsShort), rt.go(holdsShort)];
      yield* rt.gosched();
      // All wait by now.
      yield* rt.sleep(20);
      enough.close();
      for (const g of [first, ...others]) yield* g.done();
    });
    const all = records(rt, "mutexProfile");
    for (const { functions } of all) expect(functions[0]).toBe("sync.(*Mutex).Unlock");
    const by = (name: string) => all.find((r) => r.functions[1]?.endsWith(name));
    expect(by(".holdsLong")!.count).toBe(1);
    // Three goroutines waited 20 ms each.
    expect(by(".holdsLong")!.ms).toBe(60);
    expect(by(".holdsShort")?.ms ?? 0).toBe(0);
    expect(rt.setMutexProfileFraction(-1)).toBe(1);
    expect((await profileText(rt, "mutex", 1)).split("\n").slice(0, 3)).toEqual([
      "--- mutex:",
      "cycles/second=1000000000",
      "sampling period=1",
    ]);
  });

  it("charges writers' waits for readers to the last reader, and readers' to the writer", async () => {
    const rt = make({ clock: new FastClock() });
    rt.setMutexProfileFraction(1);
    const rw = new RWMutex();
    await rt.main(function* () {
      function* reads() {
        yield* rw.rLock();
        yield* rt.sleep(5);
        rw.rUnlock();
      }
      function* writes() {
        yield* rw.lock();
        yield* rt.sleep(5);
        rw.unlock();
      }
      const all = [rt.go(reads)];
      yield* rt.gosched();
      all.push(rt.go(writes));
      yield* rt.gosched();
      all.push(rt.go(reads), rt.go(reads));
      for (const g of all) yield* g.done();
    });
    const all = records(rt, "mutexProfile").map((r) => [
      r.functions
        .slice(0, 2)
        .join(" < ")
        .replace(/ \S*\./, " "),
      r.count,
      r.ms >= 4,
    ]);
    expect(all.sort()).toEqual([
      ["sync.(*RWMutex).RUnlock < reads", 1, true],
      ["sync.(*RWMutex).Unlock < writes", 1, true],
    ]);
  });

  it("records nothing, and no waiter is timed, while the fraction is 0", async () => {
    const rt = make();
    const mu = new Mutex();
    await rt.main(function* () {
      yield* mu.lock();
      const g = rt.go(function* () {
        yield* mu.lock();
        mu.unlock();
      });
      yield* rt.gosched();
      mu.unlock();
      yield* g.done();
    });
    expect(rt.mutexProfile(null)).toEqual({ n: 0, ok: true });
    expect(Reflect.get(mu, "contention")).toBe(null);
  });

  it("takes one event in so many, weighted by as many", async () => {
    const rt = make();
    rt.setMutexProfileFraction(4);
    const mu = new Mutex();
    const events = 2000;
    await rt.main(function* () {
      for (let i = 0; i < events; i++) {
        yield* mu.lock();
        const g = rt.go(function* waits() {
          yield* mu.lock();
          mu.unlock();
        });
        yield* rt.gosched();
        mu.unlock();
        yield* g.done();
      }
    });
    const count = records(rt, "mutexProfile").reduce((n, r) => n + r.count, 0);
    expect(count % 4).toBe(0);
    // Binomial(2000, 1/4) times 4: six standard deviations are 465.
    expect(Math.abs(count - events)).toBeLessThan(465);
  });
});

describe("the CPU profile", () => {
  it("gives each sample the labels of the goroutine that ran", async () => {
    const rt = make();
    rt.setCPUProfileRate(2000);
    let bytes = new Uint8Array();
    await rt.main(function* () {
      rt.profiler.startCPUProfile((b) => {
        bytes = new Uint8Array(b);
      });
      expect(rt.scheduler.onSwitch).not.toBe(null);
      function* burns() {
        for (let i = 0; i < 15; i++) {
          const end = performance.now() + 4;
          while (performance.now() < end);
          yield* rt.gosched();
        }
      }
      const all = ["red", "blue"].map((colour) => {
        rt.profiler.setGoroutineLabels({ colour });
        return rt.go(burns);
      });
      rt.profiler.setGoroutineLabels(null);
      for (const g of all) yield* g.done();
      yield* rt.syscall(rt.profiler.stopCPUProfile());
    });
    expect(rt.scheduler.onSwitch).toBe(null);
    const profile = await decodeProfile(bytes);
    const ms: Record<string, number> = {};
    const outermost = new Set<string>();
    for (const sample of profile.samples) {
      const names = sample.locations.map((l) => l.lines[0].function.name);
      if (names.some((name) => name.endsWith(".burns"))) outermost.add(names.at(-1)!.replace(/^.*\./, ""));
      const colour = sample.labels.find((l) => l.key === "colour")?.str ?? "none";
      ms[colour] = (ms[colour] ?? 0) + sample.values[1] / 1e6;
    }
    // The run loop is no part of a goroutine's stack.
    expect([...outermost]).toEqual(["burns"]);
    // Each burnt at least 60 ms; a busy machine takes time from both.
    expect(ms.red).toBeGreaterThan(40);
    expect(ms.blue).toBeGreaterThan(40);
    expect(Math.max(ms.red, ms.blue) / Math.min(ms.red, ms.blue)).toBeLessThan(1.7);
  });
});
