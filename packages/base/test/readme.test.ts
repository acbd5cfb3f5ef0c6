import { readFileSync } from "node:fs";
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
    expect(log.mock.calls).toEqual([
      ["ERR_GORT_CLOSE_OF_CLOSED_CHANNEL", "close of closed channel"],
      [true, "runtime: span 0x10, state 0"],
    ]);
  } finally {
    log.mockRestore();
    await rm(dir, { recursive: true });
  }
});
