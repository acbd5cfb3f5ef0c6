import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { sums } from "./expected.ts";

const node = process.env.GORT_NODE ?? process.execPath;
const main = fileURLToPath(new URL("../src/main-source.ts", import.meta.url));
const tsx = createRequire(import.meta.url).resolve("tsx/cli");
const cwd = fileURLToPath(new URL("..", import.meta.url));

function output(...args: string[]): [number | null, string, string[]] {
  const { status, stdout, stderr } = spawnSync(node, [...args, main, "sums"], {
    cwd,
    encoding: "utf8",
    timeout: 30_000,
  });
  return [status, stderr, stdout.split("\n")];
}

const expected = [0, "", ["gomaxprocs 3", ...sums, ""]];
const strips =
  spawnSync(node, ["-p", "process.features.typescript"], { encoding: "utf8" }).stdout.trim() === "strip";

describe("a program in TypeScript runs tasks on workers, and its main module once,", () => {
  it("under tsx", () => {
    expect(output(tsx)).toEqual(expected);
  });

  it("under Node with tsx as a preload", () => {
    expect(output("--import", "tsx")).toEqual(expected);
    expect(output("--import=tsx")).toEqual(expected);
  });

  // Node 20 does not strip types.
  it.skipIf(!strips)("under Node's type stripping", () => {
    expect(output("--disable-warning=ExperimentalWarning")).toEqual(expected);
  });
});
