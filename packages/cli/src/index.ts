/**
 * The `gort` command as a function. Exit codes:
 *
 *   0  the command succeeded (or `process.exitCode`, if the program of `gort run` has set it)
 *   1  the command failed: wrong option, missing or broken file, no main goroutine in it, a module that does not load
 *   2  the program died of an unrecovered panic or a fatal error, as in Go
 */
import { writeStderr } from "@gort/base";
import { commandLine } from "./command-line.ts";
import { printEnv } from "./env.ts";
import { UsageError } from "./errors.ts";
import { showProfile } from "./pprof.ts";
import { runProgram } from "./program.ts";
import { printVersion } from "./version.ts";

/** The output of a command. By default each field writes to the stream of the process. */
export interface Io {
  /** The command's own output: reports, version, environment, help. */
  stdout(text: string): void;
  /** Messages of the command, and the report of a program that died. */
  stderr(text: string): void;
}

const processIo: Io = {
  stdout: (text) => void process.stdout.write(text),
  stderr: writeStderr,
};

/**
 * Runs one gort command line and resolves to the exit code. `argv` has the words after the command's name.
 *
 * ```ts
 * import { run } from "@gort/cli";
 * process.exitCode = await run(["version"]);
 * ```
 *
 * `run` does not end the process. The program of `gort run` runs in this process, on its default runtime, and
 * `process.argv` is the program's until it ends. The options of the first program determine the default runtime.
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
      // Names in the message may come from untrusted input.
      const { printable } = await import("@gort/runtime/pprof-tools");
      stderr(`gort: ${printable(e.message)}\n${e.detail === "" ? "" : `\n${e.detail}\n`}`);
      return e.exitCode;
    }
    throw e;
  }
}
