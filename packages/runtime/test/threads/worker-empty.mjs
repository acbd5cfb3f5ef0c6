import "@gort/runtime/worker";
