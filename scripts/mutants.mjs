// Mutation tests: makes small changes to the sources of a package and reports each change that no test of the package
// notices.
//
//   node scripts/mutants.mjs [PACKAGE...] [--sample N] [--seed S] [--file src/x.ts] [--quick] [--min PERCENT]
//       [--concurrency N]
//
//   PACKAGE        folders of packages/; default: scheduler allocator gc types
//   --sample N     mutate N windows of six lines per package, drawn at random, instead of everything
//   --seed S       the number that selects the sample, or "commit" to derive it from HEAD; default 1
//   --file F       only this file of the package; repeatable
//   --quick        skip the slowest test files: half the time, a slightly lower score
//   --min PERCENT  exit with status 1 if the score of a package, or with --sample of all together, is below PERCENT
//
// A sample of 18 windows has some 75 mutants. A badly tested line loses most of its mutants, so the score of such a
// sample varies by 9 points (one standard deviation). CI's minimum is four of these below any package's score.
//
// StrykerJS makes the mutants and runs, for each mutant, the tests that reach its line. It works on a copy of the
// repository in `.mutants`, so an interrupted run leaves the sources alone. A mutant is killed if a test fails or times
// out. The file `mutants-equivalent.json` beside this one lists mutants that no test can tell from the original, each
// with its reason; they do not count in the score. The survivors are printed, and kept in
// `.mutants/PACKAGE.survivors.json`.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const sandbox = join(root, ".mutants");
const WINDOW = 6;
/**
 * After this time, a test counts as hanging. In a run over everything the instrumented code is slower, and the slowest
 * test (5 s) needs more time.
 */
const TEST_TIMEOUT_MS = { sample: 30_000, whole: 120_000 };
/** Tests of the built output, of other processes or of documents: a mutant does not reach them. */
const BLIND = ["**/readme.test.ts", "**/process.test.ts"];
/** Such tests of one package: their threads run the built output. */
const BLIND_IN = { allocator: ["test/threads.test.ts", "test/dead.test.ts"] };
/** Tests that --quick skips. */
const SLOW = {
  allocator: [
    "test/killed-at-any-store.test.ts",
    "test/limits.test.ts",
    "test/manual.test.ts",
    "test/specials.test.ts",
    "test/mcentral-threads.test.ts",
  ],
  gc: ["test/mark-phase.test.ts", "test/stress/*.test.ts"],
  scheduler: ["test/csp.test.ts"],
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sample: { type: "string" },
    seed: { type: "string", default: "1" },
    file: { type: "string", multiple: true },
    quick: { type: "boolean", default: false },
    min: { type: "string", default: "0" },
    concurrency: { type: "string", default: String(availableParallelism()) },
    help: { type: "boolean", short: "h" },
  },
});
if (values.help) {
  const head = readFileSync(fileURLToPath(import.meta.url), "utf8").match(/^(\/\/.*\n)+/)?.[0] ?? "";
  console.log(head.replaceAll(/^\/\/ ?/gm, ""));
  process.exit(0);
}
const number = (name, least) => {
  const n = Number(values[name]);
  if (!Number.isInteger(n) || n < least) {
    console.error(`mutants: --${name} must be a whole number from ${least} (got ${values[name]})`);
    process.exit(2);
  }
  return n;
};
const sample = values.sample === undefined ? 0 : number("sample", 1);
const seed = values.seed === "commit" ? seedOfCommit() : number("seed", 0);
const min = number("min", 0);
const concurrency = number("concurrency", 1);
const packages = positionals.length > 0 ? positionals : ["scheduler", "allocator", "gc", "types"];
for (const name of packages) {
  if (!existsSync(join(root, "packages", name, "src"))) {
    console.error(`mutants: there is no package ${JSON.stringify(name)} under packages/`);
    process.exit(2);
  }
}

/** A seed derived from HEAD: every run of CI over one commit draws the same sample. */
function seedOfCommit() {
  const head = spawnSync("git", ["rev-parse", "HEAD"], { cwd: root, encoding: "utf8" });
  return head.status === 0 ? Number.parseInt(head.stdout.slice(0, 8), 16) : 1;
}

