// The command without its process: options, the run, the report.
import { writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { cac } from "cac";
import { run } from "./harness.ts";
import { figure, markdown, table } from "./report.ts";
import type { Side } from "./sides.ts";
import { select, suite } from "./suite.ts";

interface Options {
  only?: string;
  json?: string;
  markdown?: string;
  quick?: boolean;
  list?: boolean;
  rounds?: number;
  v8?: boolean;
  peers?: boolean;
  help?: boolean;
}

/** The surroundings of the command: the sides to measure, and the receivers of its text. */
export interface Host {
  gort(): Side;
  /** `null` if there is no toolchain. */
  go(): Promise<Side | null>;
  oneThread(): Side;
  v8(): Side;
  npm(): Side[];
  stdout(text: string): void;
  stderr(text: string): void;
  /** Whether a progress line may be overwritten. */
  readonly terminal: boolean;
}

class UsageError extends Error {}

function parse(argv: readonly string[]): { args: readonly string[]; options: Options } {
  const cli = cac("bench");
  cli
    .usage("[options]")
    .option("--only <regex>", "run the benchmarks whose name matches")
    .option("--quick", "smaller sizes and fewer rounds: a look, not a measurement")
    .option("--rounds <n>", "processes a benchmark and side (default 5, quick 3)")
    .option("--json <file>", "write the results as JSON")
    .option("--markdown <file>", "write the table as Markdown")
    .option("--no-v8", "leave out V8's own objects and promises as a peer")
    .option("--peers", "also measure npm's libraries of fibers and channels, where they can do the work")
    .option("--list", "print the benchmarks and what they measure, and leave")
    .help();
  const parsed = cli.parse([...argv], { run: false });
  if (parsed.options.help) return parsed;
  cli.globalCommand.checkUnknownOptions();
  cli.globalCommand.checkOptionValue();
  if (parsed.args.length > 0) throw new UsageError(`unexpected argument ${parsed.args[0]} (see --help)`);
  return parsed;
}

async function peers(options: Options, host: Host): Promise<Side[]> {
  const go = await host.go();
  if (go === null) {
    host.stderr("no Go toolchain found (GO=path, or go in the path): gort is measured without it\n");
  }
  return [
    ...(go === null ? [] : [go]),
    host.oneThread(),
    ...(options.v8 === false ? [] : [host.v8()]),
    ...(options.peers ? host.npm() : []),
  ];
}

function text(value: unknown): string | undefined {
  return value === undefined ? undefined : String(value);
}

async function execute(argv: readonly string[], host: Host): Promise<number> {
  const { options } = parse(argv);
  if (options.help) return 0;
  let benchmarks: typeof suite;
  try {
    benchmarks = select(text(options.only));
  } catch (error) {
    throw new UsageError(`--only: ${(error as Error).message}`);
  }
  if (benchmarks.length === 0) {
    throw new UsageError(`--only ${options.only} matches none of ${suite.map((b) => b.name).join(", ")}`);
  }
  const quick = options.quick === true;
  if (options.list) {
    for (const { name, unit, what, n, quickN } of benchmarks) {
      host.stdout(`${name.padEnd(20)} ${unit.padEnd(10)} n=${quick ? quickN : n}  ${what}\n`);
    }
    return 0;
  }
  const rounds = Number(options.rounds ?? (quick ? 3 : 5));
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new UsageError(`--rounds must be a positive integer (got ${options.rounds})`);
  }

  const gort = host.gort();
  const others = await peers(options, host);
  const model = cpus()[0]?.model.trim() ?? "unknown processor";
  const processor = `${model}, ${cpus().length} hardware threads, ${Math.round(totalmem() / 2 ** 30)} GiB`;
  const versions = others.map((side) => `; ${side.version}`).join("");
  const setting = [
    `${processor}; ${gort.version}${versions}; GOMAXPROCS=1 on every side, 2 in benchmarks of two threads`,
    `medians of ${rounds} processes a side, taken in turn; ± is half the distance from the fastest to the slowest;`,
    `gort/peer under 1 means that gort is faster${quick ? "; QUICK sizes" : ""}`,
  ].join("\n");
  host.stdout(`${setting}\n\n`);

  const clearLine = host.terminal ? "\r\x1b[K" : "";
  const { results, failures } = await run({
    benchmarks,
    gort,
    peers: others,
    rounds,
    quick,
    progress({ benchmark, round, side, value }) {
      const at = benchmarks.indexOf(benchmark) + 1;
      const where = `[${at}/${benchmarks.length}] ${benchmark.name} round ${round + 1}/${rounds}`;
      const step = `${where}: ${side.name} ${figure(value)} ${benchmark.unit}`;
      host.stderr(host.terminal ? clearLine + step : `${step}\n`);
    },
  });
  if (clearLine !== "") host.stderr(clearLine);

  if (results.length > 0) host.stdout(`${table(results)}\n`);
  if (options.json !== undefined)
    writeFileSync(String(options.json), `${JSON.stringify(results, null, 2)}\n`);
  if (options.markdown !== undefined)
    writeFileSync(String(options.markdown), `${setting}\n\n${markdown(results)}\n`);
  for (const { name, error } of failures) host.stderr(`\n${name} failed: ${error.message}\n`);
  return failures.length > 0 ? 1 : 0;
}

/** Runs the command and returns its exit status: 1 if something failed, 2 if it was called wrongly. */
export async function bench(argv: readonly string[], host: Host): Promise<number> {
  try {
    return await execute(argv, host);
  } catch (error) {
    host.stderr(`bench: ${(error as Error).message}\n`);
    return error instanceof UsageError || (error as Error).name === "CACError" ? 2 : 1;
  }
}
