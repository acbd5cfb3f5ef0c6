import { describe, expect, it } from "vitest";
import { BLOCK_KIND } from "../src/bucket.ts";
import { EventPlace, TRUST_AFTER } from "../src/contention.ts";
import { BlockProfileRecord, createProfiler, labels, type Profiler, StackRecord } from "../src/index.ts";
import { decodeProfile } from "../src/pprof/index.ts";

/** A generator of uniform numbers that is the same in every run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 48271) >>> 0) % 2147483647;
    return state / 2147483647;
  };
}

const names = (p: Profiler, pcs: number[]) => pcs.map((pc) => p.funcForPC(pc)!.name());

describe("the block profile", () => {
  it("takes no event while its rate is 0, and every event at 1", () => {
    const p = createProfiler();
    p.block.record(1000);
    expect(p.blockProfile(null)).toEqual({ n: 0, ok: true });
    expect(p.buckHashSys).toBe(0);
    p.setBlockProfileRate(1);
    for (let i = 0; i < 6; i++) p.block.record(500);
    expect(p.blockProfile(null)).toEqual({ n: 1, ok: false });
    const out = [null] as (BlockProfileRecord | null)[];
    expect(p.blockProfile(out)).toEqual({ n: 1, ok: true });
    expect(out[0]).toMatchObject({ Count: 6, Cycles: 3000 });
    expect(out[0]!.Stack0).toHaveLength(32);
    expect(out[0]!.stack().length).toBeGreaterThan(0);
  });

  it("estimates count and time of events shorter than the rate without bias", () => {
    const p = createProfiler({ random: seeded(7) });
    p.setBlockProfileRate(1000);
    const n = 20_000;
    for (let i = 0; i < n; i++) p.block.record(100);
    const out = [null] as (BlockProfileRecord | null)[];
    p.blockProfile(out);
    // About n / 10 samples, each worth 10 events: relative deviation 1 / sqrt(n / 10) = 2.2 %.
    expect(Math.abs(out[0]!.Count / n - 1)).toBeLessThan(0.1);
    expect(Math.abs(out[0]!.Cycles / (100 * n) - 1)).toBeLessThan(0.1);
  });

  it("takes every event that is longer than the rate, once", () => {
    const p = createProfiler({ random: () => 0.999, blockStackPeriod: 16 });
    p.setBlockProfileRate(1000);
    for (let i = 0; i < 3; i++) p.block.record(5000);
    const out = [new BlockProfileRecord()];
    p.blockProfile(out);
    expect(out[0]).toMatchObject({ Count: 3, Cycles: 15000 });
  });

  it("refuses a rate that is no number, and is off at a negative one", () => {
    const p = createProfiler();
    expect(() => p.setBlockProfileRate(Number.NaN)).toThrow(
      /block profile rate must be a number \(got NaN\)/,
    );
    expect(() => p.setBlockProfileRate(Number.POSITIVE_INFINITY)).toThrow(RangeError);
    p.setBlockProfileRate(-5);
    p.block.record(1);
    expect(p.blockProfile(null).n).toBe(0);
  });

  it("counts a wait of no length as one cycle, as Go does: at rate 1 all, at rate r one in r", () => {
    const p = createProfiler({ random: () => 0.0005 });
    const where = [{ func: "main.b", file: "main.go", line: 178 }];
    const counted = () => {
      const records = [new BlockProfileRecord()];
      p.blockProfile(records);
      return [records[0].Count, records[0].Cycles];
    };
    p.setBlockProfileRate(1);
    for (const ns of [0, -5, 0.25, 1]) {
      expect(p.block.sampled(ns)).toBe(true);
      p.block.recordAt(ns, p.eventBucket("block", where));
    }
    expect(counted()).toEqual([4, 4]);
    p.setBlockProfileRate(1000);
    expect(p.block.sampled(0)).toBe(true);
    p.block.recordAt(0, p.eventBucket("block", where));
    expect(counted()).toEqual([1004, 1004]);
    p.setBlockProfileRate(4000);
    expect(p.block.sampled(0)).toBe(false);
  });

  it("prints the longest waits first, with all frames", () => {
    const p = createProfiler();
    p.setBlockProfileRate(1);
    const chanrecv = [
      { func: "runtime.chanrecv1", file: "runtime/chan.go", line: 509 },
      { func: "main.b", file: "main.go", line: 178 },
    ];
    p.block.recordAt(10, p.eventBucket("block", chanrecv.slice(1)));
    p.block.recordAt(2000, p.eventBucket("block", chanrecv));
    const hex = "0x[0-9a-f]+";
    expect(p.lookup("block")!.toText()).toMatch(
      new RegExp(
        [
          "^--- contention:",
          "cycles/second=1000000000",
          `2000 1 @ ${hex} ${hex}`,
          `#\t${hex}\truntime\\.chanrecv1\\+${hex}\truntime/chan\\.go:509`,
          `#\t${hex}\tmain\\.b\\+${hex}\t\tmain\\.go:178`,
          "",
          `10 1 @ ${hex}`,
          `#\t${hex}\tmain\\.b\\+${hex}\tmain\\.go:178`,
          "",
          "$",
        ].join("\n"),
      ),
    );
  });
});

describe("a place where goroutines block again and again", () => {
  /** Feeds waits of `ns` whose stacks are the buckets that `bucketOf` says; how many stacks it asked for. */
  function feed(
    p: Profiler,
    place: EventPlace,
    n: number,
    bucketOf: (i: number) => number,
    ns = 100,
  ): number {
    let taken = 0;
    for (let i = 0; i < n; i++) {
      if (p.block.recordTrusted(ns, place)) continue;
      taken++;
      p.block.recordStack(ns, bucketOf(i), place);
    }
    return taken;
  }
  function counts(p: Profiler): Map<number, number> {
    const all = new Map<number, number>();
    p.block.forEach((r) => {
      all.set(p.buckets.find(BLOCK_KIND, 0, Uint32Array.from(r.stack), r.stack.length), r.count);
    });
    return all;
  }
  const stack = (p: Profiler, name: string) => p.eventBucket("block", [{ func: name, file: "f", line: 1 }]);

  it("has every stack taken until many are equal, then one in blockStackPeriod, and every event counted", () => {
    const p = createProfiler({ random: seeded(11), blockStackPeriod: 16 });
    p.setBlockProfileRate(1);
    const a = stack(p, "a");
    const place = new EventPlace();
    expect(feed(p, place, TRUST_AFTER, () => a)).toBe(TRUST_AFTER);
    const n = 160_000;
    const taken = feed(p, place, n, () => a);
    // n / 16 draws of a uniform gap: relative deviation 0.6 / sqrt(10000).
    expect(Math.abs(taken / (n / 16) - 1)).toBeLessThan(0.05);
    const record = new BlockProfileRecord();
    expect(p.blockProfile([record])).toEqual({ n: 1, ok: true });
    expect(record).toMatchObject({ Count: n + TRUST_AFTER, Cycles: 100 * (n + TRUST_AFTER) });
  });

  it("has every stack taken by default, and with a period where stacks differ", () => {
    const every = createProfiler();
    every.setBlockProfileRate(1);
    const a = stack(every, "a");
    expect(feed(every, new EventPlace(), 1000, () => a)).toBe(1000);
    const p = createProfiler({ blockStackPeriod: 16 });
    p.setBlockProfileRate(1);
    const two = [stack(p, "a"), stack(p, "b")];
    const place = new EventPlace();
    expect(feed(p, place, 20, (i) => two[i & 1])).toBe(20);
    expect(feed(p, place, 1000, () => two[0])).toBe(1000);
  });

  it("loses fewer than blockStackPeriod events to a wrong stack, on average, whenever the stack changes", () => {
    const random = seeded(3);
    let wrong = 0;
    const rounds = 400;
    for (let round = 0; round < rounds; round++) {
      const p = createProfiler({ random, blockStackPeriod: 16 });
      p.setBlockProfileRate(1);
      const a = stack(p, "a");
      const b = stack(p, "b");
      const before = 60 + Math.floor(random() * 200);
      feed(p, new EventPlace(), before + 1000, (i) => (i < before ? a : b));
      const seen = counts(p);
      expect(seen.get(a)! + seen.get(b)!).toBe(before + 1000);
      wrong += 1000 - seen.get(b)!;
    }
    // A round loses the rest of a random gap: at most 30 events, and on average a third of that.
    expect(wrong / rounds).toBeLessThan(16);
  });

  it("always has the stack of a long wait taken", () => {
    const p = createProfiler({ random: () => 0.999, blockStackPeriod: 16 });
    p.setBlockProfileRate(1);
    const a = stack(p, "a");
    const place = new EventPlace();
    feed(p, place, TRUST_AFTER, () => a);
    expect(place.left).toBe(30);
    expect(feed(p, place, 50, () => a, 1e6)).toBe(50);
    expect(place.left).toBe(30);
    const b = stack(p, "b");
    expect(feed(p, place, 1, () => b, 1e6)).toBe(1);
    expect(counts(p).get(b)).toBe(1);
    expect(feed(p, place, 100, () => b)).toBe(100);
  });

  it("refuses an invalid period", () => {
    for (const blockStackPeriod of [0, -1, 1.5, Number.NaN]) {
      expect(() => createProfiler({ blockStackPeriod })).toThrow(
        /blockStackPeriod must be an integer, 1 or more/,
      );
    }
  });
});

