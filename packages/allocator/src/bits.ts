/**
 * Bit maps in words of 32 bits: single words, ranges of a map, and ranges that other threads change at the same time.
 *
 * A bit map is given by the index of its first word. Bit i is bit i & 31 of word i >>> 5. Every value is a signed or
 * unsigned word, as `&`, `|` and `~` give it.
 */
import { ctz32 } from "@gort/base";
import type { Kernel } from "@gort/memory";

// --- one word

/** n low ones, 0 <= n <= 32, as a signed word. */
export function lowMask(n: number): number {
  return n >= 32 ? -1 : (1 << n) - 1;
}

/** The longest run of ones in x, or `atLeast` if none is longer. */
export function longestRun(x: number, atLeast: number): number {
  // First keep the places where a run of atLeast + 1 begins, doubling the shift; then count on one by one.
  const want = atLeast + 1;
  let len = 1;
  while (len * 2 <= want) {
    x &= x >>> len;
    len *= 2;
  }
  x &= x >>> (want - len);
  let best = atLeast;
  while (x !== 0) {
    best++;
    x &= x >>> 1;
  }
  return best;
}

/** Index of the lowest run of n ones in the 64 bits [hi | lo], -1 if there is none. 1 <= n <= 31. */
export function firstRun64(lo: number, hi: number, n: number): number {
  // A bit stays where a run of len ones begins; len doubles until it is n.
  for (let len = 1; len < n; ) {
    const k = Math.min(len, n - len);
    lo &= (lo >>> k) | (hi << (32 - k));
    hi &= hi >>> k;
    len += k;
  }
  if (lo !== 0) return ctz32(lo);
  return hi !== 0 ? 32 + ctz32(hi) : -1;
}

// --- searches
//
// Runs of a fragmented span are a few slots each, so these two are as hot as an allocation. Everything in them is a
// signed 32-bit integer. They mask the bits from an index up instead of shifting down. They compute `0 - w`, which V8
// does on integers, where `-w` would be a double. Their callers load `from` and `n` with `| 0`.

/** Index of the first zero bit in [from, n); n if there is none. */
export function nextZero(u32: Uint32Array, bits: number, from: number, n: number): number {
  if (from >= n) return n;
  let k = from >>> 5;
  let w = ~u32[bits + k] & (-1 << (from & 31));
  while (w === 0) {
    if (++k << 5 >= n) return n;
    w = ~u32[bits + k];
  }
  const i = (k << 5) + 31 - Math.clz32(w & (0 - w));
  return Math.min(i, n);
}

/** Index of the first one bit in [from, n); n if there is none. */
export function nextOne(u32: Uint32Array, bits: number, from: number, n: number): number {
  if (from >= n) return n;
  let k = from >>> 5;
  let w = u32[bits + k] & (-1 << (from & 31));
  while (w === 0) {
    if (++k << 5 >= n) return n;
    w = u32[bits + k] | 0;
  }
  const i = (k << 5) + 31 - Math.clz32(w & (0 - w));
  return Math.min(i, n);
}

// --- ranges that one thread changes

/** Whether bit i is set. */
export function hasBit(u32: Uint32Array, bits: number, i: number): boolean {
  return ((u32[bits + (i >>> 5)] >>> (i & 31)) & 1) !== 0;
}

/** Sets the bits [first, first + n). */
export function setBits(u32: Uint32Array, bits: number, first: number, n: number): void {
  let w = bits + (first >>> 5);
  const bit = first & 31;
  if (bit + n <= 32) {
    u32[w] = u32[w] | (lowMask(n) << bit);
    return;
  }
  u32[w] = u32[w] | (-1 << bit);
  let left = n - (32 - bit);
  for (w++; left >= 32; left -= 32) u32[w++] = 0xffffffff;
  if (left > 0) u32[w] = u32[w] | lowMask(left);
}

/** Clears the bits [first, first + n). */
export function clearBits(u32: Uint32Array, bits: number, first: number, n: number): void {
  let w = bits + (first >>> 5);
  const bit = first & 31;
  if (bit + n <= 32) {
    u32[w] = u32[w] & ~(lowMask(n) << bit);
    return;
  }
  u32[w] = u32[w] & ~(-1 << bit);
  let left = n - (32 - bit);
  for (w++; left >= 32; left -= 32) u32[w++] = 0;
  if (left > 0) u32[w] = u32[w] & ~lowMask(left);
}

/** Bits [first, first + n) become those of the pattern. Its period divides 32, and a period begins at bit 0. */
export function fillPattern(u32: Uint32Array, bits: number, first: number, n: number, pattern: number): void {
  let w = bits + (first >>> 5);
  const bit = first & 31;
  const head = bit + n <= 32 ? lowMask(n) << bit : -1 << bit;
  u32[w] = (u32[w] & ~head) | (pattern & head);
  let left = n - (32 - bit);
  for (w++; left >= 32; left -= 32) u32[w++] = pattern;
  if (left > 0) u32[w] = (u32[w] & ~lowMask(left)) | (pattern & lowMask(left));
}

// --- ranges whose neighbours other threads change; `addr` is the address of the bit map

/**
 * Sets the mark bits of a run while other threads mark objects of the same span. A word that the run fills holds no
 * other bits. It is stored atomically all the same: a thread that finds the bits set must find the objects complete,
 * also on a processor that reorders plain stores.
 */
export function setBitsAtomically(kernel: Kernel, addr: number, first: number, n: number): void {
  for (let i = first, end = first + n; i < end; ) {
    const bit = i & 31;
    const width = Math.min(32 - bit, end - i);
    const w = addr + ((i >>> 5) << 2);
    if (width === 32) kernel.store(w, -1);
    else kernel.or(w, lowMask(width) << bit);
    i += width;
  }
}

/** Clears bits that may be set. A word in which none of them is set is not stored to. */
export function clearBitsAtomically(
  kernel: Kernel,
  u32: Uint32Array,
  addr: number,
  first: number,
  n: number,
): void {
  for (let i = first, end = first + n; i < end; ) {
    const bit = i & 31;
    const width = Math.min(32 - bit, end - i);
    const mask = lowMask(width) << bit;
    const w = addr + ((i >>> 5) << 2);
    if ((u32[w >>> 2] & mask) !== 0) kernel.and(w, ~mask);
    i += width;
  }
}
