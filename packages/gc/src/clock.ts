/** Where the collector takes its time from; injected, so that tests own it. */
export interface Clock {
  /** Monotonic nanoseconds since an arbitrary moment. */
  nanotime(): number;
  /** Nanoseconds since 1970. */
  walltime(): bigint;
}

/** The host's clock. */
export const systemClock: Clock = {
  nanotime: () => performance.now() * 1e6,
  walltime: () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e3)) * 1000n,
};
