import "@gort/runtime/worker";

throw new Error("at the top of the worker's module");
