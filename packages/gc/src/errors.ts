/**
 * What the collector ends the program with. The class is the allocator's; its brand is that of every gort package.
 */
import { FatalError } from "@gort/allocator";

export { FatalError, isFatalError } from "@gort/allocator";

/** Go's throw: an invariant of the runtime, or a rule of its use, does not hold. `detail` carries the numbers. */
export function throwFatal(message: string, detail?: string): never {
  throw new FatalError("throw", "ERR_GORT_THROW", message, detail);
}

/** No memory left for the collector's own tables and queues; `detail` says for which. */
export function outOfMemory(detail: string): never {
  throw new FatalError("throw", "ERR_GORT_OUT_OF_MEMORY", "runtime: out of memory", detail);
}

/** An address as Go prints pointers. */
export function hex(addr: number): string {
  return `0x${(addr >>> 0).toString(16)}`;
}
