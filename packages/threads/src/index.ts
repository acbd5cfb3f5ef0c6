/** What users of `@gort/threads` alone get: see README.md. */

// Threads
export { type ThreadHost, threadHost } from "./host.ts";
export type { Procs, Threads } from "./runtime2.ts";
export { attachThreads, createThreads } from "./threads.ts";

// Channels in the heap
export { chan } from "./chan-type.ts";
export type { HeapChan } from "./heap-chan.ts";

// Arguments of tasks
export { clone, Cloned } from "./clone.ts";
export type { Arg, Args, NotShareable, Shareable } from "./shareable.ts";

// Locks in the heap
export {
  cond,
  type HeapCond,
  type HeapMutex,
  type HeapOnce,
  type HeapRWMutex,
  type HeapWaitGroup,
  mutex,
  once,
  rwMutex,
  waitGroup,
} from "./lock-types.ts";
