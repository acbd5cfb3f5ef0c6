import { describe, expect, it } from "vitest";
import { attachLinearMemory, createLinearMemory, Lock } from "../src/index.ts";
import { CONTROL, CONTROL_BASE, MAX_THREADS } from "../src/layout.ts";
import { enterThread } from "../src/threads.ts";

describe("the table of threads", () => {
  it("gives a thread one number, however often it attaches", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    expect(attachLinearMemory(mem.memory as never).thread).toBe(mem.thread);
    expect(mem.threadGone(mem.thread)).toBe(false);
  });

  it("draws each number once, and reuses the entries of ended threads when no others are left", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const drawn = Array.from({ length: 510 }, () => mem.registerThread());
    expect(new Set([mem.thread, ...drawn]).size).toBe(511);
    expect(() => mem.registerThread()).toThrow("more than 511 threads");
    const old = drawn[7];
    mem.threadExited(old);
    expect(mem.threadGone(old)).toBe(true);
    const next = mem.registerThread();
    expect(next % MAX_THREADS).toBe(old); // its entry, another number
    expect(mem.threadGone(next)).toBe(false);
    expect(mem.threadGone(old)).toBe(true);
  });

  it("applies no late report of an end to the thread that has the entry now", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const drawn = Array.from({ length: 510 }, () => mem.registerThread());
    const old = drawn[0];
    mem.threadExited(old);
    const next = mem.registerThread();
    for (let late = 0; late < 3; late++) mem.threadExited(old);
    expect(mem.threadGone(next)).toBe(false);
    expect(() => mem.registerThread()).toThrow("more than 511 threads");
    mem.threadExited(next);
    expect(mem.threadGone(next)).toBe(true);
  });

  it("lasts for any number of threads that attach and leave one after the other", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const numbers = new Set<number>();
    for (let k = 0; k < 2000; k++) {
      // Each key is a thread of its own.
      const member = enterThread(
        mem.kernel,
        new ArrayBuffer(0),
        mem.u32,
        k % 3 === 0 ? mem.registerThread() : 0,
      );
      numbers.add(member.thread);
      member.join();
      member.join();
      member.part();
      expect(mem.threadGone(member.thread)).toBe(false);
      const { thread } = member;
      member.part();
      expect(mem.threadGone(thread)).toBe(true);
    }
    expect(numbers.size).toBe(2000);
  });

  it("gives a returning thread its old number, until another thread has drawn the entry", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const { thread } = mem;
    mem.leave();
    mem.leave();
    expect([mem.thread, mem.threadGone(thread)]).toEqual([0, true]);
    attachLinearMemory(mem.memory as never);
    expect([mem.thread, mem.threadGone(thread)]).toEqual([thread, false]);
    mem.leave();
    for (let k = 0; k < 511; k++) mem.registerThread();
    expect(() => attachLinearMemory(mem.memory as never)).toThrow("more than 511 threads");
    mem.threadExited(7);
    expect(attachLinearMemory(mem.memory as never).thread % MAX_THREADS).toBe(7);
  });

  it("gives no number to a thread that attaches to read, and takes none from it", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const { thread } = mem;
    expect(attachLinearMemory(mem.memory as never, { thread: 0 }).thread).toBe(thread);
    mem.leave();
    for (let k = 0; k < 511; k++) mem.registerThread();
    const reader = attachLinearMemory(mem.memory as never, { thread: 0 });
    expect(reader.thread).toBe(0);
    mem.threadExited(7);
    reader.stats.add("otherSys", 8); // under a lock
    expect(reader.thread).toBe(0);
  });

  it("lends each number once, and keeps to one entry as long as that entry is free", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const l = new Lock(mem, mem.reserveControl(8));
    mem.leave();
    const lend = (): number => {
      l.lock();
      const { holder } = l;
      l.unlock();
      return holder;
    };
    const numbers = Array.from({ length: 1000 }, lend);
    expect(new Set(numbers).size).toBe(1000);
    const entries = new Set(numbers.map((n) => n % MAX_THREADS));
    expect(entries.size).toBe(1);
    for (let k = 0; k < 510; k++) mem.registerThread();
    const drawn = mem.registerThread();
    expect(() => mem.registerThread()).toThrow("more than 511");
    expect(() => l.lock()).toThrow("more than 511");
    mem.threadExited(drawn);
    expect(numbers).not.toContain(lend());
  });

  it("lends a number to a thread that has left, for as long as it holds a lock", () => {
    for (const staticLockRanking of [false, true]) {
      const mem = createLinearMemory({ maxMemory: 64 << 20, staticLockRanking });
      const [l, inner] = [new Lock(mem, mem.reserveControl(8)), new Lock(mem, mem.reserveControl(8))];
      const { thread } = mem;
      mem.leave();
      l.lock();
      const lent = mem.thread;
      expect(inner.tryLock()).toBe(true);
      expect([l.holder, inner.holder, mem.threadGone(lent)]).toEqual([lent, lent, false]);
      expect([lent === thread, mem.threadGone(thread)]).toEqual([false, true]);
      if (!staticLockRanking) expect(() => l.lock()).toThrow("held by its own thread");
      l.unlock();
      expect(mem.thread).toBe(lent);
      mem.kernel.or(inner.addr, 1); // as if another thread slept
      inner.unlock();
      expect([inner.held, mem.thread, mem.threadGone(lent)]).toEqual([false, 0, true]);
      expect(() => l.unlock()).toThrow(staticLockRanking ? "it is free" : "unlock of the free lock");
      const other = mem.registerThread();
      mem.kernel.store(l.addr, other << 1);
      expect(l.tryLock()).toBe(false);
      expect(mem.thread).toBe(0);
      expect(() => l.unlock()).toThrow("by thread 0");
      expect(l.holder).toBe(other);
      mem.threadExited(other);
      expect(() => l.lock()).toThrow("which has ended");
      expect(mem.thread).toBe(0);
      // Attached while a lock is held: the number stays.
      mem.kernel.store(l.addr, 0);
      l.lock();
      const { holder } = l;
      attachLinearMemory(mem.memory as never);
      l.unlock();
      expect([mem.thread, mem.threadGone(holder)]).toEqual([holder, false]);
    }
  });

  it("names a holder also after a loan that ended with an attachment", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const l = new Lock(mem, mem.reserveControl(8));
    mem.leave();
    l.lock();
    attachLinearMemory(mem.memory as never);
    l.unlock();
    mem.leave();
    l.lock();
    expect(l.holder).not.toBe(0);
    expect(l.holder).toBe(mem.thread);
    l.unlock();
    expect(mem.thread).toBe(0);
  });

  // Elsewhere a thread must report the end.
  it.skipIf(process.platform !== "linux")(
    "takes back on Linux the numbers of threads whose end was not reported",
    () => {
      const mem = createLinearMemory({ maxMemory: 64 << 20 });
      const task = (k: number): number => (CONTROL_BASE + CONTROL.offsets.threads + 8 * k + 4) >>> 2;
      for (let k = 0; k < 510; k++) enterThread(mem.kernel, new ArrayBuffer(0), mem.u32, 0);
      expect(() => mem.registerThread()).toThrow("more than 511 threads");
      mem.u32[task(300)] = 0x7fffffff; // no task has this number
      const next = mem.registerThread();
      expect([next % MAX_THREADS, next === 300]).toEqual([300, false]);
      expect(mem.threadGone(300)).toBe(true);
      expect(mem.threadGone(next)).toBe(false);
    },
  );

  it("refuses numbers that are not another thread's", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    for (const bad of [0, 512, 1.5, -1, 2 ** 30 + 1, mem.thread])
      expect(() => mem.threadExited(bad)).toThrow(RangeError);
  });
});
