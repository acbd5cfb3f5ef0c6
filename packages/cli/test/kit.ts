/** The built command in a process of its own, in a temporary folder for each test file. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll } from "vitest";

export const bin = fileURLToPath(new URL("../dist/bin.js", import.meta.url));
export const programs = fileURLToPath(new URL("programs/", import.meta.url));
/** Files of the tests. It is removed at the end. */
export const scratch = mkdtempSync(join(realpathSync(tmpdir()), "gort-cli-"));
/** The temporary folder of the command. */
export const temp = join(scratch, "tmp");
beforeAll(() => mkdirSync(temp));
afterAll(() => rmSync(scratch, { recursive: true }));

/** The environment without Go's variables and Node's options, which each test sets itself. */
export function environment(env: Record<string, string>): NodeJS.ProcessEnv {
  const { GOGC, GOMEMLIMIT, GOMAXPROCS, GODEBUG, GOTRACEBACK, NODE_OPTIONS, ...rest } = process.env;
  return { ...rest, TMPDIR: temp, TEMP: temp, TMP: temp, ...env };
}

/** Runs the command with `args`, and returns its status and output. */
export function gort(args: string[], env: Record<string, string> = {}, cwd = programs) {
  const r = spawnSync(process.execPath, [bin, ...args], {
    encoding: "utf8",
    cwd,
    env: environment(env),
    timeout: 25_000,
  });
  return { code: r.status, out: r.stdout, err: r.stderr };
}

/** The place of `text` in a program, as a dump shows it. */
export function line(program: string, text: string): string {
  const at = readFileSync(join(programs, program), "utf8")
    .split("\n")
    .findIndex((l) => l.includes(text));
  return `${join(programs, program)}:${at + 1}`;
}

/** The README's ts block number `i`. */
export function readmeBlock(i: number): string {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  return [...readme.matchAll(/```ts\n([\s\S]*?)```/g)][i][1];
}

/** Runs a line of shell in which `$GORT` is the command. Returns its status and output. */
export function shell(script: string, env: Record<string, string> = {}) {
  const r = spawnSync("bash", ["-c", script], {
    encoding: "utf8",
    cwd: programs,
    env: environment({ ...env, GORT: `${process.execPath} ${bin}` }),
    timeout: 25_000,
  });
  return { code: r.status, out: r.stdout, err: r.stderr };
}
