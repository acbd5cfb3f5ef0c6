// Runs the demo's programs as a user would, on the built output, and checks their output and files.
//
//   node scripts/smoke.mjs
//
// With a Go toolchain (GO=path, or go in PATH), `go tool pprof` opens the heap profile too.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const demo = join(root, "apps/demo/dist/main.js");
const dir = mkdtempSync(join(tmpdir(), "gort-smoke-"));
const problems = [];
let checks = 0;

function check(what, ok, detail = "") {
  checks++;
  console.log(`${ok ? "ok  " : "FAIL"} ${what}`);
  if (!ok) problems.push(`${what}\n${detail}`);
}

function run(command, args, env = {}) {
  const r = spawnSync(command, args, {
    cwd: dir,
    encoding: "utf8",
    env: { ...process.env, ...env },
    timeout: 240_000,
  });
  return { status: r.status, text: `${r.stdout}${r.stderr}`, stdout: r.stdout, stderr: r.stderr };
}

try {
  for (const variant of ["garbage", "channel", "recycler"]) {
    const csv = join(dir, `${variant}.csv`);
    const r = run(process.execPath, [
      demo,
      "buffers",
      "--variant",
      variant,
      "--interval",
      "0",
      "--steps",
      "100",
      "--csv",
      csv,
    ]);
    const rows = existsSync(csv) ? readFileSync(csv, "utf8").trim().split("\n") : [];
    check(
      `buffers --variant ${variant} ends, with 100 rows`,
      r.status === 0 && rows.length >= 100,
      r.text.slice(-2000),
    );
    check(
      `buffers --variant ${variant} ends with the collector's summary`,
      /NumGC:\d+/.test(r.text),
      r.text.slice(-2000),
    );
  }
  const f = run(process.execPath, [demo, "finalizers", "--every", "0.2", "--count", "2"], {
    GODEBUG: "gctrace=1",
  });
  check(
    "finalizers prints MemStats twice",
    (f.stdout.match(/"HeapAlloc": /g) ?? []).length >= 2,
    f.text.slice(-2000),
  );
  check("finalizers shows gctrace lines", /^gc 1 @\d+\.\d{3}s \d+%: /m.test(f.stderr), f.stderr.slice(-2000));

  const out = join(dir, "heap.pprof");
  const h = run(process.execPath, [demo, "heap-profile", "--out", out]);
  check("heap-profile writes a profile", h.status === 0 && existsSync(out), h.text.slice(-2000));
  const go = process.env.GO ?? "go";
  if (spawnSync(go, ["version"]).status === 0) {
    const p = run(go, ["tool", "pprof", "-top", "-sample_index=alloc_space", "-lines", out]);
    const sites = new Set(p.stdout.match(/heap-profile\.ts:\d+/g) ?? []);
    check(
      "go tool pprof names two call sites by their TypeScript lines",
      p.status === 0 && sites.size >= 2,
      p.text.slice(0, 2000),
    );
  } else {
    console.log("no Go toolchain: the profile was not opened by go tool pprof");
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}

for (const p of problems) console.error(`\n${p}`);
console.log(`${checks - problems.length} passed, ${problems.length} failed`);
process.exit(problems.length === 0 ? 0 : 1);
