// Garbage only, behind slices that are dropped: as much as the first argument times the memory.
import { createRuntime, uint8 } from "@gort/runtime";

const [times, size] = process.argv.slice(2).map(Number);
const memory = 64 * 2 ** 20;
const rt = createRuntime({ maxMemory: memory });
await rt.main(function* () {
  for (let n = 0; n * size < times * memory; n++) {
    rt.makeSlice(uint8, size);
    if (n % 10 === 0) yield* rt.gosched();
  }
});
console.log("ok");
