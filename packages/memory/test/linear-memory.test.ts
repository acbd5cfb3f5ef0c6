import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { attachLinearMemory, createLinearMemory, MAX_MEMORY, MIN_MEMORY } from "../src/index.ts";
import { CONTROL_END, type Platform } from "../src/internal.ts";
import { verifyMemory } from "../src/testing.ts";

const MiB = 1 << 20;

/** A platform that grants no more than `wasm` and `buffer` bytes. */
function stingy(wasm: number, buffer: number): Platform & { tried: number[] } {
  const tried: number[] = [];
  return {
    tried,
    wasmMemory(pages, shared) {
      tried.push(pages * 65536);
      if (pages * 65536 > wasm) throw new RangeError("WebAssembly.Memory(): could not allocate memory");
      const host = globalThis as unknown as { WebAssembly: { Memory: new (d: object) => never } };
      return new host.WebAssembly.Memory({ initial: pages, maximum: pages, shared });
    },
    buffer(size, shared) {
      if (size > buffer) throw new RangeError("Array buffer allocation failed");
      return shared ? new SharedArrayBuffer(size) : new ArrayBuffer(size);
    },
  };
}

describe("createLinearMemory", () => {
  it("reserves 4 GiB by default, shared, at the cost of address space only", () => {
    const before = process.memoryUsage.rss();
    const mem = createLinearMemory();
    expect(mem.size).toBe(MAX_MEMORY);
    expect(mem.shared).toBe(true);
    expect(mem.u8.length).toBe(MAX_MEMORY);
    expect(process.memoryUsage.rss() - before).toBeLessThan(8 * MiB);
    verifyMemory(mem);
  });

  it("rounds up to 64 KiB", () => {
    expect(createLinearMemory({ maxMemory: MIN_MEMORY + 1 }).size).toBe(MIN_MEMORY + 65536);
  });

  it.each([
    [{ maxMemory: 1 << 20 }, RangeError, "(got 1048576)"],
    [{ maxMemory: 2 ** 33 }, RangeError, "4294967296 bytes (got 8589934592)"],
    [{ maxMemory: 1e8 + 0.5 }, RangeError, "(got 100000000.5)"],
    [{ maxMemory: Number.NaN }, RangeError, "(got NaN)"],
    [{ maxMemory: "1g" }, TypeError, "(got 1g)"],
    [{ shared: 1 }, TypeError, "shared must be a boolean (got 1)"],
    [{ release: "no" }, TypeError, "release must be a boolean (got no)"],
    [{ kernel: "native" }, TypeError, '"wasm" or "js" (got native)'],
  ])("rejects the options %j", (options, type, text) => {
    const make = () => createLinearMemory(options as never);
    expect(make).toThrow(type);
    expect(make).toThrow(text);
  });

  it("falls back to the largest memory that the platform grants", () => {
    const platform = stingy(700 * MiB, 0);
    const mem = createLinearMemory({ maxMemory: 1024 * MiB }, platform);
    expect(mem.size).toBe(686 * MiB); // 1024 * (7/8)^3
    expect(mem.grant).toEqual({ requested: 1024 * MiB, granted: 686 * MiB, source: "wasm" });
    expect(platform.tried[0]).toBe(1024 * MiB);
    expect(mem.memory).not.toBeNull();
  });

  it("takes a plain buffer and the TypeScript kernel where every WebAssembly.Memory is refused", () => {
    for (const shared of [true, false]) {
      const mem = createLinearMemory({ maxMemory: 128 * MiB, shared }, stingy(0, 1024 * MiB));
      expect(mem.grant.source).toBe("buffer");
      expect([mem.memory, mem.kernel.kind, mem.shared, mem.canRelease]).toEqual([null, "js", shared, false]);
      expect(mem.persistentAlloc(100, 8, "gcSys")).toBeGreaterThan(0);
    }
  });

  it("says what was asked for when less than 64 MiB is granted", () => {
    expect(() => createLinearMemory({ maxMemory: 128 * MiB }, stingy(60 * MiB, 60 * MiB))).toThrow(
      "the platform grants less than 67108864 bytes (requested 134217728): RangeError: Array buffer allocation failed",
    );
  });

  it("does not take a failure that is no refusal for one", () => {
    const platform = stingy(0, 0);
    platform.wasmMemory = () => {
      throw new TypeError("broken");
    };
    expect(() => createLinearMemory({}, platform)).toThrow("broken");
  });
});

