// Runs the tests of threads on the built packages under other releases of Node than the one that runs this script.
//
//   node scripts/hosts.mjs [RELEASE...]
//
// The default releases are 22, 24 and 26. npm installs them below node_modules/.cache/hosts, where they stay.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const platform = process.platform === "win32" ? "win" : process.platform;
const name = `node-${platform}-${process.arch}`;

/** What depends most on the host: worker threads, waiting, event loops, messages, and memory that threads share. */
const tests = [
  "packages/runtime/test/threads",
  "packages/runtime/test/heap-",
  "packages/runtime/test/collector-thread",
  "packages/threads/test/stress",
  "packages/threads/test/contention",
  "packages/memory/test",
];

function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit", ...options });
  if (error !== undefined) throw error;
  return status === 0;
}

/** The path of Node's binary of that release. */
function install(release) {
  const dir = join(root, "node_modules/.cache/hosts", release);
  const node = join(dir, "node_modules", name, "bin", platform === "win" ? "node.exe" : "node");
  if (existsSync(node)) return node;
  mkdirSync(dir, { recursive: true });
  const args = ["install", "--prefix", dir, "--no-save", "--no-audit", "--no-fund", "--loglevel=error"];
  if (run("npm", [...args, `${name}@${release}`], { shell: platform === "win" }) && existsSync(node))
    return node;
  throw new Error(`Node ${release} cannot be installed: is there a package ${name}@${release}?`);
}

const releases = process.argv.length > 2 ? process.argv.slice(2) : ["22", "24", "26"];
const wrong = releases.find((release) => !/^\d+(\.\d+){0,2}$/.test(release));
if (wrong !== undefined) {
  console.error(`hosts: a release must be like 22 or 22.3.0 (got ${wrong})`);
  process.exit(2);
}
const failed = releases.filter((release) => {
  const node = install(release);
  const version = spawnSync(node, ["--version"], { encoding: "utf8" }).stdout.trim();
  console.log(`\n-- Node ${version}`);
  return !run(node, ["node_modules/vitest/vitest.mjs", "run", ...tests]);
});
console.log(failed.length === 0 ? "hosts: all tests pass" : `hosts: tests fail on Node ${failed.join(", ")}`);
process.exit(failed.length === 0 ? 0 : 1);
