/** The collector's source of time; injected, so that tests control it. */
export interface Clock {
  /** Monotonic nanoseconds since an arbitrary moment, which differs from thread to thread. */
  nanotime(): number;
  /** Nanoseconds since 1970. */
  walltime(): bigint;
}

/** The host's clock. */
export const systemClock: Clock = {
  nanotime: () => performance.now() * 1e6,
  walltime: () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e3)) * 1000n,
};
