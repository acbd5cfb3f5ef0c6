/** What users of `@gort/threads` alone get: see README.md. */
export type { HeapChan } from "./chan.ts";
export { type ThreadHost, threadHost } from "./host.ts";
export type { Threads } from "./runtime2.ts";
export { attachThreads, createThreads } from "./threads.ts";
