#!/usr/bin/env node
import { run } from "./index.ts";

// A reader that stops early (`gort env | head -1`) is no error of ours.
process.stdout.on("error", (e: NodeJS.ErrnoException) => process.exit(e.code === "EPIPE" ? 0 : 1));

/** Both streams can be pipes; exiting before they drain would cut the program's last words. */
const drained = (stream: NodeJS.WriteStream) =>
  stream.destroyed ? undefined : new Promise<void>((resolve) => void stream.write("", () => resolve()));

const code = await run(process.argv.slice(2));
await Promise.all([drained(process.stdout), drained(process.stderr)]);
// Not left to the event loop: when main returns, the other goroutines' timers end with it.
process.exit(code);
