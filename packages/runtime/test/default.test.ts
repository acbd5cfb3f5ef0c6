import { WaitGroup } from "@gort/scheduler/sync";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import * as debug from "../src/debug.ts";
import {
  createRuntime,
  defaultRuntime,
  int,
  makeSlice,
  numGoroutine,
  type Runtime,
  setDefaultRuntime,
} from "../src/index.ts";
import * as metrics from "../src/metrics.ts";
import * as pprof from "../src/pprof.ts";
import * as unsafe from "../src/unsafe.ts";

const make = () => createRuntime({ maxMemory: 64 << 20, gogc: "off", stderr: () => {} });

describe("the default runtime", () => {
  it("is made when host code uses sync first, and runs the goroutines of it", async () => {
    const wg = new WaitGroup();
    let counted = 0;
    wg.go(() => {
      counted = defaultRuntime().numGoroutine();
    });
    await wg.wait();
    expect(counted).toBe(1);
    defaultRuntime().close();
  });
});

describe("in a goroutine of another runtime, functions use that runtime:", () => {
  let byDefault: Runtime;
  let own: Runtime;

  beforeEach(() => {
    byDefault = make();
    own = make();
    setDefaultRuntime(byDefault);
  });
  afterEach(() => {
    byDefault.close();
    own.close();
  });

  it("those of the module", async () => {
    await own.main(function* () {
      for (let i = 0; i < 1000; i++) makeSlice(int, 4);
      for (let i = 0; i < 7; i++) own.go(() => {});
      expect(numGoroutine()).toBe(8);
      yield* own.gosched();
    });
    expect([own.readMemStats().Mallocs, byDefault.readMemStats().Mallocs]).toEqual([1000, 0]);
  });

  it("those of unsafe", async () => {
    const two = new Uint32Array(2);
    await own.main(() => {
      const type = unsafe.newType(16, [1]);
      for (let i = 0; i < 1000; i++) unsafe.newObject(int);
      const [a, b] = [unsafe.mallocgc(16, type), unsafe.newArray(int, 2)];
      const slot = unsafe.newRoot(a);
      unsafe.setRoot(slot, b);
      unsafe.store(int, b, 5);
      expect(Number(unsafe.load(int, b))).toBe(5);
      expect(Number(unsafe.view(int, b).value)).toBe(5);
      expect(unsafe.bytes(b, 8).buffer).toBe(own.memory.buffer);
      two[0] = own.collector.refs.inuse;
      unsafe.freeRoot(slot);
      two[1] = own.collector.refs.inuse;
    });
    expect([...two]).toEqual([1, 0]);
    expect([own.readMemStats().Mallocs, byDefault.readMemStats().Mallocs]).toEqual([1002, 0]);
    expect(byDefault.collector.refs.inuse).toBe(0);
  });

  it("those of debug, metrics and pprof", async () => {
    own.gc();
    await own.main(() => {
      expect(debug.readGCStats().NumGC).toBe(1);
      expect(debug.setGCPercent(50)).toBe(-1);
      const cycles = metrics.newSample("/gc/cycles/total:gc-cycles");
      metrics.read([cycles]);
      expect(cycles.Value.uint64()).toBe(1);
      pprof.newProfile("mine");
      expect(pprof.lookup("mine")).not.toBeNull();
    });
    expect(own.collector.gcPercent).toBe(50);
    expect(byDefault.collector.gcPercent).toBe(-1);
    expect(byDefault.profiler.lookup("mine")).toBeNull();
  });
});
