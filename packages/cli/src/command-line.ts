/**
 * The commands of `gort`, their options and help. Options of `run` stand before FILE. All words after FILE belong to
 * the program, as in `go run`.
 */
import { type OptionSpec, readWords, type Words } from "./arguments.ts";
import { UsageError } from "./errors.ts";
import {
  type DeadlockMode,
  deadlockSetting,
  gogcSetting,
  gomaxprocsSetting,
  sizeSetting,
} from "./settings.ts";

/** Variables that the runtime reads from the environment, as options set them. */
export type Settings = Partial<Record<"GOGC" | "GOMEMLIMIT" | "GOMAXPROCS" | "GODEBUG", string>>;

export type CommandLine =
  | {
      name: "run";
      file: string;
      /** The words after FILE. */
      args: readonly string[];
      settings: Settings;
      maxMemory: number | undefined;
      deadlock: DeadlockMode | undefined;
    }
  | { name: "env"; json: boolean; settings: Settings; maxMemory: number | undefined }
  | { name: "pprof"; source: string; diff: string | undefined; options: PprofOptions }
  | { name: "version" }
  | { name: "help"; text: string };

/** The report of `gort pprof`, and its options. */
export interface PprofOptions {
  report: "top" | "tree" | "traces";
  /** The file for a flame graph. With it, there is no report. */
  flame: string | undefined;
  sampleIndex: string | undefined;
  /** At most as many functions; 0: all. */
  nodeCount: number | undefined;
  unit: string | undefined;
  cum: boolean;
  focus: RegExp | undefined;
  ignore: RegExp | undefined;
  /** Seconds that the server measures for a profile that is fetched. */
  seconds: number | undefined;
  /** Seconds until a fetch is given up; by default a minute more than the server measures. */
  timeout: number | undefined;
}

interface Command {
  readonly name: string;
  /** The placeholders of its operands in the help. */
  readonly operands: string;
  readonly help: string;
  readonly options: readonly OptionSpec[];
  readonly examples?: readonly string[];
  /** The error if there is no operand. A command without this field takes none. */
  readonly missing?: string;
  read(words: Words): CommandLine;
}

const settingsOptions: readonly OptionSpec[] = [
  { name: "gogc", value: "<percent>", help: "Garbage collection target: a percentage or off (GOGC)" },
  {
    name: "gomemlimit",
    value: "<size>",
    help: "Soft limit of the runtime's memory, such as 512MiB (GOMEMLIMIT)",
  },
  { name: "gomaxprocs", value: "<n>", help: "Processors that run goroutines (GOMAXPROCS)" },
  {
    name: "godebug",
    value: "<list>",
    list: true,
    help: "Debug switches, name=value[,name=value], added to GODEBUG",
  },
  { name: "max-memory", value: "<size>", help: "Address space to reserve for the heap, such as 1GiB" },
];

const commands: readonly Command[] = [
  {
    name: "run",
    operands: "<file> [arguments of the program]",
    help: "Run a module whose default export is the main goroutine",
    options: [
      ...settingsOptions,
      {
        name: "deadlock",
        value: "<mode>",
        help: "When a program ends as deadlocked: certain (the default), eager, warn or off",
      },
    ],
    examples: ["hello.ts", "--godebug gctrace=1 --gogc 50 server.ts --port 8080"],
    missing: "no file given",
    read({ options, operands }) {
      const [file, ...args] = operands;
      return {
        name: "run",
        file,
        args,
        ...settingsOf(options),
        deadlock: deadlockSetting(options.get("deadlock")),
      };
    },
  },
  {
    name: "env",
    operands: "",
    help: "Print the settings that the runtime gets from its environment",
    options: [...settingsOptions, { name: "json", help: "Print JSON" }],
    read: ({ options }) => ({ name: "env", json: options.has("json"), ...settingsOf(options) }),
  },
  {
    name: "pprof",
    operands: "<file or URL>",
    help: "Show a profile, from a file or an address",
    options: [
      { name: "top", help: "List the functions with the highest values (the default)" },
      { name: "tree", help: "List every function with its callers and callees" },
      { name: "traces", help: "List every sample with its stack" },
      { name: "flame", value: "<file>", help: "Write a flame graph, as a page for the browser" },
      {
        name: "diff",
        value: "<base>",
        help: "Subtract this profile, a file or an address",
      },
      {
        name: "sample_index",
        value: "<name>",
        help: "Kind of sample, such as alloc_space or contentions",
      },
      { name: "cum", help: "Sort by the value of a function and its callees" },
      {
        name: "nodecount",
        value: "<n>",
        help: "Show at most this number of functions, 0 for all (default: 80 for a tree, else all)",
      },
      { name: "unit", value: "<name>", help: "Unit of values, such as MB or ms" },
      { name: "focus", value: "<regexp>", help: "Show only samples with a matching function or file" },
      { name: "ignore", value: "<regexp>", help: "Hide samples with a matching function or file" },
      { name: "seconds", value: "<n>", help: "Seconds for which the address measures" },
      {
        name: "timeout",
        value: "<n>",
        help: "Seconds until a fetch is given up (default: the time measured and 60)",
      },
    ],
    examples: [
      "heap.pprof",
      "--flame cpu.html --seconds 10 http://localhost:6060/debug/pprof/profile",
      "--diff before.pprof --sample_index alloc_space after.pprof",
    ],
    missing: "no file or URL given",
    read: ({ options, operands }) => ({ name: "pprof", source: operands[0], ...pprofOptions(options) }),
  },
  {
    name: "version",
    operands: "",
    help: "Print the version",
    options: [],
    read: () => ({ name: "version" }),
  },
];

