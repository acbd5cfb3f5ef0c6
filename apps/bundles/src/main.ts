/** For bundlers that replace the URL of a worker's source by that of its bundle: Vite and webpack. */
import { host } from "./host.ts";
import { run } from "./program.ts";

await run(host(() => new Worker(new URL("./worker.ts", import.meta.url), { type: "module" })));
