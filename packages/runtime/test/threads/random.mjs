/** Random whole numbers from a seed (xorshift32): `random(n)` is from 0 to n - 1. */
export function randomFrom(seed) {
  let state = seed | 1;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
}
