/** Hooks that come back into the allocator: hooks.ts says which of them may. */
import type { Addr } from "@gort/memory";
import { describe, expect, it, vi } from "vitest";
import { type Allocator, createAllocator, isFatalError, newHeapStats } from "../src/index.ts";
import { GCCONTROL_AT, MSPAN_AT } from "../src/internal.ts";
import { allocatedObjects, collectWith, verifyHeap } from "../src/testing.ts";

type Call = (a: Allocator, own: { block: Addr; stack: Addr; pages: Addr; pair: number }) => unknown;

/** Every entry point that changes an mcache or the heap, in a way that leaves its fast path. */
const entries: Record<string, Call> = {
  "mallocNoscan, tiny": (a) => a.mallocNoscan(3),
  "mallocNoscan, small": (a) => a.mallocNoscan(64),
  "mallocNoscan, of another class": (a) => a.mallocNoscan(640),
  "mallocNoscan, of the last small class": (a) => a.mallocNoscan(30_000),
  mallocTyped: (a, { pair }) => a.mallocTyped(pair),
  "mallocgc, an array": (a, { pair }) => a.mallocgc(160, pair, true),
  "mallocgc, with a header": (a, { pair }) => a.mallocgc(1600, pair, true),
  "mallocgc, large": (a) => a.mallocgc(100_000, 0, true),
  malloc: (a) => a.malloc(48),
  "malloc, large": (a) => a.malloc(50_000),
  calloc: (a) => a.calloc(3, 100),
  realloc: (a, { block }) => a.realloc(block, 5000),
  dup: (a, { block }) => a.dup(block),
  free: (a, { block }) => a.free(block),
  flushAll: (a) => a.flushAll(),
  readStats: (a) => a.readStats(newHeapStats()),
  setMemProfileRate: (a) => a.setMemProfileRate(512),
  stackAlloc: (a) => a.stackAlloc(2048),
  "stackAlloc, large": (a) => a.stackAlloc(65_536),
  stackFree: (a, { stack }) => a.stackFree(stack, 4096),
  allocManual: (a) => a.allocManual(3),
  freeManual: (a, { pages }) => a.freeManual(pages),
  scavenge: (a) => a.scavenge(1 << 20),
  freeOSMemory: (a) => a.freeOSMemory(),
  share: (a) => a.share(),
  close: (a) => a.close(),
};

/** A heap in which nothing is cached, so that every entry has to leave its fast path. */
function heap(): { a: Allocator; own: Parameters<Call>[1] } {
  const a = createAllocator({ maxMemory: 64 << 20, seed: 7 });
  a.hooks.releaseRefused = () => {};
  const own = {
    block: a.malloc(200),
    stack: a.stackAlloc(4096),
    pages: a.allocManual(2),
    pair: a.newType(32, [3]),
  };
  a.flushAll();
  return { a, own };
}

/** Sets a hook that calls `intrude` in the middle of an operation. Returns a function that does the operation. */
const inside: Record<string, (a: Allocator, intrude: () => void) => () => void> = {
  "deductSweepCredit of a small object": (a, intrude) => {
    a.hooks.deductSweepCredit = () => intrude();
    return () => void a.mallocNoscan(64);
  },
  "deductSweepCredit of a large object": (a, intrude) => {
    a.hooks.deductSweepCredit = () => intrude();
    return () => void a.mallocNoscan(70_000);
  },
  "reclaim of a small object": (a, intrude) => {
    a.hooks.reclaim = () => intrude();
    return () => void a.mallocTyped(a.newType(32, [3]));
  },
  "reclaim of a block by hand": (a, intrude) => {
    a.hooks.reclaim = () => intrude();
    return () => void a.malloc(3000);
  },
  sampleMalloc: (a, intrude) => {
    a.setMemProfileRate(1);
    a.hooks.sampleMalloc = () => intrude();
    return () => void a.mallocNoscan(64);
  },
  "sampleMalloc of a large object": (a, intrude) => {
    a.setMemProfileRate(1);
    a.hooks.sampleMalloc = () => intrude();
    return () => void a.mallocgc(70_000, 0, true);
  },
  onFree: (a, intrude) => {
    const p = a.malloc(64);
    a.flushAll();
    a.hooks.onFree = () => intrude();
    return () => a.free(p);
  },
};

