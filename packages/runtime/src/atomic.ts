/** `@gort/runtime/atomic`: Go's sync/atomic over values of the heap, for goroutines of all threads. */
export * from "@gort/types/atomic";
