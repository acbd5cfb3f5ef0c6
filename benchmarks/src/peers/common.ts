/** Tasks started before the starter waits until all of them have ended, as in cases/goroutines.ts. */
export const spawnBatch = 1000;