/** The fatal error that a refused call ends in. */
function refusal(call: () => unknown): string {
  try {
    call();
  } catch (err) {
    if (isFatalError(err)) return `${err.kind}: ${err.message} | ${err.detail}`;
    throw err;
  }
  return "not refused";
}

describe("a hook in the middle of an operation", () => {
  for (const [hook, stage] of Object.entries(inside)) {
    it.each(Object.keys(entries))(`is refused from ${hook}: %s`, (name) => {
      const { a, own } = heap();
      let first = true;
      let said = "";
      const act = stage(a, () => {
        if (!first) return;
        first = false;
        said = refusal(() => entries[name](a, own));
      });
      act();
      expect(said).toMatch(
        /^throw: allocator: re-entered by a hook \| allocator: .* called by a hook in the middle of /,
      );
      expect(a.idle).toBe(true);
      // Nothing was changed, and the heap goes on.
      verifyHeap(a);
      const seen = new Set<Addr>();
      for (let i = 0; i < 500; i++) seen.add(a.mallocNoscan(64)).add(a.mallocTyped(own.pair));
      expect(seen.size).toBe(1000);
      a.hooks.onFree = () => {};
      a.free(own.block);
      verifyHeap(a);
    });
  }

  it("is refused from sweepSpan, and the span is swept and used all the same", () => {
    for (const [name, entry] of Object.entries(entries)) {
      const { a, own } = heap();
      const kept = new Set<Addr>();
      for (let i = 0; i < 300; i++) kept.add(a.mallocNoscan(64));
      a.flushAll();
      // Marks every other object; the span stays unswept.
      let k = 0;
      for (const { span, addr } of allocatedObjects(a)) {
        if (!kept.has(addr) || k++ % 2 === 0) continue;
        const i = a.objIndex(span, addr);
        const marks = a.mem.u32[(span + MSPAN_AT.gcmarkBits) >>> 2];
        a.mem.u32[(marks >>> 2) + (i >>> 5)] |= 1 << (i & 31);
      }
      const sweepgen = (a.gcControl + GCCONTROL_AT.sweepgen) >>> 2;
      a.mem.u32[sweepgen] += 2;
      let said = "";
      a.hooks.sweepSpan = (span) => {
        said = refusal(() => entry(a, own));
        a.spanSwept(span, a.sweepBits(span), true);
      };
      a.mallocNoscan(64);
      expect([name, said]).toEqual([name, expect.stringContaining("allocator: re-entered by a hook")]);
      for (let s = a.nextSpanForSweep(); s !== 0; s = a.nextSpanForSweep())
        a.spanSwept(s, a.sweepBits(s), false);
      verifyHeap(a);
    }
  });

  it("may throw, and leaves the heap in order", () => {
    for (const [hook, stage] of Object.entries(inside)) {
      const { a } = heap();
      const act = stage(a, () => {
        throw new Error(`from ${hook}`);
      });
      expect(act).toThrow(`from ${hook}`);
      expect(a.idle).toBe(true);
      verifyHeap(a);
    }
  });
});

