/**
 * How much is marked in a slice and in an assist, and what is owed after it: on a heap, a marker and a clock of
 * figures.
 */
import { createLinearMemory } from "@gort/memory";
import { beforeEach, describe, expect, it } from "vitest";
import type { Cycle, GCController } from "../src/gc-controller.ts";
import { GCState } from "../src/gc-state.ts";
import type { GCHeap } from "../src/heap.ts";
import type { Roots } from "../src/mark-roots.ts";
import { DRAIN_BYTES, MarkSlices, SLICE_NS } from "../src/mark-slices.ts";
import type { Marker } from "../src/mgcmark.ts";
import { FakeClock } from "../src/testing.ts";

const KiB = 1 << 10;
/** Size of the first batch. */
const BATCH = 2 * KiB;

/** A marker of figures: `left` bytes to scan, at a price in nanoseconds for each byte and each drain. */
class Scan {
  heapScanWork = 0;
  /** This thread is the only one. */
  readonly shared = false;
  get scanned(): number {
    return this.heapScanWork;
  }
  left = Number.POSITIVE_INFINITY;
  nsPerByte = 0;
  nsPerDrain = 0;
  /** Bytes that a drain scans beyond its budget. */
  over = 0;
  drains: number[] = [];
  readonly clock: FakeClock;
  constructor(clock: FakeClock) {
    this.clock = clock;
  }
  get idle(): boolean {
    return this.left === 0;
  }
  drain(budget: number): number {
    if (this.drains.push(budget) > 10_000) throw new Error("marking does not end");
    const n = Math.min(this.left, budget + this.over);
    this.left -= n;
    this.heapScanWork += n;
    this.clock.advance(n * this.nsPerByte + this.nsPerDrain);
    return n;
  }
  /** Budgets of the drains since the last call. */
  take(): number[] {
    return this.drains.splice(0);
  }
}

class Pieces {
  steps = 0;
  pieces = 0;
  bytes = 4096;
  get done(): boolean {
    return this.pieces === 0;
  }
  step(): number {
    if (this.pieces === 0) return 0;
    this.pieces--;
    this.steps++;
    return this.bytes;
  }
}

let clock: FakeClock;
let scan: Scan;
let roots: Pieces;
let heap: { heapLive: number };
let ratio: number;
let asked: [Cycle, number][];
let cycle: Cycle;
let work: MarkSlices;

beforeEach(() => {
  clock = new FakeClock();
  clock.now = 1_000_000_000;
  scan = new Scan(clock);
  roots = new Pieces();
  heap = { heapLive: 10_000_000 };
  ratio = 1;
  asked = [];
  cycle = {
    forced: false,
    stw: false,
    procs: 1,
    start: 0,
    markStart: 0,
    sweepTermNs: 0,
    pauseNs: 0,
    assistNs: 7,
    backgroundNs: 11,
    idleNs: 13,
    heapStart: 0,
    goal: 0,
    expectedWork: 0,
  };
  const controller = {
    assistRatio(c: Cycle, done: number): number {
      asked.push([c, done]);
      return ratio;
    },
  };
  work = new MarkSlices(
    heap as GCHeap,
    scan as unknown as Marker,
    roots as unknown as Roots,
    controller as unknown as GCController,
    clock,
    new GCState(createLinearMemory({ maxMemory: 64 << 20 })).assist,
  );
  work.begin();
});

describe("a step of marking", () => {
  it("scans its budget in pieces of 64 KiB", () => {
    expect(work.markStep(150_000)).toBe(false);
    expect(scan.take()).toEqual([DRAIN_BYTES, DRAIN_BYTES, 150_000 - 2 * DRAIN_BYTES]);
    expect(work.markStep(100)).toBe(false);
    expect(scan.take()).toEqual([100]);
    expect(scan.heapScanWork).toBe(150_100);
    expect(work.markStep(0)).toBe(false);
    expect(scan.take()).toEqual([]);
  });

  it("charges a piece of the roots as scan work", () => {
    scan.left = 0;
    roots.pieces = 10;
    expect(work.markStep(8192)).toBe(false);
    expect(roots.steps).toBe(2);
    expect(work.markStep(8193)).toBe(false);
    expect(roots.steps).toBe(5);
    // What roots make grey goes first, and both come out of one budget.
    scan.left = 1000;
    expect(work.markStep(5000)).toBe(false);
    expect(roots.steps).toBe(6);
    expect(scan.left).toBe(0);
    expect(work.markStep(100_000)).toBe(true);
    expect(roots.steps).toBe(10);
  });

  it("has reached the end when no root is left and nothing is grey", () => {
    scan.left = 0;
    expect(work.done).toBe(true);
    roots.pieces = 1;
    expect(work.done).toBe(false);
    roots.pieces = 0;
    scan.left = 1;
    expect(work.done).toBe(false);
    expect(work.markStep(1)).toBe(true);
  });
});

