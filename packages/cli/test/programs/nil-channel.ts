import { recvCase, select } from "@gort/runtime";

export default function* main() {
  yield* select([recvCase(null)]);
}
