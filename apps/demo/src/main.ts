/** `npm run demo`: lists the programs and runs the first; `npm run demo -- NAME [options]` runs one. */
import { cac } from "cac";
import { OptionError } from "./options.ts";
import type { Program } from "./program.ts";
import { buffersProgram } from "./programs/buffers.ts";
import { finalizersProgram } from "./programs/finalizers.ts";
import { heapProfileProgram } from "./programs/heap-profile.ts";
import { Screen } from "./screen.ts";

const PROGRAMS: readonly Program[] = [buffersProgram, finalizersProgram, heapProfileProgram];
const USAGE = "npm run demo -- NAME [options]";

function list(): string {
  const lines = ["Programs of the demo:", ""];
  for (const { name, about, options } of PROGRAMS) {
    lines.push(`  ${name.padEnd(14)}${about}`);
    lines.push(...options.map(({ flags, about }) => `      ${flags.padEnd(23)}${about}`), "");
  }
  lines.push(`Run one with: ${USAGE}`);
  return lines.join("\n");
}

/** Texts for errors of the operating system, by code. */
const SYSTEM_ERRORS: Record<string, string> = {
  ENOENT: "no such file or folder",
  EACCES: "no permission",
  ENOTDIR: "not a folder",
  EISDIR: "is a folder",
  ENOSPC: "the disk is full",
  EROFS: "the disk is read-only",
};

/** The text of an error that the user can correct; null for any other error. */
function userText(e: unknown): string | null {
  if (e instanceof OptionError || (e instanceof Error && e.name === "CACError")) {
    return e.message.replaceAll("`", "");
  }
  const { code, path, syscall } = (e ?? {}) as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return null;
  return `${SYSTEM_ERRORS[code] ?? `${syscall} failed (${code})`}${path ? `: ${path}` : ""}`;
}

/** Runs the program that `argv` names, or lists the programs and runs the first. Returns the exit status. */
async function main(argv: readonly string[]): Promise<number> {
  const cli = cac("npm run demo --");
  cli.usage("[NAME] [options]");
  cli.help();
  let chosen: (() => Promise<void>) | undefined;
  for (const program of PROGRAMS) {
    const command = cli.command(program.name, program.about);
    for (const { flags, about } of program.options) command.option(flags, about);
    command.action((given) => {
      chosen = () => program.run(given, new Screen(process.stdout, given.plain === true));
    });
  }
  try {
    const { args, options } = cli.parse(["node", "demo", ...argv]);
    if (options.help) return 0;
    if (!chosen) {
      if (args.length > 0)
        throw new OptionError(
          `no program ${JSON.stringify(args[0])}; there are ${PROGRAMS.map((p) => p.name).join(", ")}`,
        );
      const stray = Object.keys(options).find((o) => o !== "--");
      if (stray) throw new OptionError(`--${stray} needs a program before it: ${USAGE}`);
      const screen = new Screen(process.stdout);
      screen.note(`${list()}\n\nNow the first, ${PROGRAMS[0].name}:\n`);
      chosen = () => PROGRAMS[0].run({}, screen);
    }
    await chosen();
    return 0;
  } catch (e) {
    const text = userText(e);
    if (text !== null) {
      process.stderr.write(`demo: ${text}\n`);
      return 1;
    }
    throw e;
  }
}

// A reader that stops early (`npm run demo | head`) is no error.
process.stdout.on("error", (e: NodeJS.ErrnoException) => process.exit(e.code === "EPIPE" ? 0 : 1));

process.exitCode = await main(process.argv.slice(2));
