/** The report of a program that died. */

/** The part of the runtime that `crashed` needs. */
interface Reporter {
  crashReport(error: unknown): { text: string; exitCode: number } | undefined;
}

/** Prints Go's report of `error`, with which `main()` rejected, and returns the exit code. */
export function crashed(error: unknown, runtime: Reporter, stderr: (text: string) => void): number {
  const report = runtime.crashReport(error);
  if (report) {
    stderr(report.text);
    return report.exitCode;
  }
  // No goroutine has ended with this error: main() itself refused to start.
  stderr(`gort: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return 2;
}
