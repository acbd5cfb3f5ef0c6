/**
 * `gort env`: the settings that a program gets, and whether an option, the environment or the default sets each. The
 * settings are read from a runtime, since variables may have invalid values.
 *
 *     option of the command line  >  valid variable of the environment  >  default
 *
 * GODEBUG is a list: the option's switches are added to the variable's. If both set one switch, the option's value
 * counts.
 */
import type { CommandLine, Settings } from "./command-line.ts";
import { applySettings, runtimeWith } from "./settings.ts";

const meanings = {
  GOGC: "garbage collection target, percent of the live heap",
  GOMEMLIMIT: "soft limit of the runtime's memory, bytes",
  GOMAXPROCS: "processors that run goroutines",
  GODEBUG: "debug switches",
  GOTRACEBACK: "how much a crash report shows",
  NumCPU: "processors of this machine",
  node: "version of Node",
  shared: "memory is shared between threads",
  reservedBytes: "address space reserved for the heap",
  releasesMemory: "freed memory can go back to the operating system",
};

type Variable = "GOGC" | "GOMEMLIMIT" | "GOMAXPROCS" | "GODEBUG" | "GOTRACEBACK";
/** `ignored`: the value of the variable is invalid, and the default counts. */
type Source = "option" | "environment" | "environment, option" | "default" | "ignored";
type Environment = Record<keyof typeof meanings, string | number | boolean>;

const sourceTexts: Record<Source, string> = {
  option: "option",
  environment: "environment",
  "environment, option": "environment, option",
  default: "default",
  ignored: "default: the value of the variable is invalid",
};

export async function printEnv(
  { json, settings, maxMemory }: CommandLine & { name: "env" },
  out: (text: string) => void,
): Promise<void> {
  const variables = { ...process.env };
  const restore = applySettings(settings);
  try {
    const env = await readEnvironment(maxMemory);
    const sources = await readSources(settings, variables, env.GODEBUG !== "");
    if (json) {
      out(`${JSON.stringify({ ...env, sources }, null, 2)}\n`);
      return;
    }
    const rows = Object.entries(env).map(([name, value]) => {
      const source = sources[name as Variable];
      const meaning = meanings[name as keyof Environment];
      return [name, String(value), source === undefined ? meaning : `${meaning} (${sourceTexts[source]})`];
    });
    const width = (c: number) => Math.max(...rows.map((row) => row[c].length));
    for (const [name, value, meaning] of rows) {
      out(`${name.padEnd(width(0))}  ${value.padEnd(width(1))}  ${meaning}\n`);
    }
  } finally {
    restore();
  }
}

async function readEnvironment(maxMemory: number | undefined): Promise<Environment> {
  const runtime = await import("@gort/runtime");
  const { noMemoryLimit, setGCPercent, setMemoryLimit } = await import("@gort/runtime/debug");
  const rt = runtimeWith(runtime, await import("@gort/runtime/internal"), { maxMemory });
  // Go has no function that only reads GOGC.
  const gogc = setGCPercent(100);
  setGCPercent(gogc);
  const limit = Number(setMemoryLimit(-1));
  const { size, shared, canRelease } = rt.memory;
  const env: Environment = {
    GOGC: gogc < 0 ? "off" : gogc,
    GOMEMLIMIT: limit >= Number(noMemoryLimit) ? "off" : limit,
    GOMAXPROCS: rt.gomaxprocs(0),
    GODEBUG: switches(process.env.GODEBUG ?? "", { ...rt.godebug }),
    GOTRACEBACK: process.env.GOTRACEBACK || "single",
    NumCPU: runtime.numCPU(),
    node: process.version,
    shared,
    reservedBytes: size,
    releasesMemory: canRelease,
  };
  rt.close();
  return env;
}

/** The switches that `list` names, each once, with their values. Unknown names are omitted. */
function switches(list: string, values: Readonly<Record<string, number>>): string {
  const names = new Set(list.split(",").map((item) => item.split("=")[0]));
  return [...names]
    .filter((name) => Object.hasOwn(values, name))
    .map((name) => `${name}=${values[name]}`)
    .join();
}

async function readSources(
  settings: Settings,
  variables: NodeJS.ProcessEnv,
  debugging: boolean,
): Promise<Record<Variable, Source>> {
  const { parseGOGC, parseGOMAXPROCS, parseMemoryLimit } = await import("@gort/runtime/internal");
  const source = (name: Variable, understood: (text: string) => boolean): Source => {
    if (name in settings) return "option";
    const text = variables[name];
    if (text === undefined || text === "") return "default";
    return understood(text) ? "environment" : "ignored";
  };
  const debug = source("GODEBUG", () => debugging);
  return {
    // parseGOGC gives 100 for an invalid value, too.
    GOGC: source("GOGC", (text) => parseGOGC(text) !== 100 || /^\+?0*100$/.test(text)),
    GOMEMLIMIT: source("GOMEMLIMIT", (text) => parseMemoryLimit(text) !== undefined),
    GOMAXPROCS: source("GOMAXPROCS", (text) => parseGOMAXPROCS(text) !== undefined),
    GODEBUG: debug === "option" && variables.GODEBUG ? "environment, option" : debug,
    GOTRACEBACK: source("GOTRACEBACK", () => true),
  };
}
