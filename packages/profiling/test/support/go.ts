import { execFileSync, spawnSync } from "node:child_process";

/** The go command named by GO, or the one in PATH, or null. */
export function findGo(): string | null {
  for (const go of process.env.GO ? [process.env.GO] : ["go"]) {
    const { status } = spawnSync(go, ["version"], { stdio: "ignore" });
    if (status === 0) return go;
  }
  return null;
}

/** The text that `go tool pprof` prints. */
export function pprof(go: string, ...args: string[]): string {
  return execFileSync(go, ["tool", "pprof", ...args], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, PPROF_NO_BROWSER: "1" },
  });
}
