/** The user asked for something that can't be done; the message says what, and what to do. Exit code 1. */
export class UsageError extends Error {
  override name = "UsageError";
}
