/** A collector among those of other threads: how it attaches, stops, obeys, and ends. */
import { createAllocator } from "@gort/allocator";
import { MCACHE_AT } from "@gort/allocator/internal";
import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { GC_SCAN_STACKS } from "../src/gc-cycle.ts";
import { attachCollector, type World } from "../src/index.ts";
import { GCWORK_AT, MARK_AT, WORK_ACTIVE, WORK_OWNED, WORKBUF_BYTES } from "../src/mark-state.ts";
import { finishCycle, verifyHeap } from "../src/testing.ts";
import { MiB, type Rig, rig } from "./kit.ts";
import { type TestWorld, threads } from "./threads-kit.ts";

/** A chain of nodes; returns its first. */
function chain(r: Rig, n: number, type = r.node): Addr {
  let p = 0 as Addr;
  for (let k = 0; k < n; k++) {
    const next = r.a.mallocTyped(type);
    r.gc.storePointer(next, p);
    p = next;
  }
  return p;
}

/** The number of objects in the chain from p. */
function length(r: Rig, p: number): number {
  let n = 0;
  for (let q = p; q !== 0; q = r.u32[q >>> 2]!) n++;
  return n;
}

/** Marks and sweeps to the end: the driver does all of it. */
function finish(world: TestWorld): void {
  finishCycle(world.rigs[0].gc);
}

describe("a collector that attaches", () => {
  it("needs a collector on the driver's thread, a shared allocator and the number of its thread", () => {
    const alone = createAllocator({ maxMemory: 64 * MiB, shared: true });
    const world = (id: unknown): World => ({
      stopTheWorld() {},
      startTheWorld() {},
      gomaxprocs: () => 2,
      ready() {},
      threads: { id } as never,
    });
    const attach = (a = alone, id: unknown = 1) => attachCollector(a, { world: world(id) });
    expect(() => attach()).toThrow(
      new TypeError("gc: attachCollector needs the memory of a collector (got one without a collector)"),
    );
    const { a } = rig({ shared: true });
    expect(() => attach(a)).toThrow("(got one whose allocator is not shared)");
    a.share();
    for (const id of [0, -1, 1.5, null, "1"]) {
      expect(() => attach(a, id)).toThrow("needs a world with this thread's number, above 0");
    }
    expect(() => attachCollector(a, {})).toThrow("above 0 (got undefined)");
    expect(attach(a).id).toBe(1);
  });

  it("has the settings of the heap, and changes them for all", () => {
    const world = threads(1, { gogc: 300, memoryLimit: 2 ** 40 });
    const [driver] = world.rigs;
    const other = world.attach();
    expect([other.gc.gcPercent, other.gc.setMemoryLimit(-1)]).toEqual([300, 2n ** 40n]);
    expect(other.gc.setGCPercent(50)).toBe(300);
    expect([driver.gc.gcPercent, driver.gc.nextGC()]).toEqual([50, other.gc.nextGC()]);
    expect(driver.gc.heap.trigger).toBe(other.gc.heap.trigger);
  });

  it("does not begin a cycle itself", () => {
    const [, other] = threads(2).rigs;
    expect(() => other.gc.start()).toThrow(TypeError);
  });
});

