// Gets the arguments of tasks, and sends them back.
import { parentPort, workerData } from "node:worker_threads";
import { createAllocator } from "@gort/allocator";
import { attachLinearMemory } from "@gort/memory";
import { clone } from "@gort/threads";
import { TaskArgs } from "@gort/threads/internal";
import { createTypes } from "@gort/types";
import { sharedHeap } from "./shared-heap.mjs";

const { memory, count } = workerData;
const allocator = createAllocator({ memory: attachLinearMemory(memory) });
const args = new TaskArgs(createTypes(sharedHeap(allocator, count)));
let blocks = null;
parentPort.on("message", (message) => {
  if (blocks === null) {
    blocks = message;
    return;
  }
  const sent = blocks.map((block, k) => {
    const values = args.decode(block);
    return args.encode(
      "t",
      values.map((x, i) => (message[k][i] ? clone(x) : x)),
    );
  });
  parentPort.postMessage({ sent });
  allocator.close();
  parentPort.close();
});
