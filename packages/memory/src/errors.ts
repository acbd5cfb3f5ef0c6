/** The errors of locks. */
import { FatalError } from "@gort/base";

/** A lock is used against its rules, or its holder is dead. */
export function lockError(message: string): FatalError {
  return new FatalError("throw", "ERR_GORT_LOCK", message);
}
