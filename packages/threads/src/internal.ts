/** For siblings; no promise of stability. */
export { NODE_CALL, NODE_KIND, NODE_NEXT, NODE_READY, NODE_TASK } from "./runtime2.ts";
// For runtime: the waits of a thread, which get the nodes of kind NODE_READY (`deliver`).
export { type Waiters, waitersOf } from "./sudog.ts";
// For runtime: channels in the heap.
export { HeapChans } from "./chans.ts";
// For runtime: the arguments of tasks, and handles that may be arguments.
export { HANDLE, HANDLE_CHAN, type HandleDescription, type HeapHandle, type OpenHandle } from "./handles.ts";
export { TaskArgs } from "./task-args.ts";

// What users get: siblings import from this entry alone, of which the build makes one file (tsup.one-file.ts).
export * from "./index.ts";
