/** `@gort/runtime/adapters`: channels from and to streams, async iterables and events. */
export * from "@gort/scheduler/adapters";
