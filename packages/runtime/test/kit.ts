/** Helpers of this package's tests. */
import { gunzipSync } from "node:zlib";
import { afterEach } from "vitest";
import { createRuntime, type Runtime, type RuntimeOptions } from "../src/index.ts";

const open: Runtime[] = [];
afterEach(() => {
  for (const rt of open.splice(0)) rt.close();
});

/** Closes the runtime at the end of the running test. */
export function closeAfterTest(rt: Runtime): Runtime {
  open.push(rt);
  return rt;
}

/** Makes a runtime of 64 MiB that prints nothing, for the running test. */
export function make(options: RuntimeOptions = {}): Runtime {
  return closeAfterTest(createRuntime({ maxMemory: 64 << 20, godebug: "", stderr: () => {}, ...options }));
}

/** Ends in the next turn of the event loop. */
export const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

/** The profile of this name as text; `debug` as in pprof, where 0 gives the encoded profile. */
export async function profileText(rt: Runtime, name: string, debug: number): Promise<string> {
  let out = "";
  await rt.profiler.lookup(name)!.writeTo((bytes) => {
    out += new TextDecoder().decode(debug === 0 ? gunzipSync(bytes) : bytes);
  }, debug);
  return out;
}
