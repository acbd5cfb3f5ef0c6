// Tasks of profile-cases.mjs.

import { decodeProfile } from "@gort/profiling/pprof";
import {
  defaultRuntime,
  go,
  gosched,
  setBlockProfileRate,
  setMutexProfileFraction,
  sleep,
  syscall,
  task,
} from "@gort/runtime";
import { setMaxStack, setTraceback } from "@gort/runtime/debug";
import { newSample } from "@gort/runtime/metrics";
import * as pprof from "@gort/runtime/pprof";
import { Mutex } from "@gort/runtime/sync";

const { url } = import.meta;

/** Blocks this thread, which comes to no safepoint meanwhile, until `done`. Ends the program after 20 s. */
export function blockUntil(done) {
  const never = new Int32Array(new SharedArrayBuffer(4));
  const end = performance.now() + 20_000;
  for (; !done(); Atomics.wait(never, 0, 0, 1))
    if (performance.now() > end) throw new Error(`not yet: ${done}`);
}

/**
 * Returns when `n` tasks have come here, each on a thread of its own: a task that waits here does not let others run on
 * its thread. `at` is a word that is 0 at first.
 */
export function meet(at, n) {
  const { kernel } = defaultRuntime().memory;
  kernel.add(at, 1);
  blockUntil(() => kernel.load(at) >= n);
}

/** Waits until the word at `at` is `value`. */
export function* until(at, value) {
  const { kernel } = defaultRuntime().memory;
  while (kernel.load(at) !== value) yield* sleep(1);
}

/** The settings of this thread, as numbers. */
export function settingsHere() {
  const rt = defaultRuntime();
  const { block, mutex, memProfileRate } = rt.profiler;
  return [block.rate, mutex.fraction, memProfileRate, rt.maxStack, rt.scheduler.tracebackAll ? 1 : 0];
}

/**
 * One of `n` tasks, each on a thread. When the word after `at` is 1, it stores the settings of its thread at `to`.
 * Then, if `changes`, it changes them.
 */
export const settings = task(url, function* settings(at, n, to, changes) {
  const rt = defaultRuntime();
  const { kernel, f64 } = rt.memory;
  meet(at, n);
  yield* until(at + 4, 1);
  settingsHere().forEach((value, i) => {
    f64[(to >>> 3) + i] = value;
  });
  kernel.add(at + 8, 1);
  if (changes) {
    yield* until(at + 4, 2);
    setBlockProfileRate(7);
    setMutexProfileFraction(8);
    rt.memProfileRate = 9;
    setMaxStack(1 << 20);
    setTraceback("all");
    kernel.store(at + 4, 3);
  }
  yield* until(at + 4, 3);
  settingsHere().forEach((value, i) => {
    f64[(to >>> 3) + i] = value;
  });
  yield* gosched();
});

/** Allocates `n` objects, and keeps the first `kept` of them in the running goroutine. */
export function allocateHere(n, kept) {
  const rt = defaultRuntime();
  for (let i = 0; i < n; i++) {
    const p = rt.unsafe.mallocgc(48);
    if (i < kept) rt.root(p);
  }
}

/** One of several tasks, each on a thread: allocates, and keeps some objects until the word after `at` is 1. */
export const allocate = task(url, function* allocate(at, threads, n, kept) {
  meet(at, threads);
  allocateHere(n, kept);
  defaultRuntime().memory.kernel.add(at + 8, 1);
  yield* until(at + 4, 1);
});

/** The heap profile as this thread reads it: the stacks through `allocateHere`. */
export function heapHere() {
  const rt = defaultRuntime();
  const records = new Array(rt.memProfile(null, true).n).fill(null);
  rt.memProfile(records, true);
  const found = [];
  for (const r of records) {
    const names = [...rt.callersFrames(r.stack())].map((f) => f.Function.replace(/.*\./, ""));
    if (!names.includes("allocateHere")) continue;
    found.push(`${names.join("<")} ${r.AllocObjects}-${r.FreeObjects} ${r.AllocBytes}-${r.FreeBytes}`);
  }
  return found.sort().join("; ");
}

export const printHeap = task(url, function printHeap(at, threads) {
  meet(at, threads);
  console.log(`worker: ${heapHere()}`);
});

/** Allocates `n` objects of different sizes; some live for a while, and some start a collection. */
export function* churnHere(n) {
  const rt = defaultRuntime();
  const kept = [];
  for (let i = 0; i < n; i++) {
    const p = rt.unsafe.mallocgc(16 << (i % 4));
    if (i % 7 === 0) kept.push(rt.root(p));
    if (kept.length > 20) kept.splice((i * 7) % 20, 1)[0].release();
    if (i % 400 === 399) rt.gc();
    if (i % 50 === 0) yield* gosched();
  }
  for (const root of kept) root.release();
}

