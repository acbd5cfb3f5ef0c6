// A worker frees memory, while the main goroutine computes and calls safepoint(). Does the memory go back?
import { uint8 } from "@gort/runtime";
import { runtime } from "./kit.mjs";
import { freeAll, spike } from "./scavenge-tasks.mjs";

const MIB = 1 << 20;
const how = process.argv[2];
const limit = how === "limit" ? { memoryLimit: 64 * MIB, gogc: "off" } : {};
const rt = runtime({ maxMemory: 512 * MIB, ...limit });
if (!rt.memory.canRelease) console.log("cannot");

const mapped = () => {
  const { Sys, HeapReleased } = rt.readMemStats();
  return Sys - HeapReleased;
};

/** Calls safepoint() until so few bytes are mapped. */
function computeUntil(bytes) {
  const deadline = performance.now() + 20_000;
  for (let next = 0; performance.now() < deadline; rt.safepoint()) {
    if (performance.now() < next) continue;
    next = performance.now() + 100;
    if (mapped() <= bytes) return true;
  }
  return false;
}

const returned = await rt.main(function* () {
  // The tasks are for the worker.
  rt.lockOSThread();
  const state = rt.makeSlice(uint8, 1);
  rt.go(how === "force" ? freeAll : spike, 120, state);
  if (how === "force") {
    while (state.get(0) !== 3) yield* rt.sleep(1);
    return rt.readMemStats().HeapReleased > 100 * MIB;
  }
  while (state.get(0) === 0) yield* rt.sleep(1);
  const returned = computeUntil(how === "limit" ? 80 * MIB : mapped() - 8 * MIB);
  state.set(0, 2);
  while (state.get(0) === 2) yield* rt.sleep(1);
  return returned;
});
console.log(`returned ${returned}`);
rt.close();
