/** The walkers of `testing`: what each counts in a sound heap, and what it says of an unsound one. */
import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { MSPAN_AT } from "../src/heap.ts";
import { objectIndex } from "../src/heap-walk.ts";
import { MARK_AT } from "../src/mark-state.ts";
import { FakeClock, finishCycle, forEachHeapPointer, verifyHeap, verifyTricolour } from "../src/testing.ts";
import { MiB, type RigOptions, rig } from "./kit.ts";

const hex = (n: number) => `0x${n.toString(16)}`;

/** Four objects on a page: a root leads to a, which leads to b; c and d are garbage. */
function heap(options: RigOptions = {}) {
  const r = rig({ maxMemory: 64 * MiB, ...options });
  const [a, b, c, d] = Array.from({ length: 4 }, () => r.a.mallocTyped(r.node)) as [Addr, Addr, Addr, Addr];
  r.u32[a >>> 2] = b;
  r.u32[c >>> 2] = d;
  r.gc.refs.alloc(a);
  const span = r.a.spanOf(a) as number;
  return { ...r, a: r.a, p: { a, b, c, d }, span };
}

type Heap = ReturnType<typeof heap>;

/** Changes the bit of an object in a row of bits of its span. */
function flip(h: Heap, row: "allocBits" | "gcmarkBits", p: Addr): void {
  const i = objectIndex(h.gc.heap, h.span, p);
  const at = (h.u32[(h.span + MSPAN_AT[row]) >>> 2] >>> 2) + (i >>> 5);
  h.u32[at] ^= 1 << (i & 31);
}

const index = (h: Heap, p: Addr): number => objectIndex(h.gc.heap, h.span, p);

/** Marks to the end, and sweeps nothing. */
function markAll(h: Heap): void {
  h.gc.start();
  while (h.gc.step() !== "terminate");
}

describe("verifyHeap", () => {
  it("counts allocated and reachable objects, with the bytes of their slots", () => {
    const h = heap();
    const large = h.a.mallocNoscan(100_000);
    expect(verifyHeap(h.gc)).toEqual({ objects: 5, reachable: 2, reachableBytes: 64 });
    h.gc.refs.alloc(large);
    expect(verifyHeap(h.gc)).toEqual({ objects: 5, reachable: 3, reachableBytes: 64 + 106_496 });
    h.gc.gc();
    expect(verifyHeap(h.gc)).toEqual({ objects: 3, reachable: 3, reachableBytes: 64 + 106_496 });
  });

  it("names a span whose counts differ", () => {
    const h = heap();
    verifyHeap(h.gc);
    h.u32[(h.span + MSPAN_AT.allocCount) >>> 2]++;
    expect(() => verifyHeap(h.gc)).toThrow(
      new Error(`verifyHeap: span ${hex(h.span)} has 4 allocBits, but allocCount 5`),
    );
  });

  it("names a reachable object that is free, and the slot that leads to it", () => {
    for (const [which, from] of [
      ["a", () => 0],
      ["b", (h: Heap) => h.p.a as number],
    ] as const) {
      const h = heap();
      verifyHeap(h.gc);
      flip(h, "allocBits", h.p[which]);
      h.u32[(h.span + MSPAN_AT.allocCount) >>> 2]--;
      expect(() => verifyHeap(h.gc)).toThrow(
        new Error(`verifyHeap: object ${hex(h.p[which])}, reached from ${hex(from(h))}, is free`),
      );
    }
  });

  it("names a marked object of a span that is swept", () => {
    const h = heap();
    verifyHeap(h.gc);
    flip(h, "gcmarkBits", h.p.c);
    expect(() => verifyHeap(h.gc)).toThrow(
      new Error(`verifyHeap: span ${hex(h.span)} is swept, but object ${index(h, h.p.c)} is marked`),
    );
  });

  it("takes marks for granted while a cycle marks", () => {
    const h = heap();
    h.gc.start();
    while (h.gc.marking && h.gc.marker.bytesMarked < 64) h.gc.step(1);
    expect(h.gc.marking).toBe(true);
    expect(verifyHeap(h.gc)).toEqual({ objects: 4, reachable: 2, reachableBytes: 64 });
  });

  it("names a wrong mark of a span that is not swept yet", () => {
    const make = () => {
      const h = heap();
      markAll(h);
      expect(h.u32[(h.span + MSPAN_AT.sweepgen) >>> 2]).toBe(h.gc.heap.sweepgen - 2);
      expect(verifyHeap(h.gc)).toEqual({ objects: 4, reachable: 2, reachableBytes: 64 });
      return h;
    };
    const lost = make();
    flip(lost, "gcmarkBits", lost.p.b);
    expect(() => verifyHeap(lost.gc)).toThrow(
      new Error(
        `verifyHeap: object ${hex(lost.p.b)}, reached from ${hex(lost.p.a)}, is going to be freed by the sweep`,
      ),
    );
    const zombie = make();
    flip(zombie, "gcmarkBits", (zombie.p.d + 32) as Addr);
    expect(() => verifyHeap(zombie.gc)).toThrow(
      new Error(
        `verifyHeap: object ${index(zombie, zombie.p.d) + 1} of span ${hex(zombie.span)} is marked, but not allocated`,
      ),
    );
  });
});

