import type { Addr } from "@gort/memory";
import type { Heap } from "./heap.ts";
import { type Type, WORD } from "./type.ts";

/**
 * Copies n values of `type`; the ranges may overlap. While the write barrier is on, values with pointers are copied
 * word by word, and each pointer goes through `storePointer`.
 */
export function move(heap: Heap, type: Type, dst: number, src: number, n: number): void {
  const size = type.size * n;
  if (size === 0 || dst === src) return;
  if (!type.hasPointers || heap.writeBarrierEnabled?.() === false) {
    heap.mem.kernel.copy(dst, src, size);
    return;
  }
  // Upwards or downwards, so that each word is read before it is overwritten.
  const { u32 } = heap.mem;
  const mask = type.pointerMask();
  const words = size / WORD;
  const perValue = type.size / WORD;
  const down = dst > src;
  for (let k = 0; k < words; k++) {
    const w = down ? words - 1 - k : k;
    const bit = w % perValue;
    const from = (src + w * WORD) >>> 2;
    const to = dst + w * WORD;
    if ((mask[bit >>> 5] & (1 << (bit & 31))) !== 0) {
      heap.storePointer(to as Addr, u32[from] as Addr);
    } else {
      u32[to >>> 2] = u32[from];
      u32[(to >>> 2) + 1] = u32[from + 1];
    }
  }
}
