/** Walkers and builders for tests of threads. */
export {};
