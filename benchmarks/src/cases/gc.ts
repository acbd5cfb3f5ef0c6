// Collection: the twin of go/gc.go. All pointers are raw, as in a program with millions of objects: valid until the
// next safepoint, and stored with the write barrier.
import { type Addr, newMemStats, type Runtime } from "@gort/runtime";
import type { Case } from "../child.ts";
import { program } from "./program.ts";
import { shuffle } from "./shuffle.ts";
import { secondThread } from "./threads.ts";
import { RIGHT_AT, treesOf } from "./trees.ts";

const NIL = 0 as Addr;

export function gcCases(rt: Runtime): Record<string, Case> {
  const { unsafe, allocator } = rt;
  const stats = newMemStats();
  const { node16, bottomUp, items } = treesOf(rt);
  const node32 = unsafe.newType(32, [0, 1]);
  const live = unsafe.newRoot(NIL);

  /** A complete tree of n nodes, laid out over the heap in random order. */
  function shuffled(n: number): Addr {
    const perm = new Uint32Array(n);
    for (let i = 0; i < n; i++) perm[i] = allocator.mallocTyped(node32);
    shuffle(perm);
    for (let i = 0; i * 2 + 2 < n; i++) {
      const p = perm[i];
      unsafe.storePointer(p as Addr, perm[2 * i + 1] as Addr);
      unsafe.storePointer((p + RIGHT_AT) as Addr, perm[2 * i + 2] as Addr);
    }
    return perm[0] as Addr;
  }

  /** A complete tree of n nodes, in the order of their allocation. */
  const inOrder = (n: number): Addr => bottomUp(node32, Math.log2(n + 1) - 1);

  /** A full forced cycle over a tree of n live objects, sweep included. */
  function collect(n: number, tree: Addr): () => string {
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

  /** The whole program. Returns the number of nodes. */
  function binaryTrees(max: number): number {
    let total = tree(max + 1);
    const longLived = bottomUp(node16, max);
    unsafe.setRoot(live, longLived);
    for (let depth = 4; depth <= max; depth += 4) {
      for (let k = 1 << (max - depth + 4); k > 0; k--) total += tree(depth);
    }
    total += items(longLived);
    unsafe.setRoot(live, NIL);
    return total;
  }

  return {
    MarkAllocOrder: (n) => collect(n, inOrder(n)),
    MarkRandom: (n) => collect(n, shuffled(n)),
    // The collection is that of a program: its main goroutine asks for it, while the second thread is idle.
    MarkTwoThreads: async (n) => {
      await secondThread(rt);
      const work = collect(n, inOrder(n));
      return () => rt.main(work);
    },
    BinaryTrees18: program(() => binaryTrees(18)),
    BinaryTrees20: program(() => binaryTrees(20)),
  };
}
