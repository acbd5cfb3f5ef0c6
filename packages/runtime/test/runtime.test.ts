import { checkIdentities } from "@gort/memstats/testing";
import { afterEach, describe, expect, it } from "vitest";
import {
  cap,
  close,
  createRuntime,
  FatalError,
  int,
  isFatalError,
  len,
  type MemStats,
  newMemStats,
  type Ptr,
  pointer,
  type Ref,
  type Runtime,
  type RuntimeOptions,
  recv,
  recv2,
  recvCase,
  send,
  struct,
  uint8,
} from "../src/index.ts";
import { closeAfterTest, turn } from "./kit.ts";

let printed = "";

/** A small runtime whose output is collected, closed after the test. */
function make(options: RuntimeOptions = {}): Runtime {
  const rt = createRuntime({
    maxMemory: 256 << 20,
    godebug: "",
    stderr: (text) => {
      printed += text;
    },
    seed: 1,
    ...options,
  });
  closeAfterTest(rt);
  return rt;
}

afterEach(() => {
  printed = "";
});

/** Lets the event loop turn. */

describe("createRuntime", () => {
  it("refuses options of the wrong kind, naming them", () => {
    expect(() => make({ gogc: Number.NaN })).toThrow(
      /gogc must be a whole number of percent or "off" \(got NaN\)/,
    );
    expect(() => make({ memoryLimit: -1 })).toThrow(
      /memoryLimit must be a whole number of bytes, 0 or more, or Infinity \(got -1\)/,
    );
    expect(() => make({ maxMemory: 1000 })).toThrow(/maxMemory/);
    expect(() => createRuntime(null as never)).toThrow(TypeError);
    expect(() => make({ gomaxprocs: 0 })).toThrow(/gomaxprocs must be a whole number from 1 \(got 0\)/);
    expect(() => make({ stderr: 3 as never })).toThrow(/stderr must be a function \(got number\)/);
    expect(() => make({ gogcc: 3 } as never)).toThrow(/unknown option "gogcc"/);
  });

  it("has at most 256 Ps, and one if threads cannot share the memory; it says so once", () => {
    for (const [shared, n, why] of [
      [true, 256, "there are at most 256 Ps"],
      [false, 1, "threads cannot share the memory, so there is one"],
    ] as const) {
      const lines: string[] = [];
      const rt = make({ gomaxprocs: 1_000_000, shared, stderr: (text) => lines.push(text) });
      expect([rt.gomaxprocs(300), rt.gomaxprocs()]).toEqual([n, n]);
      expect(lines).toEqual([`gort: gomaxprocs is ${n}, not 1000000: ${why}\n`]);
      expect(() => rt.gomaxprocs(2 ** 32)).toThrow(RangeError);
    }
  });

  it("refuses work after its close", () => {
    const rt = make();
    rt.close();
    rt.close();
    expect(() => rt.go(() => {})).toThrow("runtime: use of a runtime after its close");
    expect(() => rt.makeSlice(uint8, 1)).toThrow("runtime: use of a runtime after its close");
  });

  it("lets two runtimes live side by side, each with its own heap and goroutines", async () => {
    const [a, b] = [make(), make()];
    a.unsafe.mallocgc(100_000);
    expect(a.readMemStats().Mallocs).toBe(1);
    expect(b.readMemStats().Mallocs).toBe(0);
    const ids = await Promise.all([
      a.main(function* () {
        yield* a.sleep(1);
        return a.numGoroutine();
      }),
      b.main(function* () {
        b.go(function* () {
          yield* b.sleep(1000);
        });
        yield* b.gosched();
        return b.numGoroutine();
      }),
    ]);
    expect(ids).toEqual([1, 2]);
  });
});

