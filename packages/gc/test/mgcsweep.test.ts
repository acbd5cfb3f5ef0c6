/** Sweeping in proportion to allocation, and what is swept before the heap grows. */
import { beforeEach, describe, expect, it } from "vitest";
import type { GCHeap } from "../src/heap.ts";
import type { Finalizers } from "../src/mfinal.ts";
import { Sweeper } from "../src/mgcsweep.ts";
import { finishCycle } from "../src/testing.ts";
import { MiB, type Rig, rig } from "./kit.ts";

const PAGE = 8192;

describe("sweeping in proportion", () => {
  let heap: { heapLive: number; heapInUse: number; pagesSwept: number; sweepgen: number };
  let sweeper: Sweeper;
  let spans: number;

  /** Spans of two pages. */
  beforeEach(() => {
    heap = { heapLive: 10 * MiB, heapInUse: 1000 * PAGE, pagesSwept: 0, sweepgen: 4 };
    const parts = { control: 0, mem: { u32: new Uint32Array(64) } };
    sweeper = new Sweeper(Object.assign(heap, parts) as unknown as GCHeap, {} as Finalizers, () => {});
    spans = 500;
    sweeper.sweepOne = () => {
      if (spans === 0) return -1;
      spans--;
      heap.pagesSwept += 2;
      return 2;
    };
    sweeper.start();
  });

  it("spreads the pages over what may be allocated up to 1 MiB before the trigger", () => {
    sweeper.pace(21 * MiB);
    expect(sweeper.pagesPerByte).toBe(1000 / (10 * MiB));
    heap.pagesSwept = 400;
    sweeper.pace(21 * MiB);
    expect(sweeper.pagesPerByte).toBe(600 / (10 * MiB));
    // No less than a page.
    sweeper.pace(11 * MiB);
    expect(sweeper.pagesPerByte).toBe(600 / PAGE);
    sweeper.pace(0);
    expect(sweeper.pagesPerByte).toBe(600 / PAGE);
    heap.pagesSwept = 999;
    sweeper.pace(21 * MiB);
    expect(sweeper.pagesPerByte).toBe(1 / (10 * MiB));
    for (const swept of [1000, 1001]) {
      heap.pagesSwept = swept;
      sweeper.pace(21 * MiB);
      expect(sweeper.pagesPerByte).toBe(0);
    }
  });

  it("owes what the heap has grown by since, and is going to", () => {
    heap.pagesSwept = 400;
    sweeper.pace(21 * MiB);
    sweeper.pagesPerByte = 1 / PAGE;
    sweeper.deductSweepCredit(0, 0);
    expect(heap.pagesSwept).toBe(400);
    sweeper.deductSweepCredit(PAGE - 1, 0);
    expect(heap.pagesSwept).toBe(400);
    sweeper.deductSweepCredit(PAGE, 0);
    expect(heap.pagesSwept).toBe(402);
    heap.heapLive += 10 * PAGE;
    sweeper.deductSweepCredit(4 * PAGE, 0);
    expect(heap.pagesSwept).toBe(414);
    // Nothing more is owed, and that is not charged twice.
    sweeper.deductSweepCredit(4 * PAGE, 0);
    expect(heap.pagesSwept).toBe(414);
  });

  it("counts the pages that the caller sweeps itself against what is owed", () => {
    sweeper.pace(21 * MiB);
    sweeper.pagesPerByte = 1 / PAGE;
    sweeper.deductSweepCredit(10 * PAGE, 4);
    expect(heap.pagesSwept).toBe(6);
    sweeper.deductSweepCredit(10 * PAGE, 10);
    expect(heap.pagesSwept).toBe(6);
  });

  it("ends when nothing is left, and owes nothing without a ratio or when all is swept", () => {
    sweeper.pace(21 * MiB);
    sweeper.pagesPerByte = 1 / PAGE;
    spans = 2;
    sweeper.deductSweepCredit(100 * PAGE, 0);
    expect(heap.pagesSwept).toBe(4);
    spans = 10;
    sweeper.done = true;
    sweeper.deductSweepCredit(100 * PAGE, 0);
    sweeper.done = false;
    sweeper.pagesPerByte = 0;
    sweeper.deductSweepCredit(100 * PAGE, -8);
    expect(heap.pagesSwept).toBe(4);
  });

  it("begins without ratio, with all pages ahead and the generation moved by two", () => {
    heap.pagesSwept = 50;
    sweeper.done = true;
    sweeper.pagesPerByte = 3;
    sweeper.start();
    expect(sweeper).toMatchObject({ done: false, pagesPerByte: 0 });
    expect(heap).toMatchObject({ pagesSwept: 0, sweepgen: 8 });
    expect(() => sweeper.start()).toThrow("gc: sweep of the last cycle is not done");
    expect(sweeper.takeDone()).toBe(-1);
  });
});

