#!/usr/bin/env node
import { run } from "./index.ts";
import { OutputStreams } from "./streams.ts";

const streams = new OutputStreams();
const argv = process.argv.slice(2);
let code = await run(argv);
await streams.drain();
// What a program does about its own output is its own affair.
if (streams.failure !== undefined && code === 0 && argv[0] !== "run") {
  process.stderr.write(`gort: cannot write to standard output: ${streams.failure.message}\n`);
  code = 1;
}
// Not left to the event loop: when main returns, the other goroutines' timers end with it.
process.exit(code);
