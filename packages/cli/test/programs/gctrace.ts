import { gc } from "@gort/runtime";

export default function* main() {
  gc();
}
