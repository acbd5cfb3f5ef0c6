import { expect, it } from "vitest";
import { createLinearMemory } from "../src/index.ts";
import { verifyMemory } from "../src/testing.ts";

it("works", () => {
  for (const shared of [true, false])
    for (const kernel of ["wasm", "js"] as const) {
      const m = createLinearMemory({ shared, kernel });
      const a = m.persistentAlloc(100, 8, "gcSys");
      m.kernel.fill(a, 3, 10);
      expect(m.kernel.add(a, 1)).toBe(0x03030303);
      expect(m.kernel.cas(a, 0x03030304, 9)).toBe(0x03030304);
      expect(m.kernel.load(a)).toBe(9);
      expect(m.canRelease).toBe(true);
      verifyMemory(m);
    }
});
