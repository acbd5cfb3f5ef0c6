/**
 * The report of a program whose end no code handles.
 *
 * `main` rejects with the panic or fatal error that ended the program. If the caller handles that, it decides what is shown. If
 * nothing does, Node would print the error's own stack and exit with status 1. Here Go's report is printed in its place, and the
 * process exits with Go's status 2. Node tells of such an error by "uncaughtExceptionMonitor", also for a rejected promise and
 * for a module whose top-level await rejects. A listener of "uncaughtException" is the program's own handler, and it comes first.
 *
 * A worker thread prints the report and leaves the rest to Node: the error reaches the parent as the worker's "error" event.
 */

import { nodeProcess } from "./host.ts";

interface Unhandled {
  readonly text: string;
  readonly stderr: (text: string) => void;
  /** Printed also if the program has a handler of its own: no `main` has told that handler's author. */
  readonly always: boolean;
}

const reports = new WeakMap<object, Unhandled>();
let watching = false;

interface Threads {
  readonly isMainThread: boolean;
}

/** Has `text` printed if no code handles `error`. Returns false where the host doesn't tell of such errors. */
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
    // The status still tells.
  }
  if (handled) return;
  const threads = proc.getBuiltinModule?.("node:worker_threads") as Threads | undefined;
  if (threads?.isMainThread !== false) proc.exit?.(2);
}
