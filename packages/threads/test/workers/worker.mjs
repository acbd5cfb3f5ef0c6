// An M that runs tasks: each task adds its number to a sum, and some sleep, spawn tasks or stop the world. It ends when
// the word `over` is set and it is signalled.
import { parentPort, workerData } from "node:worker_threads";
import { attachLinearMemory } from "@gort/memory";
import { attachThreads } from "@gort/threads";
import { runTasks } from "./run-tasks.mjs";

const { memory, thread, m, words, seed, options } = workerData;
const mem = attachLinearMemory(memory, { thread });
const threads = attachThreads(mem, m);
// Its message port keeps the event loop alive.
parentPort.on("message", () => {});
const { slice } = runTasks(threads, words, seed, options, (failure) => {
  if (failure !== null) parentPort.postMessage(failure);
  parentPort.close();
});
slice();
