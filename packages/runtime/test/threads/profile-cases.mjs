// Programs whose profiles, figures and settings cover several threads: `node profile-cases.mjs NAME`.

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { checkIdentities } from "@gort/memstats/testing";
import { verifyMemProfile } from "@gort/profiling/testing";
import {
  go,
  lockOSThread,
  setBlockProfileRate,
  setMutexProfileFraction,
  sleep,
  stack,
  string,
} from "@gort/runtime";
import { attachStats } from "@gort/runtime/attach";
import { setMaxStack, setTraceback } from "@gort/runtime/debug";
import { newSample } from "@gort/runtime/metrics";
import * as pprof from "@gort/runtime/pprof";
import { runtime } from "./kit.mjs";
import * as tasks from "./profile-tasks.mjs";

const cases = {
  *settings(rt) {
    const { kernel, f64 } = rt.memory;
    const at = rt.allocator.malloc(64);
    const all = [];
    const to = [];
    for (let i = 0; i < 2; i++) {
      to.push(rt.allocator.malloc(64));
      all.push(rt.go(tasks.settings, at, 2, to[i], i === 1));
      yield* tasks.until(at, i + 1);
    }
    const there = () => to.map((addr) => [...f64.subarray(addr >>> 3, (addr >>> 3) + 5)].join());
    // Both workers run: they do not get this with their start.
    setBlockProfileRate(2);
    setMutexProfileFraction(3);
    rt.memProfileRate = 4;
    setMaxStack(5 << 20);
    setTraceback("all");
    kernel.store(at + 4, 1);
    yield* tasks.until(at + 8, 2);
    console.log(there().join(" "));
    setTraceback("single");
    kernel.store(at + 4, 2);
    for (const g of all) yield* g.done();
    console.log(there().join(" "), tasks.settingsHere().join());
  },
  /** Settings that are no numbers, and labels, whose code collects. */
  *hostile(rt) {
    // From now on there is a worker.
    yield* rt.go(tasks.printLabels).done();
    const collects = () => {
      rt.gc();
      return "sly";
    };
    const sly = { toString: collects, valueOf: collects };
    const sets = [
      () => setBlockProfileRate(sly),
      () => setMutexProfileFraction(sly),
      () => {
        rt.memProfileRate = sly;
      },
      () => {
        rt.maxStack = sly;
      },
    ];
    for (const set of sets) {
      try {
        set();
      } catch (e) {
        console.log(e.message);
      }
    }
    rt.go(tasks.slyLabels);
    yield* sleep(100);
    console.log(
      pprof
        .lookup("goroutine")
        .toText(1)
        .match(/# labels: (.*)/)?.[1],
    );
  },
  *heap(rt) {
    rt.memProfileRate = 1;
    const at = rt.allocator.malloc(64);
    const all = yield* onWorkers(rt, 2, at, tasks.allocate, 100, 10);
    yield* tasks.until(at + 8, 2);
    tasks.allocateHere(100, 10);
    rt.gc();
    console.log(tasks.heapHere());
    rt.memory.kernel.store(at + 4, 1);
    for (const g of all) yield* g.done();
    rt.gc();
    console.log(tasks.heapHere());
    for (const g of yield* onWorkers(rt, 1, rt.allocator.malloc(64), tasks.printHeap)) yield* g.done();
  },
  /** Threads allocate and collect at random: no sample is lost, and none counts twice. */
  *churn(rt) {
    rt.memProfileRate = 1;
    const at = rt.allocator.malloc(64);
    const all = yield* onWorkers(rt, 2, at, tasks.churn, 4000);
    yield* tasks.churnHere(4000);
    for (const g of all) yield* g.done();
    rt.gc();
    rt.gc();
    verifyMemProfile(rt.profiler);
    const stats = rt.readMemStats();
    console.log(tasks.totalsOf("churnHere"));
    console.log(stats.NumGC > 10);
  },
  *events(rt) {
    setBlockProfileRate(1);
    setMutexProfileFraction(1);
    const at = rt.allocator.malloc(64);
    const all = yield* onWorkers(rt, 2, at, tasks.wait, 5);
    yield* tasks.waitHere(5);
    for (const g of all) yield* g.done();
    console.log(
      tasks.eventsHere("blockProfile", "waitHere"),
      "|",
      tasks.eventsHere("mutexProfile", "waitHere"),
    );
    yield* rt.go(tasks.printEvents).done();
  },
  *goroutines(rt) {
    const at = rt.allocator.malloc(64);
    yield* onWorkers(rt, 2, at, tasks.labelled);
    yield* sleep(20);
    console.log(tasks.goroutinesHere("labelled"));
    const { n } = rt.profiler.goroutineProfile(null);
    const filled = rt.profiler.goroutineProfile(new Array(n).fill(null));
    console.log(n, filled.n, filled.ok, pprof.lookup("goroutine").count());
    yield* rt.go(tasks.printGoroutines).done();
  },
  /** Tasks with labels: in the queue, while the only other P is busy; then on a worker. */
  *inherited(rt) {
    const out = rt.makeChan(string, 4);
    const at = rt.allocator.malloc(64);
    go(tasks.spin, at);
    yield* tasks.until(at, 1);
    yield* pprof.do({ user: "1", odd: "a \ud800" }, function* () {
      go(tasks.sendLabels, out);
      yield* pprof.do({ user: "2" }, function* () {
        go(tasks.sendLabels, out);
      });
    });
    go(tasks.sendLabels, out);
    const labels = (text, pattern) =>
      console.log(
        [...text.matchAll(pattern)]
          .map(([, l]) => l)
          .sort()
          .join(),
      );
    labels(pprof.lookup("goroutine").toText(1), /# labels: (.*)/g);
    const buf = new Uint8Array(1 << 16);
    labels(new TextDecoder().decode(buf.subarray(0, stack(buf, true))), /\[runnable\] (.*):/g);
    rt.memory.kernel.store(at, 2);
    const texts = [];
    for (let i = 0; i < 3; i++) texts.push(yield* out.recv());
    console.log(texts.sort().join(" "));
  },
  *starts(rt) {
    const at = rt.allocator.malloc(64);
    const { kernel } = rt.memory;
    const g = rt.go(tasks.starter, at);
    yield* tasks.until(at, 1);
    kernel.store(at + 4, 1);
    tasks.blockUntil(() => kernel.load(at + 4) !== 1);
    yield* g.done();
    let records = [];
    // Meanwhile more threads may start.
    for (let ok = false; !ok; ) {
      records = new Array(rt.threadCreateProfile(null).n).fill(null);
      ({ ok } = rt.threadCreateProfile(records));
    }
    for (const r of records) {
      console.log([...rt.callersFrames(r.stack())].map((f) => f.Function.replace(/.*\./, "")).join("<"));
    }
  },
  *figures(rt) {
    const at = rt.allocator.malloc(64);
    const { kernel } = rt.memory;
    const attached = attachStats(rt.shareStats());
    rt.cgocall(() => 1);
    yield* rt.go(tasks.native, 10).done();
    // At the end of a task its calls are counted.
    console.log(rt.numCgoCall());
    yield* onWorkers(rt, 2, at, tasks.visible, 7);
    yield* tasks.until(at + 12, 2);
    yield* sleep(50);
    console.log(rt.numCgoCall());
    for (const stats of [rt, attached]) console.log(tasks.figuresOf(stats));
    kernel.store(at + 4, 1);
    yield* tasks.until(at + 20, 2);
    yield* sleep(50);
    for (const stats of [rt, attached]) console.log(tasks.figuresOf(stats));
  },
  /** Two workers compute for 300 ms, while this thread waits. */
  *cpu(rt) {
    const samples = ["user", "idle", "total"].map((name) => newSample(`/cpu/classes/${name}:cpu-seconds`));
    const read = () => {
      rt.metrics.read(samples);
      return samples.map((s) => s.Value.float64());
    };
    const attached = attachStats(rt.shareStats());
    // Until both workers have started.
    for (const g of yield* onWorkers(rt, 2, rt.allocator.malloc(64), tasks.blocked, 0)) yield* g.done();
    const times = [performance.now()];
    const before = read();
    times.push(performance.now());
    for (const g of yield* onWorkers(rt, 2, rt.allocator.malloc(64), tasks.blocked, 300)) yield* g.done();
    times.push(performance.now());
    const after = read();
    times.push(performance.now());
    const [user, idle, total] = after.map((x, i) => x - before[i]);
    const [t0, t1, t2, t3] = times.map((ms) => (3 * ms) / 1000);
    console.log(user >= 0.6, user + idle <= total + 1e-9, total >= t2 - t1 && total <= t3 - t0);
    attached.metrics.read(samples);
    console.log(samples.every((s, i) => s.Value.float64() === after[i]));
    // While all threads sleep, time is idle. Another worker may still be starting.
    let slept = 0;
    for (let i = 0; i < 20 && slept < 0.1; i++) {
      const [, idleBefore] = read();
      yield* sleep(200);
      slept = read()[1] - idleBefore;
    }
    console.log(slept >= 0.1);
  },
  /** Threads allocate, collect and end; this thread and one outside of the runtime read meanwhile. */
  *memStats(rt) {
    const reader = new Worker(new URL("../workers/stats-reader.mjs", import.meta.url), {
      workerData: rt.shareStats(),
    });
    yield* rt.syscall(once(reader, "message"));
    const N = 3000;
    const bySize = (m, size) => m.BySize.find((s) => s.Size >= size);
    rt.gc();
    const before = structuredClone(rt.readMemStats());
    const asked = once(reader, "message");
    reader.postMessage({ count: 2000, context: {} });
    const all = yield* onWorkers(rt, 3, rt.allocator.malloc(64), tasks.fill, N);
    const broken = [];
    let previous = null;
    let ended = 0;
    for (const g of all)
      rt.go(function* counts() {
        yield* g.done();
        ended++;
      });
    while (ended < 3) {
      const now = structuredClone(rt.readMemStats());
      broken.push(...checkIdentities(now, previous === null ? {} : { previous }));
      if (now.HeapObjects !== now.Mallocs - now.Frees) broken.push("HeapObjects");
      previous = now;
      yield* sleep(1);
    }
    rt.gc();
    const after = rt.readMemStats();
    const [[{ broken: seen, numGC }]] = [yield* rt.syscall(asked)];
    reader.postMessage({ close: true });
    const grown = (f) => f(after) - f(before);
    console.log(broken.join("; "), seen.join("; "), numGC > 0, after.NumGC - before.NumGC >= 4);
    for (const f of ["Mallocs", "Frees"])
      console.log(
        f,
        grown((m) => bySize(m, 48)[f]),
        grown((m) => bySize(m, 4800)[f]),
      );
    console.log(
      after.TotalAlloc - before.TotalAlloc >= 3 * N * (48 + 4864),
      after.HeapObjects - before.HeapObjects < 100,
    );
  },
  *cpuProfile(rt) {
    const profile = yield* tasks.cpuProfile(function* () {
      // Workers that start meanwhile join in.
      const all = yield* onWorkers(rt, 2, rt.allocator.malloc(64), tasks.computes, 300);
      tasks.computeHere(300);
      for (const g of all) yield* g.done();
    });
    console.log(tasks.threadsOf(profile));
  },
  *cpuProfileOfWorker(rt) {
    const at = rt.allocator.malloc(64);
    const g = rt.go(tasks.profiles, at, 1);
    yield* tasks.until(at + 4, 1);
    try {
      pprof.startCPUProfile(() => {});
    } catch (e) {
      console.log(e.message);
    }
    const all = yield* onWorkers(rt, 1, rt.allocator.malloc(64), tasks.computes, 300);
    tasks.computeHere(300);
    for (const other of all) yield* other.done();
    rt.memory.kernel.store(at + 8, 1);
    yield* g.done();
    // It has ended, so another one can begin.
    const next = yield* tasks.cpuProfile(function* () {
      tasks.computeHere(200);
      yield* rt.gosched();
    });
    console.log(next.samples.length > 0);
  },
  *lost(rt) {
    rt.memProfileRate = 1;
    setBlockProfileRate(1);
    const all = yield* onWorkers(rt, 1, rt.allocator.malloc(64), tasks.lost, 5);
    for (const g of all) yield* g.done();
  },
};

/** Runs `n` goroutines of a task, each on a worker of its own, until they have met at `at`. */
function* onWorkers(rt, n, at, t, ...args) {
  const all = [];
  for (let i = 0; i < n; i++) {
    all.push(rt.go(t, at, n, ...args));
    yield* tasks.until(at, i + 1);
  }
  return all;
}

const name = process.argv[2];
const rt = runtime({ gomaxprocs: { starts: 6, memStats: 4, inherited: 2 }[name] ?? 3, maxMemory: 256 << 20 });
try {
  await rt.main(function* () {
    lockOSThread();
    yield* cases[name](rt);
  });
} catch (e) {
  if (name !== "lost") throw e;
  console.log(e.code);
  console.log(tasks.heapHere());
  console.log(tasks.eventsHere("blockProfile", "waitHere"));
}
