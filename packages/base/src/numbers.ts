/** Arithmetic on addresses and words. Results are unsigned 32-bit numbers unless said otherwise. */

/** An address as Go prints pointers: `0xc000012345`. A negative word stands for its unsigned value. */
export function hex(addr: number): string {
  return `0x${(addr < 0 ? addr >>> 0 : addr).toString(16)}`;
}

/** The least multiple of `align`, a power of two, that is not below `n`. Exact to 2^53. */
export function alignUp(n: number, align: number): number {
  const rest = n % align;
  return rest === 0 ? n : n + align - rest;
}

/** The greatest multiple of `align`, a power of two, that is not above `n`. Exact to 2^53. */
export function alignDown(n: number, align: number): number {
  return n - (n % align);
}

/** Index of the lowest one bit of a word that is not 0; -1 for 0. */
export function ctz32(x: number): number {
  return 31 - Math.clz32(x & -x);
}

/** Bits set in a word. Source: H. S. Warren, Hacker's Delight, 5-1. */
export function popcount32(x: number): number {
  let n = x - ((x >>> 1) & 0x55555555);
  n = (n & 0x33333333) + ((n >>> 2) & 0x33333333);
  n = (n + (n >>> 4)) & 0x0f0f0f0f;
  return Math.imul(n, 0x01010101) >>> 24;
}

const SIZE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** The bytes of a size as in GOMEMLIMIT: digits and an optional unit B, KiB, MiB, GiB or TiB. NaN for other text. */
export function parseSize(text: string): number {
  const m = /^(\d+)(B|KiB|MiB|GiB|TiB)?$/.exec(text);
  return m === null ? Number.NaN : Number(m[1]) * 1024 ** SIZE_UNITS.indexOf(m[2] ?? "B");
}
