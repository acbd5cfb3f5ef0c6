import { type Chan, go, makeChan } from "@gort/runtime";

interface Letter {
  text: string;
}

function* waiter(c: Chan<Letter>) {
  yield* c.send({ text: "nobody reads this" });
}

export default function* main() {
  const c = makeChan<Letter>();
  const d = makeChan<Letter>();
  go(waiter, c);
  yield* d.recv();
}
