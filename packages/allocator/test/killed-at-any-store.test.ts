import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { type Allocator, createAllocator, GC_MARK, GCCONTROL_AT } from "../src/internal.ts";
import { verifyHeap } from "../src/testing.ts";
import { Killed, Victim } from "./victim.ts";

interface Scene {
  readonly name: string;
  /** What the thread has done before. */
  before?(b: Allocator, a: Allocator): Addr[];
  op(b: Allocator, blocks: Addr[]): void;
  /** Whether the block that is at hand may be lost: recovery.ts. */
  readonly losesBlock?: boolean;
}

/** The thread has structs, blocks of bits and pages. */
function warm(b: Allocator): Addr[] {
  b.mallocNoscan(2048);
  return [];
}

const scenes: Scene[] = [
  { name: "the very first run of all", op: (b) => void b.mallocNoscan(64) },
  { name: "a tiny object", before: warm, op: (b) => void b.mallocNoscan(3) },
  {
    name: "objects with pointers",
    before: warm,
    op(b) {
      const typ = b.newType(48, [5]);
      for (let k = 0; k < 3; k++) b.mallocTyped(typ);
    },
  },
  {
    name: "objects of two types while a collection marks",
    before(b) {
      warm(b);
      b.mem.u32[(b.gcControl + GCCONTROL_AT.gcPhase) >>> 2] = GC_MARK;
      return [];
    },
    op(b) {
      const types = [b.newType(512, [5]), b.newType(512, [6])];
      for (let k = 0; k < 20; k++) b.mallocTyped(types[(k >>> 1) & 1]);
      b.mallocgc(256, b.newType(64, [1]), true);
      b.flushAll();
    },
  },
  {
    name: "the next runs of a fragmented span",
    before(b) {
      const blocks = Array.from({ length: 128 }, () => b.malloc(64));
      for (let i = 0; i < 128; i += 9) b.free(blocks[i]);
      b.flushAll();
      return [];
    },
    op(b) {
      for (let k = 0; k < 20; k++) b.mallocNoscan(64);
    },
  },
  {
    name: "one span after another",
    before: warm,
    op(b) {
      for (let k = 0; k < 5; k++) b.mallocNoscan(4096);
    },
  },
  { name: "a large object", before: warm, op: (b) => void b.mallocgc(100_000, 0, true) },
  { name: "a very large object", before: warm, op: (b) => void b.mallocgc(1_000_000, 0, true) },
  {
    name: "free of a large object",
    before: (b) => [b.malloc(100_000)],
    op: (b, [p]) => b.free(p),
  },
  {
    name: "a flush",
    before(b) {
      for (const n of [16, 64, 1000, 3000]) b.mallocNoscan(n);
      return [];
    },
    op: (b) => b.flushAll(),
  },
  {
    name: "blocks that go back to their spans",
    before: (b) => Array.from({ length: 6 }, () => b.malloc(2048)),
    op(b, blocks) {
      for (const p of blocks) b.free(p);
      b.flushAll();
    },
    losesBlock: true,
  },
  {
    name: "blocks that go back from a list that is too long, some of them of a span that another thread has",
    before(b, a) {
      const blocks = Array.from({ length: 29 }, () => b.malloc(2048));
      const others = Array.from({ length: 4 }, () => a.malloc(2048));
      for (const p of [...blocks, ...others.slice(1)]) b.free(p);
      return others;
    },
    op: (b, [p]) => b.free(p),
    losesBlock: true,
  },
  {
    name: "blocks that are parked, stay so, and are used again",
    before(b, a) {
      const others = Array.from({ length: 6 }, () => a.malloc(64));
      for (const p of others) b.free(p);
      return others;
    },
    op(b) {
      b.flushAll();
      b.flushAll();
      b.malloc(64);
    },
    losesBlock: true,
  },
  {
    name: "spans that are kept for their class, and used again",
    before(b) {
      for (let k = 0; k < 3; k++) b.mallocNoscan(4096);
      b.flushAll();
      return [];
    },
    op(b) {
      b.mallocNoscan(5000);
      b.cache.returnTails();
      b.flushAll();
      b.mallocNoscan(5000);
    },
  },
  ...[64, 100_000].map((size) => ({
    name: `an object of ${size} bytes after another thread has changed the sampling rate`,
    before(b: Allocator, a: Allocator): Addr[] {
      for (const n of [16, 128, 1000]) b.mallocNoscan(n);
      a.setMemProfileRate(1);
      return [];
    },
    op: (b: Allocator) => void b.mallocgc(size, 0, true),
  })),
  {
    name: "a stack",
    before: warm,
    op(b) {
      const s = b.stackAlloc(8192);
      b.stackFree(s, 8192);
      b.stacks.flush();
    },
  },
];

