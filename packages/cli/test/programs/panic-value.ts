import { panic } from "@gort/runtime";

export default function* main() {
  panic("out of cheese");
}
