import { closeSync, existsSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import * as debug from "../src/debug.ts";
import { defaultRuntime, setDefaultRuntime } from "../src/default.ts";
import { parseTraceback } from "../src/env.ts";
import {
  addrOf,
  createRuntime,
  int,
  isFatalError,
  pointer,
  type Runtime,
  type RuntimeOptions,
  struct,
} from "../src/index.ts";
import { newSample } from "../src/metrics.ts";
import { closeAfterTest } from "./kit.ts";

let printed = "";

/** A small runtime, made the default one, so that the functions of the module are about it. */
function make(options: RuntimeOptions = {}): Runtime {
  const rt = createRuntime({
    maxMemory: 128 << 20,
    godebug: "",
    gogc: 100,
    stderr: (text) => {
      printed += text;
    },
    seed: 1,
    ...options,
  });
  setDefaultRuntime(rt);
  closeAfterTest(rt);
  return rt;
}

afterEach(() => {
  printed = "";
});

const Node = struct("Node", {
  value: int,
  get next() {
    return pointer(Node);
  },
});

describe("setGCPercent", () => {
  it("gives the setting before, and off as -1", () => {
    make();
    expect(debug.setGCPercent(50)).toBe(100);
    expect(debug.setGCPercent(-5)).toBe(50);
    expect(debug.setGCPercent(100)).toBe(-1);
  });

  it("moves the goal at once", () => {
    const rt = make();
    const goal = rt.readMemStats().NextGC;
    debug.setGCPercent(200);
    expect(rt.readMemStats().NextGC).toBe(2 * goal);
    debug.setGCPercent(-1);
    expect(rt.readMemStats().NextGC).toBeGreaterThan(2 ** 62);
    expect(rt.readMemStats().EnableGC).toBe(true);
  });

  it("refuses a value that is no integer", () => {
    make();
    expect(() => debug.setGCPercent(1.5)).toThrow(RangeError);
    expect(() => debug.setGCPercent("50" as never)).toThrow(/must be an integer/);
    expect(debug.setGCPercent(100)).toBe(100);
  });
});

describe("setMemoryLimit", () => {
  it("gives the limit before; a negative one changes nothing", () => {
    make();
    expect(debug.setMemoryLimit(-1)).toBe(debug.noMemoryLimit);
    expect(debug.setMemoryLimit(64 << 20)).toBe(debug.noMemoryLimit);
    expect(debug.setMemoryLimit(-7)).toBe(64 << 20);
    expect(debug.setMemoryLimit(debug.noMemoryLimit)).toBe(64 << 20);
  });

  it("refuses a value that is no number of bytes", () => {
    make();
    expect(() => debug.setMemoryLimit(Number.NaN)).toThrow(/must be a number of bytes/);
    expect(() => debug.setMemoryLimit("1GiB" as never)).toThrow(TypeError);
    expect(() => debug.setMemoryLimit(0.5)).toThrow(/whole number/);
    expect(debug.setMemoryLimit(-1)).toBe(debug.noMemoryLimit);
  });
});

describe("freeOSMemory", () => {
  it("collects, and gives free pages back", () => {
    const rt = make();
    for (let i = 0; i < 8; i++) rt.unsafe.mallocgc(1 << 20, 0);
    debug.freeOSMemory();
    const m = rt.readMemStats();
    expect(m.NumForcedGC).toBe(1);
    expect(m.HeapAlloc).toBe(0);
    if (rt.memory.canRelease) expect(m.HeapReleased).toBe(m.HeapIdle);
  });
});

describe("readGCStats", () => {
  it("gives the pauses of the last cycles, the latest first, and their quantiles", () => {
    const rt = make();
    for (let i = 0; i < 5; i++) rt.gc();
    const s = debug.readGCStats(5);
    const m = rt.readMemStats();
    expect(s.NumGC).toBe(5);
    expect(s.Pause).toEqual([4, 3, 2, 1, 0].map((i) => m.PauseNs[i]));
    expect(s.PauseEnd[0]).toBe(m.LastGC);
    expect(s.PauseTotal).toBe(m.PauseTotalNs);
    expect(s.PauseQuantiles).toEqual([...s.Pause].sort((a, b) => a - b));
    expect(() => debug.readGCStats(-1)).toThrow(RangeError);
  });
});

describe("setMaxThreads", () => {
  it("gives the setting before, 10000 at first", () => {
    make();
    expect(debug.setMaxThreads(20)).toBe(10000);
    expect(debug.setMaxThreads(2 ** 40)).toBe(20);
    expect(debug.setMaxThreads(10000)).toBe(0x7fffffff);
  });

  it("is fatal below the number in use, as in Go", () => {
    make();
    let err: unknown;
    try {
      debug.setMaxThreads(0);
    } catch (e) {
      err = e;
    }
    expect(isFatalError(err)).toBe(true);
    expect(err).toMatchObject({
      message: "thread exhaustion",
      detail: "runtime: program exceeds 0-thread limit",
    });
    expect(() => debug.setMaxThreads(1.5)).toThrow(TypeError);
  });
});

describe("setMaxStack and setPanicOnFault", () => {
  it("keep the settings, each runtime its own", () => {
    const a = make();
    expect(debug.setMaxStack(1 << 20)).toBe(1_000_000_000);
    expect(debug.setPanicOnFault(true)).toBe(false);
    make();
    expect(debug.setMaxStack(1 << 20)).toBe(1_000_000_000);
    expect(debug.setPanicOnFault(true)).toBe(false);
    setDefaultRuntime(a);
    expect(debug.setMaxStack(5)).toBe(1 << 20);
    expect(debug.setPanicOnFault(false)).toBe(true);
    expect(() => debug.setMaxStack(Number.NaN)).toThrow(TypeError);
    expect(() => debug.setPanicOnFault(1 as never)).toThrow(TypeError);
  });
});

describe("a goroutine's stack", () => {
  it("grows by copying up to the limit, beyond which the program ends with Go's text", async () => {
    const rt = make();
    debug.setMaxStack(8192);
    let rooted = 0;
    const first: number[] = [];
    const end = rt.main(function* () {
      const roots = [];
      for (;;) {
        const p = rt.unsafe.newObject(int);
        roots.push(rt.root(p));
        rooted++;
        if (rooted === 1) first.push(p);
        if (rooted === 1000) {
          yield* rt.gosched();
          rt.gc();
          first.push(roots[0].ptr, rt.readMemStats().StackInuse);
        }
      }
    });
    await expect(end).rejects.toMatchObject({
      message: "stack overflow",
      code: "ERR_GORT_STACK_OVERFLOW",
      kind: "throw",
      detail: "runtime: goroutine stack exceeds 8192-byte limit",
    });
    expect(rooted).toBe(8192 / 8 - 1);
    expect(first[1]).toBe(first[0]);
    expect(first[2]).toBeGreaterThanOrEqual(8192);
  });
});

describe("setTraceback", () => {
  it("reads Go's levels", () => {
    expect(parseTraceback("none")).toEqual({ level: 0, all: false, crash: false });
    for (const text of [undefined, "", "single"]) {
      expect(parseTraceback(text)).toEqual({ level: 1, all: false, crash: false });
    }
    expect(parseTraceback("all")).toEqual({ level: 1, all: true, crash: false });
    expect(parseTraceback("system")).toEqual({ level: 2, all: true, crash: false });
    expect(parseTraceback("crash")).toEqual({ level: 2, all: true, crash: true });
    expect(parseTraceback("2")).toEqual({ level: 2, all: true, crash: false });
    for (const text of ["ALL", "-1", "99999999999"]) {
      expect(parseTraceback(text)).toEqual({ level: 0, all: true, crash: false });
    }
  });

  it("says whether a crash shows all goroutines, but not less than the environment", () => {
    const rt = make();
    debug.setTraceback("all");
    expect(rt.scheduler.tracebackAll).toBe(true);
    debug.setTraceback("single");
    expect(rt.scheduler.tracebackAll).toBe(false);
    process.env.GOTRACEBACK = "all";
    try {
      debug.setTraceback("single");
      expect(rt.scheduler.tracebackAll).toBe(true);
      expect(make().scheduler.tracebackAll).toBe(true);
    } finally {
      delete process.env.GOTRACEBACK;
    }
    expect(() => debug.setTraceback(2 as never)).toThrow(TypeError);
  });
});

describe("stack, printStack and buildInfo", () => {
  it("are about the calling goroutine and the program", async () => {
    const rt = make();
    await rt.main(function* () {
      debug.printStack();
    });
    expect(printed).toMatch(/^goroutine 1 \[running\]:\n/);
    const info = debug.buildInfo();
    expect(info.GoVersion).toMatch(/^go1\./);
    expect(info.Settings).toContainEqual({ Key: "-compiler", Value: "gort" });
    expect(info.Settings).toContainEqual({ Key: "node", Value: process.versions.node });
    const lines = String(info).split("\n");
    expect(lines[0]).toBe(`go\t${info.GoVersion}`);
    expect(lines).toContain("build\t-compiler=gort");
  });
});

describe("functions of debug", () => {
  it("mean the runtime of the running goroutine", async () => {
    const one = make();
    const other = createRuntime({ maxMemory: 64 << 20, godebug: "", gogc: 300, stderr: () => {} });
    closeAfterTest(other);
    setDefaultRuntime(one);
    const before = await other.main(function* () {
      return debug.setGCPercent(40);
    });
    expect(before).toBe(300);
    expect(defaultRuntime()).toBe(one);
    expect(debug.setGCPercent(100)).toBe(100);
  });
});

function dumpOf(): debug.HeapDump {
  const chunks: Uint8Array[] = [];
  const n = debug.writeHeapDump((chunk) => chunks.push(chunk.slice()));
  const bytes = new Uint8Array(Buffer.concat(chunks));
  expect(bytes.length).toBe(n);
  return debug.readHeapDump(bytes);
}

describe("writeHeapDump", () => {
  it("takes objects and statistics in one stop of the world", () => {
    const rt = make({ gogc: "off" });
    const sample = newSample("/sched/pauses/total/other:seconds");
    const stops = (): number => {
      rt.metrics.read([sample]);
      return sample.Value.float64Histogram().Counts.reduce((a, b) => a + b, 0);
    };
    const before = stops();
    dumpOf();
    expect(stops() - before).toBe(1);
  });

  it("has every object, its pointers, and what holds it", async () => {
    const rt = make({ gogc: "off" });
    let list = rt.newObject(Node, { value: 0 });
    for (let i = 1; i < 100; i++) list = rt.newObject(Node, { value: i, next: list });
    rt.unsafe.mallocgc(100_000, 0);
    const dump = dumpOf();
    const { HeapObjects, HeapAlloc, Mallocs } = rt.readMemStats();
    expect(dump.objectCount).toBe(HeapObjects);
    expect(dump.sizes.reduce((a, b) => a + b, 0)).toBe(HeapAlloc);
    expect(dump.memStats.Mallocs).toBe(Mallocs);
    expect(dump.roots.filter((r) => r.description === "refs").length).toBe(rt.collector.refs.inuse);
    expect(dump.roots.length).toBe(rt.collector.refs.inuse);
    // The list, from its head along its pointers.
    expect(dump.roots.map((r) => dump.find(r.to))).toContain(dump.find(addrOf(list)));
    const seen = new Set<number>();
    for (const r of dump.roots) {
      for (let at = dump.find(r.to); at >= 0 && !seen.has(at); ) {
        seen.add(at);
        const k = dump.firstPointer[at];
        at = k < dump.firstPointer[at + 1] ? dump.find(dump.pointers[k]) : -1;
      }
    }
    expect(seen.size).toBe(100);
    expect([...dump.sizes].filter((s) => s === 16).length).toBe(100);
    expect([...dump.sizes].filter((s) => s >= 100_000).length).toBe(1);
  });

  it("finds the pointers of headered and of large objects", () => {
    const rt = make({ gogc: "off" });
    const typ = rt.unsafe.newType(24, [0, 2]);
    const target = rt.unsafe.mallocgc(32, 0);
    const fill = (n: number): number => {
      const a = rt.unsafe.mallocgc(n * 24, typ);
      for (let i = 0; i < n; i++) rt.collector.storePointer(a + 24 * i + 16, target);
      return a;
    };
    const sizes = [10, 100, 5000];
    const made = sizes.map(fill);
    const dump = dumpOf();
    made.forEach((a, i) => {
      const at = dump.find(a);
      const from = dump.firstPointer[at];
      const to = dump.firstPointer[at + 1];
      const offsets = [...dump.pointerOffsets.slice(from, to)].map((o) => o - (a - dump.addresses[at]));
      expect(offsets.filter((o) => o % 24 === 16).length).toBe(sizes[i]);
      expect(offsets.every((o) => [0, 16].includes(o % 24))).toBe(true);
      expect(dump.pointers.slice(from, to).every((p) => p === target)).toBe(true);
    });
  });

  it("has goroutines with their roots, finalizers, globals, and where sampled objects come from", async () => {
    const rt = make({ gogc: "off", godebug: "memprofilerate=1" });
    const global = rt.memory.persistentAlloc(8, 8, "otherSys");
    const end = rt.collector.addGlobals(global, (global + 8) as never);
    rt.collector.storePointer(global, rt.unsafe.mallocgc(48, 0));
    const x = rt.newObject(Node);
    rt.setFinalizer(x, () => {});
    const dump = await rt.main(function* () {
      const c = rt.makeChan<number>();
      rt.go(function* holder() {
        using _kept = rt.root(rt.unsafe.mallocgc(80, 0) as never);
        yield* c.recv();
      });
      yield* rt.gosched();
      const d = dumpOf();
      yield* c.send(1);
      return d;
    });
    end();
    const holder = dump.goroutines.find((g) => g.waitReason === "chan receive")!;
    expect(holder.frames.length).toBe(1);
    const frame = holder.frames[0];
    expect(frame.name).toMatch(/^roots/);
    const held = dump.find(dump.pointerAt(frame.contents, 0));
    expect(dump.sizes[held]).toBe(80);
    expect(dump.goroutines.find((g) => g.id === 1)!.status).toBe(2);
    const globals = dump.roots.filter((r) => r.description === "globals");
    expect(globals.map((r) => dump.sizes[dump.find(r.to)])).toEqual([48]);
    expect(dump.finalizers.length).toBe(1);
    const stack = dump.allocs.get(dump.samples.get(dump.addresses[held])!)!;
    expect(stack.size).toBe(80);
    expect(stack.frames.some((f) => f.func.includes("holder"))).toBe(true);
    const text = [...debug.heapSnapshot(dump)].join("");
    expect(text).toContain("[chan receive]");
    expect(JSON.parse(text).snapshot.node_count).toBeGreaterThan(dump.objectCount);
  });

  it("leaves the heap as it was, also while a cycle marks", () => {
    const rt = make({ gogc: "off" });
    const list = rt.newObject(Node, { next: rt.newObject(Node) });
    rt.collector.start();
    const n = dumpOf().objectCount;
    expect(n).toBe(rt.readMemStats().HeapObjects);
    rt.gc();
    expect(dumpOf().objectCount).toBe(rt.readMemStats().HeapObjects);
    expect(list.next!.value).toBe(0);
  });

  it("goes to a file, by its descriptor or its path", () => {
    const rt = make();
    const path = join(tmpdir(), `gort-${process.pid}.heapdump`);
    rt.unsafe.mallocgc(64, 0);
    try {
      const n = debug.writeHeapDump(path);
      const first = readFileSync(path);
      expect(first.length).toBe(n);
      const fd = openSync(path, "w");
      debug.writeHeapDump(fd);
      closeSync(fd);
      expect(debug.readHeapDump(readFileSync(path)).objectCount).toBe(debug.readHeapDump(first).objectCount);
    } finally {
      rmSync(path, { force: true });
    }
  });

  it("says that a dump to a full disk is incomplete, and starts the world again", async () => {
    // Linux has a device that is always full.
    if (!existsSync("/dev/full")) return;
    const rt = make();
    expect(() => debug.writeHeapDump("/dev/full")).toThrow(
      /^debug: heap dump is incomplete after 0 bytes: ENOSPC/,
    );
    const sink = (): never => {
      throw new RangeError("no more");
    };
    expect(() => debug.writeHeapDump(sink)).toThrow("no more");
    await rt.main(function* () {
      yield* rt.gosched();
    });
    rt.gc();
    expect(dumpOf().objectCount).toBe(rt.readMemStats().HeapObjects);
  });

  it("refuses other targets, and a path that can't be made", () => {
    make();
    expect(() => debug.writeHeapDump(-1)).toThrow(TypeError);
    expect(() => debug.writeHeapDump(null as never)).toThrow(/file descriptor, a path or a function/);
    expect(() => debug.writeHeapDump("/no/such/folder/dump")).toThrow(/ENOENT/);
  });
});
