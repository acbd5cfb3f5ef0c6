// Allocation and collection: the twin of go/malloc.go and go/gc.go. All pointers are raw, as a program's would be that
// keeps millions of objects: valid until the next safepoint, and stored with the write barrier.
import { type Addr, newMemStats, type Runtime } from "@gort/runtime";
import type { Case, Work } from "../child.ts";
import { shuffle } from "./shuffle.ts";

const nil = 0 as Addr;

/** The two pointers of a tree's node are its first two words. */
const right = 8;

/** Allocations between two safepoints, of up to a MiB. Go may collect inside of any; we do where no raw pointer is held. */
const allocationsPerSafepoint = (size: number): number => Math.min(1024, 2 ** 20 / size);

/** What the fragmented heap keeps alive, in bytes: go/malloc.go says why. */
const fragmentedLive = 2 ** 21;
const fragmentedPercent = 200;

export function heapCases(rt: Runtime): Record<string, Case> {
  const { unsafe, allocator } = rt;
  const { u32 } = rt.memory;
  const stats = newMemStats();
  const node16 = unsafe.newType(16, [0, 1]);
  const node32 = unsafe.newType(32, [0, 1]);
  const live = unsafe.newRoot(nil);

  // The last object of an allocation loop; read again so that no compiler can drop the loop.
  let sink = nil;

  /** Runs `allocate` until n objects are made. The check is the number of objects that MemStats counted. */
  function mallocs(n: number, size: number, allocate: (count: number) => void): Work {
    const step = allocationsPerSafepoint(size);
    return () => {
      const before = rt.readMemStats(stats).Mallocs;
      for (let left = n; left > 0; left -= step) {
        allocate(Math.min(left, step));
        rt.safepoint();
      }
      if (sink === nil) throw new Error("nothing was allocated");
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
   * The same in a heap where some objects live: in every other span, every fourth; or, for comparison, as many that lie side
   * by side.
   */
  const among =
    (size: number, fragmented: boolean, work: Case): Case =>
    (n) => {
      rt.collector.setGCPercent(-1);
      const survivors = fragmentedLive / size;
      const held = allocator.mallocgc(8 * survivors, unsafe.newType(8, [0]), true);
      unsafe.setRoot(live, held);
      for (let kept = 0; kept < survivors; ) {
        const p = size === 32 ? allocator.mallocTyped(node32) : allocator.mallocNoscan(size);
        if (fragmented && ((p & 8192) !== 0 || ((p & 8191) / size) % 4 !== 0)) continue;
        unsafe.storePointer((held + 8 * kept++) as Addr, p);
      }
      rt.collector.setGCPercent(fragmentedPercent);
      rt.gc();
      return work(n);
    };

  /** A complete tree of the given depth, children allocated before their parent. */
  function bottomUp(type: number, depth: number): Addr {
    if (depth === 0) return allocator.mallocTyped(type);
    const l = bottomUp(type, depth - 1);
    const r = bottomUp(type, depth - 1);
    const p = allocator.mallocTyped(type);
    unsafe.storePointer(p, l);
    unsafe.storePointer((p + right) as Addr, r);
    return p;
  }

  /** A complete tree of n nodes, laid out over the heap in random order. */
  function shuffled(n: number): Addr {
    const perm = new Uint32Array(n);
    for (let i = 0; i < n; i++) perm[i] = allocator.mallocTyped(node32);
    shuffle(perm);
    for (let i = 0; i * 2 + 2 < n; i++) {
      const p = perm[i];
      unsafe.storePointer(p as Addr, perm[2 * i + 1] as Addr);
      unsafe.storePointer((p + right) as Addr, perm[2 * i + 2] as Addr);
    }
    return perm[0] as Addr;
  }

  /** Nodes of a complete tree: a node has two children or none. */
  function items(p: number): number {
    const l = u32[p >>> 2];
    return l === 0 ? 1 : 1 + items(l) + items(u32[(p + right) >>> 2]);
  }

  /** A full forced cycle over a tree of n live objects, sweep included. */
  function collect(n: number, tree: Addr): Work {
    unsafe.setRoot(live, tree);
    const built = items(tree);
    if (built !== n) throw new Error(`built ${built} nodes, want ${n}`);
    rt.gc();
    return () => {
      rt.gc();
      return String(Math.floor(rt.readMemStats(stats).HeapObjects / 10000) * 10000);
    };
  }

  function tree(depth: number): number {
    const count = items(bottomUp(node16, depth));
    rt.safepoint();
    return count;
  }

  function binaryTrees(max: number): number {
    let total = tree(max + 1);
    const longLived = bottomUp(node16, max);
    unsafe.setRoot(live, longLived);
    for (let depth = 4; depth <= max; depth += 4) {
      for (let k = 1 << (max - depth + 4); k > 0; k--) total += tree(depth);
    }
    total += items(longLived);
    unsafe.setRoot(live, nil);
    return total;
  }

  /** The whole program, n times. */
  function repeated(n: number, max: number): string {
    let total = 0;
    for (let i = 0; i < n; i++) total += binaryTrees(max);
    return String(total);
  }

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
    MarkAllocOrder: (n) => collect(n, bottomUp(node32, Math.log2(n + 1) - 1)),
    MarkRandom: (n) => collect(n, shuffled(n)),
    BinaryTrees18: (n) => () => repeated(n, 18),
    BinaryTrees20: (n) => () => repeated(n, 20),
  };
}
