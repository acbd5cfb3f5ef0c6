import { EventEmitter, getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { fromAbortSignal, fromEvents } from "../../src/adapters.ts";
import { type Chan, sleep } from "../../src/index.ts";
import { clean } from "./kit.ts";

describe.each([
  ["an EventEmitter", () => new EventEmitter(), (e: unknown) => (e as EventEmitter).emit("x", 1)],
  [
    "an EventTarget",
    () => new EventTarget(),
    (e: unknown) => (e as EventTarget).dispatchEvent(new Event("x")),
  ],
] as [string, () => EventEmitter | EventTarget, (e: unknown) => unknown][])(
  "fromEvents of %s",
  (_, make, fire) => {
    const count = (e: EventEmitter | EventTarget) =>
      e instanceof EventEmitter ? e.listenerCount("x") : getEventListeners(e, "x").length;

    it("has a listener until it is stopped, also twice", async () => {
      await clean(function* () {
        const e = make();
        const src = fromEvents(e, "x");
        fire(e);
        expect((yield* src.C.recv2()).ok).toBe(true);
        expect(count(e)).toBe(1);
        src.stop();
        src.stop();
        fire(e);
        expect((yield* src.C.recv2()).ok).toBe(false);
        expect(count(e)).toBe(0);
      });
    });

    it("ends when a goroutine closes its channel, without an exception in the emitter", async () => {
      await clean(function* () {
        const e = make();
        const src = fromEvents(e, "x");
        (src.C as Chan<unknown>).close();
        fire(e);
        expect(count(e)).toBe(0);
        yield* sleep(1);
      });
    });
  },
);

describe("fromAbortSignal", () => {
  const count = (s: AbortSignal) => getEventListeners(s, "abort").length;

  it("closes its channel at the abort, and leaves no listener", async () => {
    await clean(function* () {
      const controller = new AbortController();
      const c = fromAbortSignal(controller.signal);
      expect(count(controller.signal)).toBe(1);
      setTimeout(() => controller.abort(), 1);
      expect((yield* c.recv2()).ok).toBe(false);
      expect(count(controller.signal)).toBe(0);
      c.stop();
      expect((yield* fromAbortSignal(controller.signal).recv2()).ok).toBe(false);
    });
  });

  it("can be stopped, also twice, and leaves its channel open", async () => {
    await clean(function* () {
      const controller = new AbortController();
      for (let i = 0; i < 20; i++) {
        const c = fromAbortSignal(controller.signal);
        c.stop();
        c.stop();
        expect(c.tryRecv().received).toBe(false);
      }
      expect(count(controller.signal)).toBe(0);
      controller.abort();
      yield* sleep(1);
    });
  });

  it("accepts an abort after a goroutine has closed its channel", async () => {
    await clean(function* () {
      const controller = new AbortController();
      const c = fromAbortSignal(controller.signal);
      (c as unknown as Chan<never>).close();
      controller.abort();
      yield* sleep(1);
    });
  });
});