describe("a stop of the world", () => {
  it("finds every mcache empty; otherwise the collection ends in the error that says so", () => {
    const world = threads(2);
    const [driver, other] = world.rigs;
    other.a.mallocTyped(other.node);
    other.gc.threads.prepareStop = () => {};
    expect(() => driver.gc.gc()).toThrow("gc: a thread has stopped with spans in hand");
    expect(() => other.gc.gc()).toThrow("no collection is possible after a fatal error in one");
  });

  it("takes over what a thread held that has died since the last one", () => {
    const world = threads(2);
    const [driver, other] = world.rigs;
    other.a.mallocTyped(other.node);
    other.gc.threads.prepareStop = () => {};
    const { mem } = driver.a;
    const thread = mem.registerThread();
    mem.u32[(other.a.cache.base + MCACHE_AT.owned) >>> 2] = thread;
    mem.threadExited(thread);
    driver.gc.gc();
    expect(driver.a.allFlushed).toBe(true);
    verifyHeap(driver.gc);
  });

  it("finds the grey objects of a thread where others can take them", () => {
    const world = threads(2);
    const [driver, other] = world.rigs;
    const header = other.a.newType(1024, [1]);
    const held = Array.from({ length: 20 }, () => chain(other, 1, header));
    driver.gc.start();
    for (const p of held) other.gc.marker.shade(p);
    expect(other.gc.marker.bufs.noneFull).toBe(true);
    other.gc.threads.prepareStop();
    expect([other.gc.marker.bufs.noneFull, other.gc.marker.state.isIdle(other.gc.marker.work)]).toEqual([
      false,
      true,
    ]);
    finish(world);
  });

  it("has the roots of every thread scanned: stacks by their thread, globals and ref slots by any", () => {
    const world = threads(3, { godebug: { gccheckmark: 1, clobberfree: 1 } });
    const held: [Rig, Addr][] = [];
    for (const r of world.rigs) {
      const stack = r.a.stackAlloc(2048);
      const globals = r.a.mem.reserveControl(16) as number;
      r.gc.addGlobals(globals as Addr, (globals + 16) as Addr);
      r.gc.setStackRoots((visit) => visit(stack + 8, stack + 24));
      r.u32.fill(0, stack >>> 2, (stack + 32) >>> 2);
      const [x, y, z] = [chain(r, 10), chain(r, 20), chain(r, 30)];
      r.u32[(stack + 16) >>> 2] = x;
      r.gc.storePointer(globals + 8, y);
      r.gc.refs.alloc(z);
      held.push([r, x], [r, y], [r, z]);
      chain(r, 100);
    }
    expect(world.objects()).toBe(3 * 160);
    for (const r of world.rigs) {
      r.gc.gc();
      expect(held.map(([, p]) => length(r, p))).toEqual([10, 20, 30, 10, 20, 30, 10, 20, 30]);
      expect(world.objects()).toBe(3 * 60);
    }
    expect(world.rigs[0].gc.roots.stackScan).toBe(3 * 16);
  });
});

describe("the commands of the driver", () => {
  it("whose work throws end the collector for all threads, and reach the driver", () => {
    const world = threads(2);
    const [driver, other] = world.rigs;
    other.gc.setStackRoots(() => {
      throw new Error("no stacks");
    });
    expect(() => driver.gc.gc()).toThrow("gc: another thread could not scan its stacks");
    expect(world.stopped).toBe(false);
    let error: unknown;
    try {
      other.gc.pollSafepoint();
    } catch (err) {
      error = err;
    }
    expect(error).toMatchObject({ message: expect.stringContaining("after a fatal error in one") });
    expect((error as Error).cause).toMatchObject({ message: "no stacks" });
  });

  it("are known ones", () => {
    const [, other] = threads(2).rigs;
    other.gc.threads.command(77, 0);
    expect(() => other.gc.pollSafepoint()).toThrow("after a fatal error in one");
  });

  it("tell each thread's callbacks that marking begins, and its next safepoint that it has ended", () => {
    const told: string[] = [];
    const events = (who: string) => ({
      gcStart: (n: number, forced: boolean) => void told.push(`${who} start ${n} ${forced}`),
      markDone: (n: number) => void told.push(`${who} marked ${n}`),
      sweepDone: (n: number) => void told.push(`${who} swept ${n}`),
    });
    const world = threads(1, { events: events("driver") });
    const other = world.attach({ events: events("other"), onRequest: () => void told.push("other asked") });
    const [driver] = world.rigs;
    chain(driver, 1000);
    driver.gc.start(true);
    expect(told).toEqual(["other start 1 true", "other asked", "driver start 1 true"]);
    told.length = 0;
    while (driver.gc.step() !== "terminate");
    expect(told).toEqual(["driver marked 1"]);
    while (other.gc.step() === "sweep");
    // The driver hears of the end of the sweep when it looks.
    expect(told).toEqual(["driver marked 1"]);
    expect(world.isNotified(0)).toBe(true);
    world.deliver(driver.gc);
    other.gc.pollSafepoint();
    other.gc.idleWork();
    expect(told).toEqual(["driver marked 1", "driver swept 1", "other marked 1"]);
    driver.gc.threads.command(GC_SCAN_STACKS, 0);
    expect(told.at(-1)).toBe("driver start 2 true");
  });
});

