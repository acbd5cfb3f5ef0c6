import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const script = fileURLToPath(new URL("../conformance.mjs", import.meta.url));

interface Run {
  status: number;
  lines: string[];
  stderr: string;
}

describe("the conformance script", () => {
  const dir = mkdtempSync(join(tmpdir(), "conformance-"));
  const packages = join(dir, "packages");
  const oracle = join(dir, "oracle");

  function conformance(args: string[], env: Record<string, string> = {}): Promise<Run> {
    return new Promise((done) => {
      const { ORACLE_DIR: _, ...rest } = process.env;
      execFile(
        process.execPath,
        [script, "--packages", packages, ...args],
        { env: { ...rest, ...env } },
        (error, stdout, stderr) =>
          done({
            status: error === null ? 0 : Number(error.code),
            lines: stdout.split("\n").filter(Boolean),
            stderr,
          }),
      );
    });
  }

  function runner(pkg: string, name: string, source: string, vectors?: unknown): void {
    const folder = join(packages, pkg, "conformance");
    mkdirSync(join(folder, "vectors"), { recursive: true });
    writeFileSync(join(folder, `${name}.ts`), source);
    if (vectors !== undefined)
      writeFileSync(join(folder, "vectors", `${name}.json`), JSON.stringify(vectors));
  }

  beforeAll(() => {
    const sum = `
      import { add } from "./arithmetic.ts";
      export function run(vectors: { rows: { in: number[]; out: number }[] }) {
        const failures = vectors.rows.filter((r) => add(r.in) !== r.out).map((r) => JSON.stringify(r));
        return { passed: vectors.rows.length - failures.length, total: vectors.rows.length, failures };
      }`;
    runner("a", "arithmetic", "export const add = (xs: number[]): number => xs.reduce((a, b) => a + b, 0);");
    runner("a", "sums", sum, { rows: [{ in: [1, 2], out: 3 }] });
    runner("b", "sums", "export const run = () => ({ passed: 2, total: 2, failures: [] });", {});
    runner("b", "crash", "export async function run() { throw new Error('broken runner'); }", {
      rows: [1, 2, 3],
    });
    runner("b", "exits", "export function run() { process.exit(0); }", { rows: [1] });
    mkdirSync(oracle);
    writeFileSync(
      join(oracle, "sums.json"),
      JSON.stringify({
        rows: [
          { in: [1], out: 1 },
          { in: [1], out: 2 },
        ],
      }),
    );
    writeFileSync(join(oracle, "other.json"), "{}");
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  it("adds up the results of all packages that cover a file, and ignores helper modules", async () => {
    const run = await conformance(["sums"]);
    expect(run).toMatchObject({ status: 0, lines: ["sums: 3/3"], stderr: "" });
  });

  it("counts all rows as failed if the runner throws or exits, and prints the reason", async () => {
    const run = await conformance([]);
    expect(run.status).toBe(1);
    expect(run.lines).toEqual(["crash: 0/3", "exits: 0/1", "sums: 3/3"]);
    expect(run.stderr).toContain("crash (b): all failed: Error: broken runner");
    expect(run.stderr).toContain("exits (b): all failed: ended with 0 before it answered");
  });

  it("reads ORACLE_DIR's files, prints the failed rows and names files that no package covers", async () => {
    const run = await conformance([], { ORACLE_DIR: oracle });
    expect(run.status).toBe(1);
    expect(run.lines).toEqual(["sums: 3/4"]);
    expect(run.stderr).toContain('sums (a): 1 of 2 failed\n    {"in":[1],"out":2}');
    expect(run.stderr).toContain("no package covers other");
  });

  it("refuses names and folders that do not exist", async () => {
    expect(await conformance(["nothing"])).toMatchObject({ status: 2, lines: [] });
    expect(await conformance([], { ORACLE_DIR: join(dir, "none") })).toMatchObject({ status: 2, lines: [] });
  });
});
