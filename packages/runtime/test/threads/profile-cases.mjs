// Programs whose profiles, figures and settings cover several threads: `node profile-cases.mjs NAME`.

import { verifyMemProfile } from "@gort/profiling/testing";
import { lockOSThread, setBlockProfileRate, setMutexProfileFraction, sleep } from "@gort/runtime";
import { setMaxStack, setTraceback } from "@gort/runtime/debug";
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
const rt = runtime({ gomaxprocs: name === "starts" ? 6 : 3, maxMemory: 256 << 20 });
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
