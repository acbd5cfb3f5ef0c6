/**
 * Failures of standard output and standard error in the process of the `gort` command.
 *
 *   failure                               Go                         here
 *   a reader of either stream is gone     the write ends the         the same, at the next turn of the event loop
 *                                         process by SIGPIPE
 *   any other error, such as a full disk  the write returns it       the program continues; a command with a report of
 *                                                                    its own ends with status 1
 *   a crash report cannot be written      status 2                   the same
 *
 * If a program listens for SIGPIPE or for errors of the stream, its listener decides, as with `signal.Notify` in Go.
 */

type Stream = NodeJS.WriteStream;

/** Watches both streams of the process. */
export class OutputStreams {
  private ended = false;
  private failed: Error | undefined;

  constructor() {
    process.stdout.on("error", (e: NodeJS.ErrnoException) => {
      this.failed ??= e;
      if (isGone(e, process.stdout)) dieOfSigpipe();
    });
    process.stderr.on("error", (e: NodeJS.ErrnoException) => {
      // The failed write may be a crash report. Then the report's status counts: drain runs before the next turn.
      if (isGone(e, process.stderr)) setImmediate(() => this.ended || dieOfSigpipe());
    });
  }

  /** Waits until all output is written or has failed. An exit before that would cut the end of output to a pipe. */
  async drain(): Promise<void> {
    this.ended = true;
    await Promise.all([drained(process.stdout), drained(process.stderr)]);
  }

  /** The first error of standard output, if its text is not complete. */
  get failure(): Error | undefined {
    return this.failed;
  }
}

function isGone(e: NodeJS.ErrnoException, stream: Stream): boolean {
  return e.code === "EPIPE" && stream.listenerCount("error") <= 1 && process.listenerCount("SIGPIPE") === 0;
}

/** Ends the process as the system does at a write without a reader. */
function dieOfSigpipe(): void {
  if (process.platform !== "win32") {
    // Node ignores the signal. The removal of a listener restores the system's default action.
    const nothing = () => {};
    process.on("SIGPIPE", nothing);
    process.off("SIGPIPE", nothing);
    process.kill(process.pid, "SIGPIPE");
  }
  // Without such a signal: the status that a shell shows for it.
  process.exit(141);
}

function drained(stream: Stream): Promise<void> | undefined {
  return stream.destroyed ? undefined : new Promise((resolve) => void stream.write("", () => resolve()));
}
