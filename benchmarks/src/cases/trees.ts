// Trees of raw pointers, as in a program with millions of objects: valid until the next safepoint, and stored with the
// write barrier.
import type { Addr, Runtime } from "@gort/runtime";

/** Byte offset of a node's right child. The left child is at 0. */
export const RIGHT_AT = 8;

export interface Trees {
  /** Type of a node of 16 bytes. */
  readonly node16: number;
  /** A complete tree of the given depth, children allocated before their parent. */
  bottomUp(type: number, depth: number): Addr;
  /** Nodes of a complete tree: a node has two children or none. */
  items(p: number): number;
}

const byRuntime = new WeakMap<Runtime, Trees>();

/** The functions for the heap of a runtime. */
export function treesOf(rt: Runtime): Trees {
  let made = byRuntime.get(rt);
  if (made === undefined) byRuntime.set(rt, (made = makeTrees(rt)));
  return made;
}

function makeTrees({ unsafe, allocator, memory: { u32 } }: Runtime): Trees {
  const node16 = unsafe.newType(16, [0, 1]);

  function bottomUp(type: number, depth: number): Addr {
    if (depth === 0) return allocator.mallocTyped(type);
    const l = bottomUp(type, depth - 1);
    const r = bottomUp(type, depth - 1);
    const p = allocator.mallocTyped(type);
    unsafe.storePointer(p, l);
    unsafe.storePointer((p + RIGHT_AT) as Addr, r);
    return p;
  }

  function items(p: number): number {
    const l = u32[p >>> 2];
    return l === 0 ? 1 : 1 + items(l) + items(u32[(p + RIGHT_AT) >>> 2]);
  }

  return { node16, bottomUp, items };
}
