import { describe, expect, it } from "vitest";
import { createLinearMemory, Lock } from "../src/index.ts";
import { CONTROL, CONTROL_BASE } from "../src/layout.ts";

describe("the order of locks", () => {
  function setUp() {
    const mem = createLinearMemory({ maxMemory: 64 << 20, staticLockRanking: true });
    const at = mem.reserveControl(64);
    mem.rankLocks((addr) =>
      addr === at || addr === at + 4 ? "mcentral" : addr === at + 8 ? "mheap" : undefined,
    );
    const [first, same, second, own] = [0, 4, 8, 12].map((o) => new Lock(mem, at + o));
    return { mem, first: first, same: same, second: second, own: own };
  }

  it("is the table's: a thread may take locks downwards in the table, not upwards and not of one rank", () => {
    const { first, same, second } = setUp();
    first.lock();
    second.lock();
    first.unlock();
    expect(() => first.lock()).toThrow(/lock mcentral at 0x\w+ is taken while lock mheap at 0x\w+ is held/);
    second.unlock();
    first.lock();
    expect(() => same.lock()).toThrow(/lock mcentral at 0x\w+ is taken while lock mcentral at/);
    first.unlock();
    same.lock();
    same.unlock();
  });

  it("holds for the memory's own locks, which come last", () => {
    const { mem, second } = setUp();
    second.lock();
    mem.persistentAlloc(8, 8, "gcSys"); // globalAlloc, and sysStats under it
    second.unlock();
    const stats = new Lock(mem, CONTROL_BASE + CONTROL.offsets.statsLock);
    stats.lock();
    expect(() => second.lock()).toThrow(/lock mheap at 0x\w+ is taken while lock sysStats at/);
    stats.unlock();
  });

  it("does not rank a program's own locks, but checks their other rules", () => {
    const { mem, first, second, own } = setUp();
    second.lock();
    own.lock();
    expect(() => own.lock()).toThrow("is taken twice by one thread");
    expect(() => mem.willBlock("sleep")).toThrow(/sleep while lock mheap at/);
    second.unlock();
    own.unlock();
    mem.willBlock("sleep");
    expect(() => own.unlock()).toThrow(/unlock of lock at .* which doesn't hold it: it is free/);
    const other = mem.registerThread();
    mem.kernel.store(first.addr, other << 1);
    expect(() => first.unlock()).toThrow(`is held by thread ${other}`);
    expect(first.holder).toBe(other); // a refused unlock changes nothing
    mem.kernel.store(first.addr, 0);
    expect(first.tryLock()).toBe(true);
    expect(() => mem.willBlock("sleep")).toThrow("sleep while lock mcentral");
  });

  it("does not bind tryLock, which waits for no lock, but binds the locks that are taken under it", () => {
    const { mem, first, second } = setUp();
    second.lock();
    expect(first.tryLock()).toBe(true);
    mem.persistentAlloc(8, 8, "gcSys"); // after both
    second.unlock();
    second.lock();
    second.unlock();
    first.unlock();
    const stats = new Lock(mem, CONTROL_BASE + CONTROL.offsets.statsLock);
    expect(stats.tryLock()).toBe(true);
    expect(() => first.lock()).toThrow(/lock mcentral at 0x\w+ is taken while lock sysStats at/);
    stats.unlock();
  });

  it("is not checked without the option", () => {
    const mem = createLinearMemory({ maxMemory: 64 << 20 });
    const at = mem.reserveControl(16);
    mem.rankLocks((addr) => (addr === at ? "mcentral" : "mheap"));
    const [low, high] = [new Lock(mem, at), new Lock(mem, at + 4)];
    high.lock();
    low.lock();
    mem.willBlock("sleep");
  });
});
