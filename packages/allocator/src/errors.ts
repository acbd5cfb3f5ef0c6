/** Errors that end the program in Go. The class is the memory's; its brand is that of every gort package. */
import { FatalError } from "@gort/memory";

export { FatalError, isFatalError } from "@gort/memory";

/** Ends with Go's throw(s): an invariant of the allocator doesn't hold. */
export function fatalThrow(message: string, detail?: string): never {
  throw new FatalError("throw", "ERR_GORT_THROW", message, detail);
}

/** The program goes on to use an allocator after its close. */
export function closedError(): never {
  throw new TypeError("allocator: the allocator is closed");
}

/** No memory left; the detail says how much was asked for and how much there is. */
export function outOfMemory(detail: string): never {
  throw new FatalError("throw", "ERR_GORT_OUT_OF_MEMORY", "runtime: out of memory", detail);
}
