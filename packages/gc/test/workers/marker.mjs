// A helper: takes part in every mark phase until the word `stop` is set, and adds what it scanned to the word
// `scanned`.
import { parentPort, workerData } from "node:worker_threads";
import { createAllocator } from "@gort/allocator";
import { attachMarkWorker } from "@gort/gc/testing";
import { attachLinearMemory } from "@gort/memory";

const { memory, stop, scanned, kind, fail, hang } = workerData;
const mem = attachLinearMemory(memory);
const a = createAllocator({ memory: mem });
if (fail || hang) {
  // Fails, or stops while the word `hang` is 1, when it has set its 50th mark and before it queues what it marked.
  let left = 50;
  const { kernel } = mem;
  const or = (addr, value) => {
    const old = kernel.or(addr, value);
    if (--left === 0) {
      if (fail) throw new Error("failed with an object in hand");
      kernel.store(hang, 1);
      Atomics.wait(mem.i32, hang >>> 2, 1);
    }
    return old;
  };
  Object.defineProperty(mem, "kernel", { value: { ...kernel, or } });
}
const worker = attachMarkWorker(a, kind);
parentPort.postMessage({ id: worker.id });
while (mem.kernel.load(stop) === 0) {
  const n = worker.run(50);
  if (n > 0) mem.kernel.add(scanned, n);
}
worker.close();
