import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { deriveSizeClasses, render } from "../scripts/gen-sizeclasses.ts";
import { sizeClassOf } from "../src/sizeclass.ts";
import {
  classToAllocNPages,
  classToIndexMul,
  classToIndexShift,
  classToSize,
  NUM_SIZE_CLASSES,
} from "../src/sizeclasses.generated.ts";

describe("size classes", () => {
  it("are what the generator derives from the constraints", () => {
    const file = new URL("../src/sizeclasses.generated.ts", import.meta.url);
    expect(readFileSync(file, "utf8")).toBe(render());
    expect(deriveSizeClasses()).toHaveLength(NUM_SIZE_CLASSES - 1);
  });

  it("give every size the smallest class that holds it", () => {
    for (let n = 1; n <= 32768; n++) {
      const c = sizeClassOf(n);
      if (classToSize[c] < n || classToSize[c - 1] >= n) expect.fail(`size ${n}: class ${c}`);
    }
  });

  it("divide every offset in a span by the object size with one multiplication", () => {
    for (let c = 1; c < NUM_SIZE_CLASSES; c++) {
      const size = classToSize[c];
      const span = classToAllocNPages[c] * 8192;
      const mul = classToIndexMul[c];
      const shift = classToIndexShift[c];
      for (let offset = 0; offset < span; offset++) {
        const got = Math.imul(offset >>> 3, mul) >>> shift;
        if (got !== Math.floor(offset / size)) expect.fail(`class ${c}, offset ${offset}: ${got}`);
      }
    }
  });
});
