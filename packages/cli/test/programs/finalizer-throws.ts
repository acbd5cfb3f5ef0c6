import { gc, newObject, setFinalizer, sleep, uint64 } from "@gort/runtime";

export default function* main() {
  const doomed = newObject(uint64);
  setFinalizer(doomed, () => {
    throw new Error("last words");
  });
  doomed.release();
  for (let i = 0; i < 100; i++) {
    gc();
    yield* sleep(10);
  }
}
