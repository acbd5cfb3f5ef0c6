/** What users of `@gort/threads` alone get: see README.md. */
export type { Threads } from "./runtime2.ts";