/** The command that `argv`, the words after `gort`, ask for. */
export function commandLine(argv: readonly string[]): CommandLine {
  const [first, ...rest] = argv;
  if (first === "help") return help(rest);
  const command = commands.find((c) => c.name === first);
  if (command === undefined) return withoutCommand(argv);
  const usage = `Run 'gort ${command.name} --help' for usage`;
  const words = readWords(rest, command.options, usage, command.name === "run");
  if (words.help) return { name: "help", text: commandHelp(command) };
  const extra = command.name === "run" ? [] : words.operands.slice(command.missing === undefined ? 0 : 1);
  if (extra.length > 0) {
    throw new UsageError(`unexpected arguments: ${extra.map((x) => JSON.stringify(x)).join(", ")}. ${usage}`);
  }
  if (command.missing !== undefined && words.operands.length === 0) {
    throw new UsageError(`${command.name}: ${command.missing}`);
  }
  return command.read(words);
}

const overview = "Run 'gort --help' for usage";

function withoutCommand(argv: readonly string[]): CommandLine {
  const { options, operands, help } = readWords(argv, versionOptions, overview, false);
  if (operands.length > 0) throw unknownCommand(operands[0]);
  return help || options.size === 0 ? { name: "help", text: generalHelp() } : { name: "version" };
}

const versionOptions: readonly OptionSpec[] = [
  { name: "version", help: "Print the version and exit" },
  { name: "v", help: "The same" },
];

/** `gort help`, `gort help run`. */
function help([name, ...extra]: readonly string[]): CommandLine {
  if (name === undefined) return { name: "help", text: generalHelp() };
  const command = commands.find((c) => c.name === name);
  if (command === undefined || extra.length > 0) throw unknownCommand([name, ...extra].join(" "));
  return { name: "help", text: commandHelp(command) };
}

const unknownCommand = (name: string) =>
  new UsageError(`unknown command ${JSON.stringify(name)}. ${overview}`);

const title = "gort runs programs on Go's runtime, written in TypeScript.";
const helpRow = ["-h, --help", "Display this message"] as const;

function generalHelp(): string {
  const rows = commands.map((c) => [`${c.name} ${c.operands.replace(/ \[.*/, "")}`, c.help] as const);
  return sections(
    ["Usage", ["gort <command> [options]"]],
    ["Commands", columns(rows)],
    ["Options", columns([["-v, --version", "Print the version and exit"], helpRow])],
    ["More about a command", ["gort help run"]],
  );
}

function commandHelp({ name, operands, options, examples = [] }: Command): string {
  const rows = options.map((o) => [`--${o.name} ${o.value ?? ""}`.trimEnd(), o.help] as const);
  const usage = ["gort", name, options.length > 0 ? "[options]" : "", operands]
    .filter((x) => x !== "")
    .join(" ");
  return sections(
    ["Usage", [usage]],
    ["Options", columns([...rows, helpRow])],
    ["Examples", examples.map((e) => `gort ${name} ${e}`)],
  );
}

function sections(...parts: readonly (readonly [heading: string, lines: readonly string[]])[]): string {
  const shown = parts.filter(([, lines]) => lines.length > 0);
  return `${[title, ...shown.map(([heading, lines]) => `${heading}:\n  ${lines.join("\n  ")}`)].join("\n\n")}\n`;
}

function columns(rows: readonly (readonly [left: string, right: string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `${left.padEnd(width)}  ${right}`);
}

function pprofOptions(given: ReadonlyMap<string, string>): {
  diff: string | undefined;
  options: PprofOptions;
} {
  const number = (name: string, least: number) => {
    const value = given.get(name);
    if (value !== undefined && !(/^\d{1,15}$/.test(value) && Number(value) >= least)) {
      throw new UsageError(`--${name} must be a whole number from ${least} (got ${JSON.stringify(value)})`);
    }
    return value === undefined ? undefined : Number(value);
  };
  const pattern = (name: string) => {
    const value = given.get(name);
    try {
      return value === undefined ? undefined : new RegExp(value);
    } catch {
      throw new UsageError(`--${name} must be a regular expression (got ${JSON.stringify(value)})`);
    }
  };
  const reports = (["top", "tree", "traces"] as const).filter((name) => given.has(name));
  const flame = given.get("flame");
  if (reports.length + (flame === undefined ? 0 : 1) > 1) {
    throw new UsageError("pprof shows one of --top, --tree, --traces and --flame at a time");
  }
  return {
    diff: given.get("diff"),
    options: {
      report: reports[0] ?? "top",
      flame,
      sampleIndex: given.get("sample_index"),
      nodeCount: number("nodecount", 0),
      unit: given.get("unit"),
      cum: given.has("cum"),
      focus: pattern("focus"),
      ignore: pattern("ignore"),
      seconds: number("seconds", 1),
      timeout: number("timeout", 1),
    },
  };
}

function settingsOf(given: ReadonlyMap<string, string>): {
  settings: Settings;
  maxMemory: number | undefined;
} {
  const settings: Settings = {};
  const gogc = given.get("gogc");
  if (gogc !== undefined) settings.GOGC = gogcSetting(gogc);
  const limit = given.get("gomemlimit");
  if (limit !== undefined)
    settings.GOMEMLIMIT = limit === "off" ? limit : String(sizeSetting("--gomemlimit", limit));
  const procs = given.get("gomaxprocs");
  if (procs !== undefined) settings.GOMAXPROCS = gomaxprocsSetting(procs);
  const godebug = given.get("godebug");
  if (godebug) settings.GODEBUG = godebug;
  const max = given.get("max-memory");
  return { settings, maxMemory: max === undefined ? undefined : sizeSetting("--max-memory", max) };
}
