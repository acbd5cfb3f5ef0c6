import { createRequire } from "node:module";

/** The version of this package; all packages of gort share one. */
const cliVersion = (createRequire(import.meta.url)("../package.json") as { version: string }).version;

export async function printVersion(out: (text: string) => void): Promise<void> {
  const { version, GOOS, GOARCH } = await import("@gort/runtime");
  out(`gort version ${cliVersion} (runtime ${version()}) ${GOOS}/${GOARCH} node ${process.version}\n`);
}