describe("the mutex profile", () => {
  it("returns the old fraction, and only reads at a negative one", () => {
    const p = createProfiler();
    expect(p.setMutexProfileFraction(5)).toBe(0);
    expect(p.setMutexProfileFraction(-1)).toBe(5);
    expect(p.setMutexProfileFraction(0)).toBe(5);
    expect(p.setMutexProfileFraction(-1)).toBe(0);
    expect(() => p.setMutexProfileFraction(Number.NaN)).toThrow(RangeError);
  });

  it("weights the events that it takes by the fraction", () => {
    const p = createProfiler({ random: seeded(3) });
    p.setMutexProfileFraction(10);
    const n = 20_000;
    for (let i = 0; i < n; i++) p.mutex.record(50);
    const out = [new BlockProfileRecord()];
    p.mutexProfile(out);
    expect(Math.abs(out[0].Count / n - 1)).toBeLessThan(0.1);
    expect(out[0].Cycles).toBe(out[0].Count * 50);
    expect(p.lookup("mutex")!.toText()).toMatch(
      /^--- mutex:\ncycles\/second=1000000000\nsampling period=10\n\d+ \d+ @ 0x/,
    );
  });
});

describe("the goroutine profile", () => {
  const wait = [
    { func: "runtime.gopark", file: "runtime/proc.go", line: 1 },
    { func: "main.waitHere", file: "main.go", line: 10 },
  ];
  const other = [{ func: "main.other", file: "main.go", line: 20 }];
  const goroutines = {
    forEach(visit: (stack: typeof wait, labels?: ReadonlyMap<string, string> | null) => void) {
      visit(other);
      visit(wait);
      visit(
        wait,
        new Map([
          ["worker", "b"],
          ["kind of", "a"],
        ]),
      );
      visit(wait);
    },
    dump: () => "goroutine 1 [running]:\n",
  };

  it("groups equal stacks with equal labels, most frequent first, and hides the runtime at the leaf", () => {
    const p = createProfiler({ goroutines });
    const pc = "0x[0-9a-f]+";
    expect(p.lookup("goroutine")!.toText(1)).toMatch(
      new RegExp(
        [
          "^goroutine profile: total 4",
          `2 @ ${pc} ${pc}`,
          `#\t${pc}\tmain\\.waitHere\\+${pc}\tmain\\.go:10`,
          "",
          `1 @ ${pc}`,
          `#\t${pc}\tmain\\.other\\+${pc}\tmain\\.go:20`,
          "",
          `1 @ ${pc} ${pc}`,
          '# labels: \\{"kind of":"a", "worker":"b"\\}',
          `#\t${pc}\tmain\\.waitHere\\+${pc}\tmain\\.go:10`,
          "",
          "$",
        ].join("\n"),
      ),
    );
  });

  it("is the scheduler's dump with debug 2", () => {
    expect(createProfiler({ goroutines }).lookup("goroutine")!.toText(2)).toBe("goroutine 1 [running]:\n");
  });

  it("keeps runtime frames and labels in pprof", () => {
    const profile = createProfiler({ goroutines }).lookup("goroutine")!.toPprof();
    expect(profile.sample.map((s) => [s.locationId.length, s.value, s.label.length])).toEqual([
      [2, [2], 0],
      [1, [1], 0],
      [2, [1], 2],
    ]);
  });

  it("follows the (n, ok) protocol", () => {
    const p = createProfiler({ goroutines });
    expect(p.goroutineProfile(null)).toEqual({ n: 4, ok: false });
    const short = [null, null, null];
    expect(p.goroutineProfile(short)).toEqual({ n: 4, ok: false });
    expect(short).toEqual([null, null, null]);
    const out = new Array<StackRecord | null>(6).fill(null);
    expect(p.goroutineProfile(out)).toEqual({ n: 4, ok: true });
    expect(names(p, out[1]!.stack())).toEqual(["runtime.gopark", "main.waitHere"]);
    expect(out[4]).toBeNull();
    expect(createProfiler().goroutineProfile(null)).toEqual({ n: 0, ok: true });
    expect(createProfiler().lookup("goroutine")).toBeNull();
  });

  it("skips PCs that were never issued", () => {
    const p: Profiler = createProfiler({
      threads: { forEach: (visit) => visit([1, p2().caller(0).pc, 2 ** 40]) },
    });
    function p2(): Profiler {
      return p;
    }
    const out = [new StackRecord()];
    expect(p.threadCreateProfile(out).ok).toBe(true);
    expect(out[0].stack()).toHaveLength(1);
  });
});

