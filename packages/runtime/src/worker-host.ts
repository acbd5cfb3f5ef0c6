/**
 * Workers of the host as the runtime needs them: Node's `Worker`, or the web's. A user may make them
 * (`createRuntime({ workers })`), so this file assumes only what both kinds have.
 */
import { kindOf } from "@gort/base";
import type { WorkerLoop } from "./thread-link.ts";

/** Node's Worker or the web's. */
export interface HostWorker {
  postMessage(message: unknown, transfer: readonly never[]): void;
  terminate(): unknown;
  /** Node only. */
  readonly performance?: { eventLoopUtilization(): { readonly idle: number } };
}

interface Emitter {
  on(event: string, listener: (arg: never) => void): unknown;
}
interface Target {
  addEventListener(event: string, listener: (event: never) => void): unknown;
  removeEventListener(event: string, listener: (event: never) => void): unknown;
}

/** What ends a worker. */
export interface WorkerEnd {
  /** The worker's exit code, where the host tells it. */
  readonly code: number | undefined;
  /** The exception that nothing has caught, or null. */
  readonly error: Error | null;
}

/** A message port of either host. In Node, `unref` lets the event loop end while the port is open. */
export interface HostPort {
  postMessage(message: unknown): void;
  close(): void;
  onmessage: ((event: { data: unknown }) => void) | null;
  ref?(): void;
  unref?(): void;
}

interface NodeThreads {
  Worker: new (url: URL, options: { name?: string }) => HostWorker;
  parentPort: (HostPort & Target) | null;
}

function nodeThreads(): NodeThreads | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?(id: string): unknown } };
  return process?.getBuiltinModule?.("node:worker_threads") as NodeThreads | undefined;
}

/** Whether the runtime can make workers itself. A page of a browser cannot name a file of a package; a bundler can. */
export function hasDefaultWorker(): boolean {
  return makeDefault !== null || nodeThreads() !== undefined;
}

/** Makes a worker with the name; null: from the built entry beside this file. */
let makeDefault: ((name: string) => HostWorker) | null = null;

/** Replaces the way in which a worker is made, if the program does not make it. For `gort run`. */
export function setDefaultWorker(make: (name: string) => HostWorker): void {
  makeDefault = make;
}

/** Starts a worker as M m, if `hasDefaultWorker`. */
export function defaultWorker(m: number): HostWorker {
  const name = `gort M${m}`;
  if (makeDefault !== null) return makeDefault(name);
  return new (nodeThreads()!.Worker)(new URL("./worker.js", import.meta.url), { name });
}

const used = new WeakSet<object>();

/** Checks the result of the option `workers`. */
export function checkWorker(worker: unknown): HostWorker {
  const w = worker as Partial<HostWorker> | null;
  const ok =
    typeof w === "object" &&
    w !== null &&
    typeof w.postMessage === "function" &&
    typeof w.terminate === "function" &&
    (typeof (w as Partial<Emitter>).on === "function" ||
      typeof (w as Partial<Target>).addEventListener === "function");
  if (!ok) throw new TypeError(`runtime: workers must return a new Worker (got ${kindOf(worker)})`);
  if (used.has(w))
    throw new TypeError("runtime: workers must return a new Worker (got one that it has returned before)");
  used.add(w);
  return worker as HostWorker;
}

/**
 * Calls `ended` once when the worker ends, and lets the process end while the worker runs. The web tells of an
 * uncaught exception, but not of an end: there the port's `close` event does (see Workers).
 */
export function watchWorker(worker: HostWorker, ended: (end: WorkerEnd) => void): void {
  let over = false;
  let error: Error | null = null;
  const end = (code: number | undefined): void => {
    if (over) return;
    over = true;
    ended({ code, error });
  };
  const { on } = worker as Partial<Emitter>;
  if (typeof on === "function") {
    on.call(worker, "error", (e: unknown) => {
      error = e instanceof Error ? e : new Error(`uncaught ${kindOf(e)}: ${String(e)}`, { cause: e });
    });
    on.call(worker, "exit", (code: number) => end(code));
    (worker as { unref?(): void }).unref?.();
    return;
  }
  (worker as unknown as Target).addEventListener("error", (event: WebError) => {
    error = webError(event);
    // Its event loop goes on, but a goroutine or the module itself has failed.
    worker.terminate();
    end(undefined);
  });
}

interface WebError {
  readonly message?: string;
  readonly filename?: string;
  readonly lineno?: number;
  readonly error?: unknown;
}

function webError({ message, filename, lineno, error }: WebError): Error {
  if (error instanceof Error) return error;
  // A module that cannot be loaded gives an event without any text.
  const place = filename === undefined || filename === "" ? "" : ` (${filename}:${lineno ?? 0})`;
  return new Error(`${message || "its module cannot be loaded"}${place}`);
}

/** On a worker: the port to the thread that has started it. Null elsewhere. */
export function parentPort(): Target | null {
  const node = nodeThreads();
  if (node !== undefined) return node.parentPort;
  const { WorkerGlobalScope } = globalThis as { WorkerGlobalScope?: new () => object };
  const scope = globalThis as unknown as HostPort & Target;
  return WorkerGlobalScope !== undefined && scope instanceof WorkerGlobalScope ? scope : null;
}

interface NodeProcess {
  on(event: "beforeExit" | "exit", listener: () => void): unknown;
}

/**
 * On a worker: calls `f` before the thread ends by itself, by process.exit or an uncaught exception. Where the host
 * does not tell, `f` is not called.
 */
export function onThreadExit(f: () => void): void {
  const { process } = globalThis as { process?: Partial<NodeProcess> };
  process?.on?.("exit", f);
}

/** The event loop of this worker, which the port keeps alive. */
export function workerLoop(port: HostPort): WorkerLoop {
  const { process } = globalThis as { process?: Partial<NodeProcess> };
  // A browser does not tell when an event loop has nothing to do.
  if (process?.on === undefined || port.ref === undefined) return { release() {} };
  let ended = (): void => {};
  process.on("beforeExit", () => {
    port.ref?.();
    ended();
  });
  return {
    release(f) {
      ended = f;
      port.unref?.();
    },
  };
}