describe("options of any other kind than an object", () => {
  it.each([null, 5n, "x", 8, () => 1])("are named", (options) => {
    const shown = typeof options === "function" ? "a function" : String(options);
    const text = `memory: options must be an object (got ${shown})`;
    expect(() => createLinearMemory(options as never)).toThrow(new TypeError(text));
    const { memory } = createLinearMemory({ maxMemory: MIN_MEMORY });
    expect(() => attachLinearMemory(memory as never, options as never)).toThrow(new TypeError(text));
  });

  it.each([Object.create(null), { toString: 1 }])("and values of options that have no text", (value) => {
    for (const key of ["maxMemory", "shared", "release", "kernel", "staticLockRanking"]) {
      expect(() => createLinearMemory({ [key]: value })).toThrow(`memory: ${key} must be`);
    }
  });
});

describe("attachLinearMemory", () => {
  it("sees the same state", () => {
    const mem = createLinearMemory({ maxMemory: 64 * MiB });
    mem.setRoot(7, 4711);
    const p = mem.persistentAlloc(64, 8, "gcSys");
    const other = attachLinearMemory(mem.memory as never, { kernel: "js" });
    expect(other.root(7)).toBe(4711);
    expect(other.stats.gcSys).toBe(64);
    expect(other.persistentAlloc(64, 8, "gcSys")).toBe(p + 64);
    verifyMemory(mem);
  });

  it("rejects a buffer that is no memory of ours", () => {
    for (const bad of [new ArrayBuffer(1 << 20), new ArrayBuffer(8), new Uint32Array(8), null, 8n]) {
      expect(() => attachLinearMemory(bad as never)).toThrow(/^memory: attachLinearMemory needs a memory/);
    }
  });

  it("names an argument that is no number, and holds no lock afterwards", () => {
    const mem = createLinearMemory({ maxMemory: 64 * MiB }) as never as Record<
      string,
      (...a: unknown[]) => void
    > & {
      stats: { add(...a: unknown[]): void };
    };
    expect(() => mem.persistentAlloc(8n, 8, "gcSys")).toThrow(/persistentAlloc needs a size.*got 8, 8/);
    expect(() => mem.persistentAlloc(8, 8n, "gcSys")).toThrow(/persistentAlloc needs a size.*got 8, 8/);
    expect(() => mem.reserveControl(8n)).toThrow("reserveControl needs a whole number of bytes (got 8)");
    expect(() => mem.sysReserve(8n)).toThrow("sysReserve needs a whole number of bytes");
    expect(() => mem.sysMap(0n, 8, "gcSys")).toThrow("a range needs an address and bytes");
    expect(() => mem.stats.add("gcSys", 1n)).toThrow("stats.add needs a number of bytes (got 1)");
    expect(() => mem.persistentAlloc(8, 8, "gcSys")).not.toThrow();
  });
});

