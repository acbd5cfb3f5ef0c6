import { describe, expect, it } from "vitest";
import { setDefaultRuntime } from "../src/default.ts";
import { createRuntime, int, type Runtime, type RuntimeOptions, struct } from "../src/index.ts";
import * as metrics from "../src/metrics.ts";
import { prometheusText, registerGoMetrics } from "../src/prometheus.ts";
import { closeAfterTest } from "./kit.ts";

function make(options: RuntimeOptions = {}): Runtime {
  const rt = createRuntime({
    maxMemory: 128 << 20,
    godebug: "",
    gogc: 100,
    stderr: () => {},
    seed: 1,
    ...options,
  });
  setDefaultRuntime(rt);
  closeAfterTest(rt);
  return rt;
}

function read(name: string): metrics.Value {
  const sample = metrics.newSample(name);
  metrics.read([sample]);
  return sample.Value;
}
const count = (name: string): number =>
  read(name)
    .float64Histogram()
    .Counts.reduce((a, b) => a + b, 0);

const Thing = struct("Thing", { id: int, a: int, b: int, c: int });

describe("runtime/metrics of a runtime", () => {
  it("measures every metric except those that `notMeasured` names", () => {
    make();
    const samples = metrics.all().map((d) => metrics.newSample(d.Name));
    metrics.read(samples);
    const bad = samples.filter((s) => s.Value.kind() === "bad").map((s) => s.Name);
    expect(bad).toEqual([...metrics.notMeasured]);
  });

  it("reads an unknown name as bad, and refuses the accessor of another kind", () => {
    make();
    const v = read("/no/such:thing");
    expect(v.kind()).toBe("bad");
    expect(() => v.uint64()).toThrow("called uint64 on non-uint64 metric value");
    expect(() => read("/gc/pauses:seconds").float64()).toThrow(TypeError);
    expect(() => metrics.read("/gc/pauses:seconds" as never)).toThrow(/list of samples/);
  });

  it("counts stops of the world, the collector's and those of statistics apart", () => {
    // Each reading of the clock takes a millisecond: every stop has a length, and all figures are exact.
    let now = 0;
    const rt = make({ gomaxprocs: 3, clock: { now: () => now++ } });
    expect(count("/sched/pauses/total/gc:seconds")).toBe(0);
    rt.gc();
    rt.gc();
    const gc = count("/sched/pauses/total/gc:seconds");
    expect(gc).toBe(2);
    expect(count("/gc/pauses:seconds")).toBe(gc);
    expect(count("/sched/pauses/stopping/gc:seconds")).toBe(gc);
    const other = count("/sched/pauses/total/other:seconds");
    rt.readMemStats();
    expect(count("/sched/pauses/total/other:seconds")).toBe(other + 1);
    expect(count("/sched/pauses/stopping/other:seconds")).toBe(other + 1);
    const paused = rt.readMemStats().PauseTotalNs;
    expect(paused).toBeGreaterThanOrEqual(2e6);
    expect(read("/cpu/classes/gc/pause:cpu-seconds").float64()).toBe((paused * 3) / 1e9);
  });

  it("counts finalizers and cleanups when they are queued and when they have run", async () => {
    const rt = make({ gogc: "off" });
    await rt.main(function* () {
      for (let i = 0; i < 3; i++) {
        const x = rt.newObject(Thing);
        rt.setFinalizer(x, (o) => o.release());
        x.release();
      }
      for (let i = 0; i < 2; i++) {
        const x = rt.newObject(Thing);
        rt.addCleanup(x, () => {}, 1);
        x.release();
      }
      rt.gc();
      const four = (): number[] =>
        [
          "finalizers/queued:finalizers",
          "finalizers/executed:finalizers",
          "cleanups/queued:cleanups",
          "cleanups/executed:cleanups",
        ].map((n) => read(`/gc/${n}`).uint64());
      expect(four()).toEqual([3, 0, 2, 0]);
      for (let [, f, , c] = four(); f + c < 5; [, f, , c] = four()) yield* rt.gosched();
      expect(four()).toEqual([3, 3, 2, 2]);
    });
  });

  it("counts goroutines by state, and those ever started", async () => {
    const rt = make();
    await rt.main(function* () {
      const created = read("/sched/goroutines-created:goroutines").uint64();
      const c = rt.makeChan<number>();
      for (let i = 0; i < 5; i++) rt.go(() => {});
      for (let i = 0; i < 4; i++)
        rt.go(function* () {
          yield* c.recv();
        });
      yield* rt.gosched();
      rt.go(function* () {});
      expect(read("/sched/goroutines/waiting:goroutines").uint64()).toBe(4);
      expect(read("/sched/goroutines/running:goroutines").uint64()).toBe(1);
      expect(read("/sched/goroutines/runnable:goroutines").uint64()).toBe(1);
      expect(read("/sched/goroutines:goroutines").uint64()).toBe(rt.numGoroutine());
      expect(read("/sched/goroutines-created:goroutines").uint64()).toBe(created + 10);
    });
  });

  it("follows GOGC, the limit and GOMAXPROCS", () => {
    const rt = make({ gogc: "off", memoryLimit: 64 << 20, gomaxprocs: 3 });
    expect(read("/gc/gogc:percent").uint64()).toBe(2 ** 64);
    expect(read("/gc/gomemlimit:bytes").uint64()).toBe(64 << 20);
    expect(read("/sched/gomaxprocs:threads").uint64()).toBe(3);
    rt.collector.setMemoryLimit(2 ** 63);
    expect(read("/gc/gomemlimit:bytes").uint64()).toBe(2 ** 63);
  });

  it("divides CPU time: idle while nothing runs, the collector's while it marks", async () => {
    const rt = make({ gogc: "off" });
    const cpu = (name: string): number => read(`/cpu/classes/${name}:cpu-seconds`).float64();
    const idle = cpu("idle");
    await rt.main(function* () {
      yield* rt.sleep(60);
    });
    expect(cpu("idle") - idle).toBeGreaterThan(0.03);
    const typ = rt.unsafe.newType(16, [1]);
    using head = rt.root(0 as never);
    for (let i = 0; i < 300_000; i++) {
      const p = rt.unsafe.mallocTyped(typ);
      rt.unsafe.storePointer((p + 8) as never, head.ptr);
      head.ptr = p as never;
    }
    const dedicated = cpu("gc/mark/dedicated");
    rt.collector.start();
    // Marking goes by while the program allocates: assists, then slices at safepoints.
    for (let i = 0; rt.collector.marking && i < 10_000; i++) {
      rt.unsafe.mallocNoscan(4096);
      rt.safepoint();
    }
    rt.gc();
    expect(cpu("gc/mark/dedicated") + cpu("gc/mark/assist")).toBeGreaterThan(dedicated);
    // Read together, so that no time passes in between.
    const classes = ["total", "gc/total", "scavenge/total", "idle", "user"].map((name) =>
      metrics.newSample(`/cpu/classes/${name}:cpu-seconds`),
    );
    metrics.read(classes);
    const [total, ...parts] = classes.map((c) => c.Value.float64());
    expect(parts.reduce((a, b) => a + b, 0)).toBeCloseTo(total, 9);
  });

  it("counts the scavenger's time, in the background and when the heap grows", () => {
    const rt = make();
    expect(read("/cpu/classes/scavenge/background:cpu-seconds").float64()).toBe(0);
    rt.allocator.scavenger.background();
    rt.unsafe.mallocNoscan(32 << 20);
    const background = read("/cpu/classes/scavenge/background:cpu-seconds").float64();
    const assist = read("/cpu/classes/scavenge/assist:cpu-seconds").float64();
    expect(background).toBeGreaterThan(0);
    expect(assist).toBeGreaterThan(0);
    expect(read("/cpu/classes/scavenge/total:cpu-seconds").float64()).toBeCloseTo(background + assist, 9);
  });

  it("does not compare a clock of one's own with the host's idle time", () => {
    let now = 0;
    make({ clock: { now: () => now++ } });
    expect(read("/cpu/classes/idle:cpu-seconds").kind()).toBe("bad");
    expect(read("/cpu/classes/user:cpu-seconds").kind()).toBe("bad");
    expect(read("/cpu/classes/gc/pause:cpu-seconds").kind()).toBe("float64");
  });
});

describe("the Prometheus exporter over a runtime", () => {
  it("takes the runtime as it is", async () => {
    const rt = make();
    rt.gc();
    const text = prometheusText(rt);
    expect(text).toMatch(/^go_gc_duration_seconds_count 1$/m);
    expect(text).toMatch(/^go_info\{version="go1\.[\d.]+ gort\/[\d.]+"\} 1$/m);
    expect(text).toMatch(/^go_threads 1$/m);
    const names: string[] = [];
    const registry = {
      registerMetric: (m: { name: string }): void => void names.push(m.name),
      removeSingleMetric: (): void => {},
    };
    registerGoMetrics(registry, rt);
    expect(names.length).toBe(29);
  });
});
