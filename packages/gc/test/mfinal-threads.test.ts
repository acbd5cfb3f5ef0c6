/** Finalizers, cleanups, weak pointers and profile samples of one thread whose objects another thread sweeps. */
import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { forEachThread, GCTHREAD_AT } from "../src/gc-threads.ts";
import { SPECIAL_PROFILE } from "../src/heap.ts";
import { finishCycle, verifyHeap } from "../src/testing.ts";
import type { Rig, RigOptions } from "./kit.ts";
import { type TestWorld, threads } from "./threads-kit.ts";

const godebug = { clobberfree: 1, gccheckmark: 1 };

/** Two threads; `sweeps` says who sweeps the garbage of a cycle. */
function two(options: RigOptions = {}): {
  world: TestWorld;
  driver: Rig;
  other: Rig;
  cycle(sweeps: "driver" | "other"): void;
} {
  const world = threads(2, { godebug, ...options });
  const [driver, other] = world.rigs;
  return {
    world,
    driver,
    other,
    cycle(sweeps) {
      driver.gc.start();
      while (driver.gc.step() !== "terminate");
      const { gc } = sweeps === "driver" ? driver : other;
      while (gc.step() === "sweep");
      expect(driver.gc.sweeper.done).toBe(true);
      for (const r of [driver, other]) world.deliver(r.gc);
    },
  };
}

/** The newest entry that other threads have posted to a thread. */
function inbox(r: Rig): number {
  let record = 0;
  forEachThread(r.a.mem, (t) => {
    if (r.u32[(t + GCTHREAD_AT.id) >>> 2] === r.gc.id) record = t;
  });
  return r.u32[(record + GCTHREAD_AT.entries) >>> 2];
}

describe("a finalizer", () => {
  it.each(["driver", "other"] as const)("runs on the thread that set it; the %s sweeps", (sweeps) => {
    const { world, driver, other, cycle } = two();
    const ran: [string, Addr][] = [];
    const objects = [driver, other].map((r) => {
      const p = r.a.mallocTyped(r.node);
      const q = r.a.mallocTyped(r.node);
      r.gc.storePointer(p, q);
      return p;
    });
    driver.gc.finalizers.setFinalizer(objects[1], (p) => ran.push(["driver", p]));
    other.gc.finalizers.setFinalizer(objects[0], (p) => ran.push(["other", p]));
    cycle(sweeps);
    expect([driver.gc.finalizers.queued, other.gc.finalizers.queued]).toEqual([1, 1]);
    // The objects are intact, and roots until their finalizers have returned.
    expect(world.objects()).toBe(4);
    cycle(sweeps);
    world.run(1);
    expect(ran).toEqual([["other", objects[0]]]);
    world.run(0);
    expect(ran).toEqual([
      ["other", objects[0]],
      ["driver", objects[1]],
    ]);
    cycle(sweeps);
    expect(world.objects()).toBe(0);
    const { record } = driver.gc;
    expect([record.finalizations("finalizersQueued"), record.finalizations("finalizersExecuted")]).toEqual([
      2, 2,
    ]);
  });

  it("is removed by any thread, and then its function is forgotten by the one that set it", () => {
    const { world, driver, other, cycle } = two();
    const p = driver.a.mallocTyped(driver.node);
    let ran = 0;
    driver.gc.finalizers.setFinalizer(p, () => ran++);
    expect(() => other.gc.finalizers.setFinalizer(p, () => ran++)).toThrow("finalizer already set");
    other.gc.finalizers.setFinalizer(p, null);
    expect(world.isNotified(0)).toBe(false); // the next note tells it
    other.gc.finalizers.setFinalizer(p, () => (ran += 10));
    cycle("driver");
    for (const k of [0, 1]) world.run(k);
    expect(ran).toBe(10);
    expect([driver.gc.finalizers.queued, other.gc.finalizers.queued]).toEqual([0, 0]);
    // Entries go back to their threads: the next ones take no more memory.
    const blocks = driver.a.mem.stats.otherSys;
    for (let k = 0; k < 2000; k++) {
      driver.gc.finalizers.setFinalizer(p, () => {});
      other.gc.finalizers.setFinalizer(p, null);
      driver.gc.finalizers.takeDue();
    }
    expect(driver.a.mem.stats.otherSys).toBe(blocks);
  });

  it("of a thread that has ended does not revive its object", () => {
    const { world, driver, other } = two();
    let ran = 0;
    const p = driver.a.mallocTyped(driver.node);
    other.gc.finalizers.setFinalizer(p, () => ran++);
    other.gc.finalizers.addCleanup(p, () => ran++, 1);
    world.end(other);
    driver.gc.gc();
    expect([world.objects(), ran]).toEqual([0, 0]);
    const third = world.attach({ godebug });
    third.gc.pollSafepoint();
    world.run(1);
    expect([third.gc.finalizers.queued, ran]).toEqual([0, 0]);
  });

  it("that is due as its thread ends never runs, and its object is freed by the next cycles", () => {
    const { world, driver, other } = two();
    let ran = 0;
    const p = driver.a.mallocTyped(driver.node);
    other.gc.finalizers.setFinalizer(p, () => ran++);
    driver.gc.gc();
    // It is in the inbox of the thread, which ends without a look at it.
    expect(inbox(other)).not.toBe(0);
    world.end(other);
    expect(inbox(other)).toBe(0);
    driver.gc.gc();
    driver.gc.gc();
    expect([world.objects(), ran]).toEqual([0, 0]);
  });

  it("posted to a thread that has just ended is dropped when the next cycle begins", () => {
    const { world, driver, other } = two();
    const p = driver.a.mallocTyped(driver.node);
    other.gc.finalizers.setFinalizer(p, () => {});
    driver.gc.start();
    while (driver.gc.step() !== "terminate");
    // The thread ends between the look at its record and the post.
    const { close } = other.gc.threads;
    other.gc.finalizers.close = () => {};
    while (driver.gc.step() === "sweep");
    close.call(other.gc.threads);
    world.rigs.pop();
    expect([inbox(other) !== 0, world.objects()]).toEqual([true, 1]);
    driver.gc.gc();
    expect([inbox(other), world.objects()]).toEqual([0, 0]);
  });
});