describe("collection", () => {
  const Node = struct("Node", {
    value: int,
    get next() {
      return pointer(Node);
    },
  });

  it("keeps what a Ref reaches and frees what none does", () => {
    const rt = make({ gogc: "off" });
    const head = rt.newObject(Node, { value: 1 });
    for (let i = 2; i <= 1000; i++) {
      const n = rt.newObject(Node, { value: i, next: head.next });
      head.next = n;
      n.release();
    }
    rt.gc();
    expect(rt.readMemStats().HeapObjects).toBe(1000);
    let sum = 0;
    for (let n: Ref<typeof Node> | null = head; n !== null; n = n.next) sum += n.value;
    expect(sum).toBe((1000 * 1001) / 2);
    head.next = null;
    rt.gc();
    // Refs that were made while walking still root a few, until V8 drops them: none may be freed under them.
    expect(rt.readMemStats().HeapObjects).toBeLessThanOrEqual(1000);
  });

  it("runs by itself between goroutines when the heap has grown by GOGC", async () => {
    const rt = make({ gogc: 100 });
    await rt.main(function* () {
      for (let i = 0; i < 200; i++) {
        rt.unsafe.mallocgc(100_000);
        yield* rt.gosched();
      }
    });
    const m = rt.readMemStats();
    expect(m.NumGC).toBeGreaterThanOrEqual(3);
    expect(m.NumForcedGC).toBe(0);
    expect(m.HeapSys).toBeLessThan(16 << 20);
  });

  it("runs for host code too, when that awaits something", async () => {
    const rt = make({ gogc: 100 });
    for (let i = 0; i < 300; i++) {
      rt.unsafe.mallocgc(100_000);
      await turn();
    }
    expect(rt.readMemStats().NumGC).toBeGreaterThanOrEqual(3);
  });

  it("does not run with GOGC=off", async () => {
    const rt = make({ gogc: "off" });
    await rt.main(function* () {
      for (let i = 0; i < 200; i++) {
        rt.unsafe.mallocgc(100_000);
        yield* rt.gosched();
      }
    });
    expect(rt.readMemStats().NumGC).toBe(0);
  });

  it("finishes a cycle that began, although no goroutine runs any more", async () => {
    const rt = make({ gogc: 100 });
    await rt.main(function* () {
      for (let i = 0; i < 60; i++) {
        rt.unsafe.mallocgc(100_000);
        yield* rt.gosched();
      }
    });
    for (let i = 0; i < 50 && rt.collector.marking; i++) await turn();
    expect(rt.collector.marking).toBe(false);
  });

  it("forces itself after two minutes without one, once there has been one", async () => {
    let now = 0;
    let timers: { fn: () => void; at: number }[] = [];
    const clock = {
      now: () => now,
      setTimer(fn: () => void, ms: number): unknown {
        const t = { fn, at: now + ms };
        timers.push(t);
        return t;
      },
      clearTimer(t: unknown): void {
        timers = timers.filter((x) => x !== t);
      },
    };
    const rt = make({ clock, godebug: "gctrace=1" });
    const minutes = async (n: number) => {
      for (const end = now + n * 60_000; now < end; ) {
        now += 30_000;
        const due = timers.filter((t) => t.at <= now);
        timers = timers.filter((t) => t.at > now);
        for (const t of due) t.fn();
        for (let i = 0; i < 5; i++) await turn();
      }
    };
    await minutes(5);
    expect(rt.readMemStats().NumGC).toBe(0);
    rt.gc();
    await minutes(5);
    const m = rt.readMemStats();
    expect(m.NumGC).toBeGreaterThanOrEqual(2);
    expect(m.NumForcedGC).toBe(1);
    expect(printed).toMatch(/^GC forced$/m);
  });

  it("names a goroutine that allocates for ten seconds without yielding while a collection waits", async () => {
    let now = 0;
    const clock = { now: () => now };
    const rt = make({ clock, gogc: 100 });
    function* hog(seconds: number) {
      for (let s = 0; s < seconds; s++) {
        now += 1000;
        // 2 MiB; beyond the first 4 a collection is due.
        for (let i = 0; i < 128; i++) rt.unsafe.newArray(uint8, 16 << 10);
      }
      yield* rt.gosched();
    }
    await rt.main(function* () {
      rt.go(hog, 8);
      yield* rt.gosched();
      yield* rt.gosched();
      expect(printed).toBe("");
      rt.go(hog, 30);
      yield* rt.gosched();
      yield* rt.gosched();
    });
    // Once, though it went on for 30 s.
    expect(printed.match(/a collection has waited/g)).toHaveLength(1);
    expect(printed).toMatch(
      new RegExp(
        String.raw`^runtime: a collection has waited 1[0-2] s for a safepoint \(\d+ MB in use\): ` +
          String.raw`this goroutine allocates without yielding\n`,
      ),
    );
    expect(printed).toMatch(/^goroutine \d+ \[running\]:$/m);
    expect(printed).toMatch(/hog\(/);
    expect(printed).toMatch(/^created by .* in goroutine 1\n\t.*runtime\.test\.ts:\d+/m);
  });

  it("keeps what a goroutine roots until its frame ends, also over a growing stack", async () => {
    const rt = make({ gogc: "off", godebug: "clobberfree=1" });
    await rt.main(function* () {
      yield* rt.frame(function* () {
        const roots = [];
        for (let i = 0; i < 1000; i++) {
          const p = rt.unsafe.newObject(Node);
          rt.unsafe.view(Node, p).value = i;
          roots.push(rt.root(p));
        }
        yield* rt.gosched();
        rt.gc();
        expect(rt.readMemStats().HeapObjects).toBe(1000);
        expect(rt.readMemStats().StackInuse).toBeGreaterThanOrEqual(8192);
        const view = rt.unsafe.view(Node);
        roots.forEach((r, i) => {
          view.$at(r.ptr);
          expect(view.value).toBe(i);
        });
      });
      rt.gc();
      expect(rt.readMemStats().HeapObjects).toBe(0);
    });
    expect(rt.readMemStats().StackInuse).toBeLessThanOrEqual(32768);
  });

  it("says so when a root is used after its frame", async () => {
    const rt = make();
    await rt.main(function* () {
      const r = (yield* rt.frame(function* () {
        const root = rt.root(rt.unsafe.newObject(Node));
        yield* rt.gosched();
        return root;
      }))!;
      expect(() => r.ptr).toThrow("runtime: use of a root after its frame has ended");
      r.release();
    });
  });

  it("roots for host code too", () => {
    const rt = make({ gogc: "off" });
    const r = rt.root(rt.unsafe.newObject(Node));
    rt.gc();
    expect(rt.readMemStats().HeapObjects).toBe(1);
    r.release();
    r.release();
    rt.gc();
    expect(rt.readMemStats().HeapObjects).toBe(0);
    expect(() => r.ptr).toThrow("runtime: use of a root after its release");
  });
});

describe("allocfreetrace", () => {
  const Node = struct("Node", { value: int, next: pointer(uint8) });

  /** Prepares a use of a raw pointer. The function that it returns uses the pointer after its object is freed. */
  type Use = (rt: Runtime, p: Ptr<typeof Node>) => () => unknown;

  async function misuse(prepare: Use): Promise<FatalError> {
    const rt = make({ gogc: "off", godebug: "allocfreetrace=1,clobberfree=1" });
    function* allocates() {
      yield* rt.gosched();
      return rt.unsafe.newObject(Node);
    }
    function collects() {
      rt.gc();
    }
    try {
      await rt.main(function* () {
        yield* rt
          .go(function* worker() {
            const use = prepare(rt, yield* allocates());
            collects();
            use();
          })
          .done();
      });
    } catch (err) {
      if (isFatalError(err)) return err;
      throw err;
    }
    throw new Error("the program did not notice");
  }

  it("begins the stacks at the program's own frames", async () => {
    const { detail } = await misuse((rt, p) => () => rt.unsafe.load(Node, p));
    expect(detail).toMatch(/allocated by\ngoroutine \d+ \[running\]:\n\S*allocates\(/);
    expect(detail).toMatch(/freed by the sweep of cycle \d+, in\ngoroutine \d+ \[running\]:\n\S*collects\(/);
  });

  const uses: [string, Use][] = [
    ["a load", (rt, p) => () => rt.unsafe.load(Node, p)],
    ["a pointer load", (rt, p) => () => rt.unsafe.loadPointer(p)],
    ["a store", (rt, p) => () => rt.unsafe.storePointer(p, 0 as never)],
    ["bytes", (rt, p) => () => rt.unsafe.bytes(p, 8)],
    ["a root", (rt, p) => () => rt.unsafe.newRoot(p)],
    ["a view that is moved", (rt, p) => () => rt.unsafe.view(Node).$at(p).value],
    [
      "a view that was made before",
      (rt, p) => {
        const view = rt.unsafe.view(Node, p);
        view.value = 1;
        expect(view.value).toBe(1);
        return () => view.value;
      },
    ],
  ];
  it.each(uses)("reports %s through a stale pointer with both stacks", async (_, use) => {
    const err = await misuse(use);
    expect(err.message).toBe("use of a freed object (a raw pointer was kept over a safepoint)");
    const [head, allocated, freed] = err.detail!.split(/\n\n(?=allocated by|freed by)/);
    expect(head).toMatch(
      /^runtime: pointer 0x[0-9a-f]+ to a freed object\nruntime: object 0x[0-9a-f]+ of 16 bytes/,
    );
    expect(allocated).toMatch(/^allocated by\ngoroutine \d+ \[running\]:\n/);
    expect(allocated).toContain("allocates");
    expect(allocated).toMatch(/created by .*\n\t.*runtime\.test\.ts:\d+$/);
    expect(freed).toMatch(/^freed by the sweep of cycle 1, in\ngoroutine \d+ \[running\]:\n/);
    expect(freed).toContain("collects");
  });

  it("samples everything for the memory profile", () => {
    const rt = make({ godebug: "allocfreetrace=1" });
    expect(rt.godebug.memprofilerate).toBe(1);
  });
});

describe("gcstress", () => {
  it("collects wherever a goroutine gives up the processor, and ends when none runs", async () => {
    const rt = make({ godebug: "gcstress=1" });
    await rt.main(function* () {
      for (let i = 0; i < 10; i++) yield* rt.gosched();
    });
    const n = rt.readMemStats().NumGC;
    expect(n).toBeGreaterThanOrEqual(10);
    for (let i = 0; i < 10; i++) await turn();
    expect(rt.readMemStats().NumGC - n).toBeLessThanOrEqual(1);
  });
});

describe("bad input and exhaustion", () => {
  it("refuses sizes that are negative, fractional, NaN or too large", () => {
    const rt = make();
    for (const size of [-1, 1.5, Number.NaN, 2 ** 33, Number.POSITIVE_INFINITY, "8" as never]) {
      expect(() => rt.unsafe.mallocgc(size), String(size)).toThrow(/size/);
    }
    expect(() => rt.makeSlice(uint8, -1)).toThrow();
    expect(rt.readMemStats().Mallocs).toBe(0);
  });

  it("dies of an exhausted heap with the sizes", async () => {
    const rt = make({ maxMemory: 64 << 20 });
    const keep: number[] = [];
    const err: unknown = await rt
      .main(function* () {
        for (;;) {
          keep.push(rt.unsafe.newRoot(rt.unsafe.mallocgc(1 << 20)));
          yield* rt.gosched();
        }
      })
      .then(
        () => undefined,
        (e: unknown) => e,
      );
    expect(isFatalError(err)).toBe(true);
    expect(err).toBeInstanceOf(FatalError);
    const fatal = err as FatalError;
    expect(fatal.message).toBe("runtime: out of memory");
    expect(fatal.detail).toMatch(/1048576/);
    expect(keep.length).toBeGreaterThan(40);
  });

  it("collects before it dies: garbage is no reason", async () => {
    const rt = make({ maxMemory: 64 << 20 });
    await rt.main(function* () {
      for (let i = 0; i < 500; i++) {
        rt.unsafe.mallocgc(1 << 20);
        yield* rt.gosched();
      }
    });
    expect(rt.readMemStats().TotalAlloc).toBe(500 << 20);
  });

  it("reports a receive from nil by the last goroutine as a deadlock, with wait reason and creation site", async () => {
    const rt = make({ deadlock: "eager" });
    const err: unknown = await rt
      .main(function* waitsForNothing() {
        rt.go(function* alsoWaits() {
          yield* rt.makeChan<number>().recv();
        });
        yield* rt.select([recvCase<number>(null)]);
      })
      .then(
        () => undefined,
        (e: unknown) => e,
      );
    expect(err).toBeInstanceOf(FatalError);
    expect((err as Error).message).toBe("all goroutines are asleep - deadlock!");
    const { crashReport } = await import("../src/index.ts");
    const text = crashReport(err)!.text;
    expect(text).toMatch(
      /^fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 \[chan receive \(nil chan\)\]:\n/,
    );
    expect(text).toMatch(/\ngoroutine \d+ \[chan receive\]:\n/);
    expect(text).toMatch(/\ncreated by .*waitsForNothing in goroutine 1\n\t.*runtime\.test\.ts:\d+/);
  });
});

describe("MemStats", () => {
  it("holds Go's identities while goroutines allocate, drop and collect", async () => {
    const rt = make({ gogc: 50 });
    const broken = new Set<string>();
    let samples = 0;
    let previous: MemStats | undefined;
    const check = () => {
      const m = rt.readMemStats(newMemStats());
      samples++;
      for (const relation of checkIdentities(m, {
        ...(previous === undefined ? {} : { previous }),
        gogc: 50,
      })) {
        broken.add(typeof relation === "string" ? relation : JSON.stringify(relation));
      }
      previous = m;
    };
    const ptr16 = rt.unsafe.newType(16, [0, 1]);
    await rt.main(function* () {
      const done = rt.makeChan<number>();
      for (let w = 0; w < 4; w++) {
        rt.go(function* (worker: number) {
          const keep: number[] = [];
          let x = worker + 1;
          for (let i = 0; i < 600; i++) {
            x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
            const size = (x >>> 8) % (i % 50 === 0 ? 200_000 : 2000);
            const p = x & 64 ? rt.unsafe.mallocgc(16, ptr16) : rt.unsafe.mallocgc(size);
            if (x & 128) keep.push(rt.unsafe.newRoot(p));
            else if (keep.length > 20) rt.unsafe.freeRoot(keep.pop()!);
            if (i % 150 === 149) rt.gc();
            check();
            yield* rt.gosched();
          }
          for (const slot of keep) rt.unsafe.freeRoot(slot);
          yield* done.send(worker);
        }, w);
      }
      for (let w = 0; w < 4; w++) yield* done.recv();
    });
    expect([...broken]).toEqual([]);
    expect(samples).toBe(2400);
  });

  it("reads into the record it is given", () => {
    const rt = make();
    const m = newMemStats();
    expect(rt.readMemStats(m)).toBe(m);
    expect(m.Sys).toBeGreaterThan(0);
    expect(() => rt.readMemStats({} as never)).toThrow(TypeError);
  });
});

describe("heap profile", () => {
  it("charges allocations to their TypeScript line, and frees after a collection", () => {
    const rt = make({ gogc: "off", godebug: "memprofilerate=1" });
    const keep: number[] = [];
    function kept(): void {
      for (let i = 0; i < 10; i++) keep.push(rt.unsafe.newRoot(rt.unsafe.mallocgc(1000)));
    }
    function dropped(): void {
      for (let i = 0; i < 30; i++) rt.unsafe.mallocgc(1000);
    }
    kept();
    dropped();
    rt.gc();
    const { n, ok } = rt.memProfile(null, true);
    expect(ok).toBe(false);
    const records = new Array(n).fill(undefined);
    expect(rt.memProfile(records, true)).toEqual({ n, ok: true });
    const at = (name: string) =>
      records.find((r) => [...rt.callersFrames(r.stack())].some((f) => f.Function.includes(name)));
    expect(at("kept")).toMatchObject({ AllocObjects: 10, AllocBytes: 10240, FreeObjects: 0 });
    expect(at("dropped")).toMatchObject({
      AllocObjects: 30,
      AllocBytes: 30720,
      FreeObjects: 30,
      FreeBytes: 30720,
    });
    expect(rt.readMemStats().BuckHashSys).toBeGreaterThan(0);
  });

  it("records nothing at rate 0", () => {
    const rt = make({ godebug: "memprofilerate=0" });
    for (let i = 0; i < 1000; i++) rt.unsafe.mallocgc(10_000);
    rt.gc();
    expect(rt.memProfile(null, true)).toEqual({ n: 0, ok: true });
  });

  it("samples about as many bytes as the rate says", () => {
    const rt = make({ gogc: "off", godebug: "memprofilerate=4096" });
    const n = 200_000;
    for (let i = 0; i < n; i++) rt.unsafe.mallocNoscan(64);
    const { n: count } = rt.memProfile(null, true);
    const records = new Array(count).fill(undefined);
    rt.memProfile(records, true);
    const sampled = records.reduce((s, r) => s + r.AllocObjects, 0);
    const expected = n * (1 - Math.exp(-64 / 4096));
    // Binomial: five standard deviations on either side.
    expect(Math.abs(sampled - expected)).toBeLessThan(5 * Math.sqrt(expected));
  });
});

describe("gctrace", () => {
  it("prints one line a collection", () => {
    const rt = make({ gogc: "off", godebug: "gctrace=1" });
    rt.gc();
    rt.gc();
    const lines = printed.trim().split("\n");
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(
      /^gc 1 @\d+\.\d{3}s \d+%: .* MB, \d+ MB goal, \d+ MB stacks, \d+ MB globals, 1 P \(forced\)$/,
    );
    expect(lines[1]).toMatch(/^gc 2 /);
  });
});

describe("Go's operations on channels, as functions", () => {
  it("work on channels of any runtime, and on null as on a nil channel", async () => {
    const rt = make({ deadlock: "eager" });
    await rt.main(function* () {
      const c = rt.makeChan<number>(2);
      yield* send(c, 1);
      expect([len(c), cap(c), len(null), cap(null)]).toEqual([1, 2, 0, 0]);
      expect(yield* recv(c)).toBe(1);
      close(c);
      expect(yield* recv2(c)).toEqual({ value: undefined, ok: false });
      expect(() => close(null)).toThrow("close of nil channel");
    });
    await expect(rt.main(() => recv(null))).rejects.toThrow("all goroutines are asleep - deadlock!");
  });
});
