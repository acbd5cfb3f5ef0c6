import "@gort/runtime/worker";
import "./tasks.mjs";
