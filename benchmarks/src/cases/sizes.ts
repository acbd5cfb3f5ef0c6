/** Goroutines, tasks or fibers that are started before the starter waits until all of them have ended. */
export const SPAWN_BATCH = 1000;
