/**
 * Memory that fails at any one place: for every k, the k-th request is refused. Either only this one is, or all are
 * until an allocation has ended in an error. Each error must be the one for users, the rest of the work must go on,
 * and nothing may be lost.
 */
import { type Addr, createLinearMemory } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { type FatalError, isFatalError } from "../src/index.ts";
import { type Allocator, createAllocator, newHeapStats } from "../src/internal.ts";
import { collectWith, verifyHeap, verifyMemory } from "../src/testing.ts";

/** Counts what is asked for and refuses from `at` on, `times` times. */
class Faults {
  calls = 0;
  refused = 0;
  at = Number.POSITIVE_INFINITY;
  times = 1;

  /** True: refuse. */
  due(): boolean {
    if (this.calls++ < this.at || this.refused >= this.times) return false;
    this.refused++;
    return true;
  }
  lift(): void {
    this.at = Number.POSITIVE_INFINITY;
  }
}

type Source = "metadata" | "pages" | "address space" | "the system's consent";

/** The allocator's own ways to memory, with refusals. */
function instrument(a: Allocator, source: Source, faults: Faults): void {
  const { mem, heap } = a;
  const { persistentAlloc, sysReserve, sysUnused } = mem;
  const { alloc, claim } = heap.pages;
  if (source === "metadata") {
    mem.persistentAlloc = (...args) => (faults.due() ? (0 as Addr) : persistentAlloc.apply(mem, args));
  } else if (source === "address space") {
    mem.sysReserve = (...args) => (faults.due() ? (0 as Addr) : sysReserve.apply(mem, args));
  } else if (source === "pages") {
    heap.pages.alloc = (n) => (faults.due() ? 0 : alloc.call(heap.pages, n));
    heap.pages.claim = (cache) => !faults.due() && claim.call(heap.pages, cache);
  } else {
    mem.sysUnused = (addr, n) => !faults.due() && sysUnused.call(mem, addr, n);
  }
}

interface Live {
  blocks: Addr[];
  stacks: [addr: Addr, n: number][];
  manual: Addr[];
  others: Allocator[];
}

type Step = (a: Allocator, live: Live) => void;

/** By hand: blocks of all sizes that come and go, stacks, specials, another thread's cache. */
const byHand: Step[] = [
  ...[8, 16, 100, 1000, 5000, 20_000, 40_000, 300_000, 5 << 20].flatMap((size): Step[] => [
    (a, live) => void live.blocks.push(a.malloc(size)),
    (a, live) => void live.blocks.push(a.calloc(3, size / 4)),
    (a, live) => {
      const p = live.blocks.at(-1) as Addr;
      live.blocks[live.blocks.length - 1] = a.realloc(p, size * 2);
    },
    (a, live) => a.free(live.blocks.pop() as Addr),
  ]),
  ...[2048, 8192, 32_768].map(
    (n): Step =>
      (a, live) =>
        void live.stacks.push([a.stackAlloc(n), n]),
  ),
  (a, live) => void live.manual.push(a.allocManual(3)),
  (a, live) => {
    const r = a.addSpecial(live.blocks[0], 1, 5);
    if (r > 0) expect(a.removeSpecial(live.blocks[0], 1)).toBe(5);
    else expect(r).toBe(-1);
  },
  (a, live) => void live.others.push(createAllocator({ memory: a.mem })),
  (_, live) => {
    for (const b of live.others) for (const n of [16, 700, 70_000]) live.blocks.push(b.malloc(n));
  },
  (a) => a.flushAll(),
  (a) => void a.scavenge(1 << 20),
  (a) => void a.freeOSMemory(),
  (a, live) => {
    for (let k = 0; k < 600; k++) live.blocks.push(a.malloc(8000)); // spans enough for new structs
  },
];

function refused(err: unknown): FatalError {
  if (!isFatalError(err)) throw err;
  expect([err.code, err.message]).toEqual(["ERR_GORT_OUT_OF_MEMORY", "runtime: out of memory"]);
  const use = String.raw`\(\d+ in use, \d+ idle, \d+ unreserved of a memory of \d+ bytes\)`;
  const block = String.raw`\d+-byte block ${use}: no (pages|span structs|span bits) left`;
  const what = String.raw`(a type of \d+ bytes|the table of types of \d+ bytes|an mcache|${block})`;
  expect(err.detail).toMatch(new RegExp(`^runtime: cannot allocate ${what}$`));
  return err;
}

