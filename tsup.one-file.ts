import { readFile } from "node:fs/promises";
import { basename, dirname, relative, resolve } from "node:path";
import { build, type Metafile, type Plugin } from "esbuild";
import type { Options } from "tsup";
import { library } from "./tsup.base.ts";

/** `import { ... } from "./x.ts"`, `export { ... } from` and `export * from`. Types are not imported so. */
const statement = /^(import|export) (\{[^}]*\}|\*) from "(\.[^"]*)";/gm;

/** Analyses modules, and writes no file. */
async function analyse(paths: readonly string[]): Promise<Metafile> {
  const { metafile } = await build({
    bundle: true,
    entryPoints: [...paths],
    external: ["#*"],
    format: "esm",
    metafile: true,
    outdir: "dist",
    packages: "external",
    splitting: true,
    write: false,
  });
  return metafile;
}

/** Paths of the entries, and of all modules that they import. */
async function modulesOf(entries: readonly string[]): Promise<string[]> {
  const { inputs } = await analyse(entries);
  return Object.keys(inputs).map((path) => resolve(path));
}

/** The names that a module exports. */
async function exportsOf(path: string): Promise<string[]> {
  const { outputs } = await analyse([path]);
  return Object.values(outputs).find(({ entryPoint }) => entryPoint !== undefined)!.exports;
}

/** The name by which the one file exports a name of a module: two modules may export one name. */
function alias(path: string, name: string): string {
  const module = relative("src", path).replace(/\.ts$/, "");
  return `${name}$${module.replace(/\W/g, "_")}`;
}

/** The parts of `{ a, b as c, type D }` that are no types: names, each with its alias. */
function specifiers(clause: string): [name: string, as: string][] {
  return [...clause.matchAll(/(?<=[{,]\s*)([\w$]+)(?: as ([\w$]+))?(?=\s*[,}])/g)].map(([, name, as]) => [
    name!,
    as ?? name!,
  ]);
}

/** Sources of a package whose entry `internal` becomes one file. */
async function sources(entry: string, entries: readonly string[]) {
  const home = resolve(entry);
  const file = JSON.stringify(`./${basename(entry, ".ts")}.js`);
  const inside = new Set(await modulesOf([entry]));
  /** By module of the file: the names that other entries need. */
  const needed = new Map<string, Set<string>>();
  const contents = new Map<string, string>();

  /** A statement that imports or exports names of a module of the file. */
  const fromFile = (keyword: string, path: string, names: [name: string, as: string][]): string => {
    const known = needed.get(path) ?? new Set();
    needed.set(path, known);
    for (const [name] of names) known.add(name);
    const clause = names.map(([name, as]) => `${alias(path, name)} as ${as}`);
    return `${keyword} { ${clause.join(", ")} } from ${file};`;
  };

  const all = async (path: string): Promise<[string, string][]> =>
    (await exportsOf(path)).map((name) => [name, name]);

  for (const path of await modulesOf(entries)) {
    if (inside.has(path)) continue;
    const text = await readFile(path, "utf8");
    const names = new Map<string, [string, string][]>();
    for (const [, , clause, from] of text.matchAll(statement)) {
      const target = resolve(dirname(path), from!);
      if (clause === "*" && inside.has(target)) names.set(target, await all(target));
    }
    const changed = text.replace(statement, (found, keyword, clause, from) => {
      const target = resolve(dirname(path), from);
      if (!inside.has(target)) return found;
      const changed = fromFile(keyword, target, clause === "*" ? names.get(target)! : specifiers(clause));
      // Later lines keep their numbers.
      return changed + "\n".repeat(found.split("\n").length - 1);
    });
    contents.set(path, changed);
  }
  for (const path of entries.map((e) => resolve(e))) {
    if (path !== home && inside.has(path)) contents.set(path, fromFile("export", path, await all(path)));
  }
  const exports = [...needed].map(([path, names]) => {
    const clause = [...names].map((name) => `${name} as ${alias(path, name)}`);
    return `export { ${clause.join(", ")} } from ${JSON.stringify(path)};`;
  });
  contents.set(home, [await readFile(home, "utf8"), ...exports].join("\n"));
  return { home, inside, contents };
}

function plugin(entry: string, entries: readonly string[]): Plugin {
  return {
    name: "one-file",
    async setup({ onLoad, onResolve }) {
      const { home, inside, contents } = await sources(entry, entries);
      const file = `./${basename(entry, ".ts")}.js`;
      onResolve({ filter: /./ }, ({ importer, kind, path, resolveDir }) => {
        if (path === file && importer !== "") return { path, external: true, sideEffects: false };
        if (path.startsWith(".") && contents.has(importer) && !inside.has(importer)) {
          // Else the module would be in both files, or in a third.
          if (!inside.has(resolve(resolveDir, path))) return undefined;
          return { errors: [{ text: `one-file: the import of ${path} must name what it imports` }] };
        }
        const target = resolve(path);
        // As an entry, a module of the file only exports names of the file.
        if (kind !== "entry-point" || target === home || !inside.has(target)) return undefined;
        return { path: relative(".", target), namespace: "one-file", sideEffects: false };
      });
      onLoad({ filter: /\.ts$/, namespace: "one-file" }, ({ path }) => ({
        contents: contents.get(resolve(path))!,
      }));
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        if (inside.has(path) && path !== home) return undefined;
        const text = contents.get(path);
        return text === undefined ? undefined : { contents: text, loader: "ts" };
      });
    },
  };
}

/**
 * The build of a package whose entry `internal` is one file: it has all that the entry imports, and the other entries
 * import from this file what they have in common with it. The packages above import from `internal` alone, so that a
 * program loads one file of each package: to resolve and read a file takes Node 20 as long as to compile some 20 KB.
 */
export function oneFile(entry: { internal: string } & Record<string, string>, more: Options = {}): Options {
  const plugins = [plugin(entry.internal, Object.values(entry)), ...(more.esbuildPlugins ?? [])];
  return library(entry, { ...more, esbuildPlugins: plugins });
}
