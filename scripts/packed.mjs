// Tests the packages as users get them: packs every package, installs the tarballs in a new project, and runs the
// samples of the READMEs there.
//
//   node scripts/packed.mjs [NODE...]      (after `pnpm build`; NODE: paths of node, default this one)
//
// With CHROMIUM=path, or chromium in PATH, the sample of the root's README runs in a page too: with and without
// cross-origin isolation, and under a policy that forbids WebAssembly.
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const nodes = process.argv.length > 2 ? process.argv.slice(2) : [process.execPath];
const dir = mkdtempSync(join(tmpdir(), "gort-packed-"));
const project = join(dir, "project");
const problems = [];

function check(what, ok, detail) {
  console.log(`${ok ? "ok  " : "FAIL"} ${what}`);
  if (!ok) problems.push(`${what}\n${detail}`);
}

function run(node, args) {
  const env = { ...process.env, PATH: `${dirname(node)}:${process.env.PATH}` };
  for (const name of Object.keys(env)) if (/^(GO|GODEBUG|npm_)/.test(name)) delete env[name];
  return spawnSync(node, args, { cwd: project, encoding: "utf8", env, timeout: 120_000 });
}

/** The first block of TypeScript of a README. */
function sample(readme) {
  return /```ts\n([\s\S]*?)```/.exec(readFileSync(readme, "utf8"))[1];
}

/** The output that a sample promises in its comments. */
function expected(source) {
  const at = source.search(/\/\/ Output:/);
  return at < 0
    ? undefined
    : source
        .slice(at)
        .replace(/^\/\/ (Output: ?\n?)?/gm, "")
        .trim();
}

/** Runs the sample of the root's README in pages, which a server in this process delivers. */
async function inBrowser(chromium) {
  const { code, want } = await browserBundle();
  const isolated = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
  };
  const pages = {
    "an isolated page": isolated,
    "an ordinary page": {},
    "a page without WebAssembly": { ...isolated, "content-security-policy": "script-src 'self'" },
  };
  for (const [what, headers] of Object.entries(pages)) {
    const server = createServer((request, response) => {
      const isScript = request.url === "/main.js";
      response.writeHead(200, { ...headers, "content-type": isScript ? "text/javascript" : "text/html" });
      response.end(isScript ? code : '<body><script type="module" src="/main.js"></script>');
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const flags = [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--virtual-time-budget=10000",
      "--dump-dom",
    ];
    const url = `http://127.0.0.1:${server.address().port}/`;
    const dom = await new Promise((resolve) => {
      execFile(
        chromium,
        [...flags, `--user-data-dir=${join(dir, "profile")}`, url],
        { timeout: 60_000 },
        (_, out) => resolve(out),
      );
    });
    server.close();
    check(`Chromium: the root's sample in ${what}`, dom.includes(`<pre>${want}</pre>`), dom);
  }
}

/** The sample of the root's README for a page: `print` writes into the document. */
async function browserBundle() {
  const { build } = await import("esbuild");
  const source = sample(join(root, "README.md"));
  const shown = `
    const print = (...words) => {
      const line = Object.assign(document.createElement("pre"), { textContent: words.join(" ") });
      document.body.append(line);
    };
    console.log = print;
    addEventListener("error", (e) => print(e.message));
    addEventListener("unhandledrejection", (e) => print(String(e.reason)));
  `;
  writeFileSync(join(project, "page.js"), shown);
  writeFileSync(join(project, "page.ts"), `import "./page.js";\n${source}`);
  const result = await build({
    entryPoints: [join(project, "page.ts")],
    bundle: true,
    format: "esm",
    target: "es2022",
    platform: "browser",
    write: false,
    logLevel: "silent",
  });
  return { code: result.outputFiles[0].text, want: expected(source) };
}

try {
  mkdirSync(project);
  const names = readdirSync(join(root, "packages"));
  for (const name of names) {
    execFileSync("pnpm", ["pack", "--pack-destination", dir], {
      cwd: join(root, "packages", name),
      stdio: "ignore",
    });
  }
  const tarballs = readdirSync(dir).filter((f) => f.endsWith(".tgz"));
  check(`${names.length} packages pack`, tarballs.length === names.length, tarballs.join(" "));
  writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
  const files = tarballs.map((f) => join(dir, f));
  execFileSync("npm", ["install", "--no-audit", "--no-fund", ...files], {
    cwd: project,
    stdio: ["ignore", "ignore", "inherit"],
  });

  for (const name of ["root", ...names]) {
    const readme = name === "root" ? join(root, "README.md") : join(root, "packages", name, "README.md");
    if (name === "cli" || !readFileSync(readme, "utf8").includes("```ts\n")) continue;
    const source = sample(readme);
    const { outputText } = ts.transpileModule(source, {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
    });
    writeFileSync(join(project, `${name}.mjs`), outputText);
    for (const node of nodes) {
      const version = execFileSync(node, ["--version"], { encoding: "utf8" }).trim();
      const r = run(node, [`${name}.mjs`]);
      const want = expected(source);
      const ok = r.status === 0 && (want === undefined || r.stdout.trim() === want);
      check(
        `${version}: the first sample of ${name}'s README${want === undefined ? "" : ", and what it prints"}`,
        ok,
        r.stdout + r.stderr,
      );
    }
  }

  writeFileSync(join(project, "hello.ts"), sample(join(root, "packages/cli/README.md")));
  for (const node of nodes) {
    const r = run(node, ["node_modules/@gort/cli/dist/bin.js", "run", "hello.ts", "gopher", "world"]);
    const lines = r.stdout.trim().split("\n").sort().join(", ");
    check(
      `${node}: gort run hello.ts gopher world`,
      r.status === 0 && lines === "hello, gopher, hello, world",
      r.stdout + r.stderr,
    );
  }

  const chromium = process.env.CHROMIUM ?? "chromium";
  if (spawnSync(chromium, ["--version"]).status === 0) await inBrowser(chromium);
  else console.log("skip no Chromium (CHROMIUM=path)");
} finally {
  rmSync(dir, { recursive: true, force: true });
}
if (problems.length > 0) {
  console.error(`\n${problems.join("\n\n")}`);
  process.exitCode = 1;
}