describe("a cleanup", () => {
  it.each(["driver", "other"] as const)("runs on the thread that added it; the %s sweeps", (sweeps) => {
    const { world, driver, other, cycle } = two();
    const ran: string[] = [];
    const p = driver.a.mallocTyped(driver.node);
    driver.gc.finalizers.addCleanup(p, (x) => ran.push(x), "driver 1");
    other.gc.finalizers.addCleanup(p, (x) => ran.push(x), "other");
    const gone = other.gc.finalizers.addCleanup(p, (x) => ran.push(x), "stopped");
    driver.gc.finalizers.addCleanup(p, (x) => ran.push(x), "driver 2");
    gone.stop();
    cycle(sweeps);
    expect(world.objects()).toBe(0);
    world.run(1);
    world.run(0);
    expect(ran).toEqual(["other", "driver 1", "driver 2"]);
    gone.stop();
  });
});

describe("a weak pointer", () => {
  it("of each thread reads nil when the object is gone, whichever thread sweeps", () => {
    for (const sweeps of ["driver", "other"] as const) {
      const { driver, other, cycle } = two();
      const p = driver.a.mallocTyped(driver.node);
      const root = driver.gc.refs.alloc(p);
      const weak = [driver, other].map((r) => r.gc.finalizers.weak(p));
      expect(driver.gc.finalizers.weak(p)).toBe(weak[0]);
      cycle(sweeps);
      expect(weak.map((w) => w.value())).toEqual([p, p]);
      driver.gc.refs.free(root);
      driver.gc.start();
      while (driver.gc.step() !== "terminate");
      // Its span is not swept yet.
      const [first, second] = sweeps === "driver" ? weak : [weak[1], weak[0]];
      expect([first.value(), second.value()]).toEqual([0, 0]);
      finishCycle(driver.gc);
      verifyHeap(driver.gc);
    }
  });

  it("shares its cell with those of other threads, and the last one gives it up", () => {
    const { world, driver, other } = two();
    const third = world.attach({ godebug });
    const p = driver.a.mallocTyped(driver.node);
    const root = driver.gc.refs.alloc(p);
    for (let k = 0; k < 500; k++) {
      const weak = [driver, other].map((r) => r.gc.finalizers.weak(p));
      expect(weak.map((w) => w.value())).toEqual([p, p]);
    }
    const mine = third.gc.finalizers.weak(p);
    expect(mine.value()).toBe(p);
    const blocks = driver.a.mem.stats.otherSys;
    world.end(third);
    world.end(other);
    // The cell is still the driver's.
    expect(driver.gc.finalizers.weak(p).value()).toBe(p);
    driver.gc.refs.free(root);
    driver.gc.gc();
    expect(driver.a.mem.stats.otherSys).toBe(blocks);
    expect(world.objects()).toBe(0);
  });
});

