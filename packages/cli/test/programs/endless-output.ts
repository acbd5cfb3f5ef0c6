import { gosched } from "@gort/runtime";

/** Prints until its reader is gone. It ends by itself after a minute. */
export default function* main() {
  const [mode] = process.argv.slice(2);
  let failed = false;
  if (mode === "handled") {
    process.on("SIGPIPE", () => {});
    process.stdout.on("error", (e: NodeJS.ErrnoException) => {
      failed = true;
      console.error(e.code);
    });
  }
  const print = mode === "stderr" ? console.error : console.log;
  for (let i = 0; i < 1e9 && !failed; i++) {
    print(`line ${i}`);
    yield* gosched();
  }
}
