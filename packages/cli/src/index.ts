/**
 * The `gort` command as a function. Exit codes:
 *
 *   0  the command did what it was asked (or `process.exitCode`, when a program that was run has set it)
 *   1  it could not: wrong option, missing or broken file, no main goroutine in it, a module that does not load
 *   2  the program died: an unrecovered panic or a fatal error (as in Go)
 */
import { commandLine } from "./command-line.ts";
import { printEnv } from "./env.ts";
import { UsageError } from "./errors.ts";
import { showProfile } from "./pprof.ts";
import { runProgram } from "./program.ts";
import { printVersion } from "./version.ts";

/** What the command needs of its process. Every field has the process's own as its default. */
export interface Io {
  /** The command's own output: reports, version, environment, help. */
  stdout(text: string): void;
  /** Messages of the command, and the report of a program that died. */
  stderr(text: string): void;
}

const processIo: Io = {
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
};

/**
 * Runs one gort command line, `argv` being what follows the command's name, and resolves to the exit code.
 *
 * ```ts
 * import { run } from "@gort/cli";
 * process.exitCode = await run(["version"]);
 * ```
 *
 * `run` leaves the process alive. The program of `gort run` runs in this process, with `process.argv` set to the
 * program's until it ends, on the process's default runtime: the first program's options settle what that is like.
 */
export async function run(argv: readonly string[], io: Partial<Io> = {}): Promise<number> {
  const { stdout, stderr }: Io = { ...processIo, ...io };
  try {
    const command = commandLine(argv);
    switch (command.name) {
      case "run":
        return await runProgram(command, { stdout, stderr });
      case "pprof":
        await showProfile(command, { stdout, stderr });
        return 0;
      case "version":
        await printVersion(stdout);
        return 0;
      case "env":
        await printEnv(command, stdout);
        return 0;
      case "help":
        stdout(command.text);
        return 0;
    }
  } catch (e) {
    if (e instanceof UsageError) {
      // Names in it may come from anywhere.
      const { printable } = await import("@gort/runtime/pprof-tools");
      stderr(`gort: ${printable(e.message)}\n${e.detail === "" ? "" : `\n${e.detail}\n`}`);
      return e.exitCode;
    }
    throw e;
  }
}
