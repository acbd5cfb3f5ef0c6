/** `@gort/runtime/pprof`: profiles of the default runtime, in Go's formats. */
import { type NamedProfile, type Sink, writeFileAtomically } from "@gort/profiling";
import { defaultRuntime } from "./default.ts";

export type { NamedProfile, NodeWritable, Sink } from "@gort/profiling";

/** The profile of this name (`heap`, `allocs`), or null. */
export function lookup(name: string): NamedProfile | null {
  return defaultRuntime().profiler.lookup(name);
}

/** All profiles, sorted by name. */
export function profiles(): NamedProfile[] {
  return defaultRuntime().profiler.profiles();
}

/** Writes the heap as of the last completed collection, as gzipped pprof. */
export function writeHeapProfile(sink: Sink): Promise<void> {
  return defaultRuntime().profiler.writeHeapProfile(sink);
}

/**
 * Writes a profile to a file: a complete one, or none. `gc()` first for figures as of now.
 *
 * @param debug 0 for gzipped pprof, 1 for text
 */
export async function writeProfileFile(name: string, path: string, debug = 0): Promise<void> {
  const profile = lookup(name);
  if (profile === null) throw new RangeError(`pprof: no profile has the name ${JSON.stringify(name)}`);
  const chunks: Uint8Array[] = [];
  await profile.writeTo((bytes) => void chunks.push(bytes), debug);
  const all = new Uint8Array(chunks.reduce((n, c) => n + c.length, 0));
  let at = 0;
  for (const c of chunks) {
    all.set(c, at);
    at += c.length;
  }
  await writeFileAtomically(path, all);
}