function work(source: Source, at: number, times: number): Faults {
  const a = createAllocator({ maxMemory: 64 << 20, seed: 1 });
  a.hooks.releaseRefused = () => {};
  a.share();
  const faults = new Faults();
  faults.at = at;
  faults.times = times;
  instrument(a, source, faults);
  const live: Live = { blocks: [], stacks: [], manual: [], others: [] };
  let count = 0;
  for (const step of byHand) {
    try {
      step(a, live);
    } catch (err) {
      refused(err);
      faults.lift();
      verifyHeap(a);
      count++;
      step(a, live); // the same works when there is memory
    }
  }
  expect(count).toBeLessThanOrEqual(1);
  a.flushAll();
  verifyHeap(a);
  verifyMemory(a.mem);
  expect(a.readStats(newHeapStats()).heapObjects).toBe(new Set(live.blocks).size);
  for (const p of live.blocks) a.free(p);
  for (const [p, n] of live.stacks) a.stackFree(p, n);
  for (const p of live.manual) a.freeManual(p);
  for (const b of live.others) b.close();
  a.flushAll();
  verifyHeap(a);
  const st = a.readStats(newHeapStats());
  expect([st.heapObjects, st.heapInuse, st.stackInuse]).toEqual([0, 0, 0]);
  return faults;
}

describe("memory by hand", () => {
  for (const source of ["metadata", "pages", "address space", "the system's consent"] as const) {
    it(`survives the refusal of ${source} at any place`, { timeout: 120_000 }, () => {
      const { calls } = work(source, Number.POSITIVE_INFINITY, 0);
      expect(calls).toBeGreaterThan(source === "pages" ? 30 : 3);
      for (let k = 0; k < calls; k++) {
        for (const times of [1, Number.POSITIVE_INFINITY])
          expect(work(source, k, times).refused).toBeGreaterThan(0);
      }
    });
  }
});

describe("a collected heap", () => {
  function collect(source: Source, at: number, times: number): Faults {
    const a = createAllocator({ maxMemory: 64 << 20, seed: 1 });
    a.hooks.releaseRefused = () => {};
    const faults = new Faults();
    faults.at = at;
    faults.times = times;
    instrument(a, source, faults);
    const live = new Set<Addr>();
    const attempt = (f: () => void): void => {
      try {
        f();
      } catch (err) {
        refused(err);
        faults.lift();
        verifyHeap(a);
        f();
      }
    };
    const types: number[] = [];
    for (const [size, mask] of [
      [8, [1]],
      [64, [0x81]],
      [1600, [1, 2, 3, 4]],
    ] as const) {
      attempt(() => void types.push(a.newType(size, mask)));
    }
    for (let round = 0; round < 3; round++) {
      for (let k = 0; k < 400; k++) {
        attempt(() => void live.add(a.mallocgc(8 << (k % 11), 0, true)));
        attempt(() => void live.add(a.mallocTyped(types[k % 3])));
        if (k % 100 === 0) attempt(() => void live.add(a.mallocgc(160_000, types[2], true)));
      }
      let n = 0;
      for (const p of live) if (n++ % 3 !== round) live.delete(p);
      // A tiny object lives and dies with its block; one with a header is known by its start.
      const kept = new Set([...live].map((p) => a.findObject(p)));
      collectWith(a, (p) => kept.has(p));
      verifyHeap(a);
      attempt(() => void a.freeOSMemory());
      expect(a.readStats(newHeapStats()).heapObjects).toBe(kept.size);
    }
    collectWith(a, () => false);
    verifyHeap(a);
    expect(a.readStats(newHeapStats()).heapInuse).toBe(0);
    return faults;
  }

  for (const source of ["metadata", "pages", "address space", "the system's consent"] as const) {
    it(`survives the refusal of ${source} at any place`, { timeout: 120_000 }, () => {
      const { calls } = collect(source, Number.POSITIVE_INFINITY, 0);
      const step = Math.ceil(calls / 60);
      for (let k = 0; k < calls; k += step) {
        for (const times of [1, Number.POSITIVE_INFINITY])
          expect(collect(source, k, times).refused).toBeGreaterThan(0);
      }
    });
  }
});

describe("an allocator that can't be made", () => {
  it("says so, wherever its tables are refused, and can be made when there is room", () => {
    for (const source of ["persistentAlloc", "sysReserve"] as const) {
      for (let k = 0; ; k++) {
        const memory = createLinearMemory({ maxMemory: 64 << 20 });
        const real = memory[source];
        let calls = 0;
        memory[source] = (...args: never[]) =>
          calls++ === k ? (0 as Addr) : Reflect.apply(real, memory, args);
        let failed = false;
        try {
          createAllocator({ memory });
        } catch (err) {
          failed = true;
          if (isFatalError(err)) refused(err);
          else
            expect((err as Error).message).toMatch(
              /^allocator: the memory of 67108864 bytes has no room for the tables$/,
            );
        }
        memory[source] = real as never;
        verifyMemory(memory);
        if (calls <= k) break; // nothing was refused
        expect([source, k, failed]).toEqual([source, k, true]);
        const a = createAllocator({ memory });
        a.free(a.malloc(100));
        a.flushAll();
        verifyHeap(a);
      }
    }
  });
});
