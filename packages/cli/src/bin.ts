#!/usr/bin/env node
import { writeStderr } from "@gort/base";
import { run } from "./index.ts";
import { OutputStreams } from "./streams.ts";

const streams = new OutputStreams();
const argv = process.argv.slice(2);
let code = await run(argv);
await streams.drain();
// For `run`, standard output belongs to the program, and Go's runtime reports no such error for it.
if (streams.failure !== undefined && code === 0 && argv[0] !== "run") {
  writeStderr(`gort: cannot write to standard output: ${streams.failure.message}\n`);
  code = 1;
}
// Do not wait for the event loop: when main returns, the timers of other goroutines end with it.
process.exit(code);
