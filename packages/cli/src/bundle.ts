/**
 * Bundles a module's file into JavaScript that Node can import.
 *
 * esbuild bundles the user's own files, TypeScript or not, into one module with an inline source map. It does not
 * bundle packages: Node loads each from its place, under the absolute URL to which the importing file resolves it. The
 * URL is absolute because the bundle lies in a temporary folder, from which no package can be resolved.
 *
 *   import ...                       becomes
 *   "./x.ts", tsconfig paths         part of the bundle
 *   "node:fs", "fs"                  unchanged
 *   "pkg", a package's JavaScript    "file:///.../node_modules/pkg/index.js"
 *   "pkg", a package's TypeScript    part of the bundle (workspaces whose exports point at sources)
 *   "@gort/x", not found             the copy that the gort command uses, so that a file outside of any project runs
 *
 * `import.meta.url`, `.filename` and `.dirname` keep the values of the file that contains them, so that a program finds
 * the files beside it.
 *
 * Worker threads load the modules of tasks by their URLs, and must not run the main module. So a program that has tasks
 * is bundled again, behind a function `load` from URLs to modules. esbuild makes each module a part of the bundle that
 * runs when it is first imported. All threads use this bundle.
 *
 * Rejected: Node's own type stripping (not on Node 20, and no enums or `using`); a bundle beside
 * the user's file (the folder may be read-only or watched, and a crash leaves litter).
 */
import { existsSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { dirname, extname, isAbsolute, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type {
  BuildFailure,
  BuildOptions,
  Loader,
  OnLoadResult,
  OnResolveResult,
  Plugin,
  PluginBuild,
} from "esbuild";
import { UsageError } from "./errors.ts";

export interface Bundle {
  /**
   * The text of the program's module, or, if it has tasks, of one that exports `load`. Its source map is at the end.
   */
  code: string;
  hasTasks: boolean;
  /** URL of the `@gort/runtime` that the module imports. Its default instance runs the program. */
  runtimeURL: string;
  /** URLs of its entries `/worker` and `/internal`. */
  workerURL: string;
  internalURL: string;
  /** esbuild's warnings, formatted; empty if there are none. */
  warnings: string;
}

const loaders: Record<string, Loader> = {
  ".ts": "ts",
  ".mts": "ts",
  ".cts": "ts",
  ".tsx": "tsx",
  ".js": "js",
  ".mjs": "js",
  ".cjs": "js",
  ".jsx": "jsx",
  // For a script whose first line is `#!/usr/bin/env -S gort run`.
  "": "ts",
};

/** Extensions that `gort run` accepts, for messages. */
export const extensions = Object.keys(loaders).filter((e) => e !== "");

export function isModuleFile(file: string): boolean {
  return extname(file) in loaders;
}

/**
 * Runs `start` without Go's variables in the environment. esbuild's service is a Go program that inherits the
 * environment, and the user's settings are not meant for it.
 */
function withoutGoVariables<T>(start: () => T): T {
  const saved = new Map<string, string>();
  for (const name of ["GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG", "GOTRACEBACK"]) {
    const value = process.env[name];
    if (value === undefined) continue;
    saved.set(name, value);
    delete process.env[name];
  }
  try {
    return start();
  } finally {
    for (const [name, value] of saved) process.env[name] = value;
  }
}

/** The property of the global object for a function that the bundle calls before any other code of it runs. */
export const evaluating = Symbol.for("gort.evaluating");
const callEvaluating = `globalThis[Symbol.for("${evaluating.description}")]?.()`;
/** An import that calls it. As the first import it is evaluated first, after Node has read all files of the graph. */
const evaluationImport = `import "data:text/javascript,${encodeURIComponent(callEvaluating)}";`;

/** The bundle's first line. Its `require` is for CommonJS files of the user and for packages that they require. */
function banner(file: string): string {
  const url = JSON.stringify(pathToFileURL(file).href);
  const imports = `${evaluationImport} import { createRequire as $gortCreateRequire } from "node:module";`;
  return `${imports} const require = $gortCreateRequire(${url});`;
}

/** What the plugin finds while it builds. */
interface Found {
  runtimeURL: string;
  workerURL: string;
  internalURL: string;
  /** Files that threads may load by their URLs. */
  readonly modules: Set<string>;
}

/** Bundles `file`, an absolute path. `outfile` is the path of the bundle, to which the source map is relative. */
export async function bundle(file: string, outfile: string, color: boolean): Promise<Bundle> {
  const esbuild = await import("esbuild");
  const found: Found = { runtimeURL: "", workerURL: "", internalURL: "", modules: new Set() };
  const build = (input: Pick<BuildOptions, "entryPoints" | "stdin">) =>
    esbuild.build({
      ...input,
      outfile,
      write: false,
      bundle: true,
      format: "esm",
      platform: "node",
      target: `node${process.versions.node}`,
      sourcemap: "inline",
      sourcesContent: false,
      logLevel: "silent",
      define: importMeta,
      banner: { js: banner(file) },
      plugins: [gortResolver(file, found)],
    });
  try {
    let result = await withoutGoVariables(() => build({ entryPoints: [file] }));
    const warnings = await esbuild.formatMessages(result.warnings, { kind: "warning", color });
    const { modules, ...urls } = found;
    const hasTasks = modules.size > 0;
    if (hasTasks) {
      const contents = loaderOf([...modules.add(file)]);
      result = await build({ stdin: { contents, resolveDir: dirname(file) } });
    }
    return { code: result.outputFiles[0].text, hasTasks, ...urls, warnings: warnings.join("") };
  } catch (e) {
    const { errors } = e as Partial<BuildFailure>;
    if (!errors) throw e;
    const messages = await esbuild.formatMessages(errors, { kind: "error", color });
    throw new UsageError(`cannot load ${file}`, 1, messages.join("").trimEnd());
  } finally {
    await esbuild.stop();
  }
}

/** A module that exports `load`. A URL that is not among the files is Node's to import. */
function loaderOf(files: readonly string[]): string {
  const cases = files.map(
    (f) => `case ${JSON.stringify(pathToFileURL(f).href)}: return import(${JSON.stringify(f)});`,
  );
  return `export function load(url) { switch (url) { ${cases.join(" ")} default: return import(url); } }`;
}

/** In code with tasks: the files named by `new URL("./x.ts", import.meta.url)`. */
const relativeURL = /new\s+URL\(\s*(["'`])(\.[^"'`]*)\1\s*,\s*import\.meta\.url\s*\)/g;

/** Adds the file, if it may have a task, and the files that it may name in calls of `parallel`. */
function noteTasks(modules: Set<string>, path: string, text: string): void {
  if (!text.includes("import.meta.url")) return;
  if (/\btask\b/.test(text)) modules.add(path);
  if (!/\bparallel\b/.test(text)) return;
  for (const [, , relative] of text.matchAll(relativeURL)) {
    const named = join(dirname(path), relative);
    if (isModuleFile(named) && existsSync(named)) modules.add(named);
  }
}

/** Names that replace the parts of import.meta. A file that uses them gets their declarations. */
const importMeta = {
  "import.meta.url": "$gortImportMetaUrl",
  "import.meta.filename": "$gortImportMetaFilename",
  "import.meta.dirname": "$gortImportMetaDirname",
};

/** Marks the plugin's own calls of resolve(), which the plugin must not intercept. */
const asking = Symbol("asking");

/** A bare specifier: not relative, not absolute. */
const bare = /^[^./]/;

function gortResolver(file: string, found: Found): Plugin {
  return {
    name: "gort",
    setup(build) {
      build.onStart(async () => {
        const entries = { runtimeURL: "", workerURL: "/worker", internalURL: "/internal" };
        for (const [name, entry] of Object.entries(entries)) {
          const { path, errors } = await findGort(build, `@gort/runtime${entry}`, dirname(file));
          if (!path) return { errors };
          found[name as keyof typeof entries] = pathToFileURL(path).href;
        }
      });
      build.onResolve({ filter: bare }, async (args): Promise<OnResolveResult | undefined> => {
        if (args.pluginData === asking || args.kind === "entry-point" || isAbsolute(args.path))
          return undefined;
        if (isBuiltin(args.path)) return { external: true };
        const options = {
          kind: args.kind,
          importer: args.importer,
          resolveDir: args.resolveDir,
          with: args.with,
          pluginData: asking,
        };
        const target = args.path.startsWith("@gort/")
          ? await findGort(build, args.path, args.resolveDir, options)
          : await build.resolve(args.path, options);
        if (target.errors.length > 0) {
          // An optional package inside of try { require(...) }: it fails at run time there, as in Node.
          return args.kind === "require-call" ? { external: true } : { errors: target.errors };
        }
        if (target.external || target.namespace !== "file" || !isPackageFile(target.path, args.path)) {
          return {
            path: target.path,
            namespace: target.namespace,
            external: target.external,
            sideEffects: target.sideEffects,
          };
        }
        const path =
          args.kind === "require-call" ? target.path : pathToFileURL(target.path).href + target.suffix;
        return { path, external: true };
      });
      build.onLoad(
        { filter: /.*/, namespace: "file" },
        async ({ path }): Promise<OnLoadResult | undefined> => {
          const loader = loaders[extname(path)];
          if (!loader) return undefined;
          const text = await readFile(path, "utf8");
          if (path !== file) noteTasks(found.modules, path, text);
          return { loader, contents: withImportMeta(text, path) };
        },
      );
    },
  };
}

/** Resolves a gort package as the importing file does, or else among the command's own dependencies. */
async function findGort(
  build: PluginBuild,
  specifier: string,
  resolveDir: string,
  options: Parameters<PluginBuild["resolve"]>[1] = { kind: "import-statement", pluginData: asking },
) {
  const own = dirname(fileURLToPath(import.meta.url));
  const first = await build.resolve(specifier, { ...options, resolveDir });
  if (first.errors.length === 0) return first;
  const mine = await build.resolve(specifier, { ...options, resolveDir: own });
  if (mine.errors.length === 0) return mine;
  // The other packages are dependencies of the facade, not of the command.
  const facade = await build.resolve("@gort/runtime", { ...options, resolveDir: own });
  if (facade.errors.length > 0) return first;
  const beneath = await build.resolve(specifier, { ...options, resolveDir: dirname(facade.path) });
  return beneath.errors.length === 0 ? beneath : first;
}

/** Whether `path`, to which a bare specifier resolves, is JavaScript of an installed package and no user's source. */
function isPackageFile(path: string, specifier: string): boolean {
  if (loaders[extname(path)]?.startsWith("ts")) return false;
  if (/[\\/]node_modules[\\/]/.test(path)) return true;
  // A linked package of a workspace has its real path. An alias of tsconfig.json leads into a package of another name.
  const name = specifier.startsWith("@") ? specifier.split("/", 2).join("/") : specifier.split("/", 1)[0];
  for (let dir = dirname(path); ; dir = dirname(dir)) {
    const manifest = join(dir, "package.json");
    if (existsSync(manifest)) {
      const { name: found } = JSON.parse(readFileSync(manifest, "utf8")) as { name?: string };
      // A manifest without a name only sets the type of its folder's modules.
      if (found !== undefined) return found === name;
    }
    if (dir === dirname(dir)) return false;
  }
}

/** Declares import.meta's parts on the first line of a file that uses them, so that lines keep their numbers. */
function withImportMeta(text: string, path: string): string {
  if (!text.includes("import.meta")) return text;
  const values = [pathToFileURL(path).href, path, dirname(path)];
  const declarations = Object.values(importMeta).map(
    (name, i) => `const ${name} = ${JSON.stringify(values[i])};`,
  );
  const at = text.startsWith("#!") ? text.indexOf("\n") + 1 : 0;
  return text.slice(0, at) + declarations.join(" ") + text.slice(at);
}
