/** `@gort/runtime/sync`: Mutexes, wait groups and the rest of Go's sync, whose locks are ops. */
export * from "@gort/scheduler/sync";
