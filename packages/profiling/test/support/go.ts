import { execFileSync, spawnSync } from "node:child_process";

/** The go command named by GO, or the one in PATH, or null. */
export function findGo(): string | null {
  for (const go of process.env.GO ? [process.env.GO] : ["go"]) {
    const { status } = spawnSync(go, ["version"], { stdio: "ignore" });
    if (status === 0) return go;
  }
  return null;
}

/** The program behind `go tool pprof`: newer toolchains look for what has changed whenever they are asked for it. */
export function pprofTool(go: string): string {
  tool ??= execFileSync(go, ["tool", "-n", "pprof"], { encoding: "utf8" }).trim();
  return tool;
}
let tool: string | undefined;

/** The text that `go tool pprof` prints. */
export function pprof(go: string, ...args: string[]): string {
  return execFileSync(pprofTool(go), args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, PPROF_NO_BROWSER: "1", TZ: "UTC" },
  });
}
