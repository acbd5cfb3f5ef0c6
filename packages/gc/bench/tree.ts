/** The tree for the marking benchmarks: complete, of 32-byte objects whose first two words point to the children. */
import type { Allocator } from "@gort/allocator";
import type { Addr } from "@gort/memory";

/**
 * Makes a tree of 2^(depth+1)-1 objects and returns its root. The objects lie in the order in which a recursive program
 * allocates them, or at random (the same way in every run). Nothing else is live and there is no safepoint in between.
 */
export function buildTree(a: Allocator, depth: number, order: string): Addr {
  const node = a.newType(32, [0b0011]);
  return order === "random"
    ? inRandomOrder(a, node, 2 ** (depth + 1) - 1)
    : inAllocationOrder(a, node, depth);
}

function inAllocationOrder(a: Allocator, node: number, depth: number): Addr {
  const l = depth === 0 ? 0 : inAllocationOrder(a, node, depth - 1);
  const r = depth === 0 ? 0 : inAllocationOrder(a, node, depth - 1);
  const p = a.mallocTyped(node);
  a.mem.u32[p >>> 2] = l;
  a.mem.u32[(p + 8) >>> 2] = r;
  return p;
}

function inRandomOrder(a: Allocator, node: number, n: number): Addr {
  const { u32 } = a.mem;
  const perm = new Uint32Array(n);
  for (let i = 0; i < n; i++) perm[i] = a.mallocTyped(node);
  let x = 12345;
  for (let i = n - 1; i > 0; i--) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    const j = x % (i + 1);
    const t = perm[i];
    perm[i] = perm[j]!;
    perm[j] = t;
  }
  for (let i = 0; 2 * i + 2 < n; i++) {
    u32[perm[i] >>> 2] = perm[2 * i + 1]!;
    u32[(perm[i] + 8) >>> 2] = perm[2 * i + 2]!;
  }
  return perm[0] as Addr;
}
