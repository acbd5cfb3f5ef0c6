/** The grammar of the command line. Options stand before FILE; what follows FILE belongs to the program, as in `go run`. */
import { cac } from "cac";
import { UsageError } from "./errors.ts";
import { gogcSetting, gomaxprocsSetting, sizeSetting } from "./settings.ts";

/** What the runtime reads from the environment, as asked for by options. */
export type Settings = Partial<Record<"GOGC" | "GOMEMLIMIT" | "GOMAXPROCS" | "GODEBUG", string>>;

export type CommandLine =
  | { name: "run"; file: string; settings: Settings; maxMemory: number | undefined }
  | { name: "env"; json: boolean; settings: Settings; maxMemory: number | undefined }
  | { name: "pprof"; source: string; diff: string | undefined; options: PprofOptions }
  | { name: "version" };

/** What `gort pprof` is to show, and how. */
export interface PprofOptions {
  report: "top" | "tree" | "traces";
  /** The file for a flame graph, which is then written instead. */
  flame: string | undefined;
  sampleIndex: string | undefined;
  nodeCount: number | undefined;
  unit: string | undefined;
  cum: boolean;
  focus: RegExp | undefined;
  ignore: RegExp | undefined;
  /** How long a profile that is fetched is to last. */
  seconds: number | undefined;
  /** Seconds within which it must have come; by default as long as it lasts, and a minute more. */
  timeout: number | undefined;
}

/** Carries help out of cac, which would print it to the console by itself. */
export class HelpText {
  constructor(readonly text: string) {}
}

const valueOptions = ["--gogc", "--gomemlimit", "--gomaxprocs", "--godebug", "--max-memory"];

/** Cuts `gort run [options] FILE [args]` behind FILE. */
export function splitProgram(argv: readonly string[]): { own: string[]; program: string[] } {
  if (argv[0] !== "run") return { own: [...argv], program: [] };
  let i = 1;
  while (i < argv.length && argv[i].startsWith("-")) {
    if (argv[i] === "--") {
      // `gort run -- FILE`: FILE may begin with a dash.
      return { own: [...argv.slice(0, i + 2)], program: argv.slice(i + 2) };
    }
    i += valueOptions.includes(argv[i]) ? 2 : 1;
  }
  return { own: argv.slice(0, i + 1), program: argv.slice(i + 1) };
}

export function commandLine(argv: readonly string[]): CommandLine {
  const cli = cac("gort");
  let result: CommandLine | undefined;
  cli.usage("<command> [options]");
  cli.option("--version", "Print the version and exit");
  cli.help((sections) => {
    const text = sections
      .filter((s) => s.title !== undefined || s.body !== "gort")
      .map((s) => (s.title ? `${s.title}:\n${s.body}` : s.body))
      .join("\n\n")
      .replace(/ +$/gm, "");
    throw new HelpText(`gort runs programs on Go's runtime, written in TypeScript.\n\n${text.trimEnd()}\n`);
  });
  const withSettings = (command: ReturnType<typeof cli.command>) =>
    command
      .option("--gogc <percent>", "Garbage collection target: a percentage or off (GOGC)")
      .option("--gomemlimit <size>", "Soft limit of the runtime's memory, such as 512MiB (GOMEMLIMIT)")
      .option("--gomaxprocs <n>", "Processors that run goroutines (GOMAXPROCS)")
      .option("--godebug <list>", "Debug switches, name=value[,name=value], added to GODEBUG")
      .option("--max-memory <size>", "Address space to reserve for the heap, such as 1GiB");
  withSettings(cli.command("run <file>", "Run a module whose default export is the main goroutine"))
    .usage("run [options] <file> [arguments of the program]")
    .example("  $ gort run hello.ts")
    .example("  $ gort run --godebug gctrace=1 --gogc 50 server.ts --port 8080")
    .action((file: unknown, ...rest) => {
      result = { name: "run", file: String(file), ...settingsOf(rest.at(-1)) };
    });
  withSettings(cli.command("env", "Print what the runtime takes from its environment"))
    .option("--json", "As JSON")
    .action((options) => {
      result = { name: "env", json: options.json === true, ...settingsOf(options) };
    });
  cli
    .command("pprof <profile>", "Show a profile, from a file or an address")
    .usage("pprof [options] <file or URL>")
    .option("--top", "List the functions with most (the default)")
    .option("--tree", "List every function with its callers and callees")
    .option("--traces", "List every sample with its stack")
    .option("--flame <file>", "Write a flame graph, as a page for the browser")
    .option("--diff <base>", "Show what is more than in this profile, a file or an address")
    .option("--sample_index <name>", "Kind of sample, such as alloc_space or contentions")
    .option("--cum", "Sort by what a function and its callees have")
    .option("--nodecount <n>", "Show at most so many functions")
    .option("--unit <name>", "Unit of values, such as MB or ms")
    .option("--focus <regexp>", "Only samples with a matching function or file")
    .option("--ignore <regexp>", "No samples with a matching function or file")
    .option("--seconds <n>", "Have the address measure for so long")
    .option("--timeout <n>", "Give up after so many seconds (default: the time measured and 60)")
    .example("  $ gort pprof heap.pprof")
    .example("  $ gort pprof --flame cpu.html --seconds 10 http://localhost:6060/debug/pprof/profile")
    .example("  $ gort pprof --diff before.pprof --sample_index alloc_space after.pprof")
    .action((source: unknown, options) => {
      result = { name: "pprof", source: String(source), ...pprofOptions(options) };
    });
  cli.command("version", "Print the version").action(() => {
    result = { name: "version" };
  });
  try {
    const { options, args } = cli.parse(["node", "gort", ...dashDash(argv)]);
    if (result) return result;
    if (options.version) return { name: "version" };
    if (args.length > 0)
      throw new UsageError(`unknown command ${JSON.stringify(args[0])}. Run 'gort --help' for usage`);
    const unknown = Object.keys(options).find((o) => o !== "--" && o !== "version");
    if (unknown) throw new UsageError(`unknown option --${unknown}. Run 'gort --help' for usage`);
    cli.outputHelp();
  } catch (e) {
    if (e instanceof Error && e.name === "CACError") {
      const said = e.message
        .replaceAll("`", "")
        .replace(/^Unknown/, "unknown")
        .replace(/^Unused args/, "unexpected arguments");
      throw new UsageError(
        said.startsWith("missing required args for command run")
          ? "run: no file given"
          : said.startsWith("missing required args for command pprof")
            ? "pprof: no file or URL given"
            : `${said}. Run 'gort --help' for usage`,
      );
    }
    throw e;
  }
  throw new Error("unreachable: help always throws its text");
}

