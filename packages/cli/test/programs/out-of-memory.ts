import { makeSlice, uint8 } from "@gort/runtime";

export default function* main() {
  const kept: unknown[] = [];
  for (;;) kept.push(makeSlice(uint8, 8 << 20));
}
