/**
 * The JavaScript engine's own collector, where a program may call it: in Node, and wherever the host was started with
 * `--expose-gc`. Only a full collection is of use: V8 takes what a FinalizationRegistry watches for alive in a minor one.
 */

interface Host {
  gc?: unknown;
  process?: { getBuiltinModule?(id: string): unknown };
}

let collect: (() => void) | null | undefined;

/** A full collection of the engine's heap, or null where the host allows none. */
export function hostCollector(): (() => void) | null {
  const host = globalThis as Host;
  if (typeof host.gc === "function") return host.gc as () => void;
  if (collect === undefined) collect = nodeCollector(host);
  return collect;
}

/** Node's: a context that is made while the flag is set has the function. */
function nodeCollector({ process }: Host): (() => void) | null {
  try {
    const v8 = process?.getBuiltinModule?.("node:v8") as typeof import("node:v8") | undefined;
    const vm = process?.getBuiltinModule?.("node:vm") as typeof import("node:vm") | undefined;
    v8?.setFlagsFromString("--expose-gc");
    const gc = vm?.runInNewContext("gc") as (() => void) | undefined;
    // Contexts that the program makes are as it expects them.
    v8?.setFlagsFromString("--no-expose-gc");
    return gc ?? null;
  } catch {
    return null;
  }
}