describe("sys states", () => {
  it("reserve from both ends until they meet, and give 0 then", () => {
    const mem = createLinearMemory({ maxMemory: 64 * MiB });
    const low = mem.sysReserve(10 * MiB, 65536);
    expect(low % 65536).toBe(0);
    const high = mem.sysReserve(10 * MiB, 65536, "high");
    expect(high).toBe(54 * MiB);
    expect(mem.sysReserve(60 * MiB)).toBe(0);
    expect(mem.sysReserve(mem.unreserved, 8)).toBe(low + 10 * MiB);
    expect(mem.unreserved).toBe(0);
    expect(mem.sysReserve(8, 8)).toBe(0);
    expect(mem.sysReserve(8, 8, "high")).toBe(0);
    verifyMemory(mem);
  });

  it("can reserve a 4 GiB memory to its very end", () => {
    const mem = createLinearMemory();
    const a = mem.sysReserve(4 * MiB, 4 * MiB);
    expect(mem.sysReserve(MAX_MEMORY - a - 4 * MiB, 4 * MiB)).toBe(a + 4 * MiB);
    expect(mem.sysReserve(4 * MiB, 8)).toBe(0);
    verifyMemory(mem);
  });

  it("count mapped bytes by purpose", () => {
    const mem = createLinearMemory({ maxMemory: 64 * MiB });
    const sys = mem.stats.sys;
    expect(mem.stats.otherSys).toBe(CONTROL_END);
    const p = mem.sysReserve(MiB);
    expect(mem.stats.sys).toBe(sys);
    mem.sysMap(p, MiB, "stackSys");
    mem.sysUsed(p, MiB);
    expect(mem.stats.stackSys).toBe(MiB);
    expect(mem.stats.sys).toBe(sys + MiB);
    mem.sysFree(p, MiB, "stackSys");
    expect(mem.stats.sys).toBe(sys);
    expect(() => mem.sysFree(p, MiB, "stackSys")).toThrow("sysStat stackSys underflow");
    expect(() => mem.sysMap(mem.size - 8, 16, "gcSys")).toThrow(RangeError);
  });

  it("give released pages back as zeros, where the platform can release", () => {
    const mem = createLinearMemory({ maxMemory: 64 * MiB });
    const p = mem.sysReserve(MiB, 65536);
    mem.kernel.fill(p, 7, MiB);
    const released = mem.sysUnused(p, MiB);
    expect(released).toBe(mem.canRelease);
    if (mem.releaseZeroes) expect(mem.u8[p + 5]).toBe(0);
    mem.u8[p] = 1;
    mem.sysFault(p, MiB);
    if (mem.canRelease) expect(() => mem.sysUnused(p + 1, 4096)).toThrow(RangeError);
  });

  // VmRSS is Linux's; that pages are given back is tested above, wherever they can be.
  it.runIf(process.platform === "linux")("lower VmRSS by the bytes released, within 5 %", () => {
    const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;
    const mem = createLinearMemory({ maxMemory: 512 * MiB });
    if (!mem.canRelease) throw new Error("koffi is not installed: release cannot be tested");
    const n = 200 * MiB;
    const p = mem.sysReserve(n, 65536);
    mem.kernel.fill(p, 7, n);
    const before = rss();
    expect(mem.sysUnused(p, n)).toBe(true);
    expect(Math.abs(before - rss() - n)).toBeLessThan(0.05 * n);
  });

  it("release nothing when turned off", () => {
    const mem = createLinearMemory({ maxMemory: 64 * MiB, release: false });
    const p = mem.sysReserve(MiB, 65536);
    mem.kernel.fill(p, 7, MiB);
    expect([mem.canRelease, mem.releaseZeroes, mem.sysUnused(p, MiB)]).toEqual([false, false, false]);
    expect(mem.u8[p + 5]).toBe(7);
  });

  it("work without koffi, and release nothing then", () => {
    // The built package, alone in a folder from which no koffi can be found.
    const dir = mkdtempSync(join(tmpdir(), "gort-memory-"));
    cpSync(new URL("../dist", import.meta.url), join(dir, "dist"), { recursive: true });
    const script = `
      const { createLinearMemory } = await import("./dist/index.js");
      const mem = createLinearMemory({ maxMemory: 1 << 26 });
      const p = mem.sysReserve(65536, 65536);
      mem.u8[p] = 3;
      console.log(JSON.stringify([mem.canRelease, mem.sysUnused(p, 65536), mem.u8[p]]));
    `;
    const args = ["--input-type=module", "-e", script];
    const text = execFileSync(process.execPath, args, {
      cwd: dir,
      encoding: "utf8",
      env: { ...process.env, NODE_PATH: "" },
    });
    rmSync(dir, { recursive: true });
    expect(JSON.parse(text)).toEqual([false, false, 3]);
  });
});

describe("persistentAlloc", () => {
  it("carves aligned zeroed pieces and moves their bytes from otherSys to their purpose", () => {
    const mem = createLinearMemory({ maxMemory: 64 * MiB });
    const other = mem.stats.otherSys;
    const a = mem.persistentAlloc(10, 8, "mspanSys");
    const b = mem.persistentAlloc(100, 64, "gcSys");
    expect(b % 64).toBe(0);
    expect(b).toBeGreaterThanOrEqual(a + 10);
    expect(mem.stats).toMatchObject({ mspanSys: 10, gcSys: 100, otherSys: other + 256 * 1024 - 110 });
    expect(mem.u8.subarray(a, b + 100).every((x) => x === 0)).toBe(true);
    verifyMemory(mem);
  });

  it("goes on at the high end when the low region is full, and gives 0 when nothing is left", () => {
    const mem = createLinearMemory({ maxMemory: 64 * MiB });
    mem.sysReserve(40 * MiB, 8);
    let p = 0;
    let high = 0;
    let total = 0;
    while ((p = mem.persistentAlloc(200_000, 8, "gcSys")) !== 0) {
      total += 200_000;
      if (p > 41 * MiB) high++;
    }
    expect(high).toBeGreaterThan(50);
    expect(mem.stats.gcSys).toBe(total);
    verifyMemory(mem);
  });

  it("rejects sizes and alignments that make no sense", () => {
    const mem = createLinearMemory({ maxMemory: 64 * MiB });
    expect(() => mem.persistentAlloc(0, 8, "gcSys")).toThrow(RangeError);
    expect(() => mem.persistentAlloc(8, 12, "gcSys")).toThrow(RangeError);
  });
});

describe("control block", () => {
  it("gives out zeroed pieces until it is full", () => {
    const mem = createLinearMemory({ maxMemory: 64 * MiB });
    const a = mem.reserveControl(12);
    expect(mem.reserveControl(4)).toBe(a + 16);
    expect(() => mem.reserveControl(65536)).toThrow("control block is full");
  });
});
