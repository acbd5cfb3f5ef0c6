/** The modules that have tasks: their URLs, the program's main module, and loading them. */
import { show } from "@gort/base";

type Importer = (url: string) => Promise<Readonly<Record<string, unknown>>>;

/** A bundler must not resolve the URL: it is known only at run time. */
let importer: Importer = (url) => import(/* @vite-ignore */ /* webpackIgnore: true */ url);

/** Replaces the host's `import`. For a program whose modules the host cannot load as they are, as under `gort run`. */
export function setImporter(f: Importer): void {
  importer = f;
}

/** The URL as text. `what` names the function of the API that takes it. */
export function moduleURL(what: string, url: unknown): string {
  const text: unknown = url instanceof URL ? url.href : url;
  if (typeof text !== "string" || !isURL(text)) {
    throw new TypeError(
      `runtime: ${what} needs the URL of a module, such as import.meta.url (got ${show(url)})`,
    );
  }
  return text;
}

/** A path such as C:\x.js parses as a URL, but its scheme has one letter. */
function isURL(text: string): boolean {
  return /^[a-z][a-z\d+.-]+:/i.test(text) && URL.canParse(text);
}

interface NodeParts {
  argv?: readonly string[];
  execArgv?: readonly string[];
  getBuiltinModule?(id: "node:module"): typeof import("node:module") | undefined;
  getBuiltinModule?(id: "node:fs"): typeof import("node:fs") | undefined;
  getBuiltinModule?(id: "node:url"): typeof import("node:url") | undefined;
}

/** On a worker: what M 0 has said. */
let given: string | null | undefined;

/** Sets the path of the program's main module, which only M 0 knows. For a worker. */
export function setMainModule(path: string | null): void {
  given = path;
}

/** The path of the file with which Node was started, perhaps without extension or index file; null outside of Node. */
export function mainModule(): string | null {
  if (given !== undefined) return given;
  const { process } = globalThis as { process?: NodeParts };
  const script = process?.argv?.[1];
  const fs = process?.getBuiltinModule?.("node:fs");
  return script === undefined || fs === undefined ? null : realPath(fs, script);
}

function realPath(fs: typeof import("node:fs"), path: string): string {
  try {
    return fs.realpathSync(path);
  } catch {
    return path; // it has been deleted, or its extension is missing
  }
}

/** Whether this is the module with which the process was started. Outside of Node there is none. */
export function isMainModule(url: string): boolean {
  const { process } = globalThis as { process?: NodeParts };
  const main = mainModule();
  const fs = process?.getBuiltinModule?.("node:fs");
  const { fileURLToPath } = process?.getBuiltinModule?.("node:url") ?? {};
  if (main === null || fs === undefined || fileURLToPath === undefined || !url.startsWith("file:"))
    return false;
  const path = realPath(fs, fileURLToPath(url));
  // Node also accepts a path without extension, and a folder that has an index file.
  return path === main || path.replace(/([\\/]index)?\.[^.\\/]+$/, "") === main;
}

/** The exported function of a module, which is loaded if this thread has not loaded it yet. */
export async function loadExport(url: string, name: string): Promise<(...args: never[]) => unknown> {
  const module = await loadModule(url);
  if (!Object.hasOwn(module, name)) {
    throw new TypeError(`runtime: module ${url} has no export ${JSON.stringify(name)}, which a task runs`);
  }
  const f = module[name];
  if (typeof f !== "function") {
    throw new TypeError(
      `runtime: a task needs a function, but export ${JSON.stringify(name)} of ${url} is ${show(f)}`,
    );
  }
  return f as (...args: never[]) => unknown;
}

/**
 * Before Node 22.15, tsx gives its hooks to the main thread alone. So a worker of `tsx main.ts` or `node --import tsx
 * main.ts` registers them itself.
 */
async function registerTsx(main: string): Promise<void> {
  const { process } = globalThis as { process?: NodeParts };
  const module = process?.getBuiltinModule?.("node:module");
  if (module === undefined || "registerHooks" in module) return;
  const { pathToFileURL } = process!.getBuiltinModule!("node:url")!;
  const words = (process?.execArgv ?? []).flatMap((word) => word.split("="));
  let loader = words.find((word) => word.startsWith("file:") && word.endsWith("/tsx/dist/loader.mjs"));
  if (words.includes("tsx")) loader ??= pathToFileURL(module.createRequire(main).resolve("tsx")).href;
  if (loader === undefined) return;
  const api = new URL("./esm/api/index.mjs", loader).href;
  const tsx = (await import(/* @vite-ignore */ /* webpackIgnore: true */ api)) as { register(): unknown };
  tsx.register();
}

let registered: Promise<void> | null = null;

/** Loads a module. The error names it, because the host's error often does not. */
export async function loadModule(url: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    if (typeof given === "string") await (registered ??= registerTsx(given));
    return await importer(url);
  } catch (cause) {
    const why = cause instanceof Error ? `${cause.name}: ${cause.message}` : show(cause);
    throw new Error(`runtime: cannot load module ${url}, which has a task: ${why}`, { cause });
  }
}
