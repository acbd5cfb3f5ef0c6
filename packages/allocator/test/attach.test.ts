/** Threads that attach to a heap, close, or end: what is seen without a worker. */
import type { Addr } from "@gort/memory";
import { attachLinearMemory } from "@gort/memory";
import { describe, expect, it } from "vitest";
import {
  type Allocator,
  createAllocator,
  MCACHE_AT,
  MCACHE_SLOT,
  MCACHE_SLOT_AT,
  MHEAP_AT,
  NUM_SPAN_CLASSES,
  newHeapStats,
} from "../src/internal.ts";
import { verifyHeap, verifyMemory } from "../src/testing.ts";
import { failure } from "./kit.ts";

function sharedHeap(): Allocator {
  const a = createAllocator({ maxMemory: 128 << 20 });
  a.share();
  return a;
}

describe("a thread that ends", () => {
  it("between two blocks that it gives back leaves none of them to be given back again", () => {
    const a = sharedHeap();
    const b = createAllocator({ memory: a.mem });
    const blocks = Array.from({ length: 300 }, () => b.malloc(64));
    const kept = blocks.filter((_, i) => i % 2 === 0);
    b.cache.flush(); // the spans are on lists, where a finds the slots that come back
    for (let i = 1; i < blocks.length; i += 2) b.free(blocks[i]);
    let released = 0;
    const manual = (b.manual as unknown as { lists: object }).lists as {
      releaseBlock(...args: number[]): boolean;
    };
    const { releaseBlock } = manual;
    manual.releaseBlock = (...args) => {
      const done = releaseBlock.apply(manual, args);
      if (++released === 20) throw new Error("killed");
      return done;
    };
    expect(() => b.flushAll()).toThrow("killed");
    for (let i = 0; i < released; i++) kept.push(a.malloc(64));
    expect(a.recover(b.id)).toBe(true);
    for (let i = 0; i < 300; i++) kept.push(a.malloc(64));
    expect(new Set(kept).size).toBe(kept.length); // no block twice
    verifyHeap(a);
  });

  it("in the middle of a flush leaves no span in its mcache", () => {
    const a = sharedHeap();
    const b = createAllocator({ memory: a.mem });
    for (const n of [16, 64, 100, 1000, 3000]) b.mallocNoscan(n);
    const { uncacheSpan } = b.central;
    b.central.uncacheSpan = (s) => {
      uncacheSpan.call(b.central, s);
      throw new Error("killed");
    };
    expect(() => b.flushAll()).toThrow("killed");
    verifyHeap(a);
    expect(a.recover(b.id)).toBe(true);
    for (let spc = 0; spc < NUM_SPAN_CLASSES; spc++) {
      const slot = b.cache.base + MCACHE_AT.alloc + spc * MCACHE_SLOT.size;
      expect([spc, a.mem.u32[(slot + MCACHE_SLOT_AT.span) >>> 2]]).toEqual([spc, 0]);
    }
    verifyHeap(a);
  });

  it("keeps its number until its mcache is taken over, so that no new thread is taken for it", () => {
    const a = sharedHeap();
    const thread = a.mem.registerThread();
    const owned = (a.cache.base + MCACHE_AT.owned) >>> 2;
    const b = createAllocator({ memory: a.mem });
    const bOwned = (b.cache.base + MCACHE_AT.owned) >>> 2;
    a.mem.u32[bOwned] = thread;
    const { mem } = a;
    const told: number[] = [];
    const { threadExited } = mem;
    mem.threadExited = (k) => {
      told.push(mem.u32[bOwned]);
      threadExited.call(mem, k);
    };
    a.threadExited(thread);
    expect(told).toEqual([0]);
    for (const wrong of [mem.thread, 0, -1, 0.5, 512]) {
      expect(() => a.threadExited(wrong)).toThrow(RangeError);
    }
    expect(mem.u32[owned]).toBe(mem.thread);
  });

  it("has each of its mcaches taken over, once, and no other thread's", () => {
    const a = sharedHeap();
    const thread = a.mem.registerThread();
    const [b, c, d] = Array.from({ length: 3 }, () => createAllocator({ memory: a.mem })) as [
      Allocator,
      Allocator,
      Allocator,
    ];
    const ownedAt = (x: Allocator): number => (x.cache.base + MCACHE_AT.owned) >>> 2;
    const owner = (x: Allocator): number => a.mem.u32[ownedAt(x)];
    for (const x of [b, d]) a.mem.u32[ownedAt(x)] = thread;
    for (const x of [a, b, c, d]) for (const n of [3, 64, 9000]) x.malloc(n);
    a.threadExited(thread);
    expect([a, b, c, d].map(owner)).toEqual([a.mem.thread, 0, a.mem.thread, 0]);
    verifyHeap(a);
    expect(a.readStatsUnflushed(newHeapStats()).heapObjects).toBeGreaterThan(12); // runs of a and c
    c.flushAll();
    expect(a.readStats(newHeapStats()).heapObjects).toBe(12);
    expect([a.recover(a.id), a.recover(b.id), a.recover(99)]).toEqual([false, false, false]);
    // recover believes its caller: it takes over from c too, which is alive.
    expect([a.recover(c.id), owner(c), a.recover(c.id)]).toEqual([true, 0, false]);
  });

  it("in the middle of a change of its counts leaves a version that is even and was never seen before", () => {
    const a = sharedHeap();
    const b = createAllocator({ memory: a.mem });
    const versionAt = (b.cache.base + MCACHE_AT.version) >>> 2;
    for (const [before, after] of [
      [6, 6],
      [7, 8],
    ] as const) {
      const x = createAllocator({ memory: a.mem });
      b.close();
      const next = createAllocator({ memory: a.mem });
      expect(next.id).toBe(b.id);
      a.mem.u32[versionAt] = before;
      expect(a.recover(next.id)).toBe(true);
      // The flush of the takeover changes it in pairs.
      const version = a.mem.u32[versionAt];
      expect([version % 2, version >= after]).toEqual([0, true]);
      x.close();
    }
    verifyHeap(a);
  });

  it("is reported by its worker's exit event, with its number", () => {
    const a = sharedHeap();
    const thread = a.mem.registerThread();
    const b = createAllocator({ memory: a.mem });
    a.mem.u32[(b.cache.base + MCACHE_AT.owned) >>> 2] = thread;
    const events: string[] = [];
    let exit = (): void => {};
    const worker = {
      once(event: string, listener: () => void) {
        events.push(event);
        exit = listener;
      },
    };
    a.watchWorker(worker, thread);
    expect(events).toEqual(["exit"]);
    expect(a.mem.threadGone(thread)).toBe(false);
    exit();
    expect(a.mem.threadGone(thread)).toBe(true);
    expect(a.mem.u32[(b.cache.base + MCACHE_AT.owned) >>> 2]).toBe(0);
    expect(() => a.watchWorker(worker, a.mem.thread)).toThrow("needs the number of another thread");
  });

  it("inside a lock is an error that names the lock, its rank and the thread, and takes nothing over", () => {
    const a = sharedHeap();
    const thread = a.mem.registerThread();
    const b = createAllocator({ memory: a.mem });
    const owned = (b.cache.base + MCACHE_AT.owned) >>> 2;
    a.mem.u32[owned] = thread;
    const at = a.mheap + MHEAP_AT.lock;
    a.mem.u32[at >>> 2] = thread << 1;
    const error = failure(() => a.threadExited(thread));
    expect([error.kind, error.message, error.detail]).toEqual([
      "throw",
      "a thread ended while it held the lock mheap",
      `allocator: thread ${thread} held the lock mheap at 0x${at.toString(16)}`,
    ]);
    expect([a.mem.threadGone(thread), a.mem.u32[owned]]).toEqual([true, thread]);
  });
});

