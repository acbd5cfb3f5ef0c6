// The tasks of the benchmarks of two threads. Each thread loads this module, so nothing is measured when it is loaded.
import {
  defaultRuntime,
  gosched,
  type HeapChan,
  int,
  type int32,
  lockOSThread,
  makeSlice,
  type Slice,
  task,
  type uint8,
  type uint32,
  unlockOSThread,
} from "@gort/runtime";
import { APART, allocationsPerSafepoint, CHAN_BATCH } from "./cases/sizes.ts";
import { countWords } from "./cases/text.ts";
import { treesOf } from "./cases/trees.ts";

const { url } = import.meta;

/** Ends at once: its end says that a second thread runs. */
export const nothing = task(url, function nothing() {});

/** The sum of a hash of each number from lo to hi, modulo 2^32: arithmetic that needs no memory. */
function hashSum(lo: number, hi: number): number {
  let sum = 0;
  for (let i = lo; i < hi; i++) {
    let h = Math.imul(i ^ (i >>> 16), 0x45d9f3b);
    h = Math.imul(h ^ (h >>> 16), 0x45d9f3b);
    sum = (sum + (h ^ (h >>> 16))) | 0;
  }
  return sum;
}

export const sumHashes = task(
  url,
  function sumHashes(lo: number, hi: number, sums: Slice<typeof int32>, at: number) {
    sums.set(at, hashSum(lo, hi));
  },
);

export const wordsOf = task(url, function wordsOf(text: Slice<typeof uint8>, counts: Slice<typeof uint32>) {
  countWords(defaultRuntime().memory, text.$addr, text.length, counts.$addr);
});

export const sendAll = task(url, function* sendAll(c: HeapChan<typeof int>, n: number) {
  for (let i = 0; i < n; i++) yield* c.send(i);
});

/** Sends n integers in batches. */
export const sendBatches = task(url, function* sendBatches(c: HeapChan<typeof int>, n: number) {
  const batch = makeSlice(int, CHAN_BATCH);
  for (let i = 0; i < n; ) {
    const size = Math.min(CHAN_BATCH, n - i);
    for (let k = 0; k < size; k++) batch.set(k, i++);
    yield* c.sendAll(size === CHAN_BATCH ? batch : batch.slice(0, size));
  }
});

/** Returns n values to their sender, on a thread of its own. */
export const echo = task(
  url,
  function* echo(ping: HeapChan<typeof int>, pong: HeapChan<typeof int>, n: number) {
    lockOSThread();
    for (let i = 0; i < n; i++) yield* pong.send((yield* ping.recv())!);
    unlockOSThread();
  },
);

/** Answers each change of the first word by the same change of the second one. */
export const mirror = task(url, function mirror(words: Slice<typeof int32>, n: number) {
  const { i32 } = defaultRuntime().memory;
  const at = words.$addr >>> 2;
  for (let i = 1; i <= n; i++) {
    while (Atomics.load(i32, at) !== i);
    Atomics.store(i32, at + APART, i);
  }
});

/** The last object of an allocation loop, so that no compiler can drop the loop. */
let last = 0;

/** Allocates n objects without pointers. Returns whether it has. */
export const allocateAll = task(url, function* allocateAll(n: number, size: number) {
  const { allocator } = defaultRuntime();
  const step = allocationsPerSafepoint(size);
  for (let left = n; left > 0; left -= step) {
    for (let i = Math.min(left, step); i > 0; i--) last = allocator.mallocNoscan(size);
    yield* gosched();
  }
  return last !== 0;
});

/** Nodes between two safepoints of a task that makes trees. */
const NODES_PER_SAFEPOINT = 1024;

/** Makes trees of the given depth, one after the other, and counts their nodes. */
export const makeTrees = task(
  url,
  function* makeTrees(depth: number, count: number, nodes: Slice<typeof int32>, at: number) {
    const { node16, bottomUp, items } = treesOf(defaultRuntime());
    const step = Math.ceil(NODES_PER_SAFEPOINT / 2 ** depth);
    let total = 0;
    for (let left = count; left > 0; left -= step) {
      for (let k = Math.min(left, step); k > 0; k--) total += items(bottomUp(node16, depth));
      yield* gosched();
    }
    nodes.set(at, total);
  },
);
