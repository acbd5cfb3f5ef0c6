/** The values of Go's Version, GOOS, GOARCH and Compiler. */

type HostProcess = { platform?: string; arch?: string; versions?: { node?: string } };
const host = (globalThis as { process?: HostProcess }).process;

/** Version of the packages. The release writes it. */
export const gortVersion = "0.0.0";

/** The release of Go whose behaviour is reproduced. */
export const goVersion = "go1.27.3";

const systems: Record<string, string> = { win32: "windows", sunos: "solaris" };
const architectures: Record<string, string> = {
  x64: "amd64",
  ia32: "386",
  ppc64: "ppc64le",
  mipsel: "mipsle",
};

/** The operating system by Go's name: `linux`, `darwin`, `windows`, ...; `js` in a browser. */
export const GOOS: string = host?.platform ? (systems[host.platform] ?? host.platform) : "js";

/** The processor by Go's name: `amd64`, `arm64`, ...; `wasm` in a browser. Layouts are amd64's everywhere. */
export const GOARCH: string = host?.arch ? (architectures[host.arch] ?? host.arch) : "wasm";

/** The name of the tool chain, which differs from Go's `gc`. */
export const compiler = "gort";

/** The release of Go that is reproduced, and the release of gort: `go1.27.3 gort/0.1.0`. */
export function version(): string {
  return `${goVersion} gort/${gortVersion}`;
}

/** The environment's GOROOT, or "": gort has no tree of its own. */
export function goroot(): string {
  const env = (globalThis as { process?: { env?: Record<string, string | undefined> } }).process?.env;
  return env?.GOROOT ?? "";
}

let cpus = 0;

/** Number of processors that this process could use at the first call. */
export function numCPU(): number {
  if (cpus === 0) {
    type OS = { availableParallelism?(): number };
    const os = (
      globalThis as { process?: { getBuiltinModule?(id: string): unknown } }
    ).process?.getBuiltinModule?.("node:os") as OS | undefined;
    const browser = (globalThis as { navigator?: { hardwareConcurrency?: number } }).navigator;
    cpus = os?.availableParallelism?.() ?? browser?.hardwareConcurrency ?? 1;
  }
  return cpus;
}

/** Stops an attached debugger here. */
export function breakpoint(): void {
  // biome-ignore lint/suspicious/noDebugger: the function exists for this statement
  debugger;
}
