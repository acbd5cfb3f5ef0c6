import { go, sleep } from "@gort/runtime";

enum Colour {
  Red,
}

export default function* main() {
  go(function* thrower() {
    throw new Error(`colour ${Colour[Colour.Red]}`);
  });
  yield* sleep(10_000);
}
