/**
 * Where the heap's tables and its MHEAP struct are: the root of everything that an attaching thread needs. The memory's
 * root ROOT_ALLOCATOR is the address of this record.
 */
import type { LinearMemory } from "@gort/memory";
import { defineStruct, MAX_THREADS, ROOT_ALLOCATOR } from "@gort/memory/internal";
import { GCCONTROL_AT, HEAP_BITS_PAGE_SHIFT, MHEAP, MHEAP_AT, PAGE_SIZE, SPAN_BATCH } from "./layout.ts";
import { pallocBitmapBytes, SUMMARY_BYTES } from "./mpagealloc.ts";
import { SPAN_BITS_ALIGN, spanBitsBytes } from "./span-bits.ts";

/** Addresses of the tables that layout.ts draws. */
const HEAP_ROOT = defineStruct("heapRoot", {
  mheap: "u32",
  heapBits: "u32",
  pageInfo: "u32",
  pageSpan: "u32",
  allspans: "u32",
  bitmaps: "u32",
  summaries: "u32",
  spanBits: "u32",
  heapBitsMap: "u32",
});

export type HeapRoot = Record<keyof typeof HEAP_ROOT.offsets, number>;

/** Entries added to allspans at a time. */
export const ALLSPANS_CHUNK = 4096;

/**
 * Entries of allspans: one for each page, plus the structs that the largest number of mcaches can take ahead.
 * A program that makes more than MAX_THREADS mcaches may run out of span structs.
 */
export function allspansCapacity(size: number): number {
  return Math.ceil((size / PAGE_SIZE + MAX_THREADS * SPAN_BATCH) / ALLSPANS_CHUNK) * ALLSPANS_CHUNK;
}

/** Reads the record at addr. */
export function readRoot(mem: LinearMemory, addr: number): HeapRoot {
  const entries = Object.entries(HEAP_ROOT.offsets).map(([name, offset]) => [
    name,
    mem.u32[(addr + offset) >>> 2],
  ]);
  return Object.fromEntries(entries) as HeapRoot;
}

/**
 * The address of the record. If the memory has no heap, this thread makes one, unless another thread does so at this
 * moment. Throws a RangeError if the memory is too small.
 */
export function findHeap(mem: LinearMemory): number {
  return mem.makeRoot(ROOT_ALLOCATOR, () => makeHeap(mem));
}

/** Reserves the tables of a new heap and sets it up; the address of the record. */
function makeHeap(mem: LinearMemory): number {
  const { size } = mem;
  const must = (addr: number): number => {
    if (addr === 0) throw new RangeError(`allocator: the memory of ${size} bytes has no room for the tables`);
    return addr;
  };
  const reserve = (n: number, align = 4096): number => must(mem.sysReserve(n, align, "low"));
  const spanBits = reserve(8, SPAN_BITS_ALIGN);
  reserve(spanBitsBytes(size, spanBits) - 8, 8);
  const root: HeapRoot = {
    spanBits,
    heapBits: reserve(size / 64),
    pageInfo: reserve((size / PAGE_SIZE) * 4),
    pageSpan: reserve((size / PAGE_SIZE) * 4),
    allspans: reserve(allspansCapacity(size) * 4),
    bitmaps: reserve(pallocBitmapBytes(size)),
    summaries: reserve(SUMMARY_BYTES),
    heapBitsMap: must(mem.persistentAlloc(4 * Math.ceil(size / 2 ** HEAP_BITS_PAGE_SHIFT / 32), 64, "gcSys")),
    mheap: must(mem.persistentAlloc(MHEAP.size, 64, "otherSys")),
  };
  mem.sysMap(root.summaries, SUMMARY_BYTES, "gcSys");
  const addr = mem.reserveControl(HEAP_ROOT.size) as number;
  for (const [name, offset] of Object.entries(HEAP_ROOT.offsets)) {
    mem.u32[(addr + offset) >>> 2] = root[name as keyof HeapRoot];
  }
  setUp(mem, root);
  return addr;
}

/** The fields of MHEAP that do not begin as 0. */
function setUp(mem: LinearMemory, { mheap, spanBits }: HeapRoot): void {
  const { u32, f64 } = mem;
  u32[(mheap + MHEAP_AT.spanBitsNext) >>> 2] = spanBits;
  u32[(mheap + MHEAP_AT.spanBitsEnd) >>> 2] = spanBits + spanBitsBytes(mem.size, spanBits) / 2;
  f64[(mheap + MHEAP_AT.gcControl + GCCONTROL_AT.trigger) >>> 3] = Number.POSITIVE_INFINITY;
  f64[(mheap + MHEAP_AT.gcControl + GCCONTROL_AT.heapGoal) >>> 3] = Number.POSITIVE_INFINITY;
  f64[(mheap + MHEAP_AT.memoryLimit) >>> 3] = Number.POSITIVE_INFINITY;
}
