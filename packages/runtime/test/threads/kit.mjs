// A runtime on two threads for a program in this folder; `onWorker` starts a task that runs on the worker.
import { createRuntime, setDefaultRuntime } from "@gort/runtime";

export function runtime(options = {}) {
  const rt = createRuntime({ gomaxprocs: Number(process.env.PROCS ?? 2), maxMemory: 64 << 20, ...options });
  setDefaultRuntime(rt);
  return rt;
}