/**
 * If a thread is killed while it holds a lock, the lock reports an error, at whichever store of the critical section
 * it dies. So the first and the last store are enough. GORT_CUT=all kills it at every store.
 */
const everywhere = process.env.GORT_CUT === "all";

/** The stores to kill at: those outside of locks, and the ends of each critical section. */
function places(underLock: readonly boolean[]): number[] {
  const all = [...underLock.keys()];
  if (everywhere) return all;
  return all.filter((k) => !underLock[k - 1] || !underLock[k] || !underLock[k + 1]);
}

describe("a thread that is killed at any store", () => {
  for (const scene of scenes) {
    it(`of ${scene.name} leaves a heap in order, or a lock that names the thread that held it`, {
      timeout: 120_000,
    }, () => {
      const { underLock } = run(scene, Number.POSITIVE_INFINITY);
      expect(underLock.length).toBeGreaterThan(5);
      let outside = 0;
      const errors: string[] = [];
      for (const k of places(underLock)) {
        const { locked, error } = run(scene, k);
        expect(locked, `store ${k}`).toBe(underLock[k]);
        if (!locked) outside++;
        if (error !== undefined && !(scene.losesBlock && isOneBlock(error)))
          errors.push(`store ${k}: ${error}`);
      }
      expect(errors).toEqual([]);
      expect(outside).toBeGreaterThan(5);
    });
  }
});

/**
 * Whether the only fault that verifyHeap found is one lost block: an allocated slot without an object or, for a parked
 * block, its mark.
 */
function isOneBlock(error: string): boolean {
  const [, marks, parked] =
    /^verifyHeap: swept span .* has (\d+) mark bits, (\d+) parked blocks$/.exec(error) ?? [];
  if (marks !== undefined) return Number(marks) === Number(parked) + 1;
  const [, objects, slots] = /^verifyHeap: heapObjects .* is (\d+), should be (\d+)$/.exec(error) ?? [];
  return objects !== undefined && Number(slots) === Number(objects) + 1;
}

/**
 * Kills the thread at store k of the scene and has its mcache taken over. At Infinity it lives, and each store is
 * recorded.
 */
function run(scene: Scene, k: number): { underLock: boolean[]; locked: boolean; error?: string } {
  const a = createAllocator({ maxMemory: 64 << 20 });
  a.share();
  a.malloc(5000);
  const victim = new Victim(a);
  const b = victim.allocator;
  const blocks = scene.before?.(b, a) ?? [];
  const underLock: boolean[] = [];
  if (k === Number.POSITIVE_INFINITY) {
    victim.onStore = () => void underLock.push(a.heap.lockHeldBy(victim.thread) !== 0);
  }
  victim.left = k;
  try {
    scene.op(b, blocks);
  } catch (err) {
    if (!(err instanceof Killed)) throw err;
  }
  victim.left = 0;
  if (a.heap.lockHeldBy(victim.thread) !== 0) {
    expect(() => a.threadExited(victim.thread)).toThrow("a thread ended while it held the lock");
    return { underLock, locked: true };
  }
  try {
    a.threadExited(victim.thread);
    a.flushAll();
    verifyHeap(a);
    const again = createAllocator({ memory: a.mem }); // the mcache, in its next life
    for (const n of [3, 64, 4096, 5000, 100_000]) again.mallocNoscan(n);
    again.close();
    verifyHeap(a);
  } catch (err) {
    return { underLock, locked: false, error: (err as Error).message };
  }
  return { underLock, locked: false };
}