describe("a thread that ends", () => {
  it("gives its roots up, and what it had in hand to the others", () => {
    const world = threads(2, { godebug: { gccheckmark: 1, clobberfree: 1 } });
    const [driver, other] = world.rigs;
    const header = driver.a.newType(1024, [1]);
    const slot = driver.gc.refs.alloc(chain(driver, 1, header));
    const kept = chain(driver, 500);
    driver.gc.storePointer(driver.gc.refs.get(slot), kept);
    const own = other.gc.refs.alloc(chain(other, 50));
    const passed = other.gc.refs.allocShared(chain(other, 7));
    driver.gc.start();
    // The other thread takes the root, and part of the marking, into its hands.
    other.gc.step(1);
    other.gc.step(64);
    world.end(other);
    expect([driver.gc.refs.get(own), length(driver, driver.gc.refs.get(passed))]).toEqual([0, 7]);
    expect(driver.gc.refs.inuse).toBe(2);
    finish(world);
    driver.gc.gc();
    expect(length(driver, driver.u32[driver.gc.refs.get(slot) >>> 2])).toBe(500);
    expect(world.objects()).toBe(508);
    verifyHeap(driver.gc);
    driver.gc.refs.free(passed);
    driver.gc.gc();
    expect(world.objects()).toBe(501);
  });

  it("refuses to be called afterwards, and the driver never ends in this way", () => {
    const world = threads(2);
    const [driver, other] = world.rigs;
    other.gc.threads.close();
    other.gc.threads.close();
    other.gc.threads.polled();
    expect(() => other.gc.gc()).toThrow(new TypeError("gc: gc() called after close()"));
    expect(() => driver.gc.threads.close()).toThrow(TypeError);
    expect(() => other.gc.threads.lost(0)).toThrow(TypeError);
  });

  it("may do so in the middle of a cycle, and another take its place and go on", () => {
    const world = threads(2, { godebug: { gccheckmark: 1, clobberfree: 1 } });
    const [driver] = world.rigs;
    for (let k = 0; k < 200; k++) driver.gc.refs.alloc(chain(driver, 50));
    driver.gc.start();
    for (let k = 0; driver.gc.marking && k < 1000; k++) {
      const other = world.rigs[1];
      other.gc.step(100);
      world.end(other);
      const fresh = world.attach();
      chain(fresh, 3);
      if (k > 50) driver.gc.step(2000);
    }
    finish(world);
    driver.gc.gc();
    expect(world.objects()).toBe(200 * 50);
  });
});

