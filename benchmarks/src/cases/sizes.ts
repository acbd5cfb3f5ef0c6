/** Goroutines, tasks or fibers that are started before the starter waits until all of them have ended. */
export const SPAWN_BATCH = 1000;

/**
 * Allocations between two safepoints: 1024, or as many as a MiB holds. Go may collect inside of any allocation. gort
 * collects only there, where the program holds no raw pointer.
 */
export const allocationsPerSafepoint = (size: number): number => Math.min(1024, 2 ** 20 / size);

/** Distance of the two words of AtomicRoundTrip in words: they share no line of the cache, nor a pair of lines. */
export const APART = 32;

/** Integers that a goroutine sends or receives at once in HeapChanBatched. */
export const CHAN_BATCH = 100;
