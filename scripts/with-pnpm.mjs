// Runs a task of this repository on a machine that has only Node and npm.
//
//   node scripts/with-pnpm.mjs TASK [args]
//
// The pinned pnpm (package.json, "packageManager") is taken from the path if it is that version, else
// fetched through npx. Dependencies are installed from the lockfile and packages built when something
// changed; the task itself then runs with this terminal.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const pinned = packageManager.split("+")[0];
const version = pinned.split("@")[1];
const [task, ...args] = process.argv.slice(2);
const windows = process.platform === "win32";

// Ctrl-C is the child's to answer (it may have a summary to print); this process waits for it.
process.on("SIGINT", () => {});

function run(command, argv, options = {}) {
  const r = spawnSync(command, argv, { cwd: root, stdio: "inherit", shell: windows, ...options });
  if (r.error) {
    console.error(`${command}: ${r.error.message}`);
    process.exit(1);
  }
  return r;
}

function pnpmCommand() {
  const probe = spawnSync("pnpm", ["--version"], { cwd: root, encoding: "utf8", shell: windows });
  if (probe.status === 0 && probe.stdout.trim() === version) return ["pnpm"];
  return ["npx", "--yes", pinned];
}

const [command, ...prefix] = pnpmCommand();
// What installing and building have to say goes to standard error: the task's own output is the program's.
const pnpm = (...argv) => {
  const r = run(command, [...prefix, ...argv], { stdio: ["inherit", 2, 2] });
  if (r.status !== 0) process.exit(r.status ?? 1);
};
const quiet = ["--output-logs=errors-only", "--log-prefix=none"];
const node = (file, argv) => process.exit(run(process.execPath, [join(root, file), ...argv]).status ?? 1);

process.env.TURBO_TELEMETRY_DISABLED ??= "1";
if (!existsSync(join(root, "packages/runtime/dist"))) {
  console.error("First run: installing and building everything, about a minute.");
}
pnpm("install", "--frozen-lockfile", "--prefer-offline", "--silent");

switch (task) {
  case "demo":
    pnpm("exec", "turbo", "run", "build", "--filter=@gort/demo...", ...quiet);
    node("apps/demo/dist/main.js", args);
    break;
  case "check:test":
    pnpm("exec", "turbo", "run", "build", "typecheck", "--output-logs=errors-only");
    process.exit(run(command, [...prefix, "exec", "vitest", "run", ...args]).status ?? 1);
    break;
  case "bench":
    pnpm("exec", "turbo", "run", "build", "--filter=@gort/benchmarks...", ...quiet);
    node("benchmarks/dist/main.js", args);
    break;
  case "conformance":
    pnpm("exec", "turbo", "run", "build", ...quiet);
    node("scripts/conformance.mjs", args);
    break;
  case "mutants":
    pnpm("exec", "turbo", "run", "build", ...quiet);
    node("scripts/mutants.mjs", args);
    break;
  default:
    console.error(
      `with-pnpm: unknown task ${JSON.stringify(task)} (demo, check:test, bench, conformance, mutants)`,
    );
    process.exit(2);
}
