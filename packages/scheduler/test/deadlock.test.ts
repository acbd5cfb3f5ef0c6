import { describe, expect, it } from "vitest";
import { crashReport, createScheduler, type Scheduler } from "../src/index.ts";
import { settled } from "./kit.ts";

/** The end of the event loop, as listeners see it. */
const beforeExit = () => process.emit("beforeExit", 0);

describe("the end of the event loop", () => {
  function* waitsForever(s: Scheduler) {
    yield* s.makeChan().recv();
  }

  it("is a deadlock at the second time if no goroutine ran in between", async () => {
    const before = process.listenerCount("beforeExit");
    const s = createScheduler();
    const c = s.makeChan<number>();
    let error: unknown;
    const ended = s
      .main(function* () {
        yield* c.recv();
        yield* waitsForever(s);
      })
      .catch((e) => {
        error = e;
      });
    expect(process.listenerCount("beforeExit")).toBe(before + 1);
    await settled(s);
    beforeExit();
    expect(c.trySend(1)).toBe(true);
    await settled(s);
    beforeExit();
    await settled(s);
    expect(error).toBe(undefined);
    beforeExit();
    await ended;
    expect(error).toMatchObject({
      message: "all goroutines are asleep - deadlock!",
      code: "ERR_GORT_DEADLOCK",
    });
    // Only the eager mode says that its verdict may be wrong.
    expect(crashReport(error)?.text).not.toContain("this verdict is early");
    expect(process.listenerCount("beforeExit")).toBe(before);
  });

  it("is no deadlock for a program that has ended, or with deadlock: off", async () => {
    const before = process.listenerCount("beforeExit");
    const s = createScheduler();
    await s.main(() => {});
    expect(process.listenerCount("beforeExit")).toBe(before);
    const off = createScheduler({ deadlock: "off" });
    const c = off.makeChan<number>();
    const value = off.main(function* () {
      return yield* c.recv();
    });
    await settled(off);
    expect(process.listenerCount("beforeExit")).toBe(before);
    beforeExit();
    beforeExit();
    expect(c.trySend(5)).toBe(true);
    expect(await value).toBe(5);
  });

  it("is not awaited with deadlock: eager, and the report says that the verdict is early", async () => {
    const s = createScheduler({ deadlock: "eager" });
    const error: unknown = await s.main(() => waitsForever(s)).catch((e) => e);
    expect(crashReport(error)?.text).toContain('\ngort: this verdict is early (deadlock: "eager").');
    expect(crashReport(error)?.exitCode).toBe(2);
  });
});
