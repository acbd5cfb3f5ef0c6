import { makeChan } from "@gort/runtime";

type Nothing = undefined;

export default function* main() {
  const c = makeChan<Nothing>();
  c.close();
  c.close();
}
