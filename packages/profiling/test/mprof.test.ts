import { execFileSync } from "node:child_process";
import { createWriteStream, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { Profile } from "pprof-format";
import { afterAll, describe, expect, it } from "vitest";
import { BLOCK_KIND, BufferArena, MEM_KIND, type ProfArena } from "../src/bucket.ts";
import { createProfiler, type Profiler } from "../src/index.ts";
import { MemProfileRecorder, scaleHeapSample } from "../src/mprof.ts";
import type { MemProfileRecord } from "../src/records.ts";
import { DEFAULT_BURST, SampleBudget } from "../src/sample-budget.ts";
import { verifyMemProfile } from "../src/testing.ts";

const dir = mkdtempSync(join(tmpdir(), "profiling-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function records(p: Profiler, inuseZero = true): MemProfileRecord[] {
  const { n } = p.memProfile(null, inuseZero);
  const out = new Array<MemProfileRecord | null>(n).fill(null);
  expect(p.memProfile(out, inuseZero)).toEqual({ n, ok: true });
  return out as MemProfileRecord[];
}

describe("memProfile", () => {
  it("gives n alone when the slice is too short, and leaves it untouched", () => {
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

  it("shows what was freed only with inuseZero", () => {
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

  it("counts the memory of its buckets", () => {
    const p = createProfiler({ memProfileRate: 1 });
    p.mem.alloc(16);
    const one = p.buckHashSys;
    p.mem.alloc(24);
    expect(one).toBeGreaterThan(0);
    const two = p.buckHashSys;
    expect(two - one).toBeGreaterThan(0);
    for (let i = 0; i < 100; i++) p.mem.alloc(24);
    expect(p.buckHashSys - two).toBeLessThan(1000);
  });

  it("keeps a stack of eight frames in at most 128 bytes, and counts each of them", () => {
    const arena = new BufferArena();
    const taken: number[] = [];
    const counting: ProfArena = {
      get u32() {
        return arena.u32;
      },
      get f64() {
        return arena.f64;
      },
      get bytes() {
        return arena.bytes;
      },
      alloc(size) {
        taken.push(Math.ceil(size / 8) * 8); // aligned
        return arena.alloc(size);
      },
    };
    const p = createProfiler({ memProfileRate: 1, arena: counting });
    const under = (depth: number): number => (depth > 0 ? under(depth - 1) : p.mem.alloc(64));
    const deep = under(20);
    const frames = p.buckets.stackOf(deep);
    expect(frames.length).toBeGreaterThan(20);
    const table = taken[0];
    expect(p.buckHashSys).toBe(table + taken[1]);
    const before = p.buckHashSys;
    const eight = p.buckets.find(MEM_KIND, 64, frames.slice(0, 8), 8);
    expect(p.buckets.stackOf(eight)).toHaveLength(8);
    expect(p.buckHashSys - before).toBe(120);
    expect(taken.at(-1)).toBe(120);
    // A stack that is known takes nothing, and neither does its death.
    p.mem.free(deep, 64);
    expect(under(20)).not.toBe(0);
    expect(p.buckets.find(MEM_KIND, 64, frames.slice(0, 8), 8)).toBe(eight);
    expect(p.buckHashSys).toBe(table + taken.slice(1).reduce((sum, n) => sum + n, 0));
    verifyMemProfile(p);
  });

  it("tells buckets apart by weight, size, kind and number of frames", () => {
    const { buckets } = createProfiler();
    const ids = Uint32Array.of(1, 2, 3);
    const all = new Set<number>();
    for (const kind of [MEM_KIND, BLOCK_KIND] as const)
      for (const size of [0, 16, 2 ** 33])
        for (const weight of [1, 2, 65536])
          for (const n of [0, 1, 3]) {
            const b = buckets.find(kind, size, ids, n, weight);
            all.add(b);
            expect(buckets.is(b, kind)).toBe(true);
            expect(buckets.sizeOf(b)).toBe(size);
            expect(buckets.weightOf(b)).toBe(weight);
            expect([...buckets.stackOf(b)]).toEqual([...ids.subarray(0, n)]);
          }
    expect(all.size).toBe(2 * 3 * 3 * 3);
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

  it("never lose or invent anything, whatever the program does", () => {
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
  it("estimates the bytes allocated within what chance allows", () => {
    // A fixed generator: the bound is on the method, not on luck. 400 samples of a Poisson process: sd 5 %.
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

describe("the budget", () => {
  it("thins samples that come faster than it allows, without a bias", () => {
    // A clock under control: an allocation takes 1 us, a sample 10 us.
    let now = 0;
    let state = 7;
    const random = () => {
      state = (Math.imul(state, 48271) >>> 0) % 2147483647;
      return state / 2147483647;
    };
    let captures = 0;
    const arena = new BufferArena();
    const p = createProfiler({
      memProfileRate: 4096,
      memProfileBudget: 0.02,
      random,
      arena,
      now: () => now,
      isStackBase: () => false,
    });
    const walk = p.walker.walk.bind(p.walker);
    p.walker.walk = (...args) => {
      captures++;
      now += 0.01;
      return walk(...args);
    };
    const n = 400_000;
    const live: [number, number][] = [];
    for (let i = 0; i < n; i++) {
      now += 0.001;
      const bucket = p.mem.sample(1024);
      if (bucket !== 0) live.push([bucket, i]);
    }
    // 100000 samples in 400 ms of work: 2 % of it are some 800 captures, and as many again at worst by rounding to
    // powers of two, besides the first ones, which are taken in any case.
    expect(captures * 0.01).toBeLessThan(0.02 * now + 0.01 * DEFAULT_BURST + 2);
    expect(captures).toBeGreaterThan(200);
    const estimate = () => {
      let bytes = 0;
      for (const r of records(p)) {
        const inuse = r.inUseObjects();
        bytes += scaleHeapSample(inuse, r.inUseBytes(), 4096).bytes;
      }
      return bytes;
    };
    // The weighted count of m captures of weight up to w has a deviation of about sqrt(1 / m).
    expect(Math.abs(estimate() / (n * 1024) - 1)).toBeLessThan(4 / Math.sqrt(captures));
    for (const [bucket, i] of live) if (i % 2 === 0) p.mem.free(bucket, 1024);
    expect(Math.abs(estimate() / (n * 512) - 1)).toBeLessThan(6 / Math.sqrt(captures));
    for (const [bucket, i] of live) if (i % 2 === 1) p.mem.free(bucket, 1024);
    expect(estimate()).toBe(0);
    verifyMemProfile(p);
  });

  /** A program that allocates without a pause, whose first stacks are dear: 1 ms, and later 10 us. */
  function slowAtFirst(): { p: Profiler; run(samples: number): void; wait(ms: number): void } {
    let now = 0;
    let captures = 0;
    const p = createProfiler({ now: () => now, random: () => 0.5, isStackBase: () => false });
    const walk = p.walker.walk.bind(p.walker);
    p.walker.walk = (...args) => {
      now += ++captures < 20 ? 1 : 0.01;
      return walk(...args);
    };
    return {
      p,
      run: (samples) => {
        for (let i = 0; i < samples; i++) {
          now += 0.001;
          p.mem.alloc(1 << 20);
        }
      },
      wait: (ms) => (now += ms),
    };
  }
  const taken = (p: Profiler): number =>
    records(p).reduce((n, r) => n + (r.AllocBytes === r.AllocObjects << 20 ? r.AllocObjects : 0), 0);

  it("takes every sample of a short program, whose first stacks cost V8 most", () => {
    const { p, run } = slowAtFirst();
    run(100);
    expect(taken(p)).toBe(100);
    run(DEFAULT_BURST - 100);
    expect(taken(p)).toBe(DEFAULT_BURST);
    // And then thins them: half of a large weight is more than any random number here.
    run(500);
    expect(taken(p)).toBeLessThan(DEFAULT_BURST + 50);
  });

  it("takes every sample of a burst after a quiet time", () => {
    const { p, run, wait } = slowAtFirst();
    run(5000);
    const before = taken(p);
    // 2 % of it are 512 samples of 10 us, with their aftermath.
    wait(5000);
    run(40);
    expect(taken(p) - before).toBeGreaterThanOrEqual(24);
  });

  it("counts a sample with the weight that it was drawn with, not with the one found meanwhile", () => {
    const counted: { weight: number; drawn: boolean }[] = [];
    let now = 0;
    let drawn = false;
    const random = () => {
      drawn = true;
      return 0;
    };
    const recorder = new MemProfileRecorder({
      buckets: null as never,
      captureBucket: (_, weight) => {
        counted.push({ weight, drawn });
        now += 10;
        return 0;
      },
      random,
      sampler: { rate: 4096 },
      budget: new SampleBudget({ budget: 0.001, burst: 0, now: () => now, random }),
      budgetAlways: true,
    });
    // A sample each millisecond, which takes ten: each reading of the clock finds that fewer can be afforded.
    for (let i = 0; i < 40; i++) {
      now++;
      drawn = false;
      recorder.alloc(64);
    }
    expect(counted[0]).toEqual({ weight: 1, drawn: false });
    expect(counted.at(-1)).toMatchObject({ drawn: true });
    // Nothing is drawn where every sample is taken.
    expect(counted.filter(({ weight, drawn }) => weight > 1 !== drawn)).toEqual([]);
  });

  it("looks at the clock once in sixteen samples that it doesn't take, and starts anew when the rate is set", () => {
    let now = 0;
    let looks = 0;
    const p = createProfiler({
      random: () => 0.999,
      now: () => {
        looks++;
        return now;
      },
    });
    const walk = p.walker.walk.bind(p.walker);
    p.walker.walk = (...args) => {
      now += 0.01;
      return walk(...args);
    };
    // A sample each 10 us, where one costs as much: once this is known none is taken, as chance has it.
    const feed = (n: number) => {
      let taken = 0;
      for (let i = 0; i < n; i++) {
        now += 0.01;
        if (p.mem.alloc(64) !== 0) taken++;
      }
      return taken;
    };
    feed(1000);
    looks = 0;
    expect(feed(1600)).toBe(0);
    expect(looks).toBe(100);
    // An hour without samples is forgotten: it was switched off.
    p.memProfileRate = 0;
    now += 3.6e6;
    p.memProfileRate = 512 * 1024;
    expect(feed(1600)).toBe(0);
  });

  it("doesn't touch samples that come slowly, nor a rate that was set", () => {
    let now = 0;
    const p = createProfiler({ now: () => now });
    for (let i = 0; i < 200; i++) {
      now += 5;
      expect(p.mem.alloc(64)).not.toBe(0);
    }
    expect(records(p)[0]).toMatchObject({ AllocObjects: 200 });
    const all = createProfiler({ memProfileRate: 1, now: () => 0 });
    for (let i = 0; i < 2000; i++) all.mem.alloc(8);
    expect(records(all)[0]).toMatchObject({ AllocObjects: 2000, AllocBytes: 16000 });
    for (const options of [{ memProfileBudget: 1 }, {}]) {
      const dear = createProfiler({ memProfileRate: 4096, now: () => 0, ...options });
      for (let i = 0; i < 2000; i++) dear.mem.alloc(8);
      expect(records(dear)[0]).toMatchObject({ AllocObjects: 2000 });
    }
    expect(() => createProfiler({ memProfileBudget: 0 })).toThrow(/memProfileBudget must be above 0/);
  });
});

describe("writeTo", () => {
  function filled(): Profiler {
    const p = createProfiler({ memProfileRate: 1 });
    for (let i = 0; i < 3; i++) p.mem.alloc(48);
    return p;
  }

  it("writes gzipped pprof to Node streams, web streams and functions, and closes none", async () => {
    const p = filled();
    const heap = p.lookup("heap")!;
    const chunks: Uint8Array[] = [];
    let finished = false;
    const node = new Writable({
      write: (c, _e, done) => {
        chunks.push(c);
        done();
      },
      final: (done) => {
        finished = true;
        done();
      },
    });
    await heap.writeTo(node);
    expect(finished).toBe(false);
    let closed = false;
    const web = new WritableStream<Uint8Array>({
      write: (c) => void chunks.push(c),
      close: () => void (closed = true),
    });
    await heap.writeTo(web);
    expect(closed).toBe(false);
    expect(web.locked).toBe(false);
    await heap.writeTo((c) => void chunks.push(c));
    const path = join(dir, "fn.pprof");
    await heap.writeFile(path);
    chunks.push(readFileSync(path));
    expect(chunks).toHaveLength(4);
    for (const c of chunks) expect(Profile.decode(gunzipSync(c)).sample).toHaveLength(1);
  });

  it("rejects with the stream's error, also when it fails midway or is destroyed", async () => {
    const p = filled();
    const full = new Writable({ write: (_c, _e, done) => done(new Error("ENOSPC: no space left")) });
    full.on("error", () => {});
    await expect(p.writeHeapProfile(full)).rejects.toThrow("ENOSPC");
    const stuck: Writable = new Writable({ write: () => void setImmediate(() => stuck.destroy()) });
    stuck.on("error", () => {});
    await expect(p.writeHeapProfile(stuck)).rejects.toThrow(/closed|destroyed/i);
    await expect(p.writeHeapProfile(stuck)).rejects.toThrow(/has ended/);
    const web = new WritableStream({
      write: () => {
        throw new Error("web sink failed");
      },
    });
    await expect(p.writeHeapProfile(web)).rejects.toThrow("web sink failed");
    await expect(p.writeHeapProfile({} as Writable)).rejects.toThrow(TypeError);
    await expect(p.writeHeapProfile(null as unknown as Writable)).rejects.toThrow(/got null/);
    await expect(p.lookup("heap")!.writeTo(() => {}, -1)).rejects.toThrow(/debug must be/);
  });

  // The device that is always full is Linux's.
  it.runIf(existsSync("/dev/full"))("reports a full disk", async () => {
    const stream = createWriteStream("/dev/full");
    stream.on("error", () => {});
    await expect(filled().writeHeapProfile(stream)).rejects.toThrow("ENOSPC");
  });

  it("leaves nothing behind when a file can't be written", async () => {
    const heap = filled().lookup("heap")!;
    await expect(heap.writeFile(join(dir, "missing", "x.pprof"))).rejects.toThrow("ENOENT");
    const target = join(dir, "is-a-folder");
    execFileSync("mkdir", [target]);
    await expect(heap.writeFile(target)).rejects.toThrow();
    expect(readdirSync(dir).filter((name) => name.includes(".tmp"))).toEqual([]);
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
