// Tests of the built demo, as `npm run demo` starts it, with its output in a pipe.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";

const main = fileURLToPath(new URL("../dist/main.js", import.meta.url));
const scratch = mkdtempSync(join(realpathSync(tmpdir()), "gort-demo-"));
afterAll(() => rmSync(scratch, { recursive: true }));

function environment(): NodeJS.ProcessEnv {
  const { GOGC, GOMEMLIMIT, GOMAXPROCS, GODEBUG, NODE_OPTIONS, ...rest } = process.env;
  return rest;
}

function demo(...args: string[]) {
  const r = spawnSync(process.execPath, [main, ...args], {
    encoding: "utf8",
    cwd: scratch,
    env: environment(),
    timeout: 60_000,
  });
  return { code: r.status, out: r.stdout, err: r.stderr };
}

const header = "HeapSys,bytes,HeapAlloc,HeapIdle,HeapReleased,makes";
const row = /^\d+,\d+,\d+,\d+,\d+,\d+$/;
/** The part of the collector's line that a run without a collection also has. */
const summary = /^# .*Alloc:\S+ Sys:\S+ Alloc\(Rate\):\S+\/s/m;
const fullSummary = new RegExp(
  [
    String.raw`^# NumGC:\d+ Pause:\S+ Pause\(Avg\):\S+ Overhead:[\d.]+%`,
    String.raw`Alloc:\S+ Sys:\S+ Alloc\(Rate\):\S+/s Histogram:\S+ \S+ \S+$`,
  ].join(" "),
  "m",
);

describe("npm run demo", () => {
  it("lists the programs, runs the first in all its variants, and ends by itself", () => {
    const { code, out, err } = demo();
    expect([code, err]).toEqual([0, ""]);
    for (const name of ["buffers", "finalizers", "heap-profile"])
      expect(out).toMatch(new RegExp(`^#   ${name} `, "m"));
    const rows = out.split("\n").filter((l) => row.test(l));
    expect(rows).toHaveLength(300);
    expect(out.match(new RegExp(fullSummary, "gm"))).toHaveLength(3);
    const table = out.slice(out.lastIndexOf("# variant"));
    const ratio = (variant: string) =>
      Number(new RegExp(`^# ${variant} +\\d+ +\\d+ +\\d+ +([\\d.]+)`, "m").exec(table)![1]);
    expect(ratio("garbage")).toBeGreaterThan(1.5);
    expect(ratio("channel")).toBeLessThan(1.25);
    expect(ratio("recycler")).toBeLessThan(1.25);
  }, 60_000);

  it("begins every line that is no row with a #", () => {
    const { out } = demo("buffers", "--variant", "channel", "--interval", "0", "--steps", "3");
    const rest = out.split("\n").filter((l) => l !== "" && l !== header && !row.test(l));
    expect(rest.every((l) => l.startsWith("#"))).toBe(true);
    expect(out).toMatch(summary);
  });
});

