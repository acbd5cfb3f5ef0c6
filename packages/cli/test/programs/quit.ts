import { go, makeChan, sleep } from "@gort/runtime";

export default function* main() {
  const c = makeChan<number>();
  go(function* waiter() {
    yield* c.recv();
  });
  if (process.argv[2] === "handled") {
    process.on("SIGQUIT", () => {
      console.log("handled");
      process.exit(0);
    });
  }
  yield* sleep(10);
  process.kill(process.pid, "SIGQUIT");
  yield* sleep(20_000);
}
