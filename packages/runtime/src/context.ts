/** `@gort/runtime/context`: cancellation, deadlines and values, to and from AbortSignal. */
export * from "@gort/scheduler/context";
