import { expect, it } from "vitest";
import { runReadmeExample } from "../../../scripts/readme-example.ts";

const root = new URL("..", import.meta.url);

it("has an example that runs as pasted, with the output that it promises", async () => {
  expect((await runReadmeExample(root)).expected).toContain("Basel");
});

it("has a raw example that runs as pasted, with the output that it promises", async () => {
  expect((await runReadmeExample(root, { index: 1 })).expected).toBe("499500");
});
