import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createLinearMemory, MAX_MEMORY } from "../src/index.ts";
import { CONTROL_END } from "../src/internal.ts";
import { verifyMemory } from "../src/testing.ts";

const MiB = 1 << 20;

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

  it("reserve nothing after the last byte of a 4 GiB memory, from either end", () => {
    for (const from of ["low", "high"] as const) {
      const mem = createLinearMemory();
      const rest = mem.unreserved;
      expect(mem.sysReserve(rest, 8)).toBe(MAX_MEMORY - rest);
      expect(mem.unreserved).toBe(0);
      expect(mem.sysReserve(8, 8, from)).toBe(0);
      verifyMemory(mem);
    }
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

  it("release nothing with release: false", () => {
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
    const base = join(dir, "node_modules/@gort/base");
    for (const part of ["dist", "package.json"]) {
      cpSync(new URL(`../../base/${part}`, import.meta.url), join(base, part), { recursive: true });
    }
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
