/** Time on several threads: each thread's `performance.now` may begin at another moment. */

type HrTime = () => [seconds: number, nanoseconds: number];

/**
 * The moment at which this thread's `performance.now` was 0, in ms of a clock that all threads of the process share.
 * Two threads subtract their origins.
 */
export function clockOrigin(): number {
  const { process } = globalThis as { process?: { hrtime?: HrTime } };
  if (process?.hrtime === undefined) return performance.timeOrigin;
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6 - performance.now();
}
