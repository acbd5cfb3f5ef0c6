import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  BlockProfileRecord,
  createProfiler,
  MemProfileRecord,
  type Profiler,
  StackRecord,
  type StackSource,
} from "../src/index.ts";
import { scaleHeapSample } from "../src/mprof.ts";
import { verifyMemProfile } from "../src/testing.ts";
import { records } from "./support/records.ts";

describe("memProfile", () => {
  it("gives only n if the slice is too short, and does not change the slice", () => {
    const p = createProfiler({ memProfileRate: 1 });
    expect(p.memProfile(null, true)).toEqual({ n: 0, ok: true });
    p.mem.alloc(16);
    p.mem.alloc(32);
    expect(p.memProfile(null, true)).toEqual({ n: 2, ok: false });
    const short = [null];
    expect(p.memProfile(short, true)).toEqual({ n: 2, ok: false });
    expect(short).toEqual([null]);
    expect(
      records(p)
        .map((r) => r.AllocBytes)
        .sort(),
    ).toEqual([16, 32]);
  });

  it("touches the caller's slice only outside of the read of the profiles", () => {
    let reading = false;
    const stacks: StackSource = {
      forEach: (visit) => visit([{ func: "main.f", file: "main.go", line: 1 }]),
    };
    const p = createProfiler({
      memProfileRate: 1,
      goroutines: stacks,
      threads: stacks,
      readAll(read) {
        reading = true;
        try {
          return read();
        } finally {
          reading = false;
        }
      },
    });
    p.setBlockProfileRate(1);
    p.setMutexProfileFraction(1);
    p.mem.alloc(16);
    p.block.record(10);
    p.mutex.record(10);
    const touched: boolean[] = [];
    const note = <T>(found: T): T => {
      touched.push(reading);
      return found;
    };
    /** An object that notes whether it is touched during a read. */
    const watched = <T extends object>(of: T): T =>
      new Proxy(of, {
        get: (o, key, self) => note(Reflect.get(o, key, self)),
        set: (o, key, value, self) => note(Reflect.set(o, key, value, self)),
      });
    const fills = [
      () => p.memProfile(watched([watched(new MemProfileRecord())]), true),
      () => p.blockProfile(watched([watched(new BlockProfileRecord())])),
      () => p.mutexProfile(watched([watched(new BlockProfileRecord())])),
      () => p.goroutineProfile(watched([watched(new StackRecord())])),
      () => p.threadCreateProfile(watched([watched(new StackRecord())])),
    ];
    for (const fill of fills) {
      touched.length = 0;
      expect(fill()).toEqual({ n: 1, ok: true });
      expect(touched.length).toBeGreaterThan(0);
      expect(touched).not.toContain(true);
    }
  });

  it("keeps one record for each stack and size", () => {
    const p = createProfiler({ memProfileRate: 1 });
    const at = (size: number) => p.mem.alloc(size);
    const buckets = new Set<number>();
    for (let i = 0; i < 40; i++) buckets.add(at(1024));
    buckets.add(at(8));
    expect(buckets.size).toBe(2);
    const [r] = records(p).filter((r) => r.AllocBytes > 8);
    expect(r).toMatchObject({ AllocBytes: 40960, AllocObjects: 40, FreeBytes: 0, FreeObjects: 0 });
    expect(r.Stack0).toHaveLength(32);
    expect(r.stack().length).toBeGreaterThan(0);
    expect(p.funcForPC(r.stack()[0])).not.toBeNull();
  });

  it("shows freed objects only with inuseZero", () => {
    const p = createProfiler({ memProfileRate: 1 });
    p.mem.free(p.mem.alloc(16), 16);
    expect(p.memProfile(null, false).n).toBe(0);
    expect(records(p, true)[0]).toMatchObject({ AllocObjects: 1, FreeObjects: 1 });
    expect(records(p, true)[0].inUseBytes()).toBe(0);
  });

  it("records nothing at rate 0, not even memory for buckets", () => {
    const p = createProfiler({ memProfileRate: 0 });
    expect(p.mem.alloc(16)).toBe(0);
    expect(p.mem.sample(1 << 30)).toBe(0);
    p.mem.free(0, 16);
    expect(p.memProfile(null, true)).toEqual({ n: 0, ok: true });
    expect(p.buckHashSys).toBe(0);
  });

  it("refuses rates that are no number of bytes, and buckets that were never issued", () => {
    const p = createProfiler();
    for (const rate of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => (p.memProfileRate = rate)).toThrow(RangeError);
      expect(() => createProfiler({ memProfileRate: rate })).toThrow(/memProfileRate/);
    }
    expect(p.memProfileRate).toBe(524288);
    expect(() => p.mem.free(12345, 8)).toThrow(/never issued/);
    expect(() => p.mem.alloc(Number.NaN)).toThrow(RangeError);
  });
});

