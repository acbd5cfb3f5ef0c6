import { type ModelSource, modelSource } from "../src/testing.ts";

/** A model that has allocated and collected for `cycles` cycles. */
export function worked(seed: number, cycles: number): ModelSource {
  const source = modelSource(seed);
  for (let i = 0; i < cycles; i++) {
    source.step();
    source.collect(i % 3 === 0);
  }
  return source;
}