describe("what a cycle leaves to sweep", () => {
  /** A heap of full spans of garbage, marked and not swept. */
  function garbage(bytes: number): Rig {
    const r = rig();
    for (let n = 0; n < bytes; n += PAGE) r.a.mallocNoscan(PAGE);
    r.gc.start();
    while (r.gc.step() !== "terminate");
    return r;
  }

  it("is swept one span at a time, told once when all is, with the ratio in force", () => {
    const r = garbage(40 * PAGE);
    const { sweeper } = r.gc;
    const ratio = 1 / MiB;
    sweeper.pagesPerByte = ratio;
    const at = r.gc.heap.pagesSwept;
    expect(sweeper.sweepOne()).toBe(1);
    expect(r.gc.heap.pagesSwept).toBe(at + 1);
    expect(sweeper.takeDone()).toBe(-1);
    expect(sweeper.sweepAll()).toBe(true);
    expect(sweeper.sweepAll()).toBe(false);
    expect(sweeper.sweepOne()).toBe(-1);
    expect(sweeper.pagesPerByte).toBe(0);
    expect(sweeper.takeDone()).toBe(ratio);
    expect(sweeper.takeDone()).toBe(-1);
    expect(r.heapObjects()).toBe(0);
  });

  it("is reclaimed up to the pages that are wanted", () => {
    const r = garbage(40 * PAGE);
    const { sweeper } = r.gc;
    sweeper.reclaim(0);
    expect(r.heapObjects()).toBe(40);
    sweeper.reclaim(5);
    expect(r.heapObjects()).toBe(35);
    sweeper.reclaim(100);
    expect(r.heapObjects()).toBe(0);
    expect(sweeper.done).toBe(true);
    sweeper.reclaim(1);
    expect(sweeper.sweepOne()).toBe(-1);
  });

  it("is looked at in 256 spans, or as many as pages are wanted, where all of them live", () => {
    for (const [wanted, swept] of [
      [1, 256],
      [256, 256],
      [300, 300],
    ] as const) {
      const r = rig();
      for (let n = 0; n < 600; n++) r.gc.refs.alloc(r.a.mallocNoscan(PAGE));
      r.gc.start();
      while (r.gc.step() !== "terminate");
      const at = r.gc.heap.pagesSwept;
      r.gc.sweeper.reclaim(wanted);
      expect(r.gc.heap.pagesSwept - at).toBe(swept);
    }
  });
});

describe("the end of marking", () => {
  it("counts what was born black as live: the next goal grows from it", () => {
    const r = rig();
    for (let n = 0; n < 8; n++) r.gc.refs.alloc(r.a.mallocNoscan(MiB));
    r.gc.start();
    for (let n = 0; n < 3; n++) r.a.mallocNoscan(MiB);
    while (r.gc.step() !== "terminate");
    const { heap } = r.gc;
    expect(heap.heapMarked).toBeGreaterThanOrEqual(11 * MiB);
    expect(heap.heapMarked).toBeLessThan(11.5 * MiB);
    expect(heap.heapLive).toBe(heap.heapMarked);
    finishCycle(r.gc);
    expect(Number(r.gc.nextGC())).toBeGreaterThanOrEqual(22 * MiB);
    // In the next cycle that is garbage.
    r.gc.gc();
    expect(heap.heapMarked).toBeGreaterThanOrEqual(8 * MiB);
    expect(heap.heapMarked).toBeLessThan(8.5 * MiB);
  });

  it("leaves no trace of where the cycle began in the goal", () => {
    const r = rig();
    for (let n = 0; n < 30; n++) r.a.mallocNoscan(MiB);
    r.gc.gc();
    expect(r.gc.nextGC()).toBe(BigInt(4 * MiB));
    expect(r.gc.heap.heapGoal).toBe(4 * MiB);
  });

  it("counts the pause of a collection in one stop from its beginning", () => {
    let now = 1e9;
    const clock = { nanotime: () => now, walltime: () => 0n };
    const r = rig({
      clock,
      world: {
        stopTheWorld() {},
        startTheWorld() {},
        gomaxprocs: () => 1,
        ready() {},
      },
      // Within the stop, before marking begins; and after marking.
      events: { gcStart: () => void (now += 7000), markDone: () => void (now += 500) },
    });
    r.gc.gc();
    expect(r.gc.readGCStats().pauseTotalNs).toBe(7500);
    r.gc.start();
    now += 1_000_000;
    while (r.gc.step() !== "terminate");
    // The stops of a cycle in steps, without what lies between them.
    expect(r.gc.readGCStats().pauseTotalNs).toBe(15_000);
  });
});

describe("an object of 512 bytes", () => {
  it.each(["js", "wasm"] as const)(
    "keeps what its last pointer refers to, and not what its scalars name (%s)",
    (marker) => {
      const r = rig({ marker });
      // 64 words; the only pointer is word 40.
      const wide = r.a.newType(512, [0, 1 << 8]);
      const holders: number[] = [];
      const kept: number[] = [];
      // Several on a page: pages with one waiting object are scanned on another path.
      for (let n = 0; n < 16; n++) {
        const p = r.a.mallocTyped(wide);
        const held = r.a.mallocTyped(r.node);
        const named = r.a.mallocTyped(r.node);
        for (let word = 0; word < 64; word++) r.u32[(p >>> 2) + 2 * word] = word === 40 ? held : named;
        r.gc.refs.alloc(p);
        holders.push(p);
        kept.push(held);
      }
      r.gc.gc();
      expect(r.heapObjects()).toBe(32);
      holders.forEach((p, n) => void expect(r.u32[(p >>> 2) + 80]).toBe(kept[n]));
    },
  );
});
