import "@gort/runtime/worker";
import "./heap-tasks.mjs";
