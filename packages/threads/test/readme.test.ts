import { expect, it } from "vitest";
import { runReadmeExample } from "../../../scripts/readme-example.ts";

it("has an example that runs as pasted, with the output that it promises", async () => {
  expect((await runReadmeExample(new URL("..", import.meta.url))).expected).toBe("1");
});
