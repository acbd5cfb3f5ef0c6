/**
 * lang_allocs.json: how many objects, of which sizes, the language's constructs allocate; those of them that
 * this package has: new, make, slice literals and conversions of strings.
 *
 * Not counted: rows about maps, channels, closures, interfaces, goroutines and library functions, which belong to
 * other packages or to Go's compiler.
 */

import type { Addr } from "@gort/memory";
import { roundUpToClass } from "../src/bump-heap.ts";
import { BumpHeap, createTypes, int, pointer, string, struct, type TypedHeap } from "../src/index.ts";

export interface Result {
  passed: number;
  total: number;
  failures: string[];
}

interface Row {
  name: string;
  mallocs: number[];
  bytes: number[];
  by_size?: [size: number, n: number][];
}

/** Counts objects by the size of the slot they would get. */
class CountingHeap extends BumpHeap {
  readonly bySize = new Map<number, number>();

  override malloc(size: number, typ: number, zero?: boolean): Addr {
    if (size > 0) {
      const noscan = typ === 0;
      // A small object without pointers begins a block of 16 bytes: the rows were recorded one by one.
      const header = !noscan && size > 512 ? 8 : 0;
      const slot = noscan && size < 16 ? 16 : roundUpToClass(size, noscan) + header;
      this.bySize.set(slot, (this.bySize.get(slot) ?? 0) + 1);
    }
    return super.malloc(size, typ, zero);
  }
}

const Big = struct("big", { a: int, b: int, c: int, p: pointer(int) });
const Empty = struct("empty", {});

/** Each construct, and what it needs to be there before. */
const CONSTRUCTS: Record<string, (types: TypedHeap) => () => unknown> = {
  nothing: () => () => {},
  "new(int)": (t) => () => t.newObject(int),
  "&big{} (32 bytes, one pointer)": (t) => () => t.newObject(Big),
  "new(struct{}) allocates nothing": (t) => () => t.newObject(Empty),
  "make([]int, 0) allocates nothing": (t) => () => t.makeSlice(int, 0),
  "make([]int, 10)": (t) => () => t.makeSlice(int, 10),
  "[]int{1,2,3}": (t) => () => t.sliceOf(int, [1, 2, 3]),
  "string + string (20 bytes)": stored("0123456789".repeat(2)),
  "string(bytes of 10)": stored("0123456789"),
  "string(one byte) allocates nothing": stored("x"),
  "[]byte(string of 10)": (t) => () => t.toBytes("0123456789"),
  "[]byte(string of 100)": (t) => () => t.toBytes("0123456789".repeat(10)),
  "[]rune(string of 10)": (t) => () => t.toRunes("0123456789"),
  "strings.Repeat(x, 100)": stored("x".repeat(100)),
};

/** A new string, stored into a variable that was there before. */
function stored(text: string): (types: TypedHeap) => () => unknown {
  return (types) => {
    const variable = types.newObject(string);
    return () => {
      variable.value = text;
    };
  };
}

export function run(vectors: unknown): Result {
  const { rows } = vectors as { rows: Row[] };
  const result: Result = { passed: 0, total: 0, failures: [] };
  for (const row of rows) {
    const construct = CONSTRUCTS[row.name];
    // Rows with several figures varied from run to run.
    if (construct === undefined || row.mallocs.length !== 1 || row.bytes.length !== 1) continue;
    const heap = new CountingHeap();
    const execute = construct(createTypes(heap));
    heap.bySize.clear();
    execute();
    const bySize = [...heap.bySize].sort((a, b) => a[0] - b[0]);
    const got = {
      mallocs: bySize.reduce((n, [, count]) => n + count, 0),
      bytes: bySize.reduce((n, [size, count]) => n + size * count, 0),
      by_size: bySize,
    };
    const want = { mallocs: row.mallocs[0], bytes: row.bytes[0], by_size: row.by_size ?? [] };
    result.total++;
    if (JSON.stringify(got) === JSON.stringify(want)) result.passed++;
    else result.failures.push(`${row.name}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
  }
  return result;
}
