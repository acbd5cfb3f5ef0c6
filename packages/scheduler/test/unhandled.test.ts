/** What Node is told of an error that ends a program, and what is printed. process.test.ts has whole processes. */
import type { EventEmitter } from "node:events";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createTestScheduler } from "../src/testing.ts";
import { reportUnhandled } from "../src/unhandled.ts";

afterEach(() => vi.restoreAllMocks());

/** Tells as Node does. Its types don't know that an event may be told by others. */
const emitter: EventEmitter = process;
const uncaught = (error: unknown) => emitter.emit("uncaughtExceptionMonitor", error, "uncaughtException");

/** A process with so many handlers of uncaught errors; notes with what it is ended. */
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
    ["that no main has told, and the program handles", 1, { isMainThread: true }, true, 1, []],
    ["that no main has told", 0, { isMainThread: true }, true, 1, [2]],
  ])("%s is reported once at most", (_, handlers, threads, always, printed, exits) => {
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

  it("ends the process with status 2 also if the report can't be printed", () => {
    const ended = host(0, { isMainThread: true });
    const error = new Error("x");
    const stderr = () => {
      throw new Error("closed");
    };
    reportUnhandled(error, "panic: x\n", stderr, false);
    uncaught(error);
    expect(ended).toEqual([2]);
  });

  it("is printed beside the program's own handler only if there is no main to reject", () => {
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

  it("is looked up among objects only", () => {
    const ended = host(0, { isMainThread: true });
    for (const e of [null, undefined, 5, "x"]) expect(() => uncaught(e)).not.toThrow();
    expect(ended).toEqual([]);
  });

  it("is listened for once, however many there are", () => {
    reportUnhandled(new Error("x"), "", () => {}, false);
    const on = vi.spyOn(process, "on");
    for (let i = 0; i < 3; i++) reportUnhandled(new Error("x"), "", () => {}, false);
    expect(on).not.toHaveBeenCalled();
  });

  it("is left to the caller where there is no process of Node", () => {
    vi.stubGlobal("process", { versions: {} });
    try {
      expect(reportUnhandled(new Error("x"), "", () => {}, false)).toBe(false);
    } finally {
      vi.unstubAllGlobals();
    }
  });
});
