/**
 * The file that a bundle lies in while Node reads it. It lies in a folder of its own, which is removed before the code
 * of the bundle runs.
 */
import { randomUUID } from "node:crypto";
import { mkdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { evaluating } from "./bundle.ts";
import { UsageError } from "./errors.ts";

export interface TemporaryFile {
  readonly path: string;
  /** Removes the file and its folder. */
  remove(): void;
}

/** A file that does not exist yet. Its path is a real path, because the source map is relative to it. */
export function temporaryFile(): TemporaryFile {
  try {
    const path = join(realpathSync(tmpdir()), `gort-${randomUUID()}`, "main.mjs");
    return { path, remove: () => rmSync(dirname(path), { recursive: true, force: true }) };
  } catch (e) {
    throw noFolder(e);
  }
}

/** Imports the code from the file, and removes the file before the code runs. */
export async function importBundle(code: string, file: TemporaryFile): Promise<Record<string, unknown>> {
  try {
    mkdirSync(dirname(file.path), { mode: 0o700 });
  } catch (e) {
    throw noFolder(e);
  }
  writeFileSync(file.path, code);
  // Before the import, since Node reads a module's source map only while this is on.
  process.setSourceMapsEnabled(true);
  (globalThis as unknown as Record<symbol, () => void>)[evaluating] = file.remove;
  return (await import(pathToFileURL(file.path).href)) as Record<string, unknown>;
}

const noFolder = (e: unknown) =>
  new UsageError(`cannot make a folder in ${tmpdir()}: ${(e as Error).message}`);
