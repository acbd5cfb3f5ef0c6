/** Sweeping in proportion to allocation, and what is swept before the heap grows. */
import { SPECIAL_PIN } from "@gort/allocator/internal";
import { type Addr, createLinearMemory } from "@gort/memory";
import { beforeEach, describe, expect, it } from "vitest";
import { GCState } from "../src/gc-state.ts";
import { type GCHeap, SPECIAL_PROFILE } from "../src/heap.ts";
import type { WeakPointer } from "../src/index.ts";
import { CLOBBER_WORD } from "../src/internal.ts";
import type { Finalizers } from "../src/mfinal.ts";
import { Sweeper } from "../src/mgcsweep.ts";
import type { SweepState } from "../src/state-views.ts";
import { finishCycle, verifyHeap } from "../src/testing.ts";
import { MiB, type Rig, rig } from "./kit.ts";

const PAGE = 8192;

describe("sweeping in proportion", () => {
  let heap: { heapLive: number; heapInUse: number; pagesSwept: number; sweepgen: number };
  let state: SweepState;
  let sweeper: Sweeper;
  let spans: number;

  /** Spans of two pages. */
  beforeEach(() => {
    heap = { heapLive: 10 * MiB, heapInUse: 1000 * PAGE, pagesSwept: 0, sweepgen: 4 };
    const parts = { control: 0, mem: { u32: new Uint32Array(64) } };
    state = new GCState(createLinearMemory({ maxMemory: 64 * MiB })).sweep;
    const figures = Object.assign(heap, parts) as unknown as GCHeap;
    sweeper = new Sweeper(figures, {} as Finalizers, state, () => {});
    spans = 500;
    sweeper.sweepOne = () => {
      if (spans === 0) return -1;
      spans--;
      heap.pagesSwept += 2;
      return 2;
    };
    sweeper.start(1, false);
  });

  it("spreads the pages over the bytes that may be allocated up to 1 MiB before the trigger", () => {
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

  it("owes pages for the growth of the heap since then, and for the growth to come", () => {
    heap.pagesSwept = 400;
    sweeper.pace(21 * MiB);
    state.pagesPerByte = 1 / PAGE;
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

  it("counts the pages that the caller sweeps itself as paid", () => {
    sweeper.pace(21 * MiB);
    state.pagesPerByte = 1 / PAGE;
    sweeper.deductSweepCredit(10 * PAGE, 4);
    expect(heap.pagesSwept).toBe(6);
    sweeper.deductSweepCredit(10 * PAGE, 10);
    expect(heap.pagesSwept).toBe(6);
  });

  it("ends when nothing is left, and owes nothing without a ratio or when all is swept", () => {
    sweeper.pace(21 * MiB);
    state.pagesPerByte = 1 / PAGE;
    spans = 2;
    sweeper.deductSweepCredit(100 * PAGE, 0);
    expect(heap.pagesSwept).toBe(4);
    spans = 10;
    state.pending = false;
    sweeper.deductSweepCredit(100 * PAGE, 0);
    state.pending = true;
    state.pagesPerByte = 0;
    sweeper.deductSweepCredit(100 * PAGE, -8);
    expect(heap.pagesSwept).toBe(4);
  });

  it("begins without ratio, with all pages ahead and the generation moved by two", () => {
    heap.pagesSwept = 50;
    state.pending = false;
    state.pagesPerByte = 3;
    sweeper.start(1, false);
    expect(sweeper).toMatchObject({ done: false, pagesPerByte: 0 });
    expect(heap).toMatchObject({ pagesSwept: 0, sweepgen: 8 });
    expect(() => sweeper.start(2, false)).toThrow("gc: sweep of the last cycle is not done");
    expect(sweeper.takeDone()).toBe(-1);
  });
});

describe("the garbage that a cycle leaves to sweep", () => {
  /** A heap of full spans of garbage, marked and not swept. */
  function garbage(bytes: number): Rig {
    const r = rig();
    for (let n = 0; n < bytes; n += PAGE) r.a.mallocNoscan(PAGE);
    r.gc.start();
    while (r.gc.step() !== "terminate");
    return r;
  }

  it("is swept one span at a time; the end is reported once, with the ratio in force", () => {
    const r = garbage(40 * PAGE);
    const { sweeper } = r.gc;
    const ratio = 1 / MiB;
    new GCState(r.a.mem).sweep.pagesPerByte = ratio;
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

describe("the specials of two neighbours", () => {
  const kinds = ["finalizer", "weak", "cleanup", "profile"] as const;
  type Kind = (typeof kinds)[number];
  interface Case {
    name: string;
    lives: boolean;
    has: ReadonlySet<Kind>;
  }
  /** Alive or not, with each set of kinds. */
  const cases: Case[] = [];
  for (let bits = 0; bits < 32; bits++) {
    const has = new Set(kinds.filter((_, k) => bits & (2 << k)));
    const lives = (bits & 1) === 1;
    cases.push({ name: `${lives ? "alive" : "dead"} with ${[...has].join(", ") || "none"}`, lives, has });
  }

  it("are each dealt with as if the other had none, in each of 1024 combinations", () => {
    const freed: number[] = [];
    const world = { stopTheWorld() {}, startTheWorld() {}, gomaxprocs: () => 1, ready() {} };
    const { a, gc, node } = rig({ world, freeProfile: (data) => void freed.push(data) });
    const ran: Record<"finalizer" | "cleanup", unknown[]> = { finalizer: [], cleanup: [] };
    const weak: WeakPointer[] = [];
    const objects: { id: number; p: Addr; pair: string; it: Case }[] = [];
    for (const first of cases) {
      for (const second of cases) {
        const pair = `first ${first.name}, second ${second.name}`;
        for (const it of [first, second])
          objects.push({ id: objects.length + 1, p: a.mallocTyped(node), pair, it });
      }
    }
    let neighbours = 0;
    for (const { id, p, it } of objects) {
      if (id % 2 === 0 && p === (objects[id - 2]?.p ?? 0) + 32) neighbours++;
      if (it.lives) gc.refs.alloc(p);
      if (it.has.has("profile")) a.addSpecial(p, SPECIAL_PROFILE, id);
      if (it.has.has("cleanup")) gc.finalizers.addCleanup(p, (arg) => ran.cleanup.push(arg), id);
      if (it.has.has("weak")) weak[id] = gc.finalizers.weak(p);
      if (it.has.has("finalizer")) gc.finalizers.setFinalizer(p, (object) => ran.finalizer.push(object));
    }
    expect(neighbours).toBe(1024);
    const ids = (which: (it: Case) => boolean) => objects.filter(({ it }) => which(it)).map(({ id }) => id);
    const byNumber = (list: unknown[]) => [...(list as number[])].sort((x, y) => x - y);
    const dead = (kind: Kind) => (it: Case) => !it.lives && it.has.has(kind);
    const revived = dead("finalizer");
    gc.gc();
    gc.finalizers.run();
    expect(byNumber(ran.finalizer)).toEqual(byNumber(ids(revived).map((id) => objects[id - 1]?.p)));
    expect(byNumber(ran.cleanup)).toEqual(ids((it) => dead("cleanup")(it) && !revived(it)));
    expect(byNumber(freed)).toEqual(ids((it) => dead("profile")(it) && !revived(it)));
    for (const { id, p, pair, it } of objects) {
      if (it.has.has("weak")) expect(weak[id]?.value(), pair).toBe(it.lives ? p : 0);
    }
    verifyHeap(gc);
    gc.gc();
    gc.finalizers.run();
    expect(byNumber(ran.cleanup)).toEqual(ids(dead("cleanup")));
    expect(byNumber(freed)).toEqual(ids(dead("profile")));
    expect(ran.finalizer).toHaveLength(ids(revived).length);
  });
});

describe("a special that the collector has no use for", () => {
  it("goes with its object, and the memory profile gets no report", () => {
    const freed: number[] = [];
    const { a, gc, heapObjects } = rig({ freeProfile: (data) => void freed.push(data) });
    const p = a.mallocNoscan(64);
    a.addSpecial(p, SPECIAL_PIN, 9);
    expect(a.findSpecial(p, SPECIAL_PIN)).not.toBe(0);
    gc.gc();
    expect([heapObjects(), a.findSpecial(p, SPECIAL_PIN), freed]).toEqual([0, 0, []]);
    verifyHeap(gc);
  });
});

describe("a span", () => {
  it("that is swept already is not swept again", () => {
    const { a, gc } = rig();
    const span = a.spanOf(a.mallocNoscan(64)) as number;
    gc.gc();
    const { sweepgen } = gc.heap;
    let error: unknown;
    try {
      gc.sweeper.sweepTaken(span);
    } catch (err) {
      error = err;
    }
    expect(error).toMatchObject({
      message: "mspan.sweep: bad span state",
      detail: `mspan.sweep: state=1 sweepgen=${sweepgen} mheap.sweepgen=${sweepgen}`,
    });
  });

  it("is swept ahead of its turn if it is asked for, once, and nothing is no span", () => {
    const { a, gc, heapObjects } = rig();
    const p = a.mallocNoscan(100_000);
    const q = a.mallocNoscan(100_000);
    const span = a.spanOf(p) as number;
    gc.start();
    while (gc.step() !== "terminate");
    gc.sweeper.ensureSwept(0);
    expect(heapObjects()).toBe(2);
    gc.sweeper.ensureSwept(span);
    expect([heapObjects(), a.spanOf(p)]).toEqual([1, 0]);
    gc.sweeper.ensureSwept(span);
    expect(heapObjects()).toBe(1);
    a.central.takeUnswept = () => false;
    expect(() => gc.sweeper.ensureSwept(a.spanOf(q) as number)).toThrow("gc: unswept span is on no list");
  });

  it("has every word of its bits swept: dead objects are clobbered, and a stray mark is named", () => {
    const { a, gc, u32, node, heapObjects } = rig({ godebug: "clobberfree=1" });
    const objects = Array.from({ length: 256 }, () => a.mallocTyped(node));
    const span = a.spanOf(objects[0]) as number;
    expect(a.spanOf(objects[255])).toBe(span);
    for (const p of objects) u32[(p + 28) >>> 2] = 1;
    const kept = [0, 31, 32, 100, 255];
    for (const i of kept) gc.refs.alloc(objects[i]);
    gc.gc();
    expect(heapObjects()).toBe(kept.length);
    objects.forEach((p, i) => void expect(u32[(p + 28) >>> 2]).toBe(kept.includes(i) ? 1 : CLOBBER_WORD));
    const lost = objects[70];
    gc.refs.alloc(lost);
    let error: unknown;
    try {
      gc.gc();
    } catch (err) {
      error = err;
    }
    expect(error).toMatchObject({
      message: "found pointer to free object",
      detail: expect.stringContaining(
        `marked free object 0x${lost.toString(16)} in span 0x${span.toString(16)}, ` +
          `base 0x${objects[0]?.toString(16)}, elemsize=32, index 70 `,
      ),
    });
  });

  it("keeps the bytes of dead objects under allocfreetrace alone", () => {
    const { a, gc, u32, node } = rig({ godebug: "allocfreetrace=1" });
    gc.refs.alloc(a.mallocTyped(node));
    const p = a.mallocTyped(node);
    u32[(p + 16) >>> 2] = 77;
    gc.gc();
    expect(u32[(p + 16) >>> 2]).toBe(77);
  });
});

describe("the end of marking", () => {
  it("counts objects born black as live: the next goal grows from them", () => {
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
