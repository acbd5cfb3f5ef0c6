/** A module with tasks, as a program has it. */
import { gosched, type int, type Slice, task } from "../../src/index.ts";

export const sum = task(
  import.meta.url,
  function* sum(numbers: Slice<typeof int>, result: Slice<typeof int>, at: number) {
    let total = 0;
    for (const n of numbers) total += n;
    result.set(at, total);
    yield* gosched();
  },
);

export function* double(result: Slice<typeof int>, x: number): Generator<undefined, void> {
  result.set(0, 2 * x);
  yield* gosched();
}

export function triple(result: Slice<typeof int>, x: number): void {
  result.set(0, 3 * x);
}

export const answer = 42;
