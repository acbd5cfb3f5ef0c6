// Random work on several threads for some time, on the built packages: see threads/soak.mjs. GORT_SOAK gives the
// seconds.
import { describe, expect, it } from "vitest";
import { run } from "./threads/run.ts";

const seconds = Number(process.env.GORT_SOAK ?? 6);
const seed = Number(process.env.GORT_SEED ?? Date.now() % 1_000_000);

describe(`a soak of ${seconds} s (seed ${seed}; GORT_SEED repeats it)`, () => {
  it.each([1, 3, 6])(
    "that begins with %i Ps gives the right results",
    { timeout: 1000 * seconds + 120_000 },
    async (procs) => {
      const env = { PROCS: String(procs), GODEBUG: "clobberfree=1,gccheckmark=1" };
      const { code, out, err } = await run(
        ["soak.mjs", String(seed + procs), String(seconds)],
        env,
        1000 * seconds + 100_000,
      );
      // A busy machine may give a thread no time for a second; that is said, and is no fault.
      const errors = err
        .split("\n")
        .filter((line) => line !== "" && !/^threads: M \d+ .*has not stopped for/.test(line));
      expect([code, out, errors]).toEqual([0, "true 0\n", []]);
    },
  );
});