describe("marking to the end", () => {
  it("goes on in pieces of 64 KiB, and its time is the background's", () => {
    scan.left = 100_000;
    scan.nsPerByte = 2;
    roots.pieces = 3;
    work.finish(cycle);
    expect(work.done).toBe(true);
    expect(scan.take().slice(0, 2)).toEqual([DRAIN_BYTES, DRAIN_BYTES]);
    expect(roots.steps).toBe(3);
    expect(cycle).toMatchObject({ backgroundNs: 200_011, assistNs: 7, idleNs: 13 });
  });
});

describe("a slice", () => {
  it("doubles its batch until one takes 25 microseconds, and ends after 250", () => {
    scan.nsPerByte = 1;
    expect(work.slice(cycle, false)).toBe(false);
    const batches = [BATCH, 2 * BATCH, 4 * BATCH, 8 * BATCH, ...new Array(9).fill(25_000)];
    expect(scan.take()).toEqual(batches);
    const ns = 15 * BATCH + 9 * 25_000;
    expect(cycle).toMatchObject({ backgroundNs: 11 + ns, assistNs: 7, idleNs: 13 });
    // The next begins as this one ended; on cold memory it falls at once, though not below 2 KiB.
    scan.nsPerByte = 5;
    expect(work.slice(cycle, true)).toBe(false);
    expect(scan.take().slice(0, 3)).toEqual([25_000, 5000, 5000]);
    scan.nsPerByte = 30;
    work.slice(cycle, true);
    expect(scan.take().slice(0, 3)).toEqual([5000, BATCH, BATCH]);
  });

  it("takes 64 KiB at most between two looks at the clock", () => {
    scan.left = 254 * KiB;
    expect(work.slice(cycle, false)).toBe(true);
    // While the clock stands still, the slice goes on to the end.
    expect(scan.take()).toEqual([2, 4, 8, 16, 32, 64, 64, 64].map((n) => n * KiB));
    scan.left = Number.POSITIVE_INFINITY;
    scan.nsPerByte = 0.25;
    work.slice(cycle, true);
    expect(scan.take().slice(0, 2)).toEqual([64 * KiB, 64 * KiB]);
  });

  it("goes on where the clock has been set back", () => {
    scan.left = 3 * BATCH;
    scan.nsPerDrain = -10;
    expect(work.slice(cycle, false)).toBe(true);
    expect(scan.take()).toEqual([BATCH, 2 * BATCH]);
  });

  it("ends as soon as it has had its time", () => {
    scan.nsPerDrain = 25_000;
    work.slice(cycle, false);
    expect(scan.take()).toEqual(new Array(SLICE_NS / 25_000).fill(BATCH));
    expect(cycle.backgroundNs).toBe(11 + SLICE_NS);
  });

  it("is due when the program has had three times as long", () => {
    scan.nsPerDrain = 25_000;
    work.slice(cycle, false);
    expect(scan.take()).toHaveLength(10);
    clock.advance(3 * SLICE_NS - 1);
    expect(work.slice(cycle, false)).toBe(false);
    expect(scan.take()).toEqual([]);
    expect(cycle.backgroundNs).toBe(11 + SLICE_NS);
    clock.advance(1);
    work.slice(cycle, false);
    expect(scan.take()).toHaveLength(10);
    expect(cycle).toMatchObject({ backgroundNs: 11 + 2 * SLICE_NS, idleNs: 13 });
  });

  it("is charged for twice its length at most, if the thread was given to others meanwhile", () => {
    scan.nsPerDrain = 10_000_000;
    work.slice(cycle, false);
    expect(scan.take()).toHaveLength(1);
    clock.advance(6 * SLICE_NS - 1);
    work.slice(cycle, false);
    expect(scan.take()).toHaveLength(0);
    clock.advance(1);
    work.slice(cycle, false);
    expect(scan.take()).toHaveLength(1);
  });

  it("in idle time comes at any moment, has its own account, and puts off no other", () => {
    scan.nsPerDrain = 25_000;
    work.slice(cycle, false);
    scan.take();
    clock.advance(3 * SLICE_NS - SLICE_NS);
    work.slice(cycle, true);
    expect(scan.take()).toHaveLength(10);
    expect(cycle).toMatchObject({ backgroundNs: 11 + SLICE_NS, idleNs: 13 + SLICE_NS });
    // The slice in between has taken the rest of the wait.
    work.slice(cycle, false);
    expect(scan.take()).toHaveLength(10);
  });

  it("does nothing when nothing is left, not even while it is too early for one", () => {
    scan.nsPerDrain = 25_000;
    scan.left = BATCH;
    expect(work.slice(cycle, false)).toBe(true);
    expect(scan.take()).toEqual([BATCH]);
    expect(work.slice(cycle, false)).toBe(true);
    expect(scan.take()).toEqual([]);
    expect(cycle.backgroundNs).toBe(11 + 25_000);
  });

  it("begins a cycle at once, with small batches, whatever the last one came to", () => {
    scan.nsPerDrain = 1;
    scan.left = 1 << 20;
    expect(work.slice(cycle, false)).toBe(true);
    scan.take();
    scan.nsPerDrain = 300_000;
    scan.left = Number.POSITIVE_INFINITY;
    work.slice(cycle, true);
    work.begin();
    scan.nsPerDrain = 125_000;
    scan.take();
    work.slice(cycle, false);
    expect(scan.take()).toEqual([BATCH, BATCH]);
    // It is too early for the next, unless a cycle begins.
    work.slice(cycle, false);
    expect(scan.take()).toEqual([]);
    work.begin();
    work.slice(cycle, false);
    expect(scan.take()).toEqual([BATCH, BATCH]);
  });
});