export const churn = task(url, function* churn(at, threads, n) {
  meet(at, threads);
  yield* churnHere(n);
});

/** Allocated and freed objects, and freed bytes, of all stacks with the function `name`. */
export function totalsOf(name) {
  const rt = defaultRuntime();
  const records = new Array(rt.memProfile(null, true).n).fill(null);
  rt.memProfile(records, true);
  const sum = [0, 0, 0];
  for (const r of records) {
    if (![...rt.callersFrames(r.stack())].some((f) => f.Function.endsWith(name))) continue;
    sum[0] += r.AllocObjects;
    sum[1] += r.FreeObjects;
    sum[2] += r.FreeBytes;
  }
  return sum.join();
}

/** Waits `n` times for a channel, and makes another goroutine wait `n` times for a mutex. */
export function* waitHere(n) {
  const rt = defaultRuntime();
  const ch = rt.makeChan();
  const mu = new Mutex();
  // Goroutines of one thread: one that says that it is going to wait does so before another runs.
  let waits = false;
  function* untilItWaits() {
    do yield* sleep(1);
    while (!waits);
    waits = false;
    yield* sleep(1);
  }
  const sender = rt.go(function* sender() {
    for (let i = 0; i < n; i++) {
      yield* untilItWaits();
      yield* ch.send(i);
    }
  });
  for (let i = 0; i < n; i++) {
    waits = true;
    yield* ch.recv();
  }
  yield* sender.done();
  for (let i = 0; i < n; i++) {
    yield* mu.lock();
    const other = rt.go(function* other() {
      waits = true;
      yield* mu.lock();
      mu.unlock();
    });
    yield* untilItWaits();
    mu.unlock();
    yield* other.done();
  }
}

export const wait = task(url, function* wait(at, threads, n) {
  meet(at, threads);
  yield* waitHere(n);
});

/** The stacks of a profile of events with the function `name`, each with its count. */
export function eventsHere(profile, name) {
  const rt = defaultRuntime();
  const records = new Array(rt[profile](null).n).fill(null);
  rt[profile](records);
  const counts = [];
  for (const r of records) {
    const names = [...rt.callersFrames(r.stack())].map((f) => f.Function.replace(/.*\./, ""));
    if (names.includes(name) && r.Cycles > 0) counts.push(`${names.join("<")} ${r.Count}`);
  }
  return counts.sort().join("; ");
}

export const printEvents = task(url, function printEvents() {
  console.log(
    `worker: ${eventsHere("blockProfile", "waitHere")} | ${eventsHere("mutexProfile", "waitHere")}`,
  );
});

export const labelled = task(url, function* labelled(at, threads) {
  meet(at, threads);
  yield* pprof.do({ of: `${threads} threads` }, function* () {
    yield* defaultRuntime().makeChan().recv();
  });
});

export const sendLabels = task(url, function* sendLabels(out) {
  yield* out.send(JSON.stringify([...(pprof.goroutineLabels() ?? [])].sort()));
});

export const printLabels = task(url, function printLabels() {
  console.log(pprof.goroutineLabels());
});

/** Labels that collect when they are read. */
class SlyLabels extends Map {
  *[Symbol.iterator]() {
    defaultRuntime().gc();
    yield* super[Symbol.iterator]();
  }
}

export const slyLabels = task(url, function* slyLabels() {
  yield* pprof.do(new SlyLabels([["of", "a Map"]]), function* () {
    yield* defaultRuntime().makeChan().recv();
  });
});

/** Computes with safepoints from the time when the word at `at` is 1, until it is 2. */
export const spin = task(url, function spin(at) {
  const rt = defaultRuntime();
  rt.memory.kernel.store(at, 1);
  while (rt.memory.kernel.load(at) === 1) rt.safepoint();
});

