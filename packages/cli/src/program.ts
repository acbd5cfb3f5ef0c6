/** `gort run`: loads a module and runs its default export as the main goroutine of the default runtime. */
import { realpathSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { type Bundle, bundle, extensions, isModuleFile } from "./bundle.ts";
import type { CommandLine } from "./command-line.ts";
import { UsageError } from "./errors.ts";
import type { Io } from "./index.ts";
import { crashed } from "./report.ts";
import { applySettings, runtimeWith } from "./settings.ts";
import { importBundle, type TemporaryFile, temporaryFile } from "./temporary-file.ts";
import type { WorkerProgram } from "./worker.ts";

type Runtime = typeof import("@gort/runtime");
type Internal = typeof import("@gort/runtime/internal");
type Main = Parameters<Runtime["main"]>[0];

export async function runProgram(
  { file, args, settings, maxMemory, deadlock }: CommandLine & { name: "run" },
  { stderr }: Io,
): Promise<number> {
  const path = programFile(file);
  const restore = applySettings(settings);
  const argv = process.argv;
  process.argv = [argv[0], path, ...args];
  const exitCode = process.exitCode;
  process.exitCode = undefined;
  try {
    const { module, runtime } = await load(path, { maxMemory, deadlock }, stderr);
    const main = mainOf(module, file);
    const withoutDump = runtime.dumpOnSigquit(runtime.defaultRuntime().scheduler);
    try {
      await runtime.main(main);
    } catch (e) {
      return crashed(e, runtime, stderr);
    } finally {
      withoutDump();
    }
    return Number(process.exitCode ?? 0);
  } finally {
    process.exitCode = exitCode;
    process.argv = argv;
    restore();
  }
}

/** The absolute path of a file that can be run. Throws an error that says why it cannot. */
function programFile(file: string): string {
  const path = resolve(file);
  let stat: ReturnType<typeof statSync>;
  try {
    stat = statSync(path);
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException;
    throw new UsageError(`cannot open ${file}: ${code === "ENOENT" ? "no such file" : code}`);
  }
  if (stat.isDirectory())
    throw new UsageError(`cannot run ${file}: it is a directory; name the module in it`);
  if (!isModuleFile(path)) {
    throw new UsageError(
      `cannot run ${file}: not a JavaScript or TypeScript module (${extensions.join(", ")})`,
    );
  }
  return path;
}

/**
 * Imports the program. The bundle lies in a temporary folder only while Node reads it, since Node keeps the code and
 * the source map. The folder is removed before any code of the program runs, so no kind of end leaves it behind.
 */
async function load(
  path: string,
  options: Parameters<typeof runtimeWith>[2],
  stderr: Io["stderr"],
): Promise<{ module: Record<string, unknown>; runtime: Runtime }> {
  const file = temporaryFile();
  const bundled = await bundle(path, file.path, process.stderr.isTTY === true);
  if (bundled.warnings) stderr(bundled.warnings);
  const forget = beforeDeath(file.remove);
  try {
    const runtime = (await import(bundled.runtimeURL)) as Runtime;
    const internal = (await import(bundled.internalURL)) as Internal;
    const rt = runtimeWith(runtime, internal, options);
    // For names in dumps and profiles: this file is package main, also for a second program in the process.
    rt.profiler.table.packages.mainModule = realpathSync(path);
    const loading = importProgram(path, bundled, internal, file).catch((e: unknown) => {
      const fatal = runtime.isFatalError(e);
      const text = fatal ? `${e.detail ?? ""}\nfatal error: ${e.message}` : ownFrames(e);
      throw new UsageError(`${path} failed while it was loaded`, fatal ? 2 : 1, text.trim());
    });
    return { module: await beforeLoopEnds(loading, path), runtime };
  } finally {
    forget();
    file.remove();
  }
}

async function importProgram(
  path: string,
  bundled: Bundle,
  internal: Internal,
  file: TemporaryFile,
): Promise<Record<string, unknown>> {
  const { code, hasTasks, workerURL, internalURL } = bundled;
  const module = await importBundle(code, file);
  if (!hasTasks) return module;
  const loadModule = module.load as Parameters<Internal["setImporter"]>[0];
  internal.setImporter(loadModule);
  const workerData: WorkerProgram = { code, workerURL, internalURL };
  internal.setDefaultWorker(
    (name) => new Worker(new URL("./worker.js", import.meta.url), { name, workerData }),
  );
  return loadModule(pathToFileURL(path).href);
}

/** The stack down to the call of the module by Node's loader. */
function ownFrames(e: unknown): string {
  if (!(e instanceof Error)) return String(e);
  return (e.stack ?? e.message).split("\n    at ModuleJob.run ", 1)[0];
}

/**
 * Resolves to the module. Rejects if the event loop ends while it loads: then the module awaits for ever, and the
 * process would end without a message. (A goroutine that waits for ever is a deadlock, which the scheduler reports.)
 */
function beforeLoopEnds<T>(loading: Promise<T>, path: string): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onLoopEnd = () => {
      reject(new UsageError(`${path} never finished loading: an await at its top level never ends`));
    };
    process.once("beforeExit", onLoopEnd);
    loading.then(resolve, reject).finally(() => process.off("beforeExit", onLoopEnd));
  });
}

/** Signals that end a process without a listener for them. */
const fatalSignals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR2", "SIGALRM", "SIGXCPU"] as const;

/** Calls `clean` when the process exits or gets such a signal, until the returned function is called. */
function beforeDeath(clean: () => void): () => void {
  const onSignal = (signal: NodeJS.Signals) => {
    clean();
    forget();
    process.kill(process.pid, signal);
  };
  const forget = () => {
    process.off("exit", clean);
    for (const s of fatalSignals) process.off(s, onSignal);
  };
  process.on("exit", clean);
  for (const s of fatalSignals) process.on(s, onSignal);
  return forget;
}

/** The default export, if it can be a goroutine. */
function mainOf(module: Readonly<Record<string, unknown>>, file: string): Main {
  const hint = "write: export default function* main() { ... }";
  if (!("default" in module))
    throw new UsageError(`${file} has no default export to run as the main goroutine; ${hint}`);
  const main = module.default;
  if (typeof main !== "function") {
    throw new UsageError(`the default export of ${file} is not a function but ${withArticle(main)}; ${hint}`);
  }
  const kind = Object.prototype.toString.call(main).slice("[object ".length, -1);
  if (kind === "AsyncFunction" || kind === "AsyncGeneratorFunction") {
    throw new UsageError(
      `the default export of ${file} is an async function, which can't be a goroutine; ${hint}`,
    );
  }
  if (kind === "GeneratorFunction") return main as Main;
  // An ordinary function may be main if it never blocks. A function that returns a promise blocks.
  return (...args: []) => {
    const result: unknown = (main as () => unknown)(...args);
    if (
      result !== null &&
      typeof result === "object" &&
      typeof (result as PromiseLike<unknown>).then === "function"
    ) {
      throw new TypeError(`main of ${file} returned a promise; ${hint}`);
    }
    return result;
  };
}

/** The kind of a default export in a message: `an array`, `a number`. */
function withArticle(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === "object") return Array.isArray(value) ? "an array" : "an object";
  return `a ${typeof value}`;
}
