import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { decodeProfile } from "../src/pprof/index.ts";
import { type Program, program } from "./support/build.ts";

describe("README", () => {
  let app: Program | undefined;
  let threads: Program | undefined;
  afterAll(() => {
    app?.remove();
    threads?.remove();
  });
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const examples = Array.from(readme.matchAll(/```ts\n([\s\S]*?)```/g), ([, source]) => source);

  it("has an example that runs as pasted", () => {
    app = program({ "example.ts": examples[0] });
    const { stdout, stderr, status } = app.run();
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^main\.init at .*example\.ts:5\n/);
    expect(stdout).toContain("heap profile: 750: 768000 [1000: 1024000] @ heap/2");
    expect(readFileSync(join(app.dir, "heap.pprof")).subarray(0, 2)).toEqual(Buffer.from([0x1f, 0x8b]));
  });

  it("has a program with a worker, which runs as pasted", async () => {
    threads = program({ "example.ts": examples[1] });
    const { stderr, status } = threads.run();
    expect([status, stderr]).toEqual([0, ""]);
    const profile = await decodeProfile(readFileSync(join(threads.dir, "cpu.pprof")));
    const worked = [...profile.samples].filter((s) =>
      s.locations.some((l) => l.lines[0].function.name === "main.work"),
    );
    expect(worked.length).toBeGreaterThan(0);
    for (const s of worked) expect(s.labels).toEqual([{ key: "thread", str: "worker 1 crunch" }]);
  });
});