/** The stacks of the profile `goroutine` with the function `name`, as text, without PCs. */
export function goroutinesHere(name) {
  const [, ...lines] = pprof.lookup("goroutine").toText(1).split("\n");
  return lines
    .join("\n")
    .split("\n\n")
    .filter((stack) => stack.includes(name))
    .map((stack) => stack.replace(/ @.*/, "").replace(/#\s+0x\S+\s+(?:\S+[./])?(\w+)\+.*/g, "$1"))
    .map((stack) => stack.replace(/\s+/g, " "))
    .sort()
    .join("; ");
}

export const printGoroutines = task(url, function printGoroutines() {
  console.log(`worker: ${goroutinesHere("labelled")}`);
});

const block = (ms) => {
  const end = performance.now() + ms;
  blockUntil(() => performance.now() > end);
};

const busy = task(url, function busy() {
  block(200);
});

/**
 * Starts three tasks that block their threads, with pauses. A worker that idles takes the first one. For another one
 * this thread wants a worker. Meanwhile the word after `at` is 1: the main thread is blocked, and starts none.
 */
export const starter = task(url, function* starter(at) {
  const { kernel } = defaultRuntime().memory;
  kernel.store(at, 1);
  blockUntil(() => kernel.load(at + 4) === 1);
  for (let i = 0; i < 3; i++) {
    go(busy);
    block(30);
  }
  kernel.store(at + 4, 2);
  yield* gosched();
});

export const lost = task(url, function* lost(at, threads, n) {
  meet(at, threads);
  allocateHere(n, 0);
  yield* waitHere(n);
  process.exit(3);
});

export const native = task(url, function native(calls) {
  for (let i = 0; i < calls; i++) defaultRuntime().cgocall(() => i);
});

/** Calls into native code `calls` times, and starts three goroutines that wait. It waits, too. */
export const visible = task(url, function* visible(at, threads, calls) {
  const rt = defaultRuntime();
  meet(at, threads);
  for (let i = 0; i < calls; i++) rt.cgocall(() => i);
  rt.memory.kernel.add(at + 8, 1);
  for (let i = 0; i < 3; i++) {
    rt.go(function* waits() {
      yield* rt.makeChan().recv();
    });
  }
  yield* rt.gosched();
  rt.memory.kernel.add(at + 12, 1);
  yield* until(at + 4, 1);
  // On the last of them only.
  if (rt.memory.kernel.add(at + 16, 1) === threads - 1) rt.gomaxprocs(rt.gomaxprocs(0) + 1);
  rt.memory.kernel.add(at + 20, 1);
  yield* rt.makeChan().recv();
});

const NAMES = [
  "/cgo/go-to-c-calls:calls",
  "/sched/gomaxprocs:threads",
  "/sched/threads/total:threads",
  "/sched/goroutines-created:goroutines",
];

/** Figures of a runtime, or of attached statistics. */
export function figuresOf(stats) {
  const samples = NAMES.map((name) => newSample(name));
  const latencies = newSample("/sched/latencies:seconds");
  stats.metrics.read([...samples, latencies]);
  const counted = [...latencies.Value.float64Histogram().Counts].some((n) => n > 0);
  return [stats.numGoroutine(), ...samples.map((s) => Number(s.Value.uint64())), counted].join();
}

export const printFigures = task(url, function printFigures() {
  console.log(`worker: ${figuresOf(defaultRuntime())}`);
});

/** Allocates objects of 48 and 4800 bytes, and drops them. */
export const fill = task(url, function* fill(at, threads, n) {
  const rt = defaultRuntime();
  meet(at, threads);
  for (let i = 0; i < n; i++) {
    rt.unsafe.mallocgc(48);
    rt.unsafe.mallocgc(4800);
    if (i % 64 === 0) yield* gosched();
    if (i % 1000 === 999) rt.gc();
  }
});

export const blocked = task(url, function blocked(at, threads, ms) {
  meet(at, threads);
  block(ms);
});

/** Computes for some time, in a function of this name. */
export function computeHere(ms) {
  let x = 1;
  for (const end = performance.now() + ms; performance.now() < end; ) {
    for (let i = 0; i < 20_000; i++) x = (x * 48271) % 2147483647;
  }
  return x;
}

export const computes = task(url, function* computes(at, threads, ms) {
  meet(at, threads);
  yield* pprof.do({ task: "computes" }, function* () {
    computeHere(ms);
    yield* gosched();
  });
});

/** The threads of a CPU profile with samples in `computeHere`, each with the label `task`. */
export function threadsOf(profile) {
  const threads = new Set();
  for (const sample of profile.samples) {
    const frames = sample.locations.flatMap((l) => l.lines);
    if (!frames.some((line) => line.function.name.endsWith("computeHere"))) continue;
    const label = (key) => sample.labels.find((l) => l.key === key)?.str ?? "-";
    threads.add(`${label("thread")} ${label("task")}`);
  }
  return [...threads].sort().join("; ");
}

const gather = () => {
  const pieces = [];
  return { pieces, sink: (piece) => void pieces.push(piece) };
};

/** Takes a CPU profile while `during` runs, and decodes it. */
export function* cpuProfile(during) {
  const { pieces, sink } = gather();
  pprof.startCPUProfile(sink);
  yield* during();
  yield* syscall(pprof.stopCPUProfile());
  return yield* syscall(decodeProfile(Buffer.concat(pieces)));
}

/** Takes a profile on a worker. Meanwhile the words after `at` say when others are to compute. */
export const profiles = task(url, function* profiles(at, threads) {
  const { kernel } = defaultRuntime().memory;
  meet(at, threads);
  const profile = yield* cpuProfile(function* () {
    try {
      pprof.startCPUProfile(() => {});
    } catch (e) {
      console.log(`worker: ${e.message}`);
    }
    kernel.store(at + 4, 1);
    computeHere(300);
    yield* until(at + 8, 1);
  });
  console.log(`worker: ${threadsOf(profile)}`);
});