describe("a thread that dies", () => {
  /** A cycle marks, and the other thread has part of it in hand when it dies. */
  function dying(status: number | null): { world: TestWorld; driver: Rig; other: Rig } {
    const world = threads(2, { godebug: { gccheckmark: 1, clobberfree: 1 } });
    const [driver, other] = world.rigs;
    for (let k = 0; k < 100; k++) driver.gc.refs.alloc(chain(driver, 20));
    other.gc.refs.alloc(chain(other, 30));
    driver.gc.start();
    other.gc.step(100);
    const { work, state } = other.gc.marker;
    // In a step: it has marked objects that it has put nowhere.
    if (status !== null) {
      other.u32[(work + GCWORK_AT.status) >>> 2] = status;
      state.resetWork(work);
    }
    world.rigs.pop();
    expect(driver.a.recover(other.a.id)).toBe(true);
    return { world, driver, other };
  }

  it.each([null, WORK_ACTIVE])(
    "in the middle of a cycle is reported, and all is marked again (%s)",
    (status) => {
      const { world, driver, other } = dying(status);
      expect(driver.gc.threads.lost(other.gc.id)).toBe(true);
      expect(driver.gc.threads.lost(other.gc.id)).toBe(false);
      expect(driver.gc.marker.overflow).toBe(true);
      finish(world);
      expect(driver.gc.marker.overflow).toBe(false);
      // The chain of the dead thread was reachable when marking began.
      expect(driver.gc.heap.heapMarked).toBe((100 * 20 + 30) * 32);
      driver.gc.gc();
      expect(world.objects()).toBe(100 * 20);
      verifyHeap(driver.gc);
    },
  );

  it.each([
    [WORK_OWNED, true],
    [WORK_OWNED, false],
    [WORK_ACTIVE, false],
  ])("while it exchanged its workbufs leaves no address to scan (%s, reported: %s)", (status, reported) => {
    const { world, driver, other } = dying(status);
    const { work } = other.gc.marker;
    const { u32 } = driver;
    // The buffer in hand was full, and the spare one is in hand. Its end is not stored yet.
    const base = u32[(work + GCWORK_AT.base) >>> 2];
    u32[(work + GCWORK_AT.buf) >>> 2] = base + WORKBUF_BYTES;
    u32[(work + GCWORK_AT.sp) >>> 2] = base + WORKBUF_BYTES;
    if (reported) expect(driver.gc.threads.lost(other.gc.id)).toBe(true);
    driver.gc.gc();
    expect(driver.gc.record.numGC).toBe(2);
    expect(driver.gc.heap.heapMarked).toBe((100 * 20 + (reported ? 0 : 30)) * 32);
    expect(world.objects()).toBe(100 * 20 + (reported ? 0 : 30));
    verifyHeap(driver.gc);
  });

  it("outside of a cycle takes its roots and its functions with it", () => {
    const world = threads(2);
    const [driver, other] = world.rigs;
    other.gc.refs.alloc(chain(other, 30));
    let ran = 0;
    const dies = chain(other, 1);
    other.gc.finalizers.setFinalizer(dies, () => ran++);
    const queued = chain(other, 1);
    other.gc.finalizers.setFinalizer(queued, () => ran++);
    const root = driver.gc.refs.alloc(dies);
    driver.gc.gc();
    world.deliver(other.gc);
    expect(other.gc.finalizers.queued).toBe(1);
    world.rigs.pop();
    driver.a.recover(other.a.id);
    expect(driver.gc.threads.lost(other.gc.id)).toBe(true);
    expect(driver.gc.threads.lost(0)).toBe(false);
    driver.gc.refs.free(root);
    driver.gc.gc();
    expect([world.objects(), ran]).toEqual([0, 0]);
    const again = world.attach();
    expect(again.gc.id).toBe(2);
    expect(again.gc.finalizers.queued).toBe(0);
  });

  it("in a finalizer gives up its object, and objects of finalizers that run elsewhere stay", () => {
    const world = threads(3);
    const [driver, other, third] = world.rigs;
    for (const { gc, a, node } of [other, third]) {
      for (let k = 0; k < 2; k++) gc.finalizers.setFinalizer(a.mallocTyped(node), () => {});
    }
    driver.gc.gc();
    for (const { gc } of [other, third]) world.deliver(gc);
    const running = [other, third].map(({ gc }) => gc.finalizers.next()!);
    world.rigs.splice(1, 1);
    driver.a.recover(other.a.id);
    driver.gc.start();
    expect(driver.gc.threads.lost(other.gc.id)).toBe(true);
    finish(world);
    driver.gc.gc();
    // Of the third thread: one finalizer runs, and one is queued.
    expect(world.objects()).toBe(2);
    third.gc.finalizers.done(running[1]);
    driver.gc.gc();
    expect(world.objects()).toBe(1);
  });

  it("while it waits for work leaves no mark that other threads share with, once the next cycle begins", () => {
    const world = threads(2);
    const [driver] = world.rigs;
    const { state } = driver.gc.marker;
    driver.a.mem.kernel.add(state.mark + MARK_AT.hungry, 1);
    driver.gc.gc();
    expect(state.get(MARK_AT.hungry)).toBe(0);
  });
});