describe("numbers of threads", () => {
  it("mean one thread: a late report of an end does not touch the next owner of the entry", () => {
    const a = sharedHeap();
    const first = a.mem.registerThread();
    a.mem.threadExited(first);
    for (let k = 0; k < 509; k++) a.mem.registerThread();
    const second = a.mem.registerThread();
    expect([second === first, second % 512]).toEqual([false, first]);
    const b = createAllocator({ memory: a.mem });
    a.mem.u32[(b.cache.base + MCACHE_AT.owned) >>> 2] = second;
    b.malloc(100);
    a.threadExited(first);
    expect(a.mem.u32[(b.cache.base + MCACHE_AT.owned) >>> 2]).toBe(second);
    expect(a.mem.threadGone(second)).toBe(false);
    a.threadExited(second);
    expect(a.mem.u32[(b.cache.base + MCACHE_AT.owned) >>> 2]).toBe(0);
    verifyHeap(a);
  });

  it("are the thread's as long as one of its allocators is open; a closed one still takes over and reads", () => {
    const a = sharedHeap();
    const thread = a.mem.thread;
    const b = createAllocator({ memory: a.mem });
    const victim = a.mem.registerThread();
    const c = createAllocator({ memory: a.mem });
    c.malloc(100);
    a.mem.u32[(c.cache.base + MCACHE_AT.owned) >>> 2] = victim;
    a.close();
    expect(a.mem.thread).toBe(thread);
    b.close();
    expect(() => c.mem.member.part()).not.toThrow(); // c belongs to another thread by then
    expect(a.mem.thread).toBe(0);
    expect(a.readStats(newHeapStats()).heapObjects).toBe(1);
    a.threadExited(victim);
    expect(a.mem.thread).toBe(0);
    const again = createAllocator({ memory: a.mem });
    expect(again.mem.thread).toBe(thread);
    verifyHeap(again);
  });

  it("go back when an attempt to attach fails", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    expect(() => createAllocator({ memory: a.mem })).toThrow("call its share()");
    a.close();
    expect(a.mem.thread).toBe(0);
  });
});

