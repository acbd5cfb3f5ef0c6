import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { writeFileAtomically } from "../src/index.ts";

const dir = mkdtempSync(join(tmpdir(), "gort-writer-"));
afterAll(() => rmSync(dir, { recursive: true }));
const bytes = new TextEncoder().encode("a whole profile");

describe("writeFileAtomically", () => {
  it("replaces a file, and leaves nothing else behind", async () => {
    const path = join(dir, "file");
    writeFileSync(path, "old");
    await writeFileAtomically(path, bytes);
    expect(readFileSync(path, "utf8")).toBe("a whole profile");
    expect(readdirSync(dir)).toEqual(["file"]);
  });

  // Windows has no such files.
  it.skipIf(process.platform === "win32")("writes to a pipe instead of taking its place", async () => {
    const path = join(dir, "pipe");
    expect(spawnSync("mkfifo", [path]).status).toBe(0);
    const { open } = await import("node:fs/promises");
    const [reader] = await Promise.all([open(path, "r"), writeFileAtomically(path, bytes)]);
    expect((await reader.readFile()).toString()).toBe("a whole profile");
    await reader.close();
    expect(statSync(path).isFIFO()).toBe(true);
    rmSync(path);
  });

  // Linux has a device that is always full.
  it.skipIf(!existsSync("/dev/full"))("says that a device is full, and leaves it where it is", async () => {
    await expect(writeFileAtomically("/dev/full", bytes)).rejects.toThrow(/ENOSPC/);
    expect(statSync("/dev/full").isCharacterDevice()).toBe(true);
    expect(readdirSync("/dev").filter((name) => name.startsWith("full."))).toEqual([]);
  });
});