describe("a hook that reports", () => {
  const reports: Record<string, (a: Allocator, intrude: () => void) => () => void> = {
    gcTrigger: (a, intrude) => {
      a.mem.f64[(a.gcControl + GCCONTROL_AT.trigger) >>> 3] = 1;
      a.hooks.gcTrigger = intrude;
      return () => void a.mallocNoscan(64);
    },
    "gcTrigger of a tiny object": (a, intrude) => {
      a.mem.f64[(a.gcControl + GCCONTROL_AT.trigger) >>> 3] = 1;
      a.hooks.gcTrigger = intrude;
      return () => void a.mallocNoscan(1);
    },
    "gcTrigger of a block by hand": (a, intrude) => {
      a.mem.f64[(a.gcControl + GCCONTROL_AT.trigger) >>> 3] = 1;
      a.hooks.gcTrigger = intrude;
      return () => void a.malloc(64);
    },
    operationDone: (a, intrude) => {
      a.hooks.deductSweepCredit = () => a.deferReport();
      a.hooks.operationDone = () => {
        a.hooks.deductSweepCredit = () => {};
        intrude();
      };
      return () => void a.mallocNoscan(64);
    },
    releaseRefused: (a, intrude) => {
      const p = a.mallocgc(2 << 20, 0, true);
      a.mem.kernel.fill(p, 1, 2 << 20);
      collectWith(a, (q) => q !== p);
      vi.spyOn(a.mem, "canRelease", "get").mockReturnValue(true);
      vi.spyOn(a.mem, "sysUnused").mockReturnValue(false);
      a.hooks.releaseRefused = intrude;
      return () => void a.scavenge(1 << 20);
    },
  };

  for (const [hook, stage] of Object.entries(reports)) {
    it.each(Object.keys(entries))(`may come back from ${hook}: %s`, (name) => {
      const { a, own } = heap();
      // Freeing by hand is for heaps that were never collected.
      const byHand = hook !== "releaseRefused" || !/free$|realloc/.test(name);
      let calls = 0;
      const act = stage(a, () => {
        if (calls++ > 0) return;
        if (byHand) entries[name](a, own);
        else expect(() => entries[name](a, own)).toThrow("garbage collected");
      });
      act();
      expect(calls).toBeGreaterThan(0);
      verifyHeap(a);
      if (name !== "close")
        expect(new Set(Array.from({ length: 300 }, () => a.mallocNoscan(64))).size).toBe(300);
      verifyHeap(a);
    });
  }

  it.each(Object.keys(entries))("may come back from outOfMemory: %s", (name) => {
    for (const op of ["small", "large", "stack"] as const) {
      const { a, own } = heap();
      const big: Addr[] = [];
      for (;;) {
        try {
          big.push(a.malloc(256 << 10));
        } catch {
          break;
        }
      }
      // All that is left, in pages.
      for (let n = 31; n > 0; n--)
        for (;;) {
          try {
            a.allocManual(n);
          } catch {
            break;
          }
        }
      a.flushAll();
      let calls = 0;
      let error: unknown = null;
      a.hooks.outOfMemory = () => {
        calls++;
        try {
          entries[name](a, own);
        } catch (err) {
          error = err;
        }
        if (name === "close") return false;
        for (const p of big.splice(0, 3)) a.free(p);
        return true;
      };
      const act = (): unknown =>
        op === "small" ? a.mallocNoscan(640) : op === "large" ? a.mallocNoscan(70_000) : a.stackAlloc(65_536);
      if (name === "close") expect(act).toThrow();
      else expect(act()).toBeGreaterThan(0);
      // What the hook allocates is not rescued in turn.
      expect(calls).toBe(1);
      if (error !== null) expect((error as Error).message).toMatch(/out of memory/);
      verifyHeap(a);
    }
  });
});

describe("realloc", () => {
  it("keeps its block though the hook outOfMemory frees everything that it knows", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    const blocks: Addr[] = [];
    for (;;) {
      try {
        blocks.push(a.malloc(1 << 20));
      } catch {
        break;
      }
    }
    const p = blocks[3];
    a.mem.u8[p + 5] = 77;
    const refused: string[] = [];
    a.hooks.outOfMemory = () => {
      for (const q of blocks) {
        try {
          a.free(q);
        } catch (err) {
          refused.push((err as Error).message);
        }
      }
      return true;
    };
    const q = a.realloc(p, 3 << 20);
    expect(a.mem.u8[q + 5]).toBe(77);
    expect(refused).toHaveLength(1);
    expect(() => a.free(p)).toThrow(RangeError);
    a.free(q);
    verifyHeap(a);
  });
});
