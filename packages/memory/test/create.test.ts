import { describe, expect, it } from "vitest";
import { attachLinearMemory, createLinearMemory, MAX_MEMORY, MIN_MEMORY } from "../src/index.ts";
import type { Platform } from "../src/internal.ts";
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
    [{ maxMemory: "1g" }, TypeError, '(got "1g")'],
    [{ shared: 1 }, TypeError, "shared must be a boolean (got 1)"],
    [{ release: "no" }, TypeError, 'release must be a boolean (got "no")'],
    [{ kernel: "native" }, TypeError, '"wasm" or "js" (got "native")'],
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

  it("names the requested size if the platform grants less than 64 MiB", () => {
    expect(() => createLinearMemory({ maxMemory: 128 * MiB }, stingy(60 * MiB, 60 * MiB))).toThrow(
      "the platform grants less than 67108864 bytes (requested 134217728): RangeError: Array buffer allocation failed",
    );
  });

  it("passes on an error that is no refusal", () => {
    const platform = stingy(0, 0);
    platform.wasmMemory = () => {
      throw new TypeError("broken");
    };
    expect(() => createLinearMemory({}, platform)).toThrow("broken");
  });
});

describe("options of any other kind than an object", () => {
  it.each<[unknown, string]>([
    [null, "null"],
    [5n, "5n"],
    ["x", '"x"'],
    [8, "8"],
    [() => 1, "a function"],
  ])("are named: %s", (options, shown) => {
    const text = `memory: options must be an object (got ${shown})`;
    expect(() => createLinearMemory(options as never)).toThrow(new TypeError(text));
    const { memory } = createLinearMemory({ maxMemory: MIN_MEMORY });
    expect(() => attachLinearMemory(memory as never, options as never)).toThrow(new TypeError(text));
  });

  it.each([Object.create(null), { toString: 1 }])("are named also where a value has no text", (value) => {
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

  it("rejects a buffer that createLinearMemory did not make", () => {
    for (const bad of [new ArrayBuffer(1 << 20), new ArrayBuffer(8), new Uint32Array(8), null, 8n]) {
      expect(() => attachLinearMemory(bad as never)).toThrow(/^memory: attachLinearMemory needs a memory/);
    }
  });
});
