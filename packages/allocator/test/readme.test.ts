import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it, vi } from "vitest";

it("the README's example runs as pasted", async () => {
  const text = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const code = /```ts\n([\s\S]*?)```/.exec(text)?.[1] as string;
  const dir = await mkdtemp(join(new URL(".", import.meta.url).pathname, ".readme-"));
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  try {
    await writeFile(join(dir, "example.ts"), code);
    await import(/* @vite-ignore */ join(dir, "example.ts"));
    expect(log.mock.calls.map((c) => c.join(" "))).toEqual([
      "newest 4999 oldest 3976",
      "usable 112",
      "allocator: double free (got 0xADDR)",
      "objects 0 mallocs 3 frees 3",
    ]);
  } finally {
    log.mockRestore();
    await rm(dir, { recursive: true });
  }
});

// Node alone, as a reader runs them, on the built package.
function run(files: Record<string, string>): string {
  const dir = mkdtempSync(join(new URL(".", import.meta.url).pathname, ".readme-"));
  try {
    for (const [name, source] of Object.entries(files)) writeFileSync(join(dir, name), source);
    return execFileSync(process.execPath, [join(dir, "main.js")], { encoding: "utf8" });
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function javascriptBlocks(): string[] {
  const text = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  return [...text.matchAll(/```js\n([\s\S]*?)```/g)].map((m) => m[1]);
}

it("the README's off-heap cache runs as pasted", () => {
  const [cache] = javascriptBlocks() as [string];
  expect(run({ "main.js": cache })).toBe("hello, off-heap world\nundefined\n");
});

it("the README's block that is handed to a worker runs as pasted", () => {
  const [, main, worker] = javascriptBlocks() as [string, string, string];
  expect(run({ "main.js": main, "worker.js": worker })).toBe("sum 500\n");
});
