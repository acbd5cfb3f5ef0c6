/**
 * Standard output and standard error of the process that is the `gort` command, when what they lead to fails.
 *
 *   what happens                                  Go                           here
 *   a reader of standard output or error is gone  the write ends the process   the same, once the event loop turns
 *                                                 by SIGPIPE
 *   any other error, such as a full disk          the write returns it         the program goes on; a report of the command
 *                                                                              itself ends with status 1
 *   a crash report can't be written               status 2                     the same
 *
 * A program that listens for SIGPIPE, or for errors of the stream, has decided otherwise, as with `signal.Notify` in Go.
 */

type Stream = NodeJS.WriteStream;

/** The process's two streams, watched. */
export class OutputStreams {
  private ended = false;
  private failed: Error | undefined;

  constructor() {
    process.stdout.on("error", (e: NodeJS.ErrnoException) => {
      this.failed ??= e;
      if (isGone(e, process.stdout)) dieOfSigpipe();
    });
    process.stderr.on("error", (e: NodeJS.ErrnoException) => {
      // The report of a crash may be what failed: its status counts, and is known before the next turn.
      if (isGone(e, process.stderr)) setImmediate(() => this.ended || dieOfSigpipe());
    });
  }

  /** Waits until all is written, whatever becomes of it. Both can be pipes: an earlier exit cuts the last words. */
  async drain(): Promise<void> {
    this.ended = true;
    await Promise.all([drained(process.stdout), drained(process.stderr)]);
  }

  /** Why standard output is not complete. */
  get failure(): Error | undefined {
    return this.failed;
  }
}

function isGone(e: NodeJS.ErrnoException, stream: Stream): boolean {
  return e.code === "EPIPE" && stream.listenerCount("error") <= 1 && process.listenerCount("SIGPIPE") === 0;
}

/** Ends the process as the system does when a write finds no reader. */
function dieOfSigpipe(): void {
  if (process.platform !== "win32") {
    // Node ignores the signal. Taking back a listener restores the system's own action.
    const nothing = () => {};
    process.on("SIGPIPE", nothing);
    process.off("SIGPIPE", nothing);
    process.kill(process.pid, "SIGPIPE");
  }
  // Where there is no such signal, the status that a shell shows for it.
  process.exit(141);
}

function drained(stream: Stream): Promise<void> | undefined {
  return stream.destroyed ? undefined : new Promise((resolve) => void stream.write("", () => resolve()));
}
