/**
 * The report of a program whose end no code handles.
 *
 * `main` rejects with the panic or fatal error that ended the program. If the caller handles it, the caller decides
 * what is shown. If no code does, Node would print the error's own stack and exit with status 1. Instead Go's report is
 * printed, and the process exits with Go's status 2. Node emits "uncaughtExceptionMonitor" for such an error, also for
 * a rejected promise and for a module whose top-level await rejects. A listener of "uncaughtException" is the program's
 * own handler, and it comes first.
 *
 * A worker thread prints the report and leaves the rest to Node: the error reaches the parent as the worker's "error"
 * event.
 */

import { nodeProcess } from "./host.ts";

interface Unhandled {
  readonly text: string;
  readonly stderr: (text: string) => void;
  /** Print it even if the program has a handler of its own: no `main` has rejected with the error. */
  readonly always: boolean;
}

const reports = new WeakMap<object, Unhandled>();
let watching = false;

interface Threads {
  readonly isMainThread: boolean;
}

/** Prints `text` if no code handles `error`. Returns false if the host does not report such errors. */
export function reportUnhandled(
  error: object,
  text: string,
  stderr: (text: string) => void,
  always: boolean,
): boolean {
  const proc = nodeProcess();
  if (proc === undefined) return false;
  reports.set(error, { text, stderr, always });
  if (!watching) {
    watching = true;
    proc.on("uncaughtExceptionMonitor", onUncaught);
  }
  return true;
}

function onUncaught(error: unknown): void {
  if (typeof error !== "object" || error === null) return;
  const report = reports.get(error);
  const proc = nodeProcess();
  if (report === undefined || proc === undefined) return;
  reports.delete(error);
  const handled = proc.listenerCount("uncaughtException") > 0;
  if (handled && !report.always) return;
  try {
    report.stderr(report.text);
  } catch {
    // The exit status still shows the fault.
  }
  if (handled) return;
  const threads = proc.getBuiltinModule?.("node:worker_threads") as Threads | undefined;
  if (threads?.isMainThread !== false) proc.exit?.(2);
}
