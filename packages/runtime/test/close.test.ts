import { addrOf } from "@gort/types";
import { afterEach, describe, expect, it } from "vitest";
import * as debug from "../src/debug.ts";
import * as module from "../src/index.ts";
import {
  createRuntime,
  defaultRuntime,
  type Runtime,
  setDefaultRuntime,
  struct,
  uint8,
} from "../src/index.ts";
import * as metrics from "../src/metrics.ts";
import * as pprof from "../src/pprof.ts";
import * as unsafe from "../src/unsafe.ts";

const make = () => createRuntime({ maxMemory: 64 * 2 ** 20, stderr: () => {} });

/** Every method and accessor of an object, its own and inherited ones. */
function members(target: object): { name: string; accessor: boolean }[] {
  const found = new Map<string, boolean>();
  for (let o = target; o !== Object.prototype; o = Object.getPrototypeOf(o) as object) {
    for (const [name, p] of Object.entries(Object.getOwnPropertyDescriptors(o))) {
      if (name === "constructor" || found.has(name)) continue;
      if (p.get !== undefined || p.set !== undefined) found.set(name, true);
      else if (typeof p.value === "function") found.set(name, false);
    }
  }
  return [...found].map(([name, accessor]) => ({ name, accessor }));
}

/** Members that need no runtime, and stay. */
const free = new Set(
  (
    "append breakpoint close closed copy defaultCase defer frame goexit goroot keepAlive numCPU panic recover " +
    "recvCase sendCase stderr toJSON toString version"
  ).split(" "),
);

describe("a closed runtime", () => {
  const open = make();
  const old = make();
  const p = old.unsafe.mallocgc(16);
  const o = old.newObject(struct("pair", { a: uint8, b: uint8 }), { a: 1, b: 2 });
  old.close();
  const parts: [string, (rt: Runtime) => object][] = [
    ["", (rt) => rt],
    ["unsafe.", (rt) => rt.unsafe],
    ["metrics.", (rt) => rt.metrics],
    ["types.", (rt) => rt.types],
  ];

  for (const [prefix, part] of parts) {
    const all = members(part(open)).filter(({ name }) => prefix !== "" || !free.has(name));
    it.each(all)(`refuses ${prefix}$name`, async ({ name, accessor }) => {
      const text = `runtime: use of a runtime after its close (${prefix}${name})`;
      const target = part(old) as Record<string, unknown>;
      let thrown: unknown;
      try {
        // Without arguments: the close counts before they do.
        const result = accessor ? target[name] : (target[name] as () => unknown)();
        await result;
      } catch (err) {
        thrown = err;
      }
      expect(thrown).toBeInstanceOf(TypeError);
      expect((thrown as Error).message).toBe(text);
    });
  }

  it("refuses settings as well as readings of an accessor", () => {
    expect(() => {
      old.memProfileRate = 1;
    }).toThrow("after its close (memProfileRate)");
  });

  it("may be closed again, and keeps what belongs to no runtime", () => {
    old.close();
    for (const name of free) expect(() => (old as never)[name], name).not.toThrow();
    expect(old.version()).toBe(open.version());
    old.keepAlive(o);
    expect(old.closed).toBe(true);
    expect(open.closed).toBe(false);
  });

  it("lets what was in its heap be read, and allocates nothing", () => {
    expect(o.a + o.b).toBe(3);
    expect(addrOf(o)).toBeGreaterThan(p);
    expect(() => old.allocator.mallocgc(16, 0, true)).toThrow("allocator: the allocator is closed");
  });

  it("refuses the text of its heap profile, which ends with MemStats", async () => {
    await expect(old.profiler.lookup("heap")!.writeTo(() => {}, 1)).rejects.toThrow(
      new TypeError("runtime: use of a runtime after its close (readMemStats)"),
    );
  });

  it("is refused when the function that closes it has used it before", async () => {
    const rt = make();
    const { readMemStats, unsafe: raw } = rt;
    await expect(
      rt.main(function* () {
        yield* rt.gosched();
        rt.root(raw.newObject(uint8));
        rt.close();
        yield* rt.gosched();
      }),
    ).rejects.toThrow("closed");
    expect(() => raw.mallocgc(8)).toThrow("after its close (unsafe.mallocgc)");
    expect(typeof readMemStats).toBe("function");
  });
});

describe("the module's functions, their runtime being closed", () => {
  const before = setDefaultRuntime(make());
  afterEach(() => {
    if (before !== null) setDefaultRuntime(before);
  });

  const modules: [string, object][] = [
    ["index", module],
    ["debug", debug],
    ["metrics", metrics],
    ["pprof", pprof],
    ["unsafe", unsafe],
  ];
  /** Those that need no runtime. */
  const independent = new Set(
    (
      "addrOf append appendSlice array bytesToString copy crashReport createRuntime defaultCase defer " +
      "diffMemStats dumpOnSigquit formatBytes " +
      "formatDuration frame goexit goroot isFatalError isRuntimeError memStatsJSON newMemStats numCPU panic " +
      "pointer recover " +
      "newSample serveCPUProfile workerThread recvCase same sendCase setDefaultRuntime slice struct summary " +
      "toUint8Array version breakpoint buildInfo heapSnapshot " +
      "readHeapDump keepAlive labels withLabels sizeof alignof offsetof flame diffProfiles " +
      "cap chan close len recv recv2 send clone task parallel " +
      // These functions check their arguments first.
      "setMaxThreads setMaxStack setMemoryLimit setPanicOnFault setTraceback writeHeapDump"
    ).split(" "),
  );
  const functions = modules.flatMap(([name, m]) =>
    Object.entries(m)
      .filter(([key, f]) => typeof f === "function" && /^[a-z]/.test(key) && !independent.has(key))
      .map(([key, f]) => ({ name: `${name}: ${key}`, f: f as () => unknown })),
  );

  it.each(functions)("refuse $name", async ({ f }) => {
    const rt = make();
    setDefaultRuntime(rt);
    rt.close();
    let thrown: unknown;
    try {
      await f();
    } catch (err) {
      thrown = err;
    }
    expect(String(thrown)).toMatch(/^TypeError: runtime: use of a runtime after its close/);
  });

  it("refuse a call with correct arguments too", () => {
    const rt = make();
    setDefaultRuntime(rt);
    rt.close();
    for (const f of [
      () => debug.setMaxThreads(5),
      () => debug.setMaxStack(4096),
      () => debug.setMemoryLimit(1e9),
      () => debug.setPanicOnFault(true),
      () => debug.setTraceback("all"),
      () => debug.writeHeapDump(() => {}),
      () => defaultRuntime(),
    ]) {
      expect(f).toThrow("runtime: use of a runtime after its close");
    }
  });

  it("don't take a closed runtime for their own", () => {
    const rt = make();
    rt.close();
    expect(() => setDefaultRuntime(rt)).toThrow(
      "runtime: use of a runtime after its close (setDefaultRuntime)",
    );
  });
});