describe("a sample of the memory profile", () => {
  it("that is freed is told to the thread that has taken it", () => {
    const told: [string, number, number][] = [];
    const profile = (who: string) => ({
      freeProfile: (data: number, size: number) => void told.push([who, data, size]),
    });
    const world = threads(1, { godebug, ...profile("driver") });
    const other = world.attach({ godebug, ...profile("other") });
    const [driver] = world.rigs;
    const sample = (r: Rig, data: number): Addr => {
      const p = r.a.mallocTyped(r.node);
      expect(r.a.addSpecial(p, SPECIAL_PROFILE, data, r.gc.id)).toBeGreaterThan(0);
      return p;
    };
    for (const k of [1, 2, 3]) sample(driver, k);
    for (const k of [11, 12]) sample(other, k);
    const kept = driver.gc.refs.alloc(sample(other, 13));
    driver.gc.gc();
    const bySweeper = new Map<string, number[]>();
    expect(told.every(([who]) => who === "driver")).toBe(true);
    expect(world.isNotified(1)).toBe(true);
    world.deliver(other.gc);
    for (const [who, data, size] of told) {
      expect(size).toBe(32);
      bySweeper.set(
        who,
        [...(bySweeper.get(who) ?? []), data].sort((x, y) => x - y),
      );
    }
    expect([...bySweeper]).toEqual([
      ["driver", [1, 2, 3]],
      ["other", [11, 12]],
    ]);
    // If that thread has ended, the driver is told.
    world.end(other);
    driver.gc.refs.free(kept);
    told.length = 0;
    const inuse = driver.a.heap.specialalloc.inuse;
    driver.gc.gc();
    expect([told, driver.a.heap.specialalloc.inuse < inuse, world.objects()]).toEqual([
      [["driver", 13, 32]],
      true,
      0,
    ]);
  });

  it("that was on its way to a thread is told when a cycle begins, or when the thread ends", () => {
    const told: [string, number][] = [];
    const profile = (who: string) => ({ freeProfile: (data: number) => void told.push([who, data]) });
    const world = threads(1, { godebug, ...profile("driver") });
    const others = [world.attach({ godebug, ...profile("a") }), world.attach({ godebug, ...profile("b") })];
    const [driver] = world.rigs;
    for (const [i, r] of others.entries()) {
      const p = r.a.mallocTyped(r.node);
      expect(r.a.addSpecial(p, SPECIAL_PROFILE, i, r.gc.id)).toBeGreaterThan(0);
    }
    driver.gc.gc();
    // Neither thread has polled.
    expect(told).toEqual([]);
    world.end(others[0]);
    expect(told).toEqual([["a", 0]]);
    driver.gc.gc();
    expect(told).toEqual([
      ["a", 0],
      ["b", 1],
    ]);
    others[1].gc.threads.takeSamples();
    expect(told.length).toBe(2);
  });

  it("that was on its way to a thread that is lost is told to the driver", () => {
    const told: [string, number][] = [];
    const profile = (who: string) => ({ freeProfile: (data: number) => void told.push([who, data]) });
    const world = threads(1, { godebug, ...profile("driver") });
    const other = world.attach({ godebug, ...profile("other") });
    const [driver] = world.rigs;
    expect(
      other.a.addSpecial(other.a.mallocTyped(other.node), SPECIAL_PROFILE, 5, other.gc.id),
    ).toBeGreaterThan(0);
    other.a.flushAll();
    driver.gc.gc();
    world.rigs.pop();
    driver.a.recover(other.a.id);
    expect(driver.gc.threads.lost(other.gc.id)).toBe(true);
    driver.gc.threads.takeSamples();
    expect(told).toEqual([["driver", 5]]);
  });
});
