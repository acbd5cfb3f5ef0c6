/** The part of verifyHeap that checks the summaries of the page allocator. */
import { CHUNK_PAGES } from "./layout.ts";
import type { MHeap } from "./mheap.ts";

/** Throws the error of verifyHeap unless ok. */
export function must(ok: boolean, text: () => string): void {
  if (!ok) throw new Error(`verifyHeap: ${text()}`);
}

/** Throws the error of verifyHeap unless both figures are the same. */
export function equal(what: string, got: number, want: number): void {
  must(got === want, () => `${what} is ${got}, should be ${want}`);
}

/** Recomputes the page allocator's summaries from its bits. */
export function verifySummaries(heap: MHeap, lo: number, hi: number): void {
  const { pages } = heap;
  pages.cleanUp();
  const runs = (from: number, to: number): [number, number, number] => {
    let start = -1;
    let max = 0;
    let run = 0;
    for (let p = from; p < to; p++) {
      if (p >= lo && p < hi && !pages.isAllocated(p)) {
        run++;
        continue;
      }
      if (start < 0) start = run;
      max = Math.max(max, run);
      run = 0;
    }
    return [start < 0 ? run : start, Math.max(max, run), run];
  };
  const shifts = [15, 12, 9] as const;
  for (const level of [0, 1, 2] as const) {
    const shift = shifts[level];
    for (let e = lo >>> shift; e << shift < hi; e++) {
      const want = runs(e << shift, (e + 1) << shift).join();
      const got = pages.summary(level, e).join();
      must(got === want, () => `summary of level ${level}, entry ${e} is ${got}, should be ${want}`);
    }
  }
  must(hi - lo >= CHUNK_PAGES, () => `arena of ${hi - lo} pages`);
}
