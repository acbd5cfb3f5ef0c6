/**
 * A linear congruential generator of whole numbers from 0 to n-1, the same for the same seed everywhere: x' = (x *
 * 1103515245 + 12345) mod 2^31. The low 8 bits are not used, because their periods are short. The recorded runs of Go
 * draw from the same generator, so both make the same buffers.
 */
export function lcg(seed: number): (n: number) => number {
  let x = seed;
  return (n) => {
    // imul keeps the low 32 bits of the product; mod 2^31 needs 31 of them.
    x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
    return (x >> 8) % n;
  };
}
