import { expect, it } from "vitest";
import { runReadmeExample } from "../../../scripts/readme-example.ts";

const root = new URL("..", import.meta.url);

it("has an example that runs as pasted", async () => {
  const { stdout } = await runReadmeExample(root);
  expect(stdout).toMatch(/^HeapAlloc \+\d/m);
  expect(stdout).toMatch(/Alloc\(Rate\):\d/);
});

it("has an example of a source that runs as pasted", async () => {
  const { stdout } = await runReadmeExample(root, { index: 1 });
  expect(stdout).toBe("1 65536 65536\n");
});

it("has an example of metrics that runs as pasted", async () => {
  const { stdout } = await runReadmeExample(root, { index: 2 });
  expect(stdout).toBe("/memory/classes/total:bytes uint64\n/sched/latencies:seconds bad\n");
});
