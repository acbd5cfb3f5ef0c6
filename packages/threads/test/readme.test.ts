import { expect, it } from "vitest";
import { runReadmeExample } from "../../../scripts/readme-example.ts";

const dir = new URL("..", import.meta.url);

it("has examples that run as pasted, with the output that they promise", async () => {
  expect((await runReadmeExample(dir)).expected).toBe("332833500 false 1");
  expect((await runReadmeExample(dir, { index: 1 })).expected).toBe("1");
});
