/** How an error that ends a program is reported to Node and printed. process.test.ts tests whole processes. */
import type { EventEmitter } from "node:events";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createTestScheduler } from "../src/testing.ts";
import { reportUnhandled } from "../src/unhandled.ts";

afterEach(() => vi.restoreAllMocks());

/** Emits an event as Node does. Node's types do not include emit for this event. */
const emitter: EventEmitter = process;
const uncaught = (error: unknown) => emitter.emit("uncaughtExceptionMonitor", error, "uncaughtException");

/** A process with the given number of handlers for uncaught errors. It records its exit status. */
function host(handlers: number, threads: unknown) {
  vi.spyOn(process, "listenerCount").mockImplementation((event) =>
    event === "uncaughtException" ? handlers : 1,
  );
  vi.spyOn(process, "getBuiltinModule").mockImplementation(((id: string) =>
    id === "node:worker_threads" ? threads : undefined) as never);
  const exits: unknown[] = [];
  vi.spyOn(process, "exit").mockImplementation(((status: unknown) => void exits.push(status)) as never);
  return exits;
}

describe("an error that ends a program", () => {
  it.each<
    [what: string, handlers: number, threads: unknown, always: boolean, printed: number, exits: number[]]
  >([
    ["that nothing handles", 0, { isMainThread: true }, false, 1, [2]],
    ["that nothing handles, without threads", 0, undefined, false, 1, [2]],
    ["of a worker", 0, { isMainThread: false }, false, 1, []],
    ["that the program handles", 1, { isMainThread: true }, false, 0, []],
    ["without a main, that the program handles", 1, { isMainThread: true }, true, 1, []],
    ["without a main", 0, { isMainThread: true }, true, 1, [2]],
  ])("%s is reported at most once", (_, handlers, threads, always, printed, exits) => {
    const ended = host(handlers, threads);
    const text: string[] = [];
    const error = new Error("x");
    expect(reportUnhandled(error, "panic: x\n", (t) => text.push(t), always)).toBe(true);
    uncaught(new Error("another"));
    expect([text, ended]).toEqual([[], []]);
    uncaught(error);
    uncaught(error);
    expect(text).toEqual(Array(printed).fill("panic: x\n"));
    expect(ended).toEqual(exits);
  });

  it("ends the process with status 2 also if the report cannot be printed", () => {
    const ended = host(0, { isMainThread: true });
    const error = new Error("x");
    const stderr = () => {
      throw new Error("closed");
    };
    reportUnhandled(error, "panic: x\n", stderr, false);
    uncaught(error);
    expect(ended).toEqual([2]);
  });

  it("is printed beside the program's own handler only if there is no main whose promise rejects", () => {
    host(1, { isMainThread: true });
    const s = createTestScheduler();
    const fail = (): never => {
      throw new Error("x");
    };
    const thrown = (f: () => void): unknown => {
      try {
        f();
      } catch (e) {
        return e;
      }
      return undefined;
    };
    uncaught(thrown(() => s.runMain(fail)));
    expect(s.errors).toEqual([]);
    s.go(fail);
    uncaught(thrown(() => s.run()));
    expect(s.errors).toEqual([expect.stringMatching(/^panic: x\n\ngoroutine \d+ \[running\]:/)]);
  });

  it("is looked up only if it is an object", () => {
    const ended = host(0, { isMainThread: true });
    for (const e of [null, undefined, 5, "x"]) expect(() => uncaught(e)).not.toThrow();
    expect(ended).toEqual([]);
  });

  it("needs one listener for any number of such errors", () => {
    reportUnhandled(new Error("x"), "", () => {}, false);
    const on = vi.spyOn(process, "on");
    for (let i = 0; i < 3; i++) reportUnhandled(new Error("x"), "", () => {}, false);
    expect(on).not.toHaveBeenCalled();
  });

  it("is left to the caller if there is no process of Node", () => {
    vi.stubGlobal("process", { versions: {} });
    try {
      expect(reportUnhandled(new Error("x"), "", () => {}, false)).toBe(false);
    } finally {
      vi.unstubAllGlobals();
    }
  });
});
