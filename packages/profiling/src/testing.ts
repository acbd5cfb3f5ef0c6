/**
 * For tests: walkers that check the claims of the comments.
 */
import { type BucketTable, COUNTERS, MEM_KIND } from "./bucket.ts";
import type { Profiler } from "./profiler.ts";

// This export makes the entry need the whole package. The build then makes one chunk, and a program loads fewer files.
export { createProfiler } from "./profiler.ts";

/**
 * Checks the buckets of the memory profile, of all threads. Counters are whole numbers and not negative. No bucket has
 * more frees than allocations, neither in all sets together nor in the published one. Sizes are not negative. The list
 * of this thread holds as many buckets as its header counts.
 */
export function verifyMemProfile(profiler: Profiler): void {
  const buckets: BucketTable = profiler.buckets;
  const { f64 } = buckets.arena;
  let n = 0;
  for (let b = buckets.first(MEM_KIND); b !== 0; b = buckets.nextOf(b)) n++;
  if (n !== buckets.count(MEM_KIND))
    throw new Error(`profiling: ${n} buckets listed, ${buckets.count(MEM_KIND)} made`);
  buckets.forEach(MEM_KIND, (b) => {
    const at = (b + COUNTERS) >>> 3;
    const sum = [0, 0];
    for (let set = 0; set < 4; set++) {
      for (let i = 0; i < 2; i++) {
        const value = f64[at + set * 2 + i];
        if (!(value >= 0) || !Number.isInteger(value)) fail(b, `counter ${set}.${i} is ${value}`);
        sum[i] += value;
      }
    }
    const [allocs, frees] = sum as [number, number];
    if (frees > allocs) fail(b, `${frees} frees of ${allocs} allocations`);
    if (f64[at + 1] > f64[at]) fail(b, `published ${f64[at + 1]} frees of ${f64[at]} allocations`);
    if (!(buckets.sizeOf(b) >= 0)) fail(b, `objects of ${buckets.sizeOf(b)} bytes`);
  });
}

function fail(bucket: number, what: string): never {
  throw new Error(`profiling: bucket ${bucket}: ${what}`);
}
