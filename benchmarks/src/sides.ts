// The sides of a comparison: gort and each of its peers. To measure a side, the harness starts a process for one
// benchmark and one round. The process answers with one line of JSON (`Answer`).
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Benchmark, NpmPeer, OneThread } from "./suite.ts";

export interface Answer {
  readonly name: string;
  /** Nanoseconds an operation, one value for each timed run. */
  readonly samples: readonly number[];
  /** Processor time of the same runs, of all threads. Where the host tells it. */
  readonly cpu?: readonly number[];
  /** A figure that the work produced. It is the same on every side. */
  readonly check: string;
}

export interface Side {
  readonly name: string;
  readonly version: string;
  can(benchmark: Benchmark): boolean;
  measure(benchmark: Benchmark, n: number): Promise<Answer>;
}

const here = fileURLToPath(new URL("..", import.meta.url));

/** The environment of a measured process: processors for goroutines, and no variable that tunes a collector. */
function measuredEnv(procs: number): NodeJS.ProcessEnv {
  const { GOGC, GOMEMLIMIT, GODEBUG, GOTRACEBACK, NODE_OPTIONS, ...env } = process.env;
  return { ...env, GOMAXPROCS: String(procs) };
}

function capture(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  cwd?: string,
): Promise<string> {
  return new Promise((done, fail) => {
    execFile(command, args, { env, cwd, maxBuffer: 1 << 26, timeout: 600_000 }, (error, stdout, stderr) => {
      if (error === null) return done(stdout);
      const why = error.killed ? "took too long" : (error.signal ?? `exit status ${error.code}`);
      fail(
        new Error(
          `${command.split("/").at(-1)} ${args.join(" ")}: ${why}\n${stderr || stdout || error.message}`.trim(),
        ),
      );
    });
  });
}

function parse(text: string, benchmark: Benchmark): Answer {
  const line = text.trim().split("\n").at(-1) ?? "";
  const answer = JSON.parse(line) as Answer;
  if (answer.name !== benchmark.name || answer.samples.length === 0 || !answer.samples.every((s) => s > 0)) {
    throw new Error(`${benchmark.name}: unexpected answer ${line}`);
  }
  return answer;
}

function processArgs(benchmark: Benchmark, n: number): string[] {
  const { name, warmup, samples } = benchmark;
  return ["-bench", name, "-n", String(n), "-warmup", String(warmup), "-samples", String(samples)];
}

interface NodeSide {
  readonly name: string;
  readonly version: string;
  readonly nodeFlags?: readonly string[];
  /** The group of cases in child.ts; by default the name. */
  readonly cases?: string;
  /** Default: that of the benchmark. */
  readonly procs?: number;
  readonly can: Side["can"];
}

function nodeSide({ name, version, nodeFlags = [], cases = name, procs, can }: NodeSide): Side {
  const child = fileURLToPath(new URL("./child.js", import.meta.url));
  return {
    name,
    version,
    can,
    async measure(benchmark, n) {
      const args = [...nodeFlags, child, cases, ...processArgs(benchmark, n)];
      const env = measuredEnv(procs ?? benchmark.procs);
      return parse(await capture(process.execPath, args, env), benchmark);
    },
  };
}

export function gortSide(): Side {
  return nodeSide({ name: "gort", version: `Node ${process.version}`, can: () => true });
}

/** gort on one thread, beside its benchmarks of two. */
export function oneThreadSide(): Side {
  const name: OneThread = "gort@1";
  const can: Side["can"] = ({ peers }) => peers.includes(name);
  return nodeSide({ name, version: "gort@1 is gort at GOMAXPROCS=1", cases: "gort", procs: 1, can });
}

/** The same work with V8's own objects, promises and collector. */
export function v8Side(): Side {
  return nodeSide({
    name: "v8",
    version: `V8 ${process.versions.v8}`,
    nodeFlags: ["--expose-gc", "--max-old-space-size=4096"],
    can: ({ peers }) => peers.includes("v8"),
  });
}

/** The peers from npm: plain async functions, and libraries at the versions of package.json. */
export function npmSides(): Side[] {
  const { devDependencies } = JSON.parse(readFileSync(join(here, "package.json"), "utf8")) as {
    devDependencies: Record<string, string>;
  };
  const names: NpmPeer[] = [
    "async",
    "effect",
    "js-csp",
    "ts-chan",
    "@thi.ng/csp",
    "sql.js",
    "@thi.ng/malloc",
  ];
  return names.map((name) => {
    const version = name === "async" ? "async/await and promises" : `${name} ${devDependencies[name]}`;
    return nodeSide({ name, version, can: ({ peers }) => peers.includes(name) });
  });
}

/**
 * Go's side, or `null` if no toolchain is found. `GO` names the command; without it, `go` is looked up in the path.
 * Throws if `GO` is set and cannot be run, or if the program does not compile. The program is compiled once for each
 * toolchain and source, and kept in `buildDir`.
 */
export async function goSide(buildDir: string = join(here, ".build")): Promise<Side | null> {
  const named = process.env.GO;
  const command = named || "go";
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    GOTOOLCHAIN: "local",
    GOWORK: "off",
    GOFLAGS: "",
    CGO_ENABLED: "0",
  };
  if (env.HOME === undefined && env.GOCACHE === undefined) env.GOCACHE = join(buildDir, "cache");
  let version: string;
  try {
    version = (await capture(command, ["version"], env)).trim().replace(/^go version /, "");
  } catch (error) {
    if (named) throw new Error(`GO=${named} cannot be run: ${(error as Error).message}`);
    return null;
  }
  const source = join(here, "go");
  const hash = createHash("sha256").update(version);
  for (const file of readdirSync(source).sort()) hash.update(file).update(readFileSync(join(source, file)));
  const program = join(
    buildDir,
    `go-${hash.digest("hex").slice(0, 16)}${process.platform === "win32" ? ".exe" : ""}`,
  );
  if (!existsSync(program)) {
    mkdirSync(buildDir, { recursive: true });
    await capture(command, ["build", "-trimpath", "-o", program, "."], env, source);
  }
  return {
    name: "go",
    version,
    can: (benchmark) => benchmark.go,
    async measure(benchmark, n) {
      return parse(
        await capture(program, processArgs(benchmark, n), measuredEnv(benchmark.procs)),
        benchmark,
      );
    },
  };
}
