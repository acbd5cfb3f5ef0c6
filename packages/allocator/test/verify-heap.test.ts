import { describe, expect, it } from "vitest";
import { createAllocator, MSPAN_AT } from "../src/internal.ts";
import { verifyHeap } from "../src/testing.ts";

describe("verifyHeap", () => {
  it("finds a limit that is not the end of the objects", () => {
    for (const [size, message] of [
      [64, /^verifyHeap: span \d+: limit \d+, not \d+$/],
      [40_000, /^verifyHeap: large span \d+: 1 of 40960, limit \d+ of \d+\.\.\d+$/],
    ] as const) {
      const a = createAllocator({ maxMemory: 64 << 20 });
      const s = a.spanOf(a.mallocgc(size, 0, true));
      verifyHeap(a);
      const limit = (s + MSPAN_AT.limit) >>> 2;
      const right = a.mem.u32[limit];
      for (const wrong of [right + 8192, a.mem.u32[(s + MSPAN_AT.startAddr) >>> 2]]) {
        a.mem.u32[limit] = wrong;
        expect(() => verifyHeap(a)).toThrow(message);
      }
      a.mem.u32[limit] = right;
      verifyHeap(a);
    }
  });
});
