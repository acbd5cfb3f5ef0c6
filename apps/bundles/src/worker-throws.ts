/** A module of workers that fails while it loads. */
import "@gort/runtime/worker";

throw new Error("at the top of the worker's module");
