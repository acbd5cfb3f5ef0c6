/** Helpers of several test files. */
import type { FatalError } from "../src/index.ts";

/** The fatal error that a call ends in. */
export function failure(call: () => unknown): FatalError {
  try {
    call();
  } catch (err) {
    return err as FatalError;
  }
  throw new Error("nothing was thrown");
}
