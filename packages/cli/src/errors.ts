/** Ends the command: the message says what could not be done, and what to do about it. */
export class UsageError extends Error {
  override name = "UsageError";

  constructor(
    message: string,
    readonly exitCode = 1,
    /** What another tool or the program says about it, as it was said. */
    readonly detail = "",
  ) {
    super(message);
  }
}
