/**
 * Returns physical pages to the operating system. JavaScript has no call for it, so this module calls madvise through
 * koffi, if that optional package is installed. It loads koffi on first need: loading takes some milliseconds and a few
 * megabytes, which a program that never releases memory should not pay.
 *
 * Linux: MADV_DONTNEED drops the pages of the private mapping at once. The next touch reads zeros.
 * macOS: MADV_FREE_REUSABLE (7) lets the kernel take the pages, and lowers the footprint at once. The contents may
 * survive, so a released page there does not count as zero.
 * Where neither is available (Windows, browsers, koffi missing) nothing is released, and canRelease is false.
 */

type Madvise = (view: Uint8Array, length: number, advice: number) => number;

export interface Releaser {
  /** Drops the physical pages behind [addr, addr+n), multiples of the OS page. False: refused. */
  release(buffer: ArrayBufferLike, addr: number, n: number): boolean;
  /** Whether a released page reads as zeros when touched again. */
  readonly zeroes: boolean;
}

interface NodeModuleApi {
  createRequire(from: string | URL): (id: string) => unknown;
}

interface Koffi {
  load(path: string | null): { func(signature: string): Madvise };
}

function builtin<T>(id: string): T | undefined {
  return globalThis.process?.getBuiltinModule?.(id) as T | undefined;
}

let cached: Releaser | null | undefined;

/** The platform's releaser, or null. Each thread looks for it once. */
export function findReleaser(): Releaser | null {
  if (cached === undefined) cached = loadReleaser();
  return cached;
}

function loadReleaser(): Releaser | null {
  const platform = globalThis.process?.platform;
  const advice = platform === "linux" ? 4 : platform === "darwin" ? 7 : 0;
  if (advice === 0) return null;
  const nodeModule = builtin<NodeModuleApi>("node:module");
  if (nodeModule === undefined) return null;
  try {
    const koffi = nodeModule.createRequire(import.meta.url)("koffi") as Koffi;
    const madvise = koffi.load(null).func("int madvise(void *addr, size_t length, int advice)");
    return {
      zeroes: platform === "linux",
      release: (buffer, addr, n) => madvise(new Uint8Array(buffer, addr, n), n, advice) === 0,
    };
  } catch {
    return null; // koffi is optional: not installed, or no binary for this platform
  }
}

let pageSize = 0;

/** The operating system's page size in bytes, by platform: Node does not report it. */
export function osPageSize(): number {
  if (pageSize === 0) {
    const p = globalThis.process;
    pageSize = p?.platform === "darwin" && p.arch === "arm64" ? 16384 : 4096;
    if (p?.platform === "linux" && p.arch === "arm64") pageSize = 65536; // 4, 16 or 64 KiB: 64 fits all
  }
  return pageSize;
}
