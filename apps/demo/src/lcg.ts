/**
 * A linear congruential generator: whole numbers from 0 below n, the same for the same seed everywhere.
 * x' = (x * 1103515245 + 12345) mod 2^31, of which the low 8 bits, whose periods are short, are not used.
 * The recorded runs of Go draw from the same one, so that both make the same buffers.
 */
export function lcg(seed: number): (n: number) => number {
  let x = seed;
  return (n) => {
    // imul keeps the low 32 bits of the product, of which mod 2^31 needs 31.
    x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
    return (x >> 8) % n;
  };
}
