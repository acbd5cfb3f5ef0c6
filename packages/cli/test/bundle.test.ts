import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { bundle } from "../src/bundle.ts";

const root = mkdtempSync(join(realpathSync(tmpdir()), "gort-bundle-"));
afterAll(() => rmSync(root, { recursive: true }));

/** Writes files below a new folder and returns its path. */
let projects = 0;
function project(files: Record<string, string>): string {
  const dir = join(root, `p${projects++}`);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text);
  }
  return dir;
}

/** Bundles main.ts of a project and imports the result. */
async function load(
  dir: string,
  name = "main.ts",
): Promise<{ module: Record<string, unknown>; code: string }> {
  const outfile = join(dir, "out", "bundle.mjs");
  const { code } = await bundle(join(dir, name), outfile, false);
  mkdirSync(dirname(outfile), { recursive: true });
  writeFileSync(outfile, code);
  return {
    module: (await import(/* @vite-ignore */ pathToFileURL(outfile).href)) as Record<string, unknown>,
    code,
  };
}

describe("bundle", () => {
  it("has the user's own files in the module, and imports packages and built-ins", async () => {
    const dir = project({
      "main.ts": `import { join } from "node:path"; import fs from "fs";
        import { twice } from "./lib/twice.ts"; import { name } from "pkg";
        export const result: string = join(name, String(twice(21))); export const hasFs = typeof fs.readFileSync;`,
      "lib/twice.ts": "export const twice = (n: number): number => 2 * n;",
      "node_modules/pkg/package.json": '{"name":"pkg","type":"module","exports":{"import":"./esm.js"}}',
      "node_modules/pkg/esm.js": 'export const name = "from the package";',
    });
    const { module, code } = await load(dir);
    expect(module.result).toBe(join("from the package", "42"));
    expect(module.hasFs).toBe("function");
    expect(code).toContain(pathToFileURL(join(dir, "node_modules/pkg/esm.js")).href);
    expect(code).not.toContain('lib/twice.ts"');
  });

  it("keeps the import.meta of the file that contains it", async () => {
    const dir = project({
      "main.ts":
        "#!/usr/bin/env -S gort run\nexport const here = [import.meta.url, import.meta.dirname];\n" +
        "export { there } from './lib/b.ts';",
      "lib/b.ts": "export const there = import.meta.filename;",
    });
    const { module } = await load(dir);
    expect(module.here).toEqual([pathToFileURL(join(dir, "main.ts")).href, dir]);
    expect(module.there).toBe(join(dir, "lib", "b.ts"));
  });

  it("follows the aliases of tsconfig.json into the user's files", async () => {
    const dir = project({
      "package.json": '{"name":"app","type":"module"}',
      "tsconfig.json": '{"compilerOptions":{"paths":{"@lib/*":["./lib/*"]}}}',
      "main.ts": 'import { a } from "@lib/a.js"; import { b } from "@lib/b"; export const sum = a + b;',
      "lib/a.js": "export const a = 1;",
      "lib/b.ts": "export const b: number = 2;",
    });
    const { module, code } = await load(dir);
    expect(module.sum).toBe(3);
    expect(code).not.toContain(`from "file:`);
  });

  it("bundles a package whose exports are TypeScript, as in a workspace", async () => {
    const dir = project({
      "main.ts": 'import { c } from "ws"; export const d = c;',
      "node_modules/ws/package.json": '{"name":"ws","exports":"./src/index.ts"}',
      "node_modules/ws/src/index.ts": "export const c: number = 3;",
    });
    expect((await load(dir)).module.d).toBe(3);
  });

  it("supports require of packages and built-ins in a CommonJS module", async () => {
    const dir = project({
      "main.cjs": `const { c } = require("pkg"); const os = require("os");
        const opt = (() => { try { return require("missing"); } catch { return "none"; } })();
        module.exports = { c, eol: os.EOL, opt };`,
      "node_modules/pkg/package.json": '{"name":"pkg","main":"main.js"}',
      "node_modules/pkg/main.js": "exports.c = 4;",
    });
    const { module } = await load(dir, "main.cjs");
    expect(module.default).toMatchObject({ c: 4, opt: "none" });
  });

  it("uses the command's own copy of gort if the program has none", async () => {
    const dir = project({
      "main.ts": 'import * as r from "@gort/runtime"; import * as s from "@gort/scheduler"; export { r, s };',
    });
    const { runtimeURL, code } = await bundle(join(dir, "main.ts"), join(dir, "out.mjs"), false);
    // The copies are built, since programs run outside of vitest, and only vitest uses sources of siblings.
    expect(runtimeURL).toBe(new URL("../../runtime/dist/index.js", import.meta.url).href);
    expect(code).toContain(runtimeURL);
  });

  it("uses the gort of the program's project if it has one", async () => {
    const dir = project({
      "main.ts": 'export { mine } from "@gort/runtime";',
      "node_modules/@gort/runtime/package.json":
        '{"name":"@gort/runtime","type":"module","exports":"./index.js"}',
      "node_modules/@gort/runtime/index.js": "export const mine = true;",
    });
    const { runtimeURL } = await bundle(join(dir, "main.ts"), join(dir, "out.mjs"), false);
    expect(runtimeURL).toBe(pathToFileURL(join(dir, "node_modules/@gort/runtime/index.js")).href);
  });

  it("names the place of a syntax error and of an import that cannot be found", async () => {
    const dir = project({
      "main.ts": "const x = 1;\nexport default function* main( {\n",
      "b.ts": 'import "nowhere-at-all";',
    });
    await expect(bundle(join(dir, "main.ts"), join(dir, "o.mjs"), false)).rejects.toMatchObject({
      message: expect.stringMatching(/^cannot load .*main\.ts$/),
      detail: expect.stringMatching(/main\.ts:\d+:\d+/),
    });
    await expect(bundle(join(dir, "b.ts"), join(dir, "o.mjs"), false)).rejects.toMatchObject({
      message: expect.stringMatching(/^cannot load .*b\.ts$/),
      detail: expect.stringMatching(/Could not resolve "nowhere-at-all"[\s\S]*b\.ts:1:/),
    });
  });
});