describe("another thread", () => {
  it("must be announced: attaching to a heap that was not shared is refused", () => {
    const a = createAllocator({ maxMemory: 64 << 20 });
    expect(() => createAllocator({ memory: attachLinearMemory(a.mem.memory as never) })).toThrow(
      "call its share()",
    );
    const alone = createAllocator({ maxMemory: 64 << 20, shared: false });
    expect(() => alone.share()).toThrow("share needs a shared memory (got shared: false)");
  });

  it("gets the mcache of a thread that is known to have ended, after what that had in use is taken over", () => {
    const a = sharedHeap();
    const thread = a.mem.registerThread();
    const [b, c] = [createAllocator({ memory: a.mem }), createAllocator({ memory: a.mem })];
    for (const n of [3, 64, 9000]) b.malloc(n);
    a.mem.u32[(b.cache.base + MCACHE_AT.owned) >>> 2] = thread;
    a.mem.threadExited(thread); // to the memory, and to no allocator
    const d = createAllocator({ memory: a.mem });
    expect(d.id).toBe(b.id);
    expect(new Set([a.id, c.id, d.id]).size).toBe(3);
    expect(d.readStats(newHeapStats()).heapObjects).toBe(3);
    expect(createAllocator({ memory: a.mem }).id).toBe(3);
    verifyHeap(a);
  });

  it("gets an mcache that is free, or a new one with the next number", () => {
    const a = sharedHeap();
    const attach = (): Allocator => createAllocator({ memory: a.mem });
    const mcaches = (): number => a.mem.u32[(a.mheap + MHEAP_AT.nmcaches) >>> 2];
    const all = [a, attach(), attach(), attach()];
    expect(all.map((x) => x.id)).toEqual([0, 1, 2, 3]);
    expect([mcaches(), new Set(all.map((x) => x.cache.base)).size]).toEqual([4, 4]);
    all[2].close();
    all[1].close();
    const again = [attach(), attach()].map((x) => x.id);
    expect(new Set(again)).toEqual(new Set([1, 2]));
    expect([attach().id, mcaches()]).toEqual([4, 5]);
    expect(a.mem.u32[(a.cache.base + MCACHE_AT.owned) >>> 2]).toBe(a.mem.thread);
  });
});

describe("close", () => {
  it("is the end: what comes after it neither allocates nor disturbs the mcache's next owner", () => {
    const a = sharedHeap();
    const typ = a.newType(64, [1]);
    const big = a.newType(2048, [1]);
    const b = createAllocator({ memory: a.mem });
    const block = b.malloc(100);
    for (const n of [3, 8, 100, 2000, 50_000]) b.mallocNoscan(n);
    b.close();
    const c = createAllocator({ memory: a.mem });
    expect(c.id).toBe(b.id); // the same mcache
    for (const n of [3, 8, 16, 100, 2000]) c.malloc(n);
    for (const n of [3, 64]) c.mallocNoscan(n);
    for (const t of [typ, big]) c.mallocTyped(t);
    const before = c.readStatsUnflushed(newHeapStats());

    for (const n of [0, 3, 8, 100, 2000, 50_000]) {
      expect(() => b.malloc(n)).toThrow("closed");
      expect(() => b.calloc(1, n)).toThrow("closed");
      if (n > 0) expect(() => b.mallocNoscan(n)).toThrow("closed");
    }
    for (const t of [typ, big]) expect(() => b.mallocTyped(t)).toThrow("closed");
    expect(() => b.mallocgc(128, typ, true)).toThrow("closed");
    expect(() => b.free(block)).toThrow("closed");
    expect(() => b.realloc(block, 5000)).toThrow("closed");
    expect(() => b.dup(block)).toThrow("closed");
    expect(() => b.setMemProfileRate(1)).toThrow("closed");
    b.flushAll();
    b.close();
    expect(c.readStatsUnflushed(newHeapStats())).toEqual(before);
    expect(b.readStatsUnflushed(newHeapStats())).toEqual(before);
    expect(createAllocator({ memory: a.mem }).id).not.toBe(c.id); // c's is not free
    a.free(block);
    verifyHeap(a);
    verifyMemory(a.mem);
  });
});

describe("the order of locks in the allocator", () => {
  it("is kept by all that takes locks, and a violation names both", () => {
    const a = createAllocator({ maxMemory: 128 << 20, staticLockRanking: true });
    a.share();
    const typ = a.newType(64, [0xff]);
    const objects: Addr[] = [];
    for (let i = 0; i < 3000; i++) {
      objects.push(a.malloc(8 << (i % 13)));
      a.mallocTyped(typ);
    }
    const p = a.mallocTyped(typ);
    a.addSpecial(p, 1, 7);
    expect(a.findSpecial(p, 1)).not.toBe(0);
    a.removeSpecial(p, 1);
    a.stackFree(a.stackAlloc(2048), 2048);
    for (const q of objects) a.free(q);
    a.flushAll();
    a.freeOSMemory();
    verifyHeap(a);
    a.heap.lock();
    expect(() => a.central.lock(7)).toThrow(
      /lock ordering problem: lock mcentral at 0x\w+ is taken while lock mheap at 0x\w+ is held/,
    );
    expect(() => a.findSpecial(p, 1)).toThrow(/lock mspanSpecial at 0x\w+ is taken while lock mheap at/);
    expect(() => a.flushAll()).toThrow(/flushAll, which precedes a stop, while lock mheap at/);
    a.heap.unlock();
    a.flushAll();
  });
});
