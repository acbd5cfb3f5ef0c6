// malloc and free by hand: the same pairs and the same trace for every allocator. After the first, untimed run the
// trace checks that no two blocks in use overlap.
import type { Case } from "../child.ts";

/** Blocks in use: some 5 MB. */
const LIVE_BLOCKS = 10_000;

/** Throws an Error if two blocks overlap. */
function checkApart(blocks: Float64Array, sizes: Uint16Array): void {
  const order = Array.from(blocks.keys()).sort((i, j) => blocks[i] - blocks[j]);
  for (let i = 1; i < LIVE_BLOCKS; i++) {
    const [a, b] = [order[i - 1], order[i]];
    if (blocks[a] !== 0 && blocks[a] + sizes[a] > blocks[b]) throw new Error("two blocks overlap");
  }
}

export function manualCases(
  malloc: (size: number) => number,
  free: (p: number) => void,
): Record<string, Case> {
  return {
    MallocFree16: (n) => () => {
      let last = 0;
      for (let i = 0; i < n; i++) {
        last = malloc(16);
        free(last);
      }
      if (last === 0) throw new Error("nothing was allocated");
      return String(n);
    },
    MallocFreeTrace: (n) => {
      const blocks = new Float64Array(LIVE_BLOCKS);
      const sizes = new Uint16Array(LIVE_BLOCKS);
      let x = 88172645;
      let checked = false;
      return () => {
        for (let i = 0; i < n; i++) {
          // xorshift32 (Marsaglia 2003)
          x ^= x << 13;
          x ^= x >>> 17;
          x ^= x << 5;
          const k = (x >>> 0) % LIVE_BLOCKS;
          const size = 16 + ((x >>> 8) % 1009);
          if (blocks[k] !== 0) free(blocks[k]);
          blocks[k] = malloc(size);
          sizes[k] = size;
        }
        if (!checked) checkApart(blocks, sizes);
        checked = true;
        return String(n);
      };
    },
  };
}
