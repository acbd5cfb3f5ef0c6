// Programs of two threads: `node cases.mjs NAME`. Their main goroutine locks its thread, so that a worker runs the
// tasks.
import module from "node:module";
import { Worker } from "node:worker_threads";
import {
  createRuntime,
  FatalError,
  int,
  lockOSThread,
  numGoroutine,
  parallel,
  sleep,
  task,
  uint8,
} from "@gort/runtime";
import { setMaxThreads } from "@gort/runtime/debug";
import { runtime } from "./kit.mjs";
import * as tasks from "./tasks.mjs";

const local = task(import.meta.url, function local() {});
const text = (out) => new TextDecoder().decode(Uint8Array.from(out)).replace(/\0+$/, "");
const print = (...args) => console.log(args.join(" "));

/** Runs the program on two threads; prints how it ends. */
async function main(body, options) {
  const rt = runtime(options);
  try {
    const value = await rt.main(function* () {
      lockOSThread();
      return yield* body(rt);
    });
    print("returned", value);
  } catch (e) {
    print(
      e.constructor.name,
      e.code ?? "-",
      e.message.split("\n")[0],
      e.cause === undefined ? "" : `cause ${e.cause}`,
    );
    if (process.argv[3] === "stack") print(e.stack);
  }
  return rt;
}

const code = (e) => e.code;

const cases = {
  *spread(rt) {
    const at = rt.allocator.malloc(64);
    const all = [];
    for (let i = 0; i < 100; i++) all.push(rt.go(tasks.add, at, i));
    for (const g of all) yield* g.done();
    return rt.memory.u32[at >>> 2];
  },
  *done(rt) {
    const g = rt.go(tasks.nothing);
    yield* g.done();
    // Again, and twice at a time, after the end.
    yield* g.done();
    const h = rt.go(tasks.nothing);
    rt.go(function* () {
      yield* h.done();
    });
    yield* h.done();
    return g.id !== h.id;
  },
  *dumping(rt) {
    const out = rt.makeChan(int);
    rt.go(tasks.collectInDump, out);
    return yield* out.recv();
  },
  *exported(rt) {
    const at = rt.allocator.malloc(64);
    yield* rt.go(parallel(new URL("tasks.mjs", import.meta.url), "answer"), at).done();
    return rt.memory.u32[at >>> 2];
  },
  *cache(rt) {
    const folder = process.argv[3];
    const enabled = module.enableCompileCache?.(folder) !== undefined;
    const out = rt.makeSlice(uint8, 10_000);
    yield* rt.go(tasks.writeCache, out).done();
    return text(out) === (enabled ? module.getCompileCacheDir() : "undefined");
  },
  *files(rt) {
    const out = rt.makeSlice(uint8, 10_000);
    yield* rt.go(tasks.writeFiles, out).done();
    return text(out);
  },
  *dump(rt) {
    rt.go(tasks.waitForever);
    const buf = new Uint8Array(1 << 16);
    let text = "";
    while (!text.includes("[sleep]")) {
      yield* rt.gosched();
      text = new TextDecoder().decode(buf.subarray(0, rt.stack(buf, true)));
    }
    print(text);
  },
  *counts(rt) {
    const all = [];
    for (let i = 0; i < 3; i++) all.push(rt.go(tasks.add, rt.allocator.malloc(64), i, 50));
    const inQueue = numGoroutine();
    yield* sleep(120);
    const running = numGoroutine();
    for (const g of all) yield* g.done();
    return `${inQueue},${running >= 2 ? 4 : running},${numGoroutine()}`;
  },
  *threadCreate(rt) {
    yield* rt.go(tasks.nothing).done();
    const { n } = rt.threadCreateProfile(null);
    const records = new Array(n).fill(null);
    rt.threadCreateProfile(records);
    return records
      .map((r) => [...rt.profiler.callersFrames(r.stack())].map((f) => f.Function).join(" "))
      .join(";");
  },
  *maxThreads(rt) {
    setMaxThreads(1);
    yield* rt.go(tasks.nothing).done();
  },
  *crash(rt) {
    yield* rt.go(tasks.fail, process.argv[3]).done();
  },
  *missing(rt) {
    yield* rt.go(parallel(new URL("gone.mjs", import.meta.url), "f")).done();
  },
  *syntax(rt) {
    yield* rt.go(parallel("data:text/javascript,export const f = (", "f")).done();
  },
  *noExport(rt) {
    yield* rt.go(parallel(new URL("tasks.mjs", import.meta.url), "gone")).done();
  },
  *inMain(rt) {
    yield* rt.go(local).done();
  },
  *fewer(rt) {
    yield* rt.go(tasks.onlyOnMain).done();
  },
  *nextGC(rt) {
    yield* rt.go(tasks.nothing).done();
    rt.gc();
    return rt.readMemStats().NextGC;
  },
  *returns(rt) {
    rt.go(tasks.waitForever);
    // Until the worker runs it.
    while (rt.readMemStats() && numGoroutine() < 2) yield* sleep(1);
    return "with a goroutine that sleeps";
  },
  *stuck(rt) {
    const at = rt.allocator.malloc(64);
    rt.go(tasks.forever, at);
    while (rt.memory.u32[at >>> 2] === 0) yield* sleep(1);
    return "with a worker that computes";
  },
  *safepoint(rt) {
    const at = rt.memory.persistentAlloc(64, 64, "otherSys");
    const g = rt.go(tasks.untilSet, at);
    while (rt.memory.kernel.load(at) === 0) yield* sleep(1);
    // Each of these stops the world.
    for (let i = 0; i < 3; i++) rt.gc();
    rt.memory.kernel.store(at, 2);
    yield* g.done();
    return "after three stops";
  },
  *server(rt) {
    const at = rt.allocator.malloc(64);
    yield* rt.go(tasks.serve, at).done();
    return "hello from the worker";
  },
  *deadlock(rt) {
    yield* rt.go(tasks.deadlocked).done();
  },
};

