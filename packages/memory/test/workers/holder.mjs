// Takes the lock and never gives it back.
import { parentPort, workerData } from "node:worker_threads";
import { attachLinearMemory, lock } from "@gort/memory";

const mem = attachLinearMemory(workerData.memory, { thread: workerData.thread });
lock(mem, workerData.at);
parentPort.postMessage("held");
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
