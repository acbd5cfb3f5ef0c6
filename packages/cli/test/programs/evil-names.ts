import { go, panic, sleep } from "@gort/runtime";

const inner = "f\u001b[2J\nq\u202e";
const outer = "go\u001b]0;x\u0007";
const evil = {
  *[inner]() {
    panic("a\nb\u001b[31mc\u202e");
  },
  *[outer]() {
    go(evil[inner]);
    yield* sleep(10_000);
  },
};

export default function* main() {
  go(evil[outer]);
  yield* sleep(10_000);
}
