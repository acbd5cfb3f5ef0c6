/** The error for a value that breaks a rule for numbers. */
export function wrongNumber(got: unknown, rule: string): TypeError | RangeError {
  const fault = `profiling: ${rule} (got ${String(got)})`;
  return typeof got === "number" ? new RangeError(fault) : new TypeError(fault);
}
