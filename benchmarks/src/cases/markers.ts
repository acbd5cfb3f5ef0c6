// The two twins of the marker, TypeScript and WebAssembly: the work of MarkAllocOrder and MarkRandom on a collector of
// its own, without a runtime.
import { type Allocator, createAllocator } from "@gort/allocator";
import { createCollector } from "@gort/gc";
import type { Case } from "../child.ts";
import { shuffle } from "./shuffle.ts";

/** Bytes of a node: two pointers, two words. */
const NODE_SIZE = 32;
/** Byte offset of a node's right child. The left child is at 0. */
const RIGHT_AT = 8;

type Build = (allocator: Allocator, type: number, n: number) => number;

/** A complete tree, children allocated before their parent. No marking runs, so plain stores suffice. */
const inAllocationOrder: Build = (allocator, type, n) => {
  const { u32 } = allocator.mem;
  const build = (nodes: number): number => {
    const l = nodes === 1 ? 0 : build(nodes >>> 1);
    const r = nodes === 1 ? 0 : build(nodes >>> 1);
    const p = allocator.mallocTyped(type);
    u32[p >>> 2] = l;
    u32[(p + RIGHT_AT) >>> 2] = r;
    return p;
  };
  return build(n);
};

/** A complete tree, laid out over the heap in random order. */
const atRandom: Build = (allocator, type, n) => {
  const { u32 } = allocator.mem;
  const perm = Uint32Array.from({ length: n }, () => allocator.mallocTyped(type));
  shuffle(perm);
  for (let i = 0; i * 2 + 2 < n; i++) {
    u32[perm[i] >>> 2] = perm[2 * i + 1]!;
    u32[(perm[i] + RIGHT_AT) >>> 2] = perm[2 * i + 2]!;
  }
  return perm[0];
};

/** A full forced cycle over a tree of n live objects, sweep included. */
const collect =
  (marker: "js" | "wasm", build: Build): Case =>
  (n) => {
    const allocator = createAllocator();
    const collector = createCollector(allocator, { gogc: -1, marker });
    collector.refs.alloc(build(allocator, allocator.newType(NODE_SIZE, [0b0011]), n));
    collector.gc();
    return () => {
      collector.gc();
      return String(Math.floor(collector.heap.heapMarked / NODE_SIZE / 10000) * 10000);
    };
  };

export const markerCases: Record<string, Case> = {
  MarkAllocOrderJS: collect("js", inAllocationOrder),
  MarkAllocOrderWasm: collect("wasm", inAllocationOrder),
  MarkRandomJS: collect("js", atRandom),
  MarkRandomWasm: collect("wasm", atRandom),
};
