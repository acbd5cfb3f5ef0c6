/**
 * A worker thread of a program under `gort run`: loads the program's bundle, whose modules run when a task of them is
 * first started, and then the worker entry of the program's runtime.
 */
import { workerData } from "node:worker_threads";
import { importBundle, temporaryFile } from "./temporary-file.ts";

type Internal = typeof import("@gort/runtime/internal");

/** What the worker gets. See Bundle. */
export interface WorkerProgram {
  code: string;
  workerURL: string;
  internalURL: string;
}

const { code, workerURL, internalURL } = workerData as WorkerProgram;
const file = temporaryFile();
try {
  const program = await importBundle(code, file);
  const internal = (await import(internalURL)) as Internal;
  internal.setImporter(program.load as Parameters<Internal["setImporter"]>[0]);
} finally {
  file.remove();
}
await import(workerURL);
