// Allocation: the twin of go/malloc.go. All pointers are raw, as in a program with millions of objects: valid until the
// next safepoint, and stored with the write barrier.
import { type Addr, newMemStats, type Runtime } from "@gort/runtime";
import type { Case, Work } from "../child.ts";
import { allocationsPerSafepoint } from "./sizes.ts";

const NIL = 0 as Addr;

/** Bytes that the fragmented heap keeps alive: go/malloc.go says why. */
const FRAGMENTED_LIVE = 2 ** 21;
const FRAGMENTED_PERCENT = 200;

export function mallocCases(rt: Runtime): Record<string, Case> {
  const { unsafe, allocator } = rt;
  const stats = newMemStats();
  const node32 = unsafe.newType(32, [0, 1]);
  const live = unsafe.newRoot(NIL);

  // The last object of an allocation loop. It is read again, so that no compiler can drop the loop.
  let sink = NIL;

  /** Runs `allocate` until n objects are made. The check is the number of objects that MemStats counted. */
  function mallocs(n: number, size: number, allocate: (count: number) => void): Work {
    const step = allocationsPerSafepoint(size);
    return () => {
      const before = rt.readMemStats(stats).Mallocs;
      for (let left = n; left > 0; left -= step) {
        allocate(Math.min(left, step));
        rt.safepoint();
      }
      if (sink === NIL) throw new Error("nothing was allocated");
      // A handful of objects may be the runtime's own.
      return String(Math.floor((rt.readMemStats(stats).Mallocs - before) / 100) * 100);
    };
  }

  const noscan =
    (size: number): Case =>
    (n) =>
      mallocs(n, size, (count) => {
        for (let i = 0; i < count; i++) sink = allocator.mallocNoscan(size);
      });

  const typed32: Case = (n) =>
    mallocs(n, 32, (count) => {
      for (let i = 0; i < count; i++) sink = allocator.mallocTyped(node32);
    });

  /**
   * Runs `work` in a heap where some objects live: every fourth object of every other span if `fragmented`; else, for
   * comparison, as many objects that lie side by side.
   */
  const among =
    (size: number, fragmented: boolean, work: Case): Case =>
    (n) => {
      rt.collector.setGCPercent(-1);
      const survivors = FRAGMENTED_LIVE / size;
      const held = allocator.mallocgc(8 * survivors, unsafe.newType(8, [0]), true);
      unsafe.setRoot(live, held);
      for (let kept = 0; kept < survivors; ) {
        const p = size === 32 ? allocator.mallocTyped(node32) : allocator.mallocNoscan(size);
        if (fragmented && ((p & 8192) !== 0 || ((p & 8191) / size) % 4 !== 0)) continue;
        unsafe.storePointer((held + 8 * kept++) as Addr, p);
      }
      rt.collector.setGCPercent(FRAGMENTED_PERCENT);
      rt.gc();
      return work(n);
    };

  return {
    Malloc8Tiny: noscan(8),
    Malloc16: noscan(16),
    Malloc1K: noscan(1024),
    Malloc64K: noscan(65536),
    MallocP32: typed32,
    MallocFragmented16: among(16, true, noscan(16)),
    MallocCompact16: among(16, false, noscan(16)),
    MallocFragmentedP32: among(32, true, typed32),
    MallocCompactP32: among(32, false, typed32),
    MallocFragmented1K: among(1024, true, noscan(1024)),
    MallocCompact1K: among(1024, false, noscan(1024)),
  };
}
