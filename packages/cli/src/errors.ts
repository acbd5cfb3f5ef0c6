/** Ends the command. The message says which action failed, and what the user can do about it. */
export class UsageError extends Error {
  override name = "UsageError";

  constructor(
    message: string,
    readonly exitCode = 1,
    /** The unchanged text that another tool or the program gives as the reason. */
    readonly detail = "",
  ) {
    super(message);
  }
}