describe("a user's own profile", () => {
  it("holds the stacks of values that were added and not removed", () => {
    const p = createProfiler();
    const files = p.newProfile("files");
    function open(id: number) {
      files.add(id);
    }
    open(1);
    open(2);
    expect(files.count()).toBe(2);
    expect(p.lookup("files")).toBe(files);
    const text = files.toText();
    expect(text).toMatch(/^files profile: total 2\n/);
    expect(text).toMatch(/^#\t0x[0-9a-f]+\truntime\/pprof\.\(\*Profile\)\.Add\+0x[0-9a-f]+\t/m);
    files.remove(1);
    files.remove(1);
    files.remove("never added");
    expect(files.count()).toBe(1);
    files.remove(2);
    files.add(2, 1);
    expect(files.toText()).not.toContain("(*Profile).Add");
  });

  it("refuses a name in use, an empty name, and a value that is in the profile", () => {
    const p = createProfiler();
    const mine = p.newProfile("mine");
    expect(() => p.newProfile("mine")).toThrow("pprof: NewProfile name already in use: mine");
    expect(() => p.newProfile("heap")).toThrow("pprof: NewProfile name already in use: heap");
    expect(() => p.newProfile("")).toThrow("pprof: NewProfile with empty name");
    mine.add(1);
    expect(() => mine.add(1)).toThrow("pprof: Profile.Add of duplicate value");
    expect(() => mine.add(2, Number.NaN)).toThrow(RangeError);
  });
});

describe("labels", () => {
  it("hold inside do, are inherited, and are restored", async () => {
    const p = createProfiler();
    const seen: unknown[] = [];
    const now = () => seen.push(Object.fromEntries(p.goroutineLabels() ?? []));
    p.do({ a: "1", b: "1" }, () => {
      now();
      p.do(labels("b", "2"), now);
      now();
    });
    now();
    expect(seen).toEqual([{ a: "1", b: "1" }, { a: "1", b: "2" }, { a: "1", b: "1" }, {}]);
    seen.length = 0;
    const done = p.do({ job: "x" }, async () => {
      await null;
      now();
    });
    now();
    await done;
    now();
    expect(seen).toEqual([{}, { job: "x" }, {}]);
    expect(() =>
      p.do({ a: "1" }, () => {
        throw new Error("out");
      }),
    ).toThrow("out");
    expect(p.goroutineLabels()?.size ?? 0).toBe(0);
  });

  it("stay with a generator while it runs, and only then", () => {
    const p = createProfiler();
    const now = () => p.goroutineLabels()?.get("g") ?? "none";
    const gen = p.do({ g: "yes" }, function* () {
      const got: string = yield now();
      try {
        yield `${got} ${now()}`;
      } finally {
        p.setGoroutineLabels({ g: "changed" });
      }
      return now();
    });
    expect(gen.next()).toEqual({ value: "yes", done: false });
    expect(now()).toBe("none");
    expect(gen.next("sent")).toEqual({ value: "sent yes", done: false });
    expect(gen.next()).toEqual({ value: "changed", done: true });
    expect(now()).toBe("none");
  });

  it("stay with a goroutine from its first step to its last", () => {
    let current: ReadonlyMap<string, string> | null = null;
    const store = {
      get: () => current,
      set: (l: ReadonlyMap<string, string> | null) => {
        current = l;
      },
    };
    const p = createProfiler({ labels: store });
    const gen = p.do({ g: "1" }, function* () {
      yield 1;
      return 2;
    });
    expect(current).toBeNull();
    gen.next();
    expect([...current!]).toEqual([["g", "1"]]); // a parked goroutine keeps its labels
    gen.next();
    expect(current).toBeNull();
  });

  it("come in pairs", () => {
    expect(() => labels("a")).toThrow("uneven number of arguments to pprof.Labels");
    expect([...labels("a", "b", "a", "c")]).toEqual([["a", "c"]]);
  });
});

describe("a delta", () => {
  it("holds the change while it waited, with its time", async () => {
    const p = createProfiler({ memProfileRate: 1 });
    const at = () => p.mem.alloc(64);
    at();
    const waiting = p.lookup("allocs")!.encodeDelta(0.02);
    for (let i = 0; i < 3; i++) at();
    const delta = await decodeProfile(await waiting);
    expect([...delta.samples].map((s) => s.values)).toEqual([[3, 192, 3, 192]]);
    expect(delta.durationNanos).toBeGreaterThan(15_000_000n);
    expect(delta.defaultSampleType).toBe("alloc_space");
  });

  it("ends if it is aborted, and refuses an invalid time", async () => {
    const heap = createProfiler().lookup("heap")!;
    await expect(heap.encodeDelta(60, AbortSignal.timeout(5))).rejects.toThrow(/timeout/);
    await expect(heap.encodeDelta(60, AbortSignal.abort(new Error("gone")))).rejects.toThrow("gone");
    await expect(heap.encodeDelta(-1)).rejects.toThrow(/seconds must be a positive number/);
  });
});