describe("npm run demo -- buffers", () => {
  it("writes the rows to a CSV file too", () => {
    const file = join(scratch, "rows.csv");
    const { out } = demo(
      "buffers",
      "--variant",
      "recycler",
      "--interval",
      "0.001",
      "--steps",
      "25",
      "--csv",
      file,
    );
    const lines = readFileSync(file, "utf8").trimEnd().split("\n");
    expect(lines[0]).toBe(header);
    expect(lines.slice(1)).toEqual(out.split("\n").filter((l) => row.test(l)));
    expect(lines).toHaveLength(26);
  });

  it("adds the name of the variant to the CSV file if three are compared", () => {
    const file = join(scratch, "all.csv");
    demo("buffers", "--interval", "0", "--steps", "2", "--csv", file);
    const lines = readFileSync(file, "utf8").trimEnd().split("\n");
    expect(lines[0]).toBe(`${header},variant`);
    expect(lines.slice(1).map((l) => l.split(",").at(-1))).toEqual(
      ["garbage", "channel", "recycler"].flatMap((v) => [v, v]),
    );
  });

  it("takes one step a second by default, and ends with the summary at Ctrl-C", async () => {
    const child = spawn(process.execPath, [main, "buffers", "--variant", "garbage"], { env: environment() });
    let out = "";
    const rows = () => out.split("\n").filter((l) => row.test(l)).length;
    const times: number[] = [];
    let killed = false;
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
      while (times.length < rows()) times.push(performance.now());
      // Only once: the second signal would kill the process.
      if (rows() >= 2 && !killed) killed = child.kill("SIGINT");
    });
    const ended = await new Promise((resolve) =>
      child.once("exit", (code, signal) => resolve({ code, signal })),
    );
    expect(ended).toEqual({ code: 0, signal: null });
    expect(times[1] - times[0]).toBeGreaterThan(900);
    expect(times[1] - times[0]).toBeLessThan(3000);
    expect(out).toMatch(summary);
  });

  it("makes the same buffers for the same seed, and others for another", () => {
    const sizes = (seed: string) =>
      demo("buffers", "--variant", "garbage", "--interval", "0", "--steps", "4", "--seed", seed)
        .out.split("\n")
        .filter((l) => row.test(l))
        .map((l) => l.split(",")[1]);
    expect(sizes("7")).toEqual(sizes("7"));
    expect(sizes("7")).not.toEqual(sizes("8"));
  });

  it("has a help text, and refuses unknown programs, options and values with exit code 1", () => {
    expect(demo("buffers", "--help").out).toContain("--variant <name>");
    for (const [args, text] of [
      [["bufers"], 'no program "bufers"; there are buffers, finalizers, heap-profile'],
      [["--steps", "3"], "--steps needs a program before it"],
      [["buffers", "--variant", "pool"], "--variant must be one of garbage, channel, recycler"],
      [["buffers", "--steps", "2.5"], "--steps must be a whole number from 0 (got 2.5)"],
      [["buffers", "--interval", "soon"], '--interval must be a number from 0 (got "soon")'],
      [["buffers", "--interval=-1"], "--interval must be a number from 0 (got -1)"],
      [["buffers", "--pace", "3"], "Unknown option --pace"],
    ] as const) {
      const { code, out, err } = demo(...args);
      expect([code, out]).toEqual([1, ""]);
      expect(err).toContain(text);
    }
  });
});

describe("finalizers", () => {
  it("print MemStats as indented JSON, one object after the other", () => {
    const { code, out } = demo("finalizers", "--every", "0.05", "--count", "3");
    expect(code).toBe(0);
    const texts = out.match(/^\{$[\s\S]*?^\}$/gm)!;
    expect(texts).toHaveLength(3);
    expect(texts[0]).toContain('\n\t"Alloc": ');
    const stats = texts.map((t) => JSON.parse(t) as { NumForcedGC: number; BySize: unknown[] });
    expect(stats.map((m) => m.NumForcedGC)).toEqual([1, 2, 3]);
    expect(stats[0].BySize).toHaveLength(61);
    expect(out).toMatch(fullSummary);
  });
});

describe("heap-profile", () => {
  const file = join(scratch, "heap.pprof");

  it("writes a gzipped profile that names both call sites by their TypeScript file", () => {
    const { code, out } = demo("heap-profile");
    expect(code).toBe(0);
    expect(out).toContain("go tool pprof -top heap.pprof");
    expect(out).toMatch(fullSummary);
    const profile = gunzipSync(readFileSync(file)).toString("latin1");
    expect(profile).toContain("growLeaves");
    expect(profile).toContain("growBranches");
    expect(profile).toMatch(/src\/programs\/heap-profile\.ts/);
  });

  it("writes a profile that go tool pprof reads, if Go is installed", () => {
    const go = process.env.GO ?? "go";
    const pprof = (...args: string[]) =>
      spawnSync(go, ["tool", "pprof", ...args, file], { encoding: "utf8" });
    if (spawnSync(go, ["version"]).status !== 0) return;
    const top = pprof("-top", "-sample_index=inuse_objects", "-lines").stdout;
    const source = readFileSync(new URL("../src/programs/heap-profile.ts", import.meta.url), "utf8").split(
      "\n",
    );
    for (const [name, call] of [
      ["growLeaves", "newObject(Leaf)"],
      ["growBranches", "newObject(Branch)"],
    ]) {
      const found = new RegExp(`^ *(\\d+) .*${name} .*heap-profile\\.ts:(\\d+)`, "m").exec(top);
      expect(found, top).not.toBeNull();
      expect(source[Number(found![2]) - 1]).toContain(call);
      // An estimate from one object in 256, or in 128 of the larger ones: within five standard deviations.
      expect(Number(found![1])).toBeGreaterThan(50_000 * 0.6);
      expect(Number(found![1])).toBeLessThan(50_000 * 1.4);
    }
  });
});
