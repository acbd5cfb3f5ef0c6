import { describe, expect, it } from "vitest";
import { createRuntime } from "../src/index.ts";
import { Pool } from "../src/sync.ts";

describe("sync.Pool", () => {
  it("is emptied by the second collection of the runtime's heap, not by another runtime's", async () => {
    const rt = createRuntime();
    const other = createRuntime();
    try {
      const got = await rt.main(() => {
        const pool = new Pool<string>();
        const seen: (string | undefined)[] = [];
        pool.put("x");
        for (let i = 0; i < 3; i++) other.gc();
        rt.gc();
        seen.push(pool.get());
        pool.put("x");
        rt.gc();
        rt.gc();
        seen.push(pool.get());
        return seen;
      });
      expect(got).toEqual(["x", undefined]);
    } finally {
      rt.close();
      other.close();
    }
  });
});