const workersOf = {
  null: () => null,
  object: () => ({}),
  throws: () => {
    throw new RangeError("no more");
  },
};

/** Programs that are more than one call of `main`. */
const programs = {
  async uncaught() {
    const rt = runtime();
    await rt.main(function* () {
      lockOSThread();
      yield* cases.crash(rt);
    });
  },
  async uncaughtDeadlock() {
    const rt = runtime();
    await rt.main(function* () {
      lockOSThread();
      yield* cases.deadlock(rt);
    });
  },
  async afterLoss() {
    process.argv[3] = "exit";
    const rt = runtime();
    const body = function* () {
      lockOSThread();
      yield* cases.crash(rt);
    };
    const first = await rt.main(body).catch(code);
    const second = await rt.main(body).catch((e) => `${e.code} ${e.message}`);
    print(first, second);
  },
  async twice() {
    const rt = runtime();
    const counts = [];
    for (let i = 0; i < 2; i++) {
      await rt.main(function* () {
        lockOSThread();
        counts.push(numGoroutine());
        for (let k = 0; k < 5; k++) rt.go(tasks.waitForever);
        yield* rt.go(tasks.nothing).done();
      });
    }
    print("returned", counts[1], "after", counts[0]);
  },
  /** The first program ends while its worker is starting. */
  async early() {
    const rt = runtime();
    await rt.main(function* () {
      lockOSThread();
      rt.go(tasks.nothing);
      yield* rt.gosched();
    });
    const at = rt.allocator.malloc(64);
    const value = await rt.main(function* () {
      lockOSThread();
      yield* rt.go(tasks.add, at, 5, 300).done();
      return rt.memory.u32[at >>> 2];
    });
    print("returned", value);
  },
  /** The first program ends after its worker has asked for another one, and before that one is made. */
  async earlier() {
    const rt = runtime({ gomaxprocs: 3 });
    const at = rt.allocator.malloc(64);
    await rt.main(function* () {
      lockOSThread();
      yield* rt.go(tasks.nothing).done();
      // Until the worker sleeps, so that it takes the next task, and this thread starts no other.
      yield* sleep(50);
      rt.go(tasks.startMany, at);
      while (rt.memory.kernel.load(at) === 0);
    });
    // Until both workers sleep.
    await new Promise((resolve) => setTimeout(resolve, 300));
    const value = await rt.main(function* () {
      lockOSThread();
      const both = [rt.go(tasks.compute, 400), rt.go(tasks.compute, 400)];
      // Each worker runs one of them then.
      yield* sleep(200);
      const n = numGoroutine();
      for (const g of both) yield* g.done();
      return n;
    });
    print("returned", value);
  },
  /** The first program ends because a third thread is too many. */
  async afterExhaustion() {
    const rt = runtime({ gomaxprocs: 4 });
    setMaxThreads(2);
    const first = await rt
      .main(function* () {
        lockOSThread();
        yield* rt.go(tasks.nothing).done();
        for (let i = 0; i < 3; i++) rt.go(tasks.compute, 50);
        yield* sleep(1000);
      })
      .catch(code);
    // Until the worker sleeps: a busy one would ask for another.
    await new Promise((resolve) => setTimeout(resolve, 300));
    const second = await rt
      .main(function* () {
        lockOSThread();
        const g = rt.go(tasks.compute, 400);
        yield* sleep(200);
        // No other thread is busy but the one worker.
        yield* g.done();
        return "done";
      })
      .catch(code);
    print(first, "and then", second);
  },
  /** A goroutine that computes past the end of the program then starts tasks. */
  async late() {
    const rt = runtime();
    const at = rt.memory.persistentAlloc(64, 64, "otherSys");
    await rt.main(function* () {
      lockOSThread();
      rt.go(tasks.startLate, at);
      while (rt.memory.u32[at >>> 2] === 0) yield* sleep(1);
    });
    // Until the goroutine has started them, and the worker takes the tasks of this program.
    while (rt.memory.kernel.load(at) !== 2);
    await rt.main(function* () {
      lockOSThread();
      yield* rt.go(tasks.nothing).done();
    });
    print("returned", rt.memory.u32[(at + 4) >>> 2], "late,", numGoroutine(), "goroutines");
  },
  /** The first program ends while a goroutine of the worker collects, and so hears of the end. */
  async endInPoll() {
    const rt = runtime();
    // No object of the heap: the tasks collect.
    const at = rt.memory.persistentAlloc(64, 64, "otherSys");
    await rt.main(function* () {
      lockOSThread();
      for (let i = 0; i < 4; i++) rt.go(tasks.collect, at, 20);
      while (rt.memory.kernel.load(at) === 0) yield* sleep(1);
    });
    const sum = rt.memory.persistentAlloc(64, 64, "otherSys");
    const value = await rt.main(function* () {
      lockOSThread();
      const all = [];
      for (let i = 0; i < 100; i++) all.push(rt.go(tasks.add, sum, 1));
      for (const g of all) yield* g.done();
      return `${rt.memory.u32[sum >>> 2]} of 100, ${numGoroutine()}`;
    });
    print("returned", value);
  },
  /** Goroutines of two workers crash at the same time. */
  async crashTwice() {
    const rt = runtime({ gomaxprocs: 3 });
    const at = rt.memory.persistentAlloc(64, 64, "otherSys");
    const first = await rt
      .main(function* () {
        lockOSThread();
        const all = [rt.go(tasks.failTogether, at, 2), rt.go(tasks.failTogether, at, 2)];
        for (const g of all) yield* g.done();
      })
      .catch((e) => e.message);
    const second = await rt.main(function* () {
      yield* sleep(100);
      return "the next program runs";
    });
    print(first, second);
    rt.close();
  },
  /** A worker has died with a lock of the heap, which the close takes. */
  async closeUnderLock() {
    const rt = await main(cases.done);
    rt.allocator.freeOSMemory = () => {
      throw new FatalError("throw", "ERR_GORT_LOCK", "lock mcentral is held by thread 2, which has ended");
    };
    rt.close();
    print(rt.closed, rt.allocator.closed);
  },
  async nested() {
    const outer = await main(function* (rt) {
      const inner = createRuntime({ gomaxprocs: 2, maxMemory: 64 << 20 });
      yield* rt.go(tasks.nothing).done();
      const at = inner.allocator.malloc(64);
      yield* rt.syscall(
        inner.main(function* () {
          inner.lockOSThread();
          yield* inner.go(tasks.add, at, 5).done();
        }),
      );
      if (inner.memory.u32[at >>> 2] !== 5) throw new Error("the inner worker has not run");
      inner.close();
      yield* rt.go(tasks.nothing).done();
      return "both";
    });
    outer.close();
  },
  /** The factory of the program. */
  async workers(how) {
    const made = [];
    const rt = await main(cases.done, {
      workers() {
        const w = new Worker(new URL(`worker-${how}.mjs`, import.meta.url));
        made.push(w);
        return w;
      },
    });
    print(made.length > 0);
    rt.close();
  },
  async badWorkers(how) {
    let same;
    workersOf.same = () => (same ??= new Worker(new URL("worker-good.mjs", import.meta.url)));
    // Two tasks wait at once, and this thread is locked: two workers start.
    const both = function* (rt) {
      lockOSThread();
      const all = [rt.go(tasks.nothing), rt.go(tasks.nothing)];
      for (const g of all) yield* g.done();
    };
    await main(how === "same" ? both : cases.done, { workers: workersOf[how] });
    process.exit();
  },
  /** A start message of another release. */
  async otherRelease() {
    const worker = new Worker(new URL("../../dist/worker.js", import.meta.url));
    const { port1, port2 } = new MessageChannel();
    worker.postMessage({ "gort.start": { version: "go1.27.3 gort/9.9.9", port: port2 } }, [port2]);
    port1.onmessage = ({ data }) => {
      print(data.failed.message);
      process.exit();
    };
  },
};

const [, , name, how] = process.argv;
if (name in programs) {
  await programs[name](how);
} else {
  const rt = await main(cases[name]);
  if (how === "close") rt.close();
}
