/** The module of the workers: the runtime's entry, and the modules of the tasks. */
import "@gort/runtime/worker";
import "./tasks.ts";
