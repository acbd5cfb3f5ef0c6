/** `@gort/scheduler/sync`: locks and other ways for goroutines to wait for each other. */

export { Cond } from "./cond.ts";
export { Group } from "./errgroup.ts";
export { type MapResult, SyncMap } from "./map.ts";
export { type Locker, Mutex } from "./mutex.ts";
export { Once, onceFunc, onceValue } from "./once.ts";
export { Pool } from "./pool.ts";
export { RWMutex } from "./rwmutex.ts";
export { Weighted } from "./semaphore.ts";
export { type FlightResult, Singleflight } from "./singleflight.ts";
export { WaitGroup } from "./waitgroup.ts";
