/**
 * The size classes and what an allocation of n bytes occupies, against Go's.
 *
 * Not counted, as they don't apply: `platforms` (constants of other ports and of Go's address space) but for
 * linux/amd64's own figures used here; the in-span bitmap constant (our bits stand in side tables, so `nelems` is only
 * required to be at least Go's); `derivations` (prose).
 */
import {
  createAllocator,
  MALLOC_HEADER_SIZE,
  MAX_SMALL_REQUEST,
  MIN_SIZE_FOR_HEADER,
  MSPAN,
  PAGE_SIZE,
  PTR_SIZE,
  TINY_SIZE,
  TINY_SPAN_CLASS,
} from "../src/internal.ts";
import { FIXALLOC_CHUNK } from "../src/mfixalloc.ts";
import { sizeClassOf } from "../src/sizeclass.ts";
import { classToAllocNPages, classToSize, NUM_SIZE_CLASSES } from "../src/sizeclasses.generated.ts";
import { FIXED_STACK, STACK_CACHE_SIZE } from "../src/stack.ts";

export interface Result {
  passed: number;
  total: number;
  failures: string[];
}

interface ClassRow {
  class: number;
  bytes_per_obj: number;
  bytes_per_span: number;
  objects: number;
  tail_waste: number;
  max_waste: string;
  min_align: number;
  div_magic: number;
  nelems_noscan: number;
  nelems_scan: number;
}

type RangeRow = [lo: number, hi: number, sizeclass: number, bytes: number];

interface Vectors {
  constants: Record<string, number>;
  classes: ClassRow[];
  size_to_class: RangeRow[];
  alloc_noscan: RangeRow[];
  alloc_with_pointers: RangeRow[];
  usable_with_pointers: RangeRow[];
  platforms?: { platform: string; constants: Record<string, string> }[];
}

const ourConstants: Record<string, number> = {
  large_size_div: 128,
  largest_small_request: MAX_SMALL_REQUEST,
  malloc_header_size: MALLOC_HEADER_SIZE,
  max_objs_per_span: PAGE_SIZE / 8,
  max_size_class_npages: Math.max(...classToAllocNPages),
  max_small_size: Math.max(...classToSize),
  min_heap_align: PTR_SIZE,
  min_size_for_malloc_header_exclusive: MIN_SIZE_FOR_HEADER,
  num_size_classes: NUM_SIZE_CLASSES,
  page_size: PAGE_SIZE,
  small_size_div: 8,
  small_size_max: 1024,
  tiny_size: TINY_SIZE,
  tiny_size_class: TINY_SPAN_CLASS >>> 1,
};

const ourPlatformConstants: Record<string, number> = {
  _FixAllocChunk: FIXALLOC_CHUNK,
  _StackCacheSize: STACK_CACHE_SIZE,
  _NumStackOrders: Math.log2(STACK_CACHE_SIZE / FIXED_STACK),
  fixedStack: FIXED_STACK,
  mallocHeaderSize: MALLOC_HEADER_SIZE,
  maxSmallSize: Math.max(...classToSize),
  maxTinySize: TINY_SIZE,
  minSizeForMallocHeader: MIN_SIZE_FOR_HEADER,
  pageSize: PAGE_SIZE,
  tinySizeClass: TINY_SPAN_CLASS >>> 1,
};

/** Sizes that stand for a range: its ends and some in between. */
function samples(lo: number, hi: number): number[] {
  return [...new Set([lo, lo + 1, (lo + hi) >>> 1, hi - 1, hi])].filter((n) => n >= lo && n <= hi);
}

export function run(vectors: unknown): Result {
  const v = vectors as Vectors;
  const result: Result = { passed: 0, total: 0, failures: [] };
  const expect = (what: string, got: unknown, want: unknown): void => {
    result.total++;
    if (got === want) result.passed++;
    else result.failures.push(`${what}: got ${String(got)}, want ${String(want)}`);
  };

  for (const [name, want] of Object.entries(v.constants)) {
    if (name in ourConstants) expect(`constants.${name}`, ourConstants[name], want);
  }
  const amd64 = v.platforms?.find((p) => p.platform === "linux/amd64");
  for (const [name, want] of Object.entries(amd64?.constants ?? {})) {
    if (name in ourPlatformConstants) expect(`linux/amd64 ${name}`, ourPlatformConstants[name], Number(want));
  }

  for (const c of v.classes) {
    const size = classToSize[c.class];
    const span = classToAllocNPages[c.class] * PAGE_SIZE;
    const objects = Math.floor(span / size);
    const prev = classToSize[c.class - 1];
    const tail = span - objects * size;
    const waste = ((size - prev - 1) * objects + tail) / span;
    const name = `class ${c.class}`;
    expect(`${name} bytes_per_obj`, size, c.bytes_per_obj);
    expect(`${name} bytes_per_span`, span, c.bytes_per_span);
    expect(`${name} objects`, objects, c.objects);
    expect(`${name} tail_waste`, tail, c.tail_waste);
    expect(`${name} max_waste`, `${(waste * 100).toFixed(2)}%`, c.max_waste);
    // The largest power of two that divides both the object's size and the start of every slot.
    expect(`${name} min_align`, Math.min(size & -size, PAGE_SIZE), c.min_align);
    expect(`${name} div_magic`, Math.ceil(2 ** 32 / size), c.div_magic);
    expect(`${name} nelems >= Go's`, objects >= c.nelems_noscan && objects >= c.nelems_scan, true);
  }
  for (const [lo, hi, sizeclass, bytes] of v.size_to_class) {
    for (const n of samples(lo, hi)) {
      expect(
        `size_to_class ${n}`,
        `${sizeClassOf(n)}:${classToSize[sizeClassOf(n)]}`,
        `${sizeclass}:${bytes}`,
      );
    }
  }

  // What an allocation really occupies is asked of a real allocator: its span's class and slot.
  const a = createAllocator({ maxMemory: 256 << 20, seed: 1 });
  const { u32 } = a.mem;
  const word = a.newType(8, [1]);
  const occupied = (n: number, typ: number): string => {
    // Pointerful requests are made of words.
    const size = typ === 0 ? n : Math.ceil(n / 8) * 8;
    const p = a.mallocgc(size, typ, true);
    const s = a.spanOf(p);
    const sizeclass = u32[(s + MSPAN.offsets.spanclass) >>> 2] >>> 1;
    return `${sizeclass}:${u32[(s + MSPAN.offsets.elemsize) >>> 2]}`;
  };
  for (const [lo, hi, sizeclass, bytes] of v.alloc_noscan) {
    for (const n of samples(lo, hi)) {
      // Requests under 16 bytes share tiny blocks; the class of a lone object is the table's.
      const got = n < TINY_SIZE ? `${sizeClassOf(n)}:${a.roundupsize(n, true)}` : occupied(n, 0);
      expect(`alloc_noscan ${n}`, got, `${sizeclass}:${bytes}`);
    }
  }
  for (const [lo, hi, sizeclass, bytes] of v.alloc_with_pointers) {
    for (const n of samples(lo, hi)) {
      if (Math.ceil(n / 8) * 8 > hi) continue; // no pointerful object has that size
      expect(`alloc_with_pointers ${n}`, occupied(n, word), `${sizeclass}:${bytes}`);
    }
  }
  for (const [lo, hi, , bytes] of v.usable_with_pointers) {
    for (const n of samples(lo, hi)) expect(`usable_with_pointers ${n}`, a.roundupsize(n, false), bytes);
  }
  return result;
}
