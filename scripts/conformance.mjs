// Runs the conformance runners of all packages over vectors recorded from real Go, and prints one line per file:
//
//   node scripts/conformance.mjs [NAME...]        the packages' own copies of the vectors
//   ORACLE_DIR=dir node scripts/conformance.mjs   the files of that folder; missing files are skipped
//   --packages DIR, before any NAME               the packages of another folder than this repository's
//
//   alloc_memstats: 102/102
//
// A runner is packages/PACKAGE/conformance/NAME.ts. It exports run(vectors) -> { passed, total, failures } and receives
// the parsed NAME.json. Two packages may cover two sides of one file: the line shows their sums. Each runner is bundled
// from source and runs in its own process. A runner that crashes, hangs or exits fails all its rows and no other
// runner's.
//
// Standard output holds these lines only; failures and remarks go to standard error.
import { fork } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const RUNNER_LIMIT_MS = 300_000;
const FAILURES_SHOWN = 5;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const cache = join(root, "node_modules/.cache/gort-conformance");
const args = process.argv.slice(2);
const packagesDir = resolve(args[0] === "--packages" ? args.splice(0, 2)[1] : join(root, "packages"));

/**
 * Every runner in the workspace: { pkg, name, source, own }. A helper module beside them has no vectors and exports no
 * `run`.
 */
function findRunners() {
  const runners = [];
  for (const pkg of readdirSync(packagesDir).sort()) {
    const dir = join(packagesDir, pkg, "conformance");
    if (!existsSync(dir)) continue;
    for (const file of readdirSync(dir).sort()) {
      if (!file.endsWith(".ts") || file.endsWith(".d.ts")) continue;
      const source = join(dir, file);
      const name = basename(file, ".ts");
      const own = join(dir, "vectors", `${name}.json`);
      const isRunner =
        existsSync(own) ||
        /\bexport\s+(?:async\s+)?(?:function|const)\s+run\b/.test(readFileSync(source, "utf8"));
      if (isRunner) runners.push({ pkg, name, source, own });
    }
  }
  return runners;
}

// Bundles load the optional native dependency from here: it is not installed where they lie.
process.env.NODE_PATH ??= join(root, "packages/memory/node_modules");

async function bundle(runner) {
  const outfile = join(cache, runner.pkg, `${runner.name}.mjs`);
  mkdirSync(dirname(outfile), { recursive: true });
  await build({
    stdin: { contents: childSource(runner.source), resolveDir: dirname(runner.source), loader: "ts" },
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    conditions: ["@gort/source"],
    sourcemap: "inline",
    banner: {
      js:
        'import { createRequire as __createRequire } from "node:module"; ' +
        "const require = __createRequire(import.meta.url);",
    },
    external: ["koffi"],
    logLevel: "silent",
  });
  return outfile;
}

/** The program of the child process: parse, run, answer over the channel, exit. */
function childSource(source) {
  return `
import { readFileSync as __read } from "node:fs";
import * as runner from ${JSON.stringify(source)};
const answer = (message) => process.send(message, () => process.exit(0));
try {
  if (typeof runner.run !== "function") throw new TypeError("the module does not export a function run");
  const { passed, total, failures } = await runner.run(JSON.parse(__read(process.argv[2], "utf8")));
  if (!Number.isInteger(passed) || !Number.isInteger(total) || passed > total || !Array.isArray(failures)) {
    throw new TypeError("run must return { passed, total, failures }, passed at most total");
  }
  answer({ passed, total, failures: failures.slice(0, ${FAILURES_SHOWN}).map(String), failed: failures.length });
} catch (error) {
  answer({ crash: error instanceof Error ? (error.stack ?? error.message) : String(error) });
}`;
}

function runChild(file, vectors) {
  return new Promise((done) => {
    let settled = false;
    let stderr = "";
    const child = fork(file, [vectors], { stdio: ["ignore", "ignore", "pipe", "ipc"] });
    const settle = (answer) => {
      if (settled) return;
      settled = true;
      clearTimeout(limit);
      child.kill("SIGKILL");
      done(answer);
    };
    const limit = setTimeout(
      () => settle({ crash: `no answer within ${RUNNER_LIMIT_MS / 1000} s` }),
      RUNNER_LIMIT_MS,
    );
    child.stderr.on("data", (data) => {
      stderr = (stderr + data).slice(-4000);
    });
    child.on("message", settle);
    child.on("error", (error) => settle({ crash: error.message }));
    child.on("close", (code, signal) =>
      settle({ crash: `ended with ${signal ?? code} before it answered\n${stderr}`.trim() }),
    );
  });
}

/** Number of checks that a crashed runner has failed: all rows of the file, under whatever names. */
function rowsOf(vectors) {
  const rows = (value) => (Array.isArray(value) ? value.length : 0);
  try {
    const file = JSON.parse(readFileSync(vectors, "utf8"));
    const sum =
      rows(file) ||
      Object.entries(file).reduce((n, [key, value]) => n + (key === "notes" ? 0 : rows(value)), 0);
    return Math.max(1, sum);
  } catch {
    return 1;
  }
}

async function main(only) {
  const oracleDir = process.env.ORACLE_DIR ? resolve(process.env.ORACLE_DIR) : null;
  if (oracleDir !== null && !existsSync(oracleDir)) {
    console.error(`conformance: ORACLE_DIR ${oracleDir} does not exist`);
    return 2;
  }
  const all = findRunners();
  const names = [...new Set(all.map((r) => r.name))].sort();
  const unknown = only.filter((name) => !names.includes(name));
  if (unknown.length > 0) {
    console.error(`conformance: no package runs ${unknown.join(", ")} (there are ${names.join(", ")})`);
    return 2;
  }
  let bad = false;
  let ran = 0;
  for (const name of only.length > 0 ? only : names) {
    const sum = { passed: 0, total: 0 };
    let covered = false;
    for (const runner of all) {
      if (runner.name !== name) continue;
      const vectors = oracleDir === null ? runner.own : join(oracleDir, `${name}.json`);
      if (!existsSync(vectors)) continue;
      covered = true;
      let answer;
      try {
        answer = await runChild(await bundle(runner), vectors);
      } catch (error) {
        answer = { crash: error.message };
      }
      if (answer.crash !== undefined) {
        bad = true;
        sum.total += rowsOf(vectors);
        console.error(`${name} (${runner.pkg}): all failed: ${answer.crash}`);
        continue;
      }
      sum.passed += answer.passed;
      sum.total += answer.total;
      if (answer.total === 0) console.error(`${name} (${runner.pkg}): no row of this file applies`);
      if (answer.failed > 0 || answer.passed !== answer.total) {
        bad = true;
        console.error(`${name} (${runner.pkg}): ${answer.total - answer.passed} of ${answer.total} failed`);
        for (const failure of answer.failures) console.error(`    ${failure.replaceAll("\n", "\n    ")}`);
        const hidden = answer.failed - answer.failures.length;
        if (hidden > 0) console.error(`    and ${hidden} more`);
      }
    }
    if (!covered) continue;
    ran++;
    console.log(`${name}: ${sum.passed}/${sum.total}`);
  }
  if (oracleDir !== null) {
    const uncovered = readdirSync(oracleDir)
      .filter((file) => file.endsWith(".json") && !names.includes(basename(file, ".json")))
      .map((file) => basename(file, ".json"));
    if (uncovered.length > 0) console.error(`conformance: no package covers ${uncovered.sort().join(", ")}`);
  }
  if (ran === 0) {
    console.error("conformance: no vectors were run");
    return 1;
  }
  return bad ? 1 : 0;
}

process.exitCode = await main(args);
