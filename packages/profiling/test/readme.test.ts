import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type Program, program } from "./support/build.ts";

describe("README", () => {
  let app: Program | undefined;
  afterAll(() => app?.remove());

  it("has an example that runs as pasted", () => {
    const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
    const example = /```ts\n([\s\S]*?)```/.exec(readme)![1]!;
    app = program({ "example.ts": example });
    const { stdout, stderr, status } = app.run();
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^main\.init at .*example\.ts:5\n/);
    expect(stdout).toContain("heap profile: 750: 768000 [1000: 1024000] @ heap/2");
    expect(readFileSync(join(app.dir, "heap.pprof")).subarray(0, 2)).toEqual(Buffer.from([0x1f, 0x8b]));
  });
});