function pprofOptions(given: Readonly<Record<string, unknown>>): {
  diff: string | undefined;
  options: PprofOptions;
} {
  const text = (name: string) => (given[name] === undefined ? undefined : String(given[name]));
  const number = (name: string) => {
    const value = text(name);
    if (value !== undefined && !/^[1-9]\d*$/.test(value)) {
      throw new UsageError(`--${name} must be a whole number from 1 (got ${JSON.stringify(value)})`);
    }
    return value === undefined ? undefined : Number(value);
  };
  const pattern = (name: string) => {
    const value = text(name);
    try {
      return value === undefined ? undefined : new RegExp(value);
    } catch {
      throw new UsageError(`--${name} must be a regular expression (got ${JSON.stringify(value)})`);
    }
  };
  const reports = (["top", "tree", "traces"] as const).filter((name) => given[name] === true);
  const flame = text("flame");
  if (reports.length + (flame === undefined ? 0 : 1) > 1) {
    throw new UsageError("pprof shows one of --top, --tree, --traces and --flame at a time");
  }
  return {
    diff: text("diff"),
    options: {
      report: reports[0] ?? "top",
      flame,
      sampleIndex: text("sample_index"),
      nodeCount: number("nodecount"),
      unit: text("unit"),
      cum: given.cum === true,
      focus: pattern("focus"),
      ignore: pattern("ignore"),
      seconds: number("seconds"),
      timeout: number("timeout"),
    },
  };
}

/** cac keeps what follows `--` away from a command's arguments; here it only says that options are over. */
function dashDash(argv: readonly string[]): string[] {
  const at = argv.indexOf("--");
  return at < 0 ? [...argv] : [...argv.slice(0, at), ...argv.slice(at + 1)];
}

function settingsOf(options: Readonly<Record<string, unknown>>): {
  settings: Settings;
  maxMemory: number | undefined;
} {
  const settings: Settings = {};
  const given = (name: string) => (options[name] === undefined ? undefined : String(options[name]));
  const gogc = given("gogc");
  if (gogc !== undefined) settings.GOGC = gogcSetting(gogc);
  const limit = given("gomemlimit");
  if (limit !== undefined)
    settings.GOMEMLIMIT = limit === "off" ? limit : String(sizeSetting("--gomemlimit", limit));
  const procs = given("gomaxprocs");
  if (procs !== undefined) settings.GOMAXPROCS = gomaxprocsSetting(procs);
  const godebug = given("godebug");
  if (godebug !== undefined) settings.GODEBUG = godebug;
  const max = given("maxMemory");
  return { settings, maxMemory: max === undefined ? undefined : sizeSetting("--max-memory", max) };
}
