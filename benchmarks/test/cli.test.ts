import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { bench } from "../src/cli.ts";
import type { Side } from "../src/sides.ts";

function side(name: string, ns: number, fail?: string): Side {
  return {
    name,
    version: `${name} 1.0`,
    can: ({ peers }) => (name !== "v8" && name !== "gort@1") || peers.includes(name),
    async measure(benchmark, n) {
      if (benchmark.name === fail) throw new Error("crashed");
      return { name: benchmark.name, samples: [ns, ns, ns], check: String(n) };
    },
  };
}

async function run(args: string[], options: { go?: boolean; fail?: string } = {}) {
  let stdout = "";
  let stderr = "";
  const status = await bench(["node", "bench", ...args], {
    gort: () => side("gort", 5, options.fail),
    go: async () => (options.go === false ? null : side("go", 10)),
    oneThread: () => side("gort@1", 8),
    v8: () => side("v8", 20),
    npm: () => [side("ts-chan", 50)],
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    terminal: false,
  });
  return { status, stdout, stderr };
}

describe("npm run bench", () => {
  const dir = mkdtempSync(join(tmpdir(), "bench-"));
  afterAll(() => rmSync(dir, { recursive: true }));

  it("prints the list of benchmarks with --list, and measures none", async () => {
    const { status, stdout } = await run(["--list", "--only", "^Select"]);
    expect(status).toBe(0);
    expect(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.split(" ")[0]),
    ).toEqual(["Select2", "Select4"]);
  });

  it("measures npm's libraries only with --peers", async () => {
    const all = await run(["--only", "^Select2$", "--rounds", "1", "--peers"]);
    expect(all.status).toBe(0);
    expect(all.stdout).toMatch(/ts-chan 1\.0; GOMAXPROCS/);
    expect(all.stdout).toMatch(/50\.0 +0% +0\.10x$/m);
    expect((await run(["--only", "^Select2$", "--rounds", "1"])).stdout).not.toContain("ts-chan");
  });

  it("prints the setting and a table, and its progress on standard error", async () => {
    const { status, stdout, stderr } = await run(["--only", "^Malloc16$", "--rounds", "2"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/go 1\.0.*GOMAXPROCS=1 on every side/);
    expect(stdout).toMatch(/medians of 2 processes a side/);
    expect(stdout).toMatch(/^Malloc16 +ns\/op +5\.00 +0% +10\.0 +0% +0\.50x +20\.0 +0% +0\.25x$/m);
    expect(stderr).toContain("[1/1] Malloc16 round 2/2: gort 5.00 ns/op\n");
  });

  it("measures benchmarks of two threads beside one thread", async () => {
    const { stdout } = await run(["--only", "^ParallelSum2$", "--rounds", "1"]);
    expect(stdout).toMatch(/^benchmark .* go +± +gort\/go +gort@1 +± +gort\/gort@1$/m);
    expect(stdout).toMatch(/^ParallelSum2 +ns\/op +5\.00 +0% +10\.0 +0% +0\.50x +8\.00 +0% +0\.63x$/m);
  });

  it("writes an array of results as JSON", async () => {
    const file = join(dir, "out.json");
    await run(["--only", "^(Malloc16|Caller)$", "--quick", "--json", file]);
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual([
      {
        name: "Malloc16",
        unit: "ns/op",
        gort: 5,
        peers: { go: 10, v8: 20 },
        ratio: { go: 0.5, v8: 0.25 },
        samples: { gort: [5, 5, 5], go: [10, 10, 10], v8: [20, 20, 20] },
      },
      {
        name: "Caller",
        unit: "ns/op",
        gort: 5,
        peers: { go: 10 },
        ratio: { go: 0.5 },
        samples: { gort: [5, 5, 5], go: [10, 10, 10] },
      },
    ]);
  });

  it("measures gort alone without a Go toolchain, and says so", async () => {
    const file = join(dir, "alone.json");
    const { status, stderr } = await run(["--only", "^Caller$", "--no-v8", "--json", file], { go: false });
    expect(status).toBe(0);
    expect(stderr).toContain("no Go toolchain found");
    expect(JSON.parse(readFileSync(file, "utf8"))[0]).toMatchObject({ peers: {}, ratio: {} });
  });

  it("runs the other benchmarks if one fails, and exits with 1", async () => {
    const { status, stdout, stderr } = await run(["--only", "Select"], { fail: "Select2" });
    expect(status).toBe(1);
    expect(stdout).toContain("Select4");
    expect(stderr).toContain("Select2 failed: crashed");
  });

  it.each([
    [["--only", "("], "--only"],
    [["--only", "Nothing"], "matches none of Malloc16"],
    [["--rounds", "0"], "--rounds must be a positive integer (got 0)"],
    [["--fast"], "Unknown option `--fast`"],
    [["Malloc16"], "unexpected argument Malloc16"],
  ])("refuses %j with status 2", async (args, text) => {
    const { status, stderr } = await run(args);
    expect(status).toBe(2);
    expect(stderr).toContain(text);
  });
});