describe("an assist", () => {
  const allocate = (bytes: number): boolean => {
    heap.heapLive += bytes;
    return work.assist(cycle);
  };
  /** What was scanned since the last call. */
  const scanned = (): number => scan.take().reduce((sum, n) => sum + n, 0);

  it("pays for the bytes allocated since marking began, at the ratio of the cycle", () => {
    scan.nsPerByte = 0.5;
    ratio = 2;
    expect(allocate(0)).toBe(false);
    expect(asked).toEqual([]);
    expect(allocate(40_000)).toBe(true);
    expect(asked).toEqual([[cycle, 0]]);
    expect(scanned()).toBe(80_000);
    expect(cycle).toMatchObject({ assistNs: 7 + 40_000, backgroundNs: 11, idleNs: 13 });
    // That is paid.
    expect(allocate(0)).toBe(false);
    expect(allocate(32 * KiB)).toBe(true);
    expect(asked[1]).toEqual([cycle, 80_000]);
    expect(scanned()).toBe(64 * KiB);
  });

  it("waits until 64 KiB are owed", () => {
    expect(allocate(40_000)).toBe(false);
    expect(allocate(64 * KiB - 40_001)).toBe(false);
    expect(scanned()).toBe(0);
    expect(cycle.assistNs).toBe(7);
    expect(allocate(1)).toBe(true);
    expect(scanned()).toBe(64 * KiB);
  });

  it("takes no notice of a heap that has shrunk", () => {
    heap.heapLive -= 1;
    ratio = -100_000;
    expect(work.assist(cycle)).toBe(false);
    expect(asked).toEqual([]);
  });

  it("scans 128 KiB at most, and owes the rest", () => {
    expect(allocate(400 * KiB)).toBe(true);
    expect(scanned()).toBe(128 * KiB);
    expect(allocate(0)).toBe(true);
    expect(scanned()).toBe(128 * KiB);
    expect(allocate(0)).toBe(true);
    expect(scanned()).toBe(128 * KiB);
    // 16 KiB are left, which is not worth an assist.
    expect(allocate(0)).toBe(false);
    expect(allocate(48 * KiB - 1)).toBe(false);
    expect(allocate(1)).toBe(true);
    expect(scanned()).toBe(64 * KiB);
  });

  it("scans for 100 microseconds at most, and owes the rest", () => {
    scan.nsPerByte = 10;
    expect(allocate(100_000)).toBe(true);
    // A batch of 2048 bytes takes 20,480 nanoseconds. From the second batch on, 25 microseconds allow 2500 bytes.
    expect(scan.take()).toEqual([2048, 2500, 2500, 2500, 2500]);
    expect(cycle.assistNs).toBe(7 + 120_480);
    expect(allocate(0)).toBe(true);
    expect(asked.map(([, done]) => done)).toEqual([0, 12_048]);
    // 87,952 bytes are owed. At half the ratio that is less than the least debt of an assist.
    ratio = 0.5;
    expect(allocate(0)).toBe(false);
  });

  it("ends at the batch that reaches its time", () => {
    scan.nsPerDrain = 25_000;
    allocate(100_000);
    expect(scan.take()).toEqual([BATCH, BATCH, BATCH, BATCH]);
  });

  it("rounds the payment down to whole bytes of allocation", () => {
    // 100,000 bytes at 3.1 are 310,000 of work; 128 KiB of it pay for 42,281.29 bytes, so that 57,719 are owed.
    ratio = 3.1;
    expect(allocate(100_000)).toBe(true);
    scan.take();
    ratio = (64 * KiB) / 57_719;
    expect(allocate(0)).toBe(true);
    expect(scanned()).toBeCloseTo(64 * KiB, 6);
    ratio = 1;
    expect(allocate(100_000)).toBe(true);
    expect(scanned()).toBe(100_000);
  });

  it("draws on the credit of slices", () => {
    scan.nsPerDrain = 250_000;
    for (let i = 0; i < 100; i++) work.slice(cycle, i % 2 === 0);
    work.slice(cycle, true);
    const credit = scan.heapScanWork;
    expect(credit).toBeGreaterThan(2 * 64 * KiB);
    scan.take();
    scan.nsPerDrain = 0;
    const { assistNs } = cycle;
    // Half of it, then the rest.
    expect(allocate(64 * KiB)).toBe(false);
    expect(allocate(credit - 64 * KiB)).toBe(false);
    expect(scanned()).toBe(0);
    expect(cycle.assistNs).toBe(assistNs);
    expect(allocate(64 * KiB)).toBe(true);
    expect(scanned()).toBe(64 * KiB);
  });

  it("uses the credit up, and pays the rest", () => {
    scan.nsPerDrain = 250_000;
    work.slice(cycle, true);
    expect(scanned()).toBe(BATCH);
    scan.nsPerDrain = 0;
    expect(allocate(100_000)).toBe(true);
    expect(scanned()).toBe(100_000 - BATCH);
    expect(allocate(70_000)).toBe(true);
    expect(scanned()).toBe(70_000);
  });

  it("keeps scan work beyond its debt as credit", () => {
    scan.over = 500;
    allocate(64 * KiB);
    const paid = scan.heapScanWork;
    expect(paid).toBeGreaterThan(64 * KiB);
    scan.over = 0;
    scan.take();
    expect(allocate(70_000)).toBe(true);
    expect(scanned()).toBe(70_000 - (paid - 64 * KiB));
  });

  it("begins a cycle without credit and without debt", () => {
    scan.nsPerDrain = 250_000;
    work.slice(cycle, false);
    work.slice(cycle, true);
    heap.heapLive += 500_000;
    work.begin();
    scan.take();
    scan.nsPerDrain = 0;
    expect(allocate(0)).toBe(false);
    expect(allocate(70_000)).toBe(true);
    expect(scanned()).toBe(70_000);
  });

  it("has nothing to pay with when nothing is left, and owes nothing for it", () => {
    scan.left = 0;
    expect(allocate(200_000)).toBe(false);
    expect(asked).toEqual([]);
    scan.left = Number.POSITIVE_INFINITY;
    expect(allocate(64 * KiB - 1)).toBe(false);
    expect(scanned()).toBe(0);
    expect(allocate(1)).toBe(true);
  });

  it("that reaches the end is quits", () => {
    scan.left = 10_000;
    expect(allocate(100_000)).toBe(true);
    scan.left = Number.POSITIVE_INFINITY;
    scan.take();
    expect(allocate(64 * KiB - 1)).toBe(false);
    expect(scanned()).toBe(0);
    // Nor is what was scanned a credit.
    expect(allocate(1)).toBe(true);
    expect(scanned()).toBe(64 * KiB);
  });
});
