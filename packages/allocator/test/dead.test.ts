/** Threads that end without close: what they held is taken over, or named if nothing can repair it. */
import { Worker } from "node:worker_threads";
import type { Addr } from "@gort/memory";
import { attachLinearMemory } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { isFatalError } from "../src/index.ts";
import {
  type Allocator,
  createAllocator,
  MCACHE,
  MCACHE_SLOT,
  MCENTRAL,
  MHEAP,
  NUM_SPAN_CLASSES,
  newHeapStats,
  TINY_SPAN_CLASS,
} from "../src/internal.ts";
import { verifyHeap, verifyMemory } from "../src/testing.ts";

interface Victim {
  readonly thread: number;
  /** The blocks it had in use. */
  readonly blocks: Addr[];
  end(): Promise<void>;
}

/** A worker with a full cache, which holds the lock at lockAt (0: none) and waits to be terminated. */
async function victim(a: Allocator, lockAt: number): Promise<Victim> {
  const thread = a.mem.registerThread();
  const worker = new Worker(new URL("workers/victim.mjs", import.meta.url), {
    workerData: { memory: a.mem.memory, thread, lockAt },
    execArgv: [],
  });
  const blocks = await new Promise<Addr[]>((resolve, reject) =>
    worker.once("message", resolve).once("error", reject),
  );
  return {
    thread,
    blocks,
    async end() {
      await worker.terminate();
    },
  };
}

function sharedHeap(): Allocator {
  const a = createAllocator({ maxMemory: 128 << 20 });
  a.share();
  return a;
}

function freeAll(a: Allocator, blocks: readonly Addr[]): void {
  for (const p of blocks) a.free(p);
  a.flushAll();
  verifyHeap(a);
  // The victim's tiny object is all that is left.
  expect(a.readStats(newHeapStats()).heapObjects).toBe(1);
}

describe("a thread that dies", () => {
  it("without a lock leaves nothing behind but what it had allocated", async () => {
    const a = sharedHeap();
    const v = await victim(a, 0);
    await v.end();
    a.threadExited(v.thread);
    verifyHeap(a);
    freeAll(a, v.blocks);
    a.threadExited(v.thread); // once more changes nothing
    const again = createAllocator({ memory: attachLinearMemory(a.mem.memory as never) });
    expect(again.id).not.toBe(a.id);
    expect(a.mem.u32[(a.mheap + MHEAP.offsets.nmcaches) >>> 2]).toBe(2); // its mcache was used again
  });

  it("is noticed by whoever watches its worker", async () => {
    const a = sharedHeap();
    const v = await victim(a, 0);
    let exit = (): void => {};
    a.watchWorker({ once: (_, listener) => void (exit = listener) }, v.thread);
    await v.end();
    exit();
    expect(a.mem.threadGone(v.thread)).toBe(true);
    freeAll(a, v.blocks);
  });

  // Elsewhere the end must be told, as in the tests above.
  it.skipIf(process.platform !== "linux")(
    "is noticed on Linux by the next thread that attaches",
    async () => {
      const a = sharedHeap();
      const v = await victim(a, 0);
      await v.end();
      createAllocator({ memory: attachLinearMemory(a.mem.memory as never) });
      expect(a.mem.u32[(a.mheap + MHEAP.offsets.nmcaches) >>> 2]).toBe(2);
      freeAll(a, v.blocks);
    },
  );

  const locks: readonly [name: string, offset: number, use: (a: Allocator) => void][] = [
    ["mheap", MHEAP.offsets.lock, (a) => void a.mallocgc(1 << 20, 0, false)],
    [
      "mcentral",
      MHEAP.offsets.central + TINY_SPAN_CLASS * MCENTRAL.size,
      (a) => a.central.push(a.central.partialSwept(TINY_SPAN_CLASS), a.heap.alloc(1, TINY_SPAN_CLASS)),
    ],
  ];
  for (const [name, offset, use] of locks) {
    it(`inside the lock ${name} ends in an error that names both, for who waits and for who is told`, async () => {
      const a = sharedHeap();
      const v = await victim(a, a.mheap + offset);
      await v.end();
      let error: unknown;
      try {
        a.threadExited(v.thread);
      } catch (err) {
        error = err;
      }
      expect(isFatalError(error)).toBe(true);
      expect(error).toMatchObject({
        message: `a thread ended while it held the lock ${name}`,
        detail: expect.stringContaining(`thread ${v.thread} held the lock ${name} at 0x`),
      });
      expect(() => use(a)).toThrow(
        new RegExp(`lock ${name} at 0x\\w+ is held by thread ${v.thread}, which has ended`),
      );
    });
  }

  it("between two blocks that it gives back leaves none of them to be given back again", () => {
    const a = sharedHeap();
    const b = createAllocator({ memory: a.mem });
    const blocks = Array.from({ length: 300 }, () => b.malloc(64));
    const kept = blocks.filter((_, i) => i % 2 === 0);
    b.cache.flush(); // the spans are on lists, where a finds the slots that come back
    for (let i = 1; i < blocks.length; i += 2) b.free(blocks[i] as Addr);
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
      const slot = b.cache.base + MCACHE.offsets.alloc + spc * MCACHE_SLOT.size;
      expect([spc, a.mem.u32[(slot + MCACHE_SLOT.offsets.span) >>> 2]]).toEqual([spc, 0]);
    }
    verifyHeap(a);
  });

  it("keeps its number until its mcache is taken over, so that no new thread is taken for it", () => {
    const a = sharedHeap();
    const thread = a.mem.registerThread();
    const owned = (a.cache.base + MCACHE.offsets.owned) >>> 2;
    const b = createAllocator({ memory: a.mem });
    const bOwned = (b.cache.base + MCACHE.offsets.owned) >>> 2;
    a.mem.u32[bOwned] = thread;
    const { mem } = a;
    const told: number[] = [];
    const { threadExited } = mem;
    mem.threadExited = (k) => {
      told.push(mem.u32[bOwned] as number);
      threadExited.call(mem, k);
    };
    a.threadExited(thread);
    expect(told).toEqual([0]);
    for (const wrong of [mem.thread, 0, -1, 0.5, 512]) {
      expect(() => a.threadExited(wrong)).toThrow(RangeError);
    }
    expect(mem.u32[owned]).toBe(mem.thread);
  });
});

