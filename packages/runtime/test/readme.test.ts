import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { runReadmeExample } from "../../../scripts/readme-example.ts";

describe("README", () => {
  it("has an example that runs as pasted and prints what it says", async () => {
    const output = await runReadmeExample(join(import.meta.dirname, ".."));
    expect(JSON.stringify(output)).toContain("500500 1001 1");
  });

  it("has an example of a channel in the heap that prints what it promises", async () => {
    const { expected } = await runReadmeExample(join(import.meta.dirname, ".."), { index: 2 });
    expect(expected).toBe("0 5");
  });

  it("has an example of batches that prints what it promises", async () => {
    const { expected } = await runReadmeExample(join(import.meta.dirname, ".."), { index: 3 });
    expect(expected).toBe("332833500");
  });

  it("has an example of a channel in a field that prints what it promises", async () => {
    const { expected } = await runReadmeExample(join(import.meta.dirname, ".."), { index: 4 });
    expect(expected).toBe("144");
  });
});
