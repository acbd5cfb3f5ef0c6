/**
 * The second walk over a dump: the objects as columns of typed arrays, in ascending order of their addresses. It counts
 * the pointers first, so that each column is made once at its final size.
 */
import type { Cursor } from "./cursor.ts";
import type { DumpParams } from "./format.ts";
import type { ObjectRecord } from "./records.ts";

/** Reads the pointer at an offset of some contents; 0 if it does not lie inside. */
export type PointerReader = (contents: Uint8Array, offset: number) => number;

/** Reads pointers of the dump's architecture. */
export function pointerReader({ pointerSize, bigEndian }: DumpParams): PointerReader {
  return (contents, offset) => {
    if (offset + pointerSize > contents.length) return 0;
    let v = 0;
    for (let i = 0; i < pointerSize; i++) {
      v = v * 256 + contents[offset + (bigEndian ? i : pointerSize - 1 - i)];
    }
    return v;
  };
}

/** The columns of HeapDump, and `starts`: where the contents of each object begin in the dump. */
export interface ObjectColumns {
  readonly addresses: Float64Array;
  readonly sizes: Float64Array;
  readonly starts: Float64Array;
  readonly pointerSlots: Uint32Array;
  readonly firstPointer: Uint32Array;
  readonly pointers: Float64Array;
  readonly pointerOffsets: Float64Array;
}

/** Sorts `objects` by address, and reads them. */
export function readObjects(c: Cursor, objects: ObjectRecord[], pointerAt: PointerReader): ObjectColumns {
  objects.sort((a, b) => a.address - b.address);
  const n = objects.length;
  const addresses = new Float64Array(n);
  const sizes = new Float64Array(n);
  const starts = new Float64Array(n);
  const pointerSlots = new Uint32Array(n);
  const firstPointer = new Uint32Array(n + 1);
  let total = 0;
  objects.forEach((o, i) => {
    c.at = o.at;
    addresses[i] = c.uint();
    const contents = c.contents();
    sizes[i] = contents.length;
    starts[i] = c.at - contents.length;
    c.eachPointer((offset) => {
      pointerSlots[i]++;
      if (pointerAt(contents, offset) !== 0) total++;
    });
    firstPointer[i + 1] = total;
  });

  const pointers = new Float64Array(total);
  const pointerOffsets = new Float64Array(total);
  let k = 0;
  for (let i = 0; i < n; i++) {
    c.at = starts[i] + sizes[i];
    const contents = c.bytes.subarray(starts[i], c.at);
    c.eachPointer((offset) => {
      const to = pointerAt(contents, offset);
      if (to === 0) return;
      pointers[k] = to;
      pointerOffsets[k++] = offset;
    });
  }
  return { addresses, sizes, starts, pointerSlots, firstPointer, pointers, pointerOffsets };
}

/** The index of the object that an address points into, or -1. */
export function findObject({ addresses, sizes }: ObjectColumns, address: number): number {
  let lo = 0;
  let hi = addresses.length;
  while (lo < hi) {
    const mid = (lo + hi) >>> 1;
    if (addresses[mid] <= address) lo = mid + 1;
    else hi = mid;
  }
  return lo > 0 && address < addresses[lo - 1] + sizes[lo - 1] ? lo - 1 : -1;
}
