// Programs with the option collectorThread: `node collector-cases.mjs NAME`.
import { Worker } from "node:worker_threads";
import { createRuntime, setDefaultRuntime } from "@gort/runtime";
import { nothing } from "./tasks.mjs";

const print = (...args) => console.log(args.join(" "));

/** The worker of the last runtime. */
let worker = null;
const workers = () => {
  worker = new Worker(new URL("worker-good.mjs", import.meta.url));
  return worker;
};

function runtime(options = {}) {
  const rt = createRuntime({ collectorThread: true, maxMemory: 256 << 20, gogc: 50, ...options });
  setDefaultRuntime(rt);
  return rt;
}

/** Waits until the thread has attached its collector. */
function* attached(rt) {
  for (let k = 0; k < 1000 && rt.collector.threads.others === 0; k++) yield* rt.sleep(5);
  if (rt.collector.threads.others === 0) throw new Error("no collector thread has come");
}

/** A complete tree of nodes whose third word is their number. */
function tree(rt, node, depth, at = 1) {
  const { allocator, memory, unsafe } = rt;
  const left = depth === 0 ? 0 : tree(rt, node, depth - 1, 2 * at);
  const right = depth === 0 ? 0 : tree(rt, node, depth - 1, 2 * at + 1);
  const p = allocator.mallocTyped(node);
  unsafe.storePointer(p, left);
  unsafe.storePointer(p + 8, right);
  memory.u32[(p + 16) >>> 2] = at;
  return p;
}

/** Throws unless p is such a tree; returns its nodes. */
function verify(rt, p, at = 1) {
  if (p === 0) return 0;
  const { u32 } = rt.memory;
  if (u32[(p + 16) >>> 2] !== at) throw new Error(`node ${at} has number ${u32[(p + 16) >>> 2]}`);
  return 1 + verify(rt, u32[p >>> 2], 2 * at) + verify(rt, u32[(p + 8) >>> 2], 2 * at + 1);
}

const DEPTH = 9;
const TREES = 64;

/** Replaces trees of a heap of some 4 MB for a while; every tree is checked before it is dropped. */
function* churn(rt, rounds) {
  const { allocator, unsafe, memory } = rt;
  const node = unsafe.newType(24, [0, 1]);
  const table = allocator.mallocgc(8 * TREES, unsafe.newType(8, [0]), true);
  unsafe.newRoot(table);
  let nodes = 0;
  for (let k = 0; k < rounds; k++) {
    const slot = table + 8 * ((k * 7919) % TREES);
    nodes += verify(rt, memory.u32[slot >>> 2]);
    unsafe.storePointer(slot, tree(rt, node, DEPTH));
    yield* rt.gosched();
  }
  return nodes;
}

const cases = {
  /** The thread marks; the main thread only when it allocates faster than the thread marks. */
  async marks() {
    const rt = runtime({ gogc: 1000, maxMemory: 512 << 20 });
    await rt.main(function* () {
      yield* attached(rt);
      const node = rt.unsafe.newType(24, [0, 1]);
      const root = rt.unsafe.newRoot(tree(rt, node, 18));
      const n = rt.readMemStats().NumGC;
      rt.collector.requestGC();
      for (let k = 0; k < 10_000 && rt.readMemStats().NumGC === n; k++) yield* rt.sleep(1);
      print("cycles", rt.readMemStats().NumGC - n);
      // In the stops the main thread marks a little.
      const { marker } = rt.collector;
      const { idleNs, dedicatedNs } = rt.collector.record;
      print("idle", idleNs > 10 * dedicatedNs);
      print("here", marker.scanned < marker.heapScanWork / 20, "all", marker.heapScanWork > 10e6);
      for (let k = 0; k < 10_000 && !rt.collector.sweeper.done; k++) yield* rt.sleep(1);
      print("swept", rt.collector.sweeper.done, verify(rt, rt.memory.u32[root >>> 2]));
    });
    rt.close();
  },
  async churn(godebug, rounds) {
    const rt = runtime({ godebug });
    const nodes = await rt.main(function* () {
      yield* attached(rt);
      return yield* churn(rt, Number(rounds));
    });
    print(nodes, rt.readMemStats().NumGC > 3);
    rt.close();
  },
  /** The thread takes no tasks, whatever GOMAXPROCS is. */
  async tasks() {
    const rt = runtime({ gomaxprocs: 2 });
    await rt.main(function* () {
      yield* attached(rt);
      rt.lockOSThread();
      for (let k = 0; k < 20; k++) yield* rt.go(nothing).done();
      print(rt.collector.threads.others);
    });
    rt.close();
  },
  /** The thread comes while a cycle marks, in which nothing but the thread can mark. */
  async late() {
    const rt = runtime({ gogc: 1000 });
    await rt.main(function* () {
      const node = rt.unsafe.newType(24, [0, 1]);
      const root = rt.unsafe.newRoot(tree(rt, node, 16));
      const n = rt.readMemStats().NumGC;
      rt.collector.start();
      // Without a safepoint, so that this thread does not mark.
      for (const end = Date.now() + 20_000; rt.collector.threads.others === 0 && Date.now() < end; );
      for (let k = 0; k < 2000 && rt.readMemStats().NumGC === n; k++) yield* rt.sleep(1);
      print("cycles", rt.readMemStats().NumGC - n);
      for (let k = 0; k < 2000 && !rt.collector.sweeper.done; k++) yield* rt.sleep(1);
      print("swept", rt.collector.sweeper.done, verify(rt, rt.memory.u32[root >>> 2]));
    });
    rt.close();
  },
  async killed() {
    const rt = runtime({ workers, gogc: 20 });
    try {
      await rt.main(function* () {
        yield* attached(rt);
        setTimeout(() => worker.terminate(), 50);
        yield* churn(rt, 1e9);
      });
    } catch (e) {
      print(e.constructor.name, e.code, e.message);
    }
    rt.close();
  },
  /** Before a program begins. */
  async unable(workers) {
    const make = { wrong: () => 5, fails: () => new Worker("throw new Error('no')", { eval: true }) }[
      workers
    ];
    const rt = runtime({ workers: make, stderr() {} });
    await new Promise((resolve) => setTimeout(resolve, 200));
    try {
      print(await rt.main(() => "ran"));
    } catch (e) {
      print(e.constructor.name, e.code, e.message);
    }
    rt.close();
  },
  async deadlock() {
    const rt = runtime({ stderr() {} });
    try {
      await rt.main(function* () {
        yield* attached(rt);
        yield* rt.makeChan().recv();
      });
    } catch (e) {
      print(e.constructor.name, e.message.split("\n")[0]);
    }
    rt.close();
  },
  /** Nothing is closed: the worker must not keep the process. */
  async open() {
    const rt = runtime();
    await rt.main(function* () {
      yield* attached(rt);
    });
    print("over");
  },
  async closed() {
    // At once, while the worker starts; and later.
    runtime().close();
    const rt = runtime();
    await rt.main(function* () {
      yield* attached(rt);
      rt.collector.requestGC();
      yield* churn(rt, 100);
    });
    rt.close();
    print("closed");
  },
};

await cases[process.argv[2]](...process.argv.slice(3));
