// The sides of a comparison: gort and each of its peers. To measure a side, the harness starts a process for one
// benchmark and one round. The process answers with one line of JSON (`Answer`).
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Benchmark, NpmPeer } from "./suite.ts";

export interface Answer {
  readonly name: string;
  /** Nanoseconds an operation, one value for each timed run. */
  readonly samples: readonly number[];
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

/** The environment of a measured process: one processor for goroutines, and no variable that tunes a collector. */
function measuredEnv(): NodeJS.ProcessEnv {
  const { GOGC, GOMEMLIMIT, GODEBUG, GOTRACEBACK, NODE_OPTIONS, ...env } = process.env;
  return { ...env, GOMAXPROCS: "1" };
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

function nodeSide(name: string, version: string, nodeFlags: readonly string[], can: Side["can"]): Side {
  const child = fileURLToPath(new URL("./child.js", import.meta.url));
  return {
    name,
    version,
    can,
    async measure(benchmark, n) {
      const args = [...nodeFlags, child, name, ...processArgs(benchmark, n)];
      return parse(await capture(process.execPath, args, measuredEnv()), benchmark);
    },
  };
}

export function gortSide(): Side {
  return nodeSide("gort", `Node ${process.version}`, [], () => true);
}

/** The same work with V8's own objects, promises and collector. */
export function v8Side(): Side {
  const flags = ["--expose-gc", "--max-old-space-size=4096"];
  return nodeSide("v8", `V8 ${process.versions.v8}`, flags, ({ peers }) => peers.includes("v8"));
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
    return nodeSide(name, version, [], ({ peers }) => peers.includes(name));
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
      return parse(await capture(program, processArgs(benchmark, n), measuredEnv()), benchmark);
    },
  };
}