describe("numbers of threads", () => {
  it("come back when a worker closes its allocator, with no word from anybody", {
    timeout: 60_000,
  }, async () => {
    const a = sharedHeap();
    for (let k = 0; k < 507; k++) a.mem.registerThread(); // as many as a program with many workers has in use
    for (let k = 0; k < 10; k++) {
      const worker = new Worker(new URL("workers/visitor.mjs", import.meta.url), {
        workerData: { memory: a.mem.memory },
        execArgv: [],
      });
      const code = await new Promise((resolve, reject) => worker.once("exit", resolve).once("error", reject));
      expect(code).toBe(0);
    }
    expect(a.mem.u32[(a.mheap + MHEAP.offsets.nmcaches) >>> 2]).toBe(2);
    verifyHeap(a);
  });

  it("mean one thread: the report of an end that comes late does not touch who has the entry by then", () => {
    const a = sharedHeap();
    const first = a.mem.registerThread();
    a.mem.threadExited(first);
    for (let k = 0; k < 509; k++) a.mem.registerThread();
    const second = a.mem.registerThread();
    expect([second === first, second % 512]).toEqual([false, first]);
    const b = createAllocator({ memory: a.mem });
    a.mem.u32[(b.cache.base + MCACHE.offsets.owned) >>> 2] = second;
    b.malloc(100);
    a.threadExited(first);
    expect(a.mem.u32[(b.cache.base + MCACHE.offsets.owned) >>> 2]).toBe(second);
    expect(a.mem.threadGone(second)).toBe(false);
    a.threadExited(second);
    expect(a.mem.u32[(b.cache.base + MCACHE.offsets.owned) >>> 2]).toBe(0);
    verifyHeap(a);
  });

  it("are the thread's as long as one of its allocators is open; a closed one still takes over and reads", () => {
    const a = sharedHeap();
    const thread = a.mem.thread;
    const b = createAllocator({ memory: a.mem });
    const victim = a.mem.registerThread();
    const c = createAllocator({ memory: a.mem });
    c.malloc(100);
    a.mem.u32[(c.cache.base + MCACHE.offsets.owned) >>> 2] = victim;
    a.close();
    expect(a.mem.thread).toBe(thread);
    b.close();
    expect(() => c.mem.member.part()).not.toThrow(); // c is no longer this thread's
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
