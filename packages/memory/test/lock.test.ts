import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { createLinearMemory, Lock } from "../src/index.ts";

describe("Lock", () => {
  it("is held once, and free after unlock", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const l = new Lock(mem, mem.reserveControl(8));
    l.lock();
    expect(l.held).toBe(true);
    expect(l.tryLock()).toBe(false);
    l.unlock();
    expect(l.tryLock()).toBe(true);
    l.unlock();
    expect(() => l.unlock()).toThrow("unlock of the free lock");
  });

  it("throws instead of waiting for ever on a memory that no other thread can have", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20, shared: false });
    const l = new Lock(mem, mem.reserveControl(8));
    l.lock();
    expect(() => l.lock()).toThrow("held by its own thread");
  });

  it("throws rather than hang when the holder is gone", { timeout: 30_000 }, () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const l = new Lock(mem, mem.reserveControl(8));
    l.lock();
    expect(() => l.lock()).toThrow("was not released for 10000 ms: its holder was terminated");
  });

  it("keeps four threads out of each other's way, sleeping and spinning", { timeout: 60_000 }, async () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const at = mem.reserveControl(16);
    // Workers can't load TypeScript: they run the built package.
    const worker = new URL("workers/lock.mjs", import.meta.url);
    const workers = Array.from(
      { length: 4 },
      () => new Worker(worker, { workerData: { memory: mem.memory, at }, execArgv: [] }),
    );
    await Promise.all(
      workers.map(
        (w) => new Promise<void>((resolve, reject) => w.on("exit", () => resolve()).on("error", reject)),
      ),
    );
    expect(mem.u32[(at + 8) >>> 2]).toBe(80_000);
    expect(mem.u32[at >>> 2]).toBe(0);
  });
});
