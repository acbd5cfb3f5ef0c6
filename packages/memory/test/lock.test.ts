import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createLinearMemory, isFatalError, Lock } from "../src/index.ts";
import { CONTROL, CONTROL_BASE } from "../src/layout.ts";

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

  it("throws instead of waiting for ever on a memory that no other thread can share", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20, shared: false });
    const l = new Lock(mem, mem.reserveControl(8));
    l.lock();
    expect(() => l.lock()).toThrow("held by its own thread");
  });

  it("throws at once for a thread that waits for itself", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const l = new Lock(mem, mem.reserveControl(8));
    l.lock();
    expect(l.holder).toBe(mem.thread);
    expect(() => l.lock()).toThrow("held by its own thread");
  });

  it("gives up after the timeout if nothing tells whether the holder lives", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const l = new Lock(mem, mem.reserveControl(8));
    const other = mem.registerThread();
    mem.lockTimeoutMs = 20;
    mem.kernel.store(l.addr, other << 1);
    expect(() => l.lock()).toThrow(`not released by thread ${other} for 20 ms`);
  });

  describe("if the host refuses Atomics.wait", () => {
    afterEach(() => vi.restoreAllMocks());

    /** Waits for a lock that its holder gives back at the n-th reading of the clock. Returns the sleeps. */
    function waits(shared: boolean, refuse: boolean, clock: { ms: number }, n = 3): number {
      const mem = createLinearMemory({ maxMemory: 64 << 20, shared });
      const l = new Lock(mem, mem.reserveControl(8));
      mem.kernel.store(l.addr, mem.registerThread() << 1);
      let readings = 0;
      vi.spyOn(performance, "now").mockImplementation(() => {
        if (++readings === n) mem.kernel.store(l.addr, 0);
        return clock.ms;
      });
      const wait = vi.spyOn(Atomics, "wait").mockImplementation(() => {
        if (refuse) throw new TypeError("Atomics.wait cannot be called in this context");
        return "timed-out";
      });
      wait.mockClear();
      l.lock();
      return wait.mock.calls.length;
    }

    it("spins, and asks again after a second", () => {
      const clock = { ms: performance.now() };
      expect(waits(true, false, clock, 6)).toBe(5);
      expect(waits(true, true, clock, 6)).toBe(1);
      clock.ms += 999;
      expect(waits(true, false, clock, 6)).toBe(0);
      clock.ms += 1;
      expect(waits(true, false, clock, 6)).toBe(5);
    });

    it("for an unshared memory, sleeps for the lock of a shared one all the same", () => {
      const clock = { ms: performance.now() + 10_000 };
      expect(waits(false, true, clock)).toBe(0);
      expect(waits(true, false, clock)).toBeGreaterThan(0);
    });
  });

  it("does not throw if the holder unlocks and leaves while the waiting thread checks it", () => {
    for (const comesBack of [false, true]) {
      const mem = createLinearMemory({ maxMemory: 64 << 20 });
      const l = new Lock(mem, mem.reserveControl(8));
      const { kernel } = mem;
      const other = mem.registerThread();
      const entry = CONTROL_BASE + CONTROL.offsets.threads + 8 * (other & 511);
      const registered = kernel.load(entry);
      let looks = 0;
      const load = (addr: number): number => {
        if (addr === entry && looks++ === 0) {
          mem.threadExited(other);
          kernel.store(l.addr, 0);
        } else if (addr === l.addr && looks === 1 && comesBack) {
          looks++;
          kernel.store(entry, registered);
          kernel.store(l.addr, other << 1);
        } else if (addr === l.addr && looks === 4) {
          looks++;
          kernel.store(l.addr, 0);
        }
        return kernel.load(addr);
      };
      Object.defineProperty(mem, "kernel", { value: { ...kernel, load } });
      kernel.store(l.addr, other << 1);
      l.lock();
      expect(looks).toBe(comesBack ? 5 : 1);
      expect(l.holder).toBe(mem.thread);
    }
  });

  it("refuses the unlock of another thread's lock", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const l = new Lock(mem, mem.reserveControl(8));
    const other = mem.registerThread();
    mem.kernel.store(l.addr, other << 1);
    expect(() => l.unlock()).toThrow(`by thread ${mem.thread}, but thread ${other} holds it`);
    expect(l.holder).toBe(other); // a refused unlock changes nothing
  });

  it("wakes one sleeper at its unlock", async () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const l = new Lock(mem, mem.reserveControl(8));
    l.lock();
    mem.kernel.or(l.addr, 1); // the bit of a sleeper
    const word = mem.kernel.load(l.addr);
    const i32 = mem.i32 as Int32Array<SharedArrayBuffer>;
    // Longer than any sleep of a lock: only a notification ends it with "ok".
    const sleepers = [0, 1].map(() => Atomics.waitAsync(i32, l.addr >>> 2, word, 500).value);
    l.unlock();
    expect((await Promise.all(sleepers)).sort()).toEqual(["ok", "timed-out"]);
  });

  it("lets one of four threads at a time into the critical section, sleeping and spinning", {
    timeout: 60_000,
  }, async () => {
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

  it("throws at once after a report of the holder's end, also where the system reports nothing", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const l = new Lock(mem, mem.reserveControl(8));
    const other = mem.registerThread();
    mem.kernel.store(l.addr, (other << 1) | 1);
    mem.threadExited(other);
    let error: unknown;
    try {
      l.lock();
    } catch (err) {
      error = err;
    }
    expect(isFatalError(error)).toBe(true);
    expect(String(error)).toContain(`is held by thread ${other}, which has ended`);
  });

  // Elsewhere a waiting thread learns of the end by threadExited, as in the test above.
  it.skipIf(process.platform !== "linux")(
    "sees on Linux that a worker died in the critical section, while the event loop is blocked",
    {
      timeout: 30_000,
    },
    async () => {
      const mem = createLinearMemory({ maxMemory: 64 << 20 });
      const l = new Lock(mem, mem.reserveControl(8));
      const thread = mem.registerThread();
      const worker = new Worker(new URL("workers/holder.mjs", import.meta.url), {
        workerData: { memory: mem.memory, at: l.addr, thread },
        execArgv: [],
      });
      await new Promise((resolve) => worker.once("message", resolve));
      expect(l.holder).toBe(thread);
      const ended = worker.terminate();
      // From here on no event of the worker can arrive.
      expect(() => l.lock()).toThrow(`is held by thread ${thread}, which has ended`);
      await ended;
      expect(mem.threadGone(thread)).toBe(true);
    },
  );
});
