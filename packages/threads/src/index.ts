/** What users of `@gort/threads` alone get: see README.md. */
export type { HeapChan } from "./chan.ts";
export type { Threads } from "./runtime2.ts";
