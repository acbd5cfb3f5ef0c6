/**
 * The parts of the platform that the package uses: Node's built-in modules. They are found without an import statement,
 * so that the same code loads in a browser, where each is undefined.
 */

type Builtin<Id extends string> = Id extends "node:fs"
  ? typeof import("node:fs")
  : Id extends "node:module"
    ? typeof import("node:module")
    : Id extends "node:zlib"
      ? typeof import("node:zlib")
      : Id extends "node:url"
        ? typeof import("node:url")
        : Id extends "node:inspector"
          ? typeof import("node:inspector")
          : Id extends "node:async_hooks"
            ? typeof import("node:async_hooks")
            : Id extends "node:worker_threads"
              ? typeof import("node:worker_threads")
              : never;

/** A built-in module of Node, or undefined outside of Node. */
export function builtin<Id extends string>(id: Id): Builtin<Id> | undefined {
  const process = (globalThis as { process?: { getBuiltinModule?: (id: string) => unknown } }).process;
  return process?.getBuiltinModule?.(id) as Builtin<Id> | undefined;
}

/** The path of a `file:` URL; other URLs and plain paths come back unchanged, without query and hash. */
export function toPath(file: string): string {
  if (!file.startsWith("file://")) return file;
  try {
    const url = new URL(file);
    url.search = "";
    url.hash = "";
    const node = builtin("node:url");
    return node ? node.fileURLToPath(url) : decodeURIComponent(url.pathname);
  } catch {
    return file;
  }
}

/** A directory's name with forward slashes, "" for a bare name. */
export function dirname(path: string): string {
  const at = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"));
  return at < 0 ? "" : path.slice(0, at);
}

/** A path's last element. */
export function basename(path: string): string {
  return path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1);
}

/** Nanoseconds since 1970. */
export function unixNanos(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}
