/**
 * `@gort/runtime/sync`: mutexes, wait groups and the rest of Go's sync, whose locks are ops.
 *
 * Names with a capital are classes, for goroutines of one thread. Names with a small letter are types of the heap, as
 * `int64` is: `newObject(mutex)`, or a field of a struct. Goroutines of every thread can use these.
 */
export * from "@gort/scheduler/sync";
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
} from "@gort/threads";
