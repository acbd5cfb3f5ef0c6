// Runs programs of this folder, each in a process of its own. GORT_NODE=path runs them by another Node.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL(".", import.meta.url));

export interface Run {
  code: number | null;
  out: string;
  err: string;
}

/** Runs a program. One that hangs is killed, and its code is null. */
export function run(args: string[], env: Record<string, string> = {}, timeout = 25_000): Promise<Run> {
  const { GODEBUG, GOMAXPROCS, GOGC, GOMEMLIMIT, NODE_OPTIONS, ...rest } = process.env;
  const child = spawn(process.env.GORT_NODE ?? process.execPath, args, {
    cwd: folder,
    env: { ...rest, ...env },
    timeout,
  });
  const r: Run = { code: null, out: "", err: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => (r.out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (r.err += text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ ...r, code }));
  });
}
