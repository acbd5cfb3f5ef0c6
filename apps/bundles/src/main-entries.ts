/** For bundlers that build the worker's module as an entry of its own: esbuild and Rollup. */
import { host } from "./host.ts";
import { run } from "./program.ts";

await run(host(() => new Worker(new URL("./worker.js", import.meta.url), { type: "module" })));
