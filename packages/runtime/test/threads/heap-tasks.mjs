// Tasks that work on values of the heap.
import { gc, gosched, int, newObject, pointer, struct, task } from "@gort/runtime";

const { url } = import.meta;

export const Tree = struct("Tree", {
  n: int,
  get left() {
    return pointer(Tree);
  },
  get right() {
    return pointer(Tree);
  },
});

export function build(depth) {
  if (depth === 0) return newObject(Tree, { n: 1 });
  const left = build(depth - 1);
  const right = build(depth - 1);
  const t = newObject(Tree, { n: 1, left, right });
  left.release();
  right.release();
  return t;
}

export function count(t) {
  let n = 1;
  for (const side of ["left", "right"]) {
    const child = t[side];
    if (child === null) continue;
    n += count(child);
    child.release();
  }
  return n;
}

/** Builds trees, and keeps one of them in the forest. */
export const plant = task(url, function* plant(forest, at, depth, times, collect) {
  for (let i = 0; i < times; i++) {
    const t = build(depth);
    forest.set(at, t);
    t.release();
    if (collect && i % 10 === at) gc();
    yield* gosched();
  }
});

/** Sends the squares of what it receives, until the channel is closed. */
export const square = task(url, function* square(numbers, squares) {
  yield* numbers.forEach(function* (n) {
    yield* squares.send(n * n);
  });
});

export const sum = task(url, function* sum(numbers, result, at) {
  let total = 0;
  for (const n of numbers) total += n;
  result.set(at, total);
});

/** Whether the argument has the type of this thread's module. */
export const isTree = task(url, function* isTree(ref, result) {
  result.set(0, ref.$type === Tree ? 1 : 2);
});

/** As isTree, to be run by `parallel`. */
export function* hasTreeType(ref, result) {
  result.set(0, ref.$type === Tree ? 1 : 2);
}
