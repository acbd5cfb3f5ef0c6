import { task } from "@gort/runtime";
import "@gort/runtime/worker";
import "./tasks.mjs";

task(import.meta.url, function nothing() {});
