/** What the collector calls, and what comes back in: never in the middle of an allocation. */

import { newHeapStats } from "@gort/allocator";
import { SPECIAL_PROFILE } from "@gort/allocator/internal";
import { isFatalError } from "@gort/base";
import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { verifyHeap } from "../src/testing.ts";
import { MiB, type Rig, type RigOptions, rig } from "./kit.ts";

/** A list of n nodes, whose third word is their number, in a ref. */
function list({ a, gc, node, u32 }: Rig, n: number): Addr {
  const ref = gc.refs.alloc(0);
  for (let i = 0; i < n; i++) {
    const p = a.mallocTyped(node);
    u32[(p + 16) >>> 2] = n - i;
    gc.storePointer(p, gc.refs.get(ref));
    gc.storePointer(ref, p);
  }
  return ref;
}

function expectList({ gc, u32 }: Rig, ref: Addr, n: number): void {
  let i = 0;
  for (let p = gc.refs.get(ref) as number; p !== 0; p = u32[p >>> 2]) {
    i++;
    if (u32[(p + 16) >>> 2] !== i) throw new Error(`node ${i} of ${n} has become ${u32[(p + 16) >>> 2]}`);
  }
  expect(i).toBe(n);
}

/** Marks, then lets allocations do the sweeping. */
function sweepByAllocating(r: Rig): Addr[] {
  const { a, gc, node } = r;
  gc.requestGC();
  let did: string;
  do did = gc.step();
  while (did !== "terminate");
  expect(gc.sweeper.done).toBe(false);
  const fresh: Addr[] = [];
  for (let i = 0; i < 400_000 && !gc.sweeper.done; i++) fresh.push(a.mallocTyped(node));
  expect(gc.sweeper.done).toBe(true);
  return fresh;
}

/** A program over its memory limit, whose goal is computed anew when its sweep ends. */
const limited: RigOptions = { memoryLimit: MiB, gogc: 20, godebug: "gccheckmark=1,clobberfree=1" };

describe("a sweep that ends in an allocation", () => {
  it.each([
    ["with a memory limit", limited],
    ["with GOGC off", { ...limited, memoryLimit: 2 ** 63, gogc: -1 }],
    ["with GOGC=1 and a limit", { ...limited, gogc: 1 }],
  ])("hands no object out twice %s", (_, options) => {
    const r = rig(options);
    const ref = list(r, 3000);
    for (let i = 0; i < 20_000; i++) r.a.mallocTyped(r.node);
    for (let round = 0; round < 10; round++) {
      const fresh = sweepByAllocating(r);
      expect(new Set(fresh).size).toBe(fresh.length);
      expectList(r, ref, 3000);
      verifyHeap(r.gc);
    }
  });

  it("is reported when the allocation is over: callbacks may allocate, flush and set limits, but not collect", () => {
    const called = new Map<string, number>();
    const refusals = new Set<string>();
    const stats = newHeapStats();
    const active = new Set<string>();
    const faults: unknown[] = [];
    const callback = (name: string): void => {
      if (active.has(name)) return;
      active.add(name);
      try {
        comeBack(name);
      } catch (err) {
        faults.push(err); // the collector would keep it for the next safepoint
      }
      active.delete(name);
    };
    const comeBack = (name: string): void => {
      called.set(name, (called.get(name) ?? 0) + 1);
      expect(r.a.idle).toBe(true);
      for (const n of [8, 24, 64, 3000, 70_000]) r.a.mallocNoscan(n);
      r.a.mallocTyped(r.node);
      r.a.flushAll();
      r.a.readStats(stats);
      r.a.stackFree(r.a.stackAlloc(2048), 2048);
      r.gc.setMemoryLimit(MiB + (called.size << 12));
      r.gc.setGCPercent(50);
      r.a.freeOSMemory();
      try {
        r.gc.gc();
      } catch (err) {
        refusals.add((err as Error).message);
      }
    };
    const r: Rig = rig({
      ...limited,
      godebug: "gcpacertrace=1,clobberfree=1,gccheckmark=1",
      freeProfile: () => callback("freeProfile"),
      events: { sweepDone: () => callback("sweepDone") },
      stderr: (text) => {
        if (text.includes("sweep done")) callback("stderr");
      },
      world: {
        stopTheWorld() {},
        startTheWorld() {},
        gomaxprocs: () => 1,
        ready: () => callback("ready"),
      },
    });
    const ref = list(r, 3000);
    for (let i = 0; i < 2000; i++) {
      const p = r.a.mallocTyped(r.node);
      if (i % 4 === 0) r.a.addSpecial(p, SPECIAL_PROFILE, i + 1);
      if (i % 100 === 0) r.gc.finalizers.setFinalizer(r.a.mallocTyped(r.node), () => {});
    }
    const fresh = sweepByAllocating(r);
    expect(faults).toEqual([]);
    expect([...called.keys()].sort()).toEqual(["freeProfile", "ready", "stderr", "sweepDone"]);
    expect([...refusals]).toEqual(["gc: gc() called from within the collector"]);
    expect(new Set(fresh).size).toBe(fresh.length);
    expectList(r, ref, 3000);
    verifyHeap(r.gc);
  });

  it("tells of every sampled object that was freed, once, and wakes the finalizers", () => {
    const freed: number[] = [];
    let woken = 0;
    const world = { stopTheWorld() {}, startTheWorld() {}, gomaxprocs: () => 1, ready: () => void woken++ };
    const r = rig({ ...limited, freeProfile: (data) => freed.push(data), world });
    for (let i = 1; i <= 5000; i++) {
      const p = r.a.mallocTyped(r.node);
      r.a.addSpecial(p, SPECIAL_PROFILE, i);
      if (i === 7) r.gc.finalizers.setFinalizer(p, () => {});
    }
    sweepByAllocating(r);
    // Number 7 was revived, and is freed a cycle later.
    const all = Array.from({ length: 5000 }, (_, i) => i + 1);
    expect(freed.sort((x, y) => x - y)).toEqual(all.filter((i) => i !== 7));
    expect(woken).toBe(1);
    const queued = r.gc.finalizers.next();
    expect(queued?.kind).toBe("finalizer");
    if (queued) r.gc.finalizers.done(queued);
    r.gc.gc();
    expect(freed.at(-1)).toBe(7);
  });
});

