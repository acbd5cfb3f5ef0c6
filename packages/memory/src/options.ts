/** The options of createLinearMemory and attachLinearMemory, and their checks. */
import { show } from "@gort/base";
import { WASM_PAGE } from "./layout.ts";

export const MIN_MEMORY = 64 * 1024 * 1024;
export const MAX_MEMORY = 4 * 1024 * 1024 * 1024;

export interface LinearMemoryOptions {
  /**
   * Bytes to reserve, 64 MiB to 4 GiB, rounded up to 64 KiB. Default: 4 GiB under Node, 1 GiB elsewhere. If the
   * platform grants less, the memory has the largest size that the platform grants.
   */
  maxMemory?: number;
  /** Whether other threads can attach. Default: whether SharedArrayBuffer exists. */
  shared?: boolean;
  /** false: never return physical pages to the operating system. Default true. */
  release?: boolean;
  /** "js" uses the TypeScript twin of the kernel. Default "wasm", and "js" where the host refuses the module. */
  kernel?: "wasm" | "js";
  /**
   * true: this thread checks the order in which it takes locks, and that it holds none when it blocks. Default false.
   */
  staticLockRanking?: boolean;
}

export interface AttachOptions extends Omit<LinearMemoryOptions, "maxMemory" | "shared"> {
  /**
   * The number that registerThread gave for this thread. 0: no number, for a thread that only reads; if it takes a
   * lock, it draws a number for as long as it holds the lock. Default: the next free number.
   */
  thread?: number;
}

/** Checks the options that createLinearMemory and attachLinearMemory share. */
export function checkCommonOptions(options: Omit<LinearMemoryOptions, "maxMemory">): void {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`memory: options must be an object (got ${show(options)})`);
  }
  const { shared, release, kernel, staticLockRanking } = options;
  for (const [key, value] of Object.entries({ shared, release, staticLockRanking })) {
    if (value !== undefined && typeof value !== "boolean") {
      throw new TypeError(`memory: ${key} must be a boolean (got ${show(value)})`);
    }
  }
  if (kernel !== undefined && kernel !== "wasm" && kernel !== "js") {
    throw new TypeError(`memory: kernel must be "wasm" or "js" (got ${show(kernel)})`);
  }
}

/** Checks the options of createLinearMemory. Returns the bytes to ask for, whole WebAssembly pages. */
export function checkCreateOptions(options: LinearMemoryOptions): { size: number; shared: boolean } {
  checkCommonOptions(options);
  const { shared } = options;
  const hasShared = typeof SharedArrayBuffer !== "undefined";
  if (shared === true && !hasShared) {
    throw new TypeError("memory: shared must be false where SharedArrayBuffer does not exist (got true)");
  }
  const inNode = globalThis.process?.versions?.node !== undefined;
  const { maxMemory: size = inNode ? MAX_MEMORY : MAX_MEMORY / 4 } = options;
  if (typeof size !== "number") {
    throw new TypeError(`memory: maxMemory must be a number of bytes (got ${show(size)})`);
  }
  if (!Number.isInteger(size) || size < MIN_MEMORY || size > MAX_MEMORY) {
    throw new RangeError(
      `memory: maxMemory must be a whole number from ${MIN_MEMORY} to ${MAX_MEMORY} bytes (got ${size})`,
    );
  }
  return { size: Math.ceil(size / WASM_PAGE) * WASM_PAGE, shared: shared ?? hasShared };
}