describe("the three cycles", () => {
  const inuse = (p: Profiler) => records(p).reduce((sum, r) => sum + r.inUseObjects(), 0);

  it("show the heap as of the last full collection", () => {
    const p = createProfiler({ memProfileRate: 1 });
    const collect = (dead: number[]) => {
      p.mem.nextCycle();
      p.mem.flush();
      for (const b of dead) p.mem.free(b, 16);
      p.mem.postSweep();
    };
    const a = p.mem.alloc(16);
    p.mem.alloc(16);
    collect([]);
    expect(inuse(p)).toBe(2);
    p.mem.alloc(16);
    expect(inuse(p)).toBe(2); // made since
    collect([a]);
    expect(inuse(p)).toBe(2);
    collect([]);
    expect(inuse(p)).toBe(2);
  });

  it("hold back an allocation until the sweep that could free it has ended, when sweeps trail behind", () => {
    const p = createProfiler({ memProfileRate: 1 });
    const markEnds = () => {
      p.mem.nextCycle();
      p.mem.flush();
      p.mem.flush(); // once a cycle only
    };
    markEnds();
    let a = 0;
    for (let i = 0; i < 2; i++) a = p.mem.alloc(16); // in cycle 1
    markEnds(); // one is found unmarked in cycle 2,
    expect(inuse(p)).toBe(0);
    p.mem.free(a, 16); // and its sweep says so
    expect(inuse(p)).toBe(0);
    markEnds(); // cycle 3 publishes both
    expect(inuse(p)).toBe(1);
    expect(records(p)[0]).toMatchObject({ AllocObjects: 2, FreeObjects: 1 });
  });

  it("never lose or invent a count, in any order of calls", () => {
    const step = fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({ op: fc.constant("alloc" as const), size: fc.constantFrom(16, 32, 4096) }),
      },
      { weight: 3, arbitrary: fc.record({ op: fc.constant("die" as const), which: fc.nat(1000) }) },
      { weight: 1, arbitrary: fc.record({ op: fc.constant("collect" as const) }) },
      { weight: 1, arbitrary: fc.record({ op: fc.constant("read" as const) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const p = createProfiler({ memProfileRate: 1 });
        const live: { bucket: number; size: number }[] = [];
        let dead: typeof live = [];
        let bytes = 0;
        const collect = () => {
          p.mem.nextCycle();
          p.mem.flush();
          for (const d of dead) p.mem.free(d.bucket, d.size);
          dead = [];
          p.mem.postSweep();
        };
        for (const s of steps) {
          if (s.op === "alloc") {
            live.push({ bucket: p.mem.alloc(s.size), size: s.size });
            bytes += s.size;
          } else if (s.op === "die" && live.length > 0) dead.push(...live.splice(s.which % live.length, 1));
          else if (s.op === "collect") collect();
          else if (s.op === "read") {
            for (const r of records(p)) {
              expect(r.inUseObjects()).toBeGreaterThanOrEqual(0);
              expect(r.inUseBytes()).toBeGreaterThanOrEqual(0);
            }
          }
        }
        verifyMemProfile(p);
        // Two collections after the last event publish everything.
        collect();
        collect();
        const all = records(p);
        expect(all.reduce((sum, r) => sum + r.AllocBytes, 0)).toBe(bytes);
        expect(all.reduce((sum, r) => sum + r.inUseObjects(), 0)).toBe(live.length);
      }),
      { numRuns: 200 },
    );
  });
});

describe("sampling", () => {
  it("estimates the allocated bytes within the bounds of chance", () => {
    // A fixed generator, so that the test cannot fail by chance. 400 samples of a Poisson process: deviation 5 %.
    let state = 1;
    const random = () => (state = (Math.imul(state, 48271) >>> 0) % 2147483647) / 2147483647;
    const p = createProfiler({ memProfileRate: 4096, random, memProfileBudget: 1 });
    const real: Record<number, number> = { 16: 50_000, 512: 2000, 65536: 40 };
    for (const [size, n] of Object.entries(real)) for (let i = 0; i < n; i++) p.mem.sample(Number(size));
    for (const r of records(p)) {
      const size = r.AllocBytes / r.AllocObjects;
      const { bytes } = scaleHeapSample(r.AllocObjects, r.AllocBytes, 4096);
      const truth = size * real[size];
      const sd = Math.sqrt(truth * 4096);
      expect(Math.abs(bytes - truth)).toBeLessThan(4 * sd + size);
    }
  });
});

describe("lookup", () => {
  it("finds profiles by name, null for an unknown one, and lists them sorted", () => {
    const p = createProfiler();
    expect(p.lookup("no such profile")).toBeNull();
    expect(p.lookup("heap")!.name()).toBe("heap");
    const names = p.profiles().map((x) => x.name());
    expect(names).toEqual([...names].sort());
    expect(names).toContain("allocs");
  });
});
