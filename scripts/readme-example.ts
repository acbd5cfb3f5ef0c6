// Runs the example of a README as a reader would paste it.
//
// The first ```ts block of the README is bundled against the sources of the workspace (no build is needed)
// and run by a process of its own: it must be a whole module, import packages by name and end by itself.
// An example may state what it prints the way Go's examples do, in its last comment:
//
//     // Output:
//     // 1 2 3
//
// The text is then compared, blanks at the ends of lines aside.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export interface ExampleResult {
  readonly stdout: string;
  readonly stderr: string;
  /** What the `// Output:` comment promises, or `null` if the example makes no promise. */
  readonly expected: string | null;
}

export interface ExampleOptions {
  /** File to read, relative to the package; `README.md` unless told. */
  readonly file?: string;
  /** Which ```ts block, counted from 0. */
  readonly index?: number;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The example is ended, and counts as failed, after this time. */
  readonly timeoutMs?: number;
}

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The text of every ```ts block of a Markdown text, in order. Fences of other languages are passed over. */
export function typescriptBlocks(markdown: string): string[] {
  const blocks: string[] = [];
  const fence = /^( *)(`{3,})([^\n`]*)\n([\s\S]*?)^\1\2[ \t]*$/gm;
  for (const [, indent = "", , info = "", body = ""] of markdown.matchAll(fence)) {
    const language = info.trim().split(/[\s{]/, 1)[0];
    if (language !== "ts" && language !== "typescript") continue;
    blocks.push(indent === "" ? body : body.replaceAll(new RegExp(`^${indent}`, "gm"), ""));
  }
  return blocks;
}

/** The text promised by the `// Output:` comment at the end of an example. */
export function promisedOutput(source: string): string | null {
  const match = /^[ \t]*\/\/ ?Output:[ \t]*(.*)\n((?:[ \t]*\/\/.*\n?)*)\s*(?![\s\S])/im.exec(`${source}\n`);
  if (match === null) return null;
  const lines = (match[2] ?? "").split("\n").map((line) => line.replace(/^[ \t]*\/\/ ?/, ""));
  return normalize([match[1] ?? "", ...lines].join("\n"));
}

function normalize(text: string): string {
  return text
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n")
    .trim();
}

/** Bundles TypeScript source as if it stood in a file of `dir`, siblings taken from their sources. */
async function bundle(source: string, dir: string): Promise<string> {
  const result = await build({
    stdin: { contents: source, resolveDir: dir, sourcefile: "example.ts", loader: "ts" },
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "node20",
    conditions: ["@gort/source"],
    external: ["koffi"],
    sourcemap: "inline",
    // Bundled CommonJS dependencies reach node's own modules through require.
    banner: {
      js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
    },
    logLevel: "silent",
  });
  return result.outputFiles[0]!.text;
}

/** Runs TypeScript source in a fresh process, in `dir`'s place. Rejects if it exits with anything but 0. */
export async function runExample(
  source: string,
  dir: string,
  options: ExampleOptions = {},
): Promise<ExampleResult> {
  const code = await bundle(source, dir);
  const cache = join(root, "node_modules/.cache/gort-examples");
  mkdirSync(cache, { recursive: true });
  const file = join(cache, `${createHash("sha256").update(dir).update(code).digest("hex").slice(0, 16)}.mjs`);
  writeFileSync(file, code);
  const { args = [], env = {}, timeoutMs = 20_000 } = options;
  // The optional native dependency is not part of the bundle, which lies where it is not installed.
  const NODE_PATH = join(root, "packages/memory/node_modules");
  const result = await new Promise<{ stdout: string; stderr: string }>((done, fail) => {
    execFile(
      process.execPath,
      [file, ...args],
      { cwd: dir, env: { NODE_PATH, ...process.env, ...env }, timeout: timeoutMs, maxBuffer: 1 << 26 },
      (error, stdout, stderr) => {
        if (error === null) return done({ stdout, stderr });
        const why = error.killed
          ? `did not end within ${timeoutMs} ms`
          : `ended with ${error.code ?? error.signal}`;
        fail(new Error(`the example of ${dir} ${why}\n${stdout}${stderr}`));
      },
    );
  });
  const expected = promisedOutput(source);
  if (expected !== null && normalize(result.stdout) !== expected) {
    throw new Error(`the example of ${dir} printed\n${normalize(result.stdout)}\nand promises\n${expected}`);
  }
  return { ...result, expected };
}

/**
 * Runs the first ```ts block of a package's README and checks the output that it promises.
 *
 *     it("has an example that runs as pasted", async () => {
 *       const { stdout } = await runReadmeExample(new URL("..", import.meta.url));
 *       expect(stdout).toContain("...");
 *     });
 */
export async function runReadmeExample(
  packageDir: string | URL,
  options: ExampleOptions = {},
): Promise<ExampleResult> {
  const dir = resolve(packageDir instanceof URL ? fileURLToPath(packageDir) : packageDir);
  const { file = "README.md", index = 0 } = options;
  const source = typescriptBlocks(readFileSync(join(dir, file), "utf8"))[index];
  if (source === undefined) throw new Error(`${join(dir, file)} has no \`\`\`ts block number ${index}`);
  return runExample(source, dir, options);
}
