/** Values of options. An invalid variable of the environment is ignored, as in Go; an invalid option is refused. */
import { parseSize } from "@gort/base";
import type { Settings } from "./command-line.ts";
import { UsageError } from "./errors.ts";
import { defaultProcs } from "./processors.ts";

export function gogcSetting(text: string): string {
  if (text !== "off" && !(/^-?\d{1,10}$/.test(text) && Math.abs(Number(text)) < 2 ** 31)) {
    throw new UsageError(`--gogc must be a percentage or off (got ${JSON.stringify(text)})`);
  }
  return text;
}

export function gomaxprocsSetting(text: string): string {
  if (!(/^[1-9]\d{0,9}$/.test(text) && Number(text) < 2 ** 31))
    throw new UsageError(`--gomaxprocs must be a whole number from 1 (got ${JSON.stringify(text)})`);
  return text;
}

type RuntimeModule = typeof import("@gort/runtime");
type Internal = typeof import("@gort/runtime/internal");
type CreateOptions = NonNullable<Parameters<RuntimeModule["createRuntime"]>[0]>;

/** When a program ends as deadlocked. */
export type DeadlockMode = NonNullable<CreateOptions["deadlock"]>;
const deadlockModes: readonly DeadlockMode[] = ["certain", "eager", "warn", "off"];

export function deadlockSetting(text: string | undefined): DeadlockMode | undefined {
  if (text !== undefined && !deadlockModes.includes(text as DeadlockMode)) {
    throw new UsageError(
      `--deadlock must be one of ${deadlockModes.join(", ")} (got ${JSON.stringify(text)})`,
    );
  }
  return text as DeadlockMode | undefined;
}

/** A size as in GOMEMLIMIT: digits and an optional unit B, KiB, MiB, GiB or TiB; in bytes. */
export function sizeSetting(option: string, text: string): number {
  const bytes = parseSize(text);
  if (!Number.isSafeInteger(bytes) || bytes === 0) {
    throw new UsageError(`${option} must be a size such as 512MiB (got ${JSON.stringify(text)})`);
  }
  return bytes;
}

/**
 * Writes the settings to the environment, before the first import of the runtime. Returns a function that restores the
 * environment. The list of GODEBUG is appended to the environment's, since the later of two values for a switch counts.
 */
export function applySettings(settings: Settings, env: NodeJS.ProcessEnv = process.env): () => void {
  const before = Object.keys(settings).map((name) => [name, env[name]] as const);
  for (const [name, value] of Object.entries(settings)) {
    env[name] = name === "GODEBUG" && env[name] ? `${env[name]},${value}` : value;
  }
  return () => {
    for (const [name, value] of before) {
      if (value === undefined) delete env[name];
      else env[name] = value;
    }
  };
}

/** Makes the module's default runtime, with the given options. As in Go, it may use every processor by default. */
export function runtimeWith(
  module: Pick<RuntimeModule, "createRuntime" | "numCPU" | "setDefaultRuntime">,
  { parseGOMAXPROCS }: Pick<Internal, "parseGOMAXPROCS">,
  { maxMemory, deadlock }: { maxMemory: number | undefined; deadlock?: DeadlockMode | undefined },
): ReturnType<RuntimeModule["createRuntime"]> {
  const options: CreateOptions = {
    gomaxprocs: parseGOMAXPROCS(process.env.GOMAXPROCS) ?? defaultProcs(module.numCPU()),
    ...(maxMemory === undefined ? {} : { maxMemory }),
    ...(deadlock === undefined ? {} : { deadlock }),
  };
  try {
    const runtime = module.createRuntime(options);
    module.setDefaultRuntime(runtime);
    return runtime;
  } catch (e) {
    // The platform refuses the memory, or the size is out of bounds. The message has the numbers.
    throw new UsageError(`cannot make a runtime: ${e instanceof Error ? e.message : String(e)}`);
  }
}
