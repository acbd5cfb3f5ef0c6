/** How a program's death is told. */

/** What the command needs of the runtime that ran the program. */
interface Reporter {
  crashReport(error: unknown): { text: string; exitCode: number } | undefined;
}

/** Prints Go's report of what `main()` rejected with; the exit code. */
export function crashed(error: unknown, runtime: Reporter, stderr: (text: string) => void): number {
  const report = runtime.crashReport(error);
  if (report) {
    stderr(report.text);
    return report.exitCode;
  }
  // Not the end of a goroutine: main() itself refused.
  stderr(`gort: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return 2;
}
