// The same work with V8's own objects, collector and promises. This side is context, not a rival: V8's collector also
// serves everything else in the process, and a promise is no goroutine.
import type { Case } from "../child.ts";
import { program } from "./program.ts";
import { promiseCases } from "./promises.ts";
import { shuffle } from "./shuffle.ts";

interface Node {
  l: Node | null;
  r: Node | null;
}

interface Node32 extends Node {
  v: number;
  w: number;
}

// Module variables that are read again, so that escape analysis can't remove the objects.
let sink16: { a: number; b: number } | undefined;
let sink32: Node32 | undefined;
let sink1K: Uint8Array | undefined;
let live: Node32 | null = null;

/** V8's full collection; undefined without --expose-gc. */
const collectAll = (globalThis as { gc?: () => void }).gc;

function allocated(n: number, last: number | undefined): string {
  if (last !== n - 1) throw new Error(`the last object is ${last}, want ${n - 1}`);
  return String(n);
}

function node32(l: Node32 | null, r: Node32 | null): Node32 {
  return { l, r, v: 0, w: 0 };
}

function postOrder(depth: number): Node32 {
  if (depth === 0) return node32(null, null);
  const l = postOrder(depth - 1);
  const r = postOrder(depth - 1);
  return node32(l, r);
}

function shuffled(n: number): Node32 {
  const perm: Node32[] = [];
  for (let i = 0; i < n; i++) perm.push(node32(null, null));
  shuffle(perm);
  for (let i = 0; i * 2 + 2 < n; i++) {
    perm[i].l = perm[2 * i + 1]!;
    perm[i].r = perm[2 * i + 2]!;
  }
  return perm[0];
}

function items(t: Node | null): number {
  return t === null ? 0 : 1 + items(t.l) + items(t.r);
}

function collect(n: number): () => string {
  const built = items(live);
  if (built !== n) throw new Error(`built ${built} nodes, want ${n}`);
  if (collectAll === undefined) throw new Error("needs --expose-gc");
  return () => {
    collectAll();
    if (live === null) throw new Error("the tree is gone");
    return String(Math.floor(n / 10000) * 10000);
  };
}

function bottomUp(depth: number): Node {
  if (depth === 0) return { l: null, r: null };
  const l = bottomUp(depth - 1);
  const r = bottomUp(depth - 1);
  return { l, r };
}

/** The whole program. Returns the number of nodes. */
function binaryTrees(max: number): number {
  let total = items(bottomUp(max + 1));
  const longLived = bottomUp(max);
  for (let depth = 4; depth <= max; depth += 4) {
    for (let k = 1 << (max - depth + 4); k > 0; k--) total += items(bottomUp(depth));
  }
  return total + items(longLived);
}

export const cases: Record<string, Case> = {
  Malloc16: (n) => () => {
    for (let i = 0; i < n; i++) sink16 = { a: i, b: i };
    return allocated(n, sink16?.a);
  },
  MallocP32: (n) => () => {
    for (let i = 0; i < n; i++) sink32 = { l: null, r: null, v: i, w: i };
    return allocated(n, sink32?.v);
  },
  Malloc1K: (n) => () => {
    for (let i = 0; i < n; i++) sink1K = new Uint8Array(1024);
    return allocated(n, sink1K?.length === 1024 ? n - 1 : -1);
  },
  ...promiseCases,
  MarkAllocOrder: (n) => {
    live = postOrder(Math.log2(n + 1) - 1);
    return collect(n);
  },
  MarkRandom: (n) => {
    live = shuffled(n);
    return collect(n);
  },
  BinaryTrees18: program(() => binaryTrees(18)),
  BinaryTrees20: program(() => binaryTrees(20)),
};
