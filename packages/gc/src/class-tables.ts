/** How marking finds the object that an address points into: constants for each span class, computed once. */

import { PAGE_SHIFT } from "@gort/allocator/internal";
import { throwFatal } from "@gort/base";

/** Marking by page is for objects of these sizes, in bytes: they have scan rows, and their pages wait in the ring. */
const PAGE_MARK_MIN = 16;
export const PAGE_MARK_MAX = 512;

/** `off * MAGIC >>> 22` is `off / size` for every offset in a page of small objects. Start-up checks this. */
export const MAGIC_SHIFT = 22;

export const PAGE_MASK = (1 << PAGE_SHIFT) - 1;

/** By span class: how to find an object's index from its offset in the page, and how to mark it. */
export interface ClassTables {
  /** 0: use the slow path (no heap span, several pages, or pointerful without marking by page). */
  readonly magic: Int32Array;
  readonly size: Int32Array;
  /** Words of mark bits. */
  readonly nwords: Int32Array;
  /** 1: pointerful and marked by page. */
  readonly byPage: Uint8Array;
}

/** Builds the tables from the size classes, and checks the division by multiplication for each. */
export function buildClassTables(sizes: ArrayLike<number>, npages: ArrayLike<number>): ClassTables {
  const tables: ClassTables = {
    magic: new Int32Array(256),
    size: new Int32Array(256),
    nwords: new Int32Array(256),
    byPage: new Uint8Array(256),
  };
  for (let cls = 1; cls < sizes.length; cls++) {
    const size = sizes[cls];
    const onePage = npages[cls] === 1;
    const byPage = onePage && size >= PAGE_MARK_MIN && size <= PAGE_MARK_MAX;
    const magic = onePage ? findMagic(size) : 0;
    for (const noscan of [0, 1]) {
      const spanclass = (cls << 1) | noscan;
      tables.size[spanclass] = size;
      tables.nwords[spanclass] = Math.ceil(Math.floor((npages[cls] << PAGE_SHIFT) / size) / 32);
      tables.magic[spanclass] = noscan || byPage ? magic : 0;
      tables.byPage[spanclass] = byPage && !noscan ? 1 : 0;
    }
    if (byPage && magic === 0) throwFatal("gc: no magic division", `size ${size}`);
  }
  return tables;
}

function findMagic(size: number): number {
  const m = Math.ceil(2 ** MAGIC_SHIFT / size);
  // Below 2^32 the products grow with the offset, so quotients that are right at both ends of an object are right
  // inside.
  if (m * PAGE_MASK >= 2 ** 32) return 0;
  for (let start = 0, i = 0; start <= PAGE_MASK; start += size, i++) {
    const last = Math.min(start + size - 1, PAGE_MASK);
    if (Math.imul(start, m) >>> MAGIC_SHIFT !== i || Math.imul(last, m) >>> MAGIC_SHIFT !== i) return 0;
  }
  return m;
}
