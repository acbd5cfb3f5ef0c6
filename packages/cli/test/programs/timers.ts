import { go, gosched, sleep } from "@gort/runtime";

export default function* main() {
  go(function* () {
    yield* sleep(600_000);
  });
  setTimeout(() => {}, 600_000);
  yield* gosched();
  console.log("main is done");
}