/** Copies all files that git does not ignore; dependencies and built siblings become links to the originals. */
function copyRepository() {
  rmSync(sandbox, { recursive: true, force: true });
  mkdirSync(sandbox);
  const listed = spawnSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
  });
  for (const file of listed.stdout.split("\0")) {
    if (file === "" || !existsSync(join(root, file))) continue;
    cpSync(join(root, file), join(sandbox, file), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(sandbox, "node_modules"));
  for (const workspace of new Set(
    listed.stdout.split("\0").map((f) => f.match(/^(packages|apps)\/[^/]+/)?.[0]),
  )) {
    if (workspace === undefined) continue;
    for (const folder of ["node_modules", "dist"]) {
      const from = join(root, workspace, folder);
      if (existsSync(from)) symlinkSync(from, join(sandbox, workspace, folder));
    }
  }
}

/** Mulberry32, a small generator of random numbers: a seed gives the same sample on every machine. */
function generator(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function sources(name) {
  const listed = spawnSync("git", ["ls-files", "src"], {
    cwd: join(root, "packages", name),
    encoding: "utf8",
  });
  const all = listed.stdout
    .split("\n")
    .filter(
      (f) =>
        f.endsWith(".ts") && !f.endsWith(".generated.ts") && !/(index|internal|testing|types)\.ts$/.test(f),
    );
  if (values.file === undefined) return all;
  const unknown = values.file.filter((f) => !existsSync(join(root, "packages", name, f)));
  if (unknown.length > 0) {
    console.error(`mutants: packages/${name} has no ${unknown.join(", ")}`);
    process.exit(2);
  }
  return values.file;
}

/** The pieces that Stryker mutates: whole files, or windows of lines with code. */
function targets(name) {
  const files = sources(name);
  if (sample === 0) return files;
  const windows = [];
  for (const file of files) {
    const lines = readFileSync(join(root, "packages", name, file), "utf8").split("\n");
    for (let from = 0; from < lines.length; from += WINDOW) {
      const code = lines
        .slice(from, from + WINDOW)
        .some(
          (line) =>
            /[=<>(]/.test(line) && !/^\s*(\/\/|\*|\/\*|import|export \{|export type|interface)/.test(line),
        );
      if (code) windows.push(`${file}:${from + 1}-${Math.min(from + WINDOW, lines.length)}`);
    }
  }
  const random = generator(seed);
  for (let i = windows.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [windows[i], windows[j]] = [windows[j], windows[i]];
  }
  return windows.slice(0, sample);
}

const equivalent = JSON.parse(readFileSync(join(root, "scripts/mutants-equivalent.json"), "utf8"));
const squeeze = (text) => text.replaceAll(/\s+/g, " ").trim();

function run(name) {
  const folder = join(sandbox, "packages", name);
  const exclude = ["**/node_modules/**", "**/dist/**", ...BLIND, ...(BLIND_IN[name] ?? [])];
  if (values.quick) exclude.push(...(SLOW[name] ?? []));
  const timeout = sample > 0 ? TEST_TIMEOUT_MS.sample : TEST_TIMEOUT_MS.whole;
  // All test files of a mutant share one module graph: loading it once per file takes longer than most of the tests.
  // The shortest files come first, because one failure is enough.
  writeFileSync(
    join(folder, "vitest.mutants.config.ts"),
    `import { relative } from "node:path";
import { mergeConfig } from "vitest/config";
import { BaseSequencer } from "vitest/node";
import own from "./vitest.config.ts";

const duration = new Map();
class ShortestFirst extends BaseSequencer {
  async sort(files) {
    for (const spec of files) {
      const key = \`\${spec.project.name}:\${relative(this.ctx.config.root, spec.moduleId)}\`;
      const result = this.ctx.cache.getFileTestResults(key);
      if (result !== undefined && !duration.has(spec.moduleId)) duration.set(spec.moduleId, result.duration);
    }
    return [...files].sort((a, b) => (duration.get(a.moduleId) ?? 0) - (duration.get(b.moduleId) ?? 0));
  }
}

export default mergeConfig(own, {
  test: {
    exclude: ${JSON.stringify(exclude)},
    isolate: false,
    sequence: { sequencer: ShortestFirst },
    testTimeout: ${timeout},
    hookTimeout: ${timeout},
  },
});
`,
  );
  writeFileSync(
    join(folder, "stryker.config.json"),
    JSON.stringify({
      testRunner: "vitest",
      plugins: ["@stryker-mutator/vitest-runner"],
      inPlace: true,
      coverageAnalysis: "perTest",
      concurrency,
      reporters: ["json", "progress-append-only"],
      jsonReporter: { fileName: join(sandbox, `${name}.json`) },
      mutate: targets(name),
      mutator: { excludedMutations: ["StringLiteral", "ObjectLiteral"] },
      disableTypeChecks: false,
      checkers: [],
      timeoutMS: 5_000,
      dryRunTimeoutMinutes: 30,
      allowEmpty: true,
      vitest: { configFile: "vitest.mutants.config.ts", related: false },
    }),
  );
  const stryker = () =>
    spawnSync(join(root, "node_modules/.bin/stryker"), ["run", "stryker.config.json"], {
      cwd: folder,
      stdio: ["ignore", 2, 2],
      env: { ...process.env, FAST_CHECK_SEED: "1", GORT_SEED: process.env.GORT_SEED ?? "1" },
    }).status;
  // Try once more: on a busy machine, a test that waits for the engine's collector or for another thread may fail.
  const status = stryker() === 0 ? 0 : stryker();
  if (status !== 0) {
    console.error(`mutants: Stryker ended with status ${status} for ${name}`);
    process.exit(1);
  }
  return score(name);
}

function score(name) {
  const report = JSON.parse(readFileSync(join(sandbox, `${name}.json`), "utf8"));
  let killed = 0;
  let total = 0;
  let same = 0;
  const survivors = [];
  for (const [file, { source, mutants }] of Object.entries(report.files)) {
    const lines = source.split("\n");
    const path = `packages/${name}/${file}`;
    for (const mutant of mutants) {
      if (mutant.status === "Ignored" || mutant.status === "CompileError" || mutant.status === "RuntimeError")
        continue;
      if (mutant.status === "Killed" || mutant.status === "Timeout") {
        killed++;
        total++;
        continue;
      }
      const { start, end } = mutant.location;
      const line = squeeze(lines[start.line - 1]);
      const original =
        start.line === end.line
          ? lines[start.line - 1].slice(start.column - 1, end.column - 1)
          : `${lines[start.line - 1].slice(start.column - 1)} ...`;
      const known = equivalent.find(
        (e) =>
          e.file === path &&
          e.line === line &&
          e.original === squeeze(original) &&
          e.replacement === squeeze(mutant.replacement),
      );
      if (known !== undefined) {
        same++;
        continue;
      }
      total++;
      survivors.push({
        file: path,
        at: `${start.line}:${start.column}`,
        line,
        original: squeeze(original),
        replacement: squeeze(mutant.replacement),
        status: mutant.status,
      });
    }
  }
  console.log(
    `\n${name}: ${killed} of ${total} mutants killed ` +
      `(${total === 0 ? "none made" : `${((100 * killed) / total).toFixed(1)} %`}), ${same} equivalent`,
  );
  for (const s of survivors) {
    console.log(
      `  ${s.file}:${s.at} ${s.status === "NoCoverage" ? "(no test reaches it) " : ""}` +
        `${s.original}  ->  ${s.replacement}`,
    );
  }
  writeFileSync(join(sandbox, `${name}.survivors.json`), `${JSON.stringify(survivors, null, 1)}\n`);
  return { name, killed, total };
}

const percent = ({ killed, total }) => (total === 0 ? 100 : (100 * killed) / total);

if (sample > 0) {
  const only = (values.file ?? []).map((f) => ` --file ${f}`).join("");
  console.log(
    `the same sample again: npm run mutants -- ${packages.join(" ")}${only} ` +
      `--sample ${sample} --seed ${seed}${values.quick ? " --quick" : ""}`,
  );
}
copyRepository();
let scores = packages.map(run);
if (sample > 0) {
  const all = { name: "the sample", killed: 0, total: 0 };
  for (const s of scores) {
    all.killed += s.killed;
    all.total += s.total;
  }
  console.log(`\nall: ${all.killed} of ${all.total} mutants killed (${percent(all).toFixed(1)} %)`);
  scores = [all];
}
const low = scores.filter((s) => percent(s) < min);
for (const s of low) console.error(`mutants: ${s.name} has ${percent(s).toFixed(1)} %, below ${min} %`);
process.exit(low.length > 0 ? 1 : 0);
