/**
 * The JavaScript engine's own collector, where a program may call it: in Node, and where the host runs with
 * `--expose-gc`. Only a full collection helps: in a minor one, V8 treats objects that a FinalizationRegistry watches as
 * alive.
 */

interface Host {
  gc?: unknown;
  process?: { getBuiltinModule?(id: string): unknown };
}

let collect: (() => void) | null | undefined;

/** Returns a function that collects all of the engine's heap, or null where the host allows no collection. */
export function hostCollector(): (() => void) | null {
  const host = globalThis as Host;
  if (isNative(host.gc)) return host.gc;
  if (collect === undefined) collect = nodeCollector(host);
  return collect ?? null;
}

/** A page's script may define a global function of the same name. */
function isNative(f: unknown): f is () => void {
  return typeof f === "function" && Function.prototype.toString.call(f).includes("[native code]");
}

/**
 * Node's collector: a context that is made while the flag `--expose-gc` is set has the function. The flag belongs
 * to the process, so other threads set and clear it too, and it may be set from the start. If another thread has
 * cleared it in between, the result is undefined and the next call tries again.
 */
function nodeCollector({ process }: Host): (() => void) | null | undefined {
  try {
    const v8 = process?.getBuiltinModule?.("node:v8") as typeof import("node:v8") | undefined;
    const vm = process?.getBuiltinModule?.("node:vm") as typeof import("node:vm") | undefined;
    if (v8 === undefined || vm === undefined) return null;
    const find = () => vm.runInNewContext("globalThis.gc") as (() => void) | undefined;
    const gc = find();
    if (gc !== undefined) return gc;
    v8.setFlagsFromString("--expose-gc");
    try {
      return find();
    } finally {
      // Contexts that the program makes later must not have the function.
      v8.setFlagsFromString("--no-expose-gc");
    }
  } catch {
    return null;
  }
}
