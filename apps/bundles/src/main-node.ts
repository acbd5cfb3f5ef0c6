/** For Node, whose Worker is no global, with the worker as an entry of its own. */
import { Worker } from "node:worker_threads";
import { host } from "./host.ts";
import { run } from "./program.ts";

await run(host(() => new Worker(new URL("./worker.js", import.meta.url))));
