import { describe, expect, it } from "vitest";
import { createRuntime, uint8 } from "../src/index.ts";

const MiB = 2 ** 20;

describe("a heap of which more than half is live", () => {
  it.each([
    [30, 1 << 20, 1],
    [40, 1 << 20, 1],
    [48, 1 << 16, 10],
    [50, 1 << 20, 1],
  ])(
    "(%d of 64 MiB) collects released objects of %d bytes before they fill it",
    async (keep, size, every) => {
      const rt = createRuntime({ maxMemory: 64 * MiB });
      const kept: unknown[] = [];
      await rt.main(function* () {
        for (let i = 0; i < keep; i++) kept.push(rt.makeSlice(uint8, MiB));
        for (let n = 0; n * size < 200 * MiB; n++) {
          rt.makeSlice(uint8, size).release();
          if (n % every === 0) yield* rt.gosched();
        }
      });
      expect(kept).toHaveLength(keep);
      rt.close();
    },
  );
});
