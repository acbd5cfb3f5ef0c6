// Makes a root, slowly, beside other threads that do the same. Adds 1 to `made` for each time that it makes the state.
import { parentPort, workerData } from "node:worker_threads";
import { attachLinearMemory } from "@gort/memory";

const { memory, gate, made, threads, roots } = workerData;
const mem = attachLinearMemory(memory);
const { kernel } = mem;
const found = [];
for (const [round, index] of roots.entries()) {
  kernel.add(gate, 1);
  while (kernel.load(gate) < threads * (round + 1));
  found.push(
    mem.makeRoot(index, () => {
      kernel.add(made, 1);
      const state = mem.reserveControl(16);
      for (let i = 0; i < 1_000_000; i++) kernel.load(gate); // longer than the others take to come
      mem.u32[(state + 8) >>> 2] = index;
      return state;
    }),
  );
}
parentPort.postMessage(found);