describe("verifyTricolour", () => {
  /** The heap in the middle of a mark phase: all that is reachable is black. */
  function marking() {
    const h = heap();
    h.gc.start();
    while (h.gc.marking && h.gc.marker.scanStats().spanSparse < 2) h.gc.step(1);
    expect(h.gc.marking).toBe(true);
    return h;
  }

  it("counts the black objects, those of an earlier cycle not among them", () => {
    const h = heap();
    expect(verifyTricolour(h.gc)).toBe(0);
    const m = marking();
    expect(verifyTricolour(m.gc)).toBe(2);
    finishCycle(m.gc);
    m.gc.start();
    expect(verifyTricolour(m.gc)).toBe(0);
  });

  it("names a black object that points to a white one", () => {
    const h = marking();
    h.u32[(h.p.b + 8) >>> 2] = h.p.c;
    expect(() => verifyTricolour(h.gc)).toThrow(
      new Error(
        `verifyTricolour: black object ${hex(h.p.b)} points to white ${hex(h.p.c)} at ${hex(h.p.b + 8)}`,
      ),
    );
    // An interior pointer is as bad, a word that is no pointer slot isn't.
    h.u32[(h.p.b + 8) >>> 2] = h.p.c + 31;
    expect(() => verifyTricolour(h.gc)).toThrow(`points to white ${hex(h.p.c + 31)}`);
    h.u32[(h.p.b + 8) >>> 2] = 0;
    h.u32[(h.p.b + 16) >>> 2] = h.p.c;
    expect(verifyTricolour(h.gc)).toBe(2);
  });

  it("names a scanned object that is not marked", () => {
    const h = marking();
    flip(h, "gcmarkBits", h.p.a);
    expect(() => verifyTricolour(h.gc)).toThrow(
      new Error(`verifyTricolour: object ${hex(h.p.a)} is scanned, not marked`),
    );
  });

  it("lets a black object point to a grey one, to a stack and out of the heap", () => {
    const h = marking();
    h.gc.storePointer(h.p.b + 8, h.p.c);
    expect(verifyTricolour(h.gc)).toBe(2);
    for (const p of [h.a.stackAlloc(2048), 8, h.a.zerobase]) {
      h.u32[(h.p.b + 8) >>> 2] = p;
      expect(verifyTricolour(h.gc)).toBe(2);
    }
    // The end of a page that has no room for another object.
    const block = h.a.mallocNoscan(48);
    const base = h.u32[((h.a.spanOf(block) as number) + MSPAN_AT.startAddr) >>> 2];
    h.u32[(h.p.b + 8) >>> 2] = base + 170 * 48;
    expect(verifyTricolour(h.gc)).toBe(2);
  });

  it("looks at nothing that is scanned otherwise than by page", () => {
    const h = heap();
    const big = h.a.mallocTyped(h.a.newType(1000, [1]));
    h.gc.refs.alloc(big);
    h.gc.start();
    while (h.gc.marking && h.gc.marker.scanStats().sparse === 0) h.gc.step(1);
    const n = h.gc.marker.scanStats().spanSparse;
    h.u32[big >>> 2] = h.p.d;
    expect(verifyTricolour(h.gc)).toBe(n);
  });
});

describe("forEachHeapPointer", () => {
  it("gives every pointer slot of allocated objects, reachable or not, with its value", () => {
    const h = heap();
    const { a, b, c, d } = h.p;
    h.a.mallocNoscan(64);
    const slots = () => {
      const seen: [number, number][] = [];
      forEachHeapPointer(h.gc, (slot, value) => seen.push([slot, value]));
      return seen;
    };
    h.a.flushAll();
    const pairs = (list: Addr[]) => list.flatMap((p) => [p, p + 8]);
    const value = (slot: number) => (slot === a ? b : slot === c ? d : 0);
    expect(slots()).toEqual(pairs([a, b, c, d]).map((slot) => [slot, value(slot)]));
    h.gc.gc();
    expect(slots()).toEqual(pairs([a, b]).map((slot) => [slot, value(slot)]));
  });
});

describe("finishCycle", () => {
  it("gives the number of steps that it took, more with a smaller budget", () => {
    const steps = [undefined, 32].map((budget) => {
      const h = heap();
      for (let i = 0; i < 1000; i++) h.gc.refs.alloc(h.a.mallocTyped(h.node));
      let n = 0;
      h.gc.start();
      while (h.gc.step(budget) !== "idle") n++;
      h.gc.start();
      expect(finishCycle(h.gc, budget)).toBe(n);
      expect([h.gc.marking, h.gc.marker.state.get(MARK_AT.overflow)]).toEqual([false, 0]);
      return n;
    });
    expect(steps[1]).toBeGreaterThan(steps[0]);
  });
});

describe("the clock of tests", () => {
  it("moves only when a test moves it, and its wall clock with it", () => {
    const clock = new FakeClock();
    const start = clock.walltime();
    expect([clock.nanotime(), start]).toEqual([0, 1_700_000_000_000_000_000n]);
    clock.advance(5);
    clock.advance(7);
    expect([clock.nanotime(), clock.now, clock.walltime() - start]).toEqual([12, 12, 12n]);
  });
});
