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
  Worker: new (
    url: URL,
    options: { name?: string; env?: Readonly<Record<string, string | undefined>> },
  ) => HostWorker;
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
  // webpack copies a file that it finds by `new URL("./worker.js", import.meta.url)`, though not those that it imports.
  const { url } = import.meta;
  return new (nodeThreads()!.Worker)(new URL("./worker.js", url), { name, ...withCompileCache() });
}

interface NodeModule {
  /** Node 22.1 and later. */
  getCompileCacheDir?(): string | undefined;
}

/**
 * Options of a worker that uses V8's compile cache if the program does. A cache that the program has enabled in code is
 * that of one thread, but each thread reads NODE_COMPILE_CACHE.
 */
function withCompileCache(): { env?: Readonly<Record<string, string | undefined>> } {
  const { process } = globalThis as {
    process?: { env: Record<string, string | undefined>; getBuiltinModule?(id: string): unknown };
  };
  const module = process?.getBuiltinModule?.("node:module") as NodeModule | undefined;
  const folder = module?.getCompileCacheDir?.();
  if (folder === undefined || process?.env.NODE_COMPILE_CACHE !== undefined) return {};
  // Node has added a folder for its own version.
  return { env: { ...process?.env, NODE_COMPILE_CACHE: folder.replace(/[\\/][^\\/]+$/, "") } };
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

/** A worker as M 0 watches it. */
export interface WatchedWorker {
  readonly host: HostWorker;
  terminate(): void;
  /** The worker holds the Web Lock with the name as long as it runs. Only a worker of the web says so. */
  holds(lock: string): void;
}

/**
 * Calls `ended` once when the worker ends, and lets the process end while the worker runs.
 *
 * The web tells of an uncaught exception, but of no end: Chromium 156 has no event for it, not even `close` of a port.
 * So the worker takes a Web Lock, for which M 0 waits: it gets the lock some 1 ms after the worker's end. Until the
 * worker has the lock, it does not close itself (holdClose).
 */
export function watchWorker(worker: HostWorker, ended: (end: WorkerEnd) => void): WatchedWorker {
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
    return { host: worker, terminate: () => void worker.terminate(), holds() {} };
  }
  let locked = false;
  const watched: WatchedWorker = {
    host: worker,
    terminate() {
      worker.terminate();
      // It may run on for some instructions, which must not change what its end is about to take over.
      if (!locked) end(undefined);
    },
    holds(lock) {
      const waiting = locks()?.request(lock, () => end(undefined));
      locked = waiting !== undefined;
    },
  };
  (worker as unknown as Target).addEventListener("error", (event: WebError) => {
    // The program ends with this error. Without this call, the page would report it a second time.
    event.preventDefault();
    error ??= webError(event);
    // Its event loop goes on, but a goroutine or the module itself has failed.
    watched.terminate();
  });
  return watched;
}

interface Locks {
  request(name: string, hold: () => unknown): Promise<unknown>;
}

/** The Web Locks of the page. Where memory can be shared, they exist. */
function locks(): Locks | undefined {
  return (globalThis as { navigator?: { locks?: Locks } }).navigator?.locks;
}

interface WebError {
  readonly message?: string;
  readonly filename?: string;
  readonly lineno?: number;
  preventDefault(): void;
}

/** The event has the text of the error, as in `Uncaught TypeError: x is not a function`, but not the error itself. */
function webError({ message, filename, lineno }: WebError): Error {
  const [, name, text] = /^(?:Uncaught )?(?:(\w+): )?(.*)$/s.exec(message ?? "")!;
  // A module that cannot be loaded gives an event without any text.
  const place = filename === undefined || filename === "" ? "" : ` (${filename}:${lineno ?? 0})`;
  const error = new Error(`${text || "its module cannot be loaded"}${place}`);
  if (name !== undefined) Object.defineProperty(error, "name", { value: name, configurable: true });
  return error;
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

interface RejectionEvent {
  readonly reason: unknown;
  readonly defaultPrevented: boolean;
}

/**
 * On a worker of the web: takes a lock, and calls `then` with its name when the worker has it, before the worker can do
 * anything that ends it. Elsewhere it calls `then` at once.
 */
export function holdLock(then: (lock: string | null) => void): void {
  const all = nodeThreads() === undefined ? locks() : undefined;
  if (all === undefined) {
    then(null);
    return;
  }
  const name = `gort worker ${crypto.randomUUID()}`;
  void all.request(name, () => {
    then(name);
    return new Promise(() => {});
  });
}

/** How long a worker that wants to close waits for the first message, in ms. M 0 posts it when it makes the worker. */
const CLOSE_WAIT_MS = 1000;

/**
 * On a worker of the web: holds back a `close()` of the program until the function that this returns is called, since
 * nothing tells M 0 of an end before the worker has its lock. The function reports whether there was a `close()`.
 * From then on `close` is the host's again.
 */
export function holdClose(): () => boolean {
  const scope = globalThis as { close?: () => void };
  const { close } = scope;
  if (nodeThreads() !== undefined || close === undefined) return () => false;
  const own = Object.getOwnPropertyDescriptor(scope, "close");
  let called = false;
  const restore = (): boolean => {
    if (own === undefined) delete scope.close;
    else Object.defineProperty(scope, "close", own);
    return called;
  };
  const heldBack = (): void => {
    if (called) return;
    called = true;
    // Without a runtime, no first message comes.
    setTimeout(() => close.call(scope), CLOSE_WAIT_MS);
  };
  Object.defineProperty(scope, "close", { value: heldBack, configurable: true, writable: true });
  return restore;
}

/** On a worker of the web: lets an unhandled rejection end the worker, as it does in Node. */
export function throwRejections(): void {
  if (nodeThreads() !== undefined) return;
  (globalThis as unknown as Target).addEventListener("unhandledrejection", (event: RejectionEvent) => {
    // After all listeners, since one of the program's may handle the rejection.
    setTimeout(() => {
      if (!event.defaultPrevented) throw event.reason;
    });
  });
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
