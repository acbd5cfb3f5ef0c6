// Async functions in place of goroutines: the same for the side `v8` and for the peer `async`.
import type { Case } from "../child.ts";
import { SPAWN_BATCH } from "./sizes.ts";

export const promiseCases: Record<string, Case> = {
  GoroutineSpawn: (n) => async () => {
    let count = 0;
    const f = async () => {
      await null;
      count++;
    };
    for (let started = 0; started < n; ) {
      const batch: Promise<void>[] = [];
      for (let j = 0; j < SPAWN_BATCH && started < n; j++, started++) batch.push(f());
      await Promise.all(batch);
    }
    return String(count);
  },
  Gosched: (n) => async () => {
    let count = 0;
    const f = async () => {
      for (let i = 0; i < n / 2; i++) {
        count++;
        await null;
      }
    };
    await Promise.all([f(), f()]);
    return String(count);
  },
};
