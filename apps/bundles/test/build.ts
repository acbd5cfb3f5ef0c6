/** Builds the program with each bundler, with the bundler's defaults for a release. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { nodeResolve } from "@rollup/plugin-node-resolve";
import * as esbuild from "esbuild";
import * as rollup from "rollup";
import * as vite from "vite";
import webpack from "webpack";

export type Place = "browser" | "node";
/** Builds into the folder. Returns the name of the main module there. */
export type Build = (place: Place, out: string) => Promise<string>;

const root = fileURLToPath(new URL("..", import.meta.url));
const source = (name: string): string => join(root, "src", name);

/** The main module that names the output of the worker's module, and the worker's module. */
const entries = (place: Place) => ({
  main: source(place === "node" ? "main-node.ts" : "main-entries.ts"),
  worker: source("worker.ts"),
});

/** The programs of workers that cannot start. */
const faults = {
  faults: source("main-faults.ts"),
  "worker-throws": source("worker-throws.ts"),
  "worker-closes": source("worker-closes.ts"),
  "worker-closes-later": source("worker-closes-later.ts"),
};

async function buildWithEsbuild(place: Place, outdir: string): Promise<string> {
  await esbuild.build({
    entryPoints: { ...entries(place), ...faults },
    outdir,
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    target: "es2022",
    platform: place,
    logLevel: "silent",
  });
  return "main.js";
}

async function buildWithRollup(place: Place, dir: string): Promise<string> {
  const stripTypes: rollup.Plugin = {
    name: "strip-types",
    async transform(code, id) {
      if (!id.endsWith(".ts")) return null;
      return { code: (await esbuild.transform(code, { loader: "ts" })).code, map: null };
    },
  };
  const bundle = await rollup.rollup({
    input: entries(place),
    plugins: [nodeResolve(), stripTypes],
    logLevel: "silent",
    external: /^node:/,
  });
  await bundle.write({ dir, format: "es", entryFileNames: "[name].js" });
  await bundle.close();
  return "main.js";
}

async function buildWithVite(place: Place, outDir: string): Promise<string> {
  const common: vite.InlineConfig = { root, configFile: false, logLevel: "error", base: "./" };
  if (place === "browser") {
    await vite.build({ ...common, worker: { format: "es" }, build: { outDir, target: "es2022" } });
    return "index.html";
  }
  const rollupOptions = { input: entries(place), output: { entryFileNames: "[name].js" } };
  await vite.build({ ...common, ssr: { noExternal: true }, build: { outDir, ssr: true, rollupOptions } });
  return "main.js";
}

async function buildWithWebpack(place: Place, path: string): Promise<string> {
  const compiler = webpack({
    mode: "production",
    context: root,
    entry: source("main.ts"),
    target: place === "node" ? "node20" : "web",
    experiments: { outputModule: true },
    output: { path, filename: "main.js", module: true },
    // It takes a minute. esbuild and Vite shorten the names, too.
    optimization: { minimize: false },
    module: { rules: [{ test: /\.ts$/, use: join(root, "test/strip-types.mjs") }] },
  });
  const stats = await new Promise<webpack.Stats | undefined>((resolve, reject) =>
    compiler.run((error, result) => (error ? reject(error) : resolve(result))),
  );
  await new Promise((resolve) => compiler.close(resolve));
  if (stats?.hasErrors()) throw new Error(stats.toString("errors-only"));
  return "main.js";
}

export const bundlers: Record<string, Build> = {
  esbuild: buildWithEsbuild,
  Rollup: buildWithRollup,
  Vite: buildWithVite,
  "webpack 5": buildWithWebpack,
};
