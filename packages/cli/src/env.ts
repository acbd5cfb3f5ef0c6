/** `gort env`: what a program would find, read from a runtime and not from the variables, which may be nonsense. */
import type { CommandLine } from "./command-line.ts";
import { applySettings, runtimeWith } from "./settings.ts";

const meanings = {
  GOGC: "garbage collection target, percent of the live heap",
  GOMEMLIMIT: "soft limit of the runtime's memory, bytes",
  GOMAXPROCS: "processors that run goroutines",
  GODEBUG: "debug switches",
  NumCPU: "processors of this machine",
  node: "version of Node",
  shared: "memory is shared between threads",
  reservedBytes: "address space reserved for the heap",
  releasesMemory: "freed memory can go back to the operating system",
};

type Environment = Record<keyof typeof meanings, string | number | boolean>;

export async function printEnv(
  { json, settings, maxMemory }: CommandLine & { name: "env" },
  out: (text: string) => void,
): Promise<void> {
  const restore = applySettings(settings);
  try {
    const env = await readEnvironment(maxMemory);
    if (json) {
      out(`${JSON.stringify(env, null, 2)}\n`);
      return;
    }
    const rows = Object.entries(env).map(([name, value]) => [name, String(value)]);
    const width = (c: number) => Math.max(...rows.map((row) => row[c].length));
    for (const [name, value] of rows) {
      out(`${name.padEnd(width(0))}  ${value.padEnd(width(1))}  ${meanings[name as keyof Environment]}\n`);
    }
  } finally {
    restore();
  }
}

async function readEnvironment(maxMemory: number | undefined): Promise<Environment> {
  const runtime = await import("@gort/runtime");
  const { noMemoryLimit, setGCPercent, setMemoryLimit } = await import("@gort/runtime/debug");
  const rt = runtimeWith(runtime, maxMemory);
  // Go has no function that only reads it.
  const gogc = setGCPercent(100);
  setGCPercent(gogc);
  const limit = Number(setMemoryLimit(-1));
  const { size, shared, canRelease } = rt.memory;
  const env: Environment = {
    GOGC: gogc < 0 ? "off" : gogc,
    GOMEMLIMIT: limit >= Number(noMemoryLimit) ? "off" : limit,
    GOMAXPROCS: rt.gomaxprocs(0),
    GODEBUG: process.env.GODEBUG ?? "",
    NumCPU: runtime.numCPU(),
    node: process.version,
    shared,
    reservedBytes: size,
    releasesMemory: canRelease,
  };
  rt.close();
  return env;
}