describe("a callback that runs the finalizers itself", () => {
  it("leaves none to wake anything for", () => {
    let woken = 0;
    const ran: number[] = [];
    const world = { stopTheWorld() {}, startTheWorld() {}, gomaxprocs: () => 1, ready: () => void woken++ };
    const r = rig({ world, freeProfile: () => void r.gc.finalizers.run() });
    r.a.addSpecial(r.a.mallocTyped(r.node), SPECIAL_PROFILE, 1);
    r.gc.finalizers.addCleanup(r.a.mallocTyped(r.node), (n) => ran.push(n), 5);
    r.gc.gc();
    expect([ran, woken]).toEqual([[5], 0]);
  });
});

describe("a call of the collector from within an allocation", () => {
  const calls: Record<string, (r: Rig) => unknown> = {
    gc: (r) => r.gc.gc(),
    pollSafepoint: (r) => r.gc.pollSafepoint(),
    step: (r) => r.gc.step(),
    start: (r) => r.gc.start(),
    idleWork: (r) => r.gc.idleWork(),
  };
  it.each(Object.keys(calls))("is refused and changes nothing: %s", (name) => {
    const r = rig({ godebug: "gccheckmark=1,clobberfree=1" });
    const ref = list(r, 1000);
    r.a.setMemProfileRate(1);
    let said: unknown;
    r.a.hooks.sampleMalloc = () => {
      try {
        calls[name](r);
      } catch (err) {
        said = err;
      }
    };
    r.a.mallocTyped(r.node);
    expect(isFatalError(said) && said.message).toBe("allocator: re-entered by a hook");
    r.a.hooks.sampleMalloc = () => {};
    // The collector goes on.
    r.gc.gc();
    expectList(r, ref, 1000);
    verifyHeap(r.gc);
  });

  it("may change the pace: setGCPercent, setMemoryLimit and requestGC touch no mcache", () => {
    const r = rig(limited);
    const ref = list(r, 1000);
    const { deductSweepCredit } = r.a.hooks;
    let n = 0;
    r.a.hooks.deductSweepCredit = (bytes, pages) => {
      r.gc.setGCPercent(++n % 100);
      r.gc.setMemoryLimit(MiB + n);
      r.gc.nextGC();
      r.gc.requestGC();
      deductSweepCredit(bytes, pages);
    };
    for (let round = 0; round < 5; round++) sweepByAllocating(r);
    expect(n).toBeGreaterThan(10);
    expectList(r, ref, 1000);
    verifyHeap(r.gc);
  });
});

describe("a full heap", () => {
  it("is collected where allocations are safepoints, though the refill of a run has found it full", () => {
    const r = rig({
      allocationSafepoints: true,
      gogc: -1,
      maxMemory: 64 * MiB,
      godebug: "gccheckmark=1,clobberfree=1",
    });
    const ref = list(r, 2000);
    const seen = new Set<Addr>();
    for (let i = 0; i < 3_000_000; i++) r.a.mallocTyped(r.node);
    expect(r.gc.readGCStats().numGC).toBeGreaterThan(0);
    const hold = Array.from({ length: 5000 }, () => r.gc.refs.alloc(r.a.mallocTyped(r.node)));
    for (const h of hold) seen.add(r.gc.refs.get(h));
    expect(seen.size).toBe(5000);
    expectList(r, ref, 2000);
    verifyHeap(r.gc);
  });
});
