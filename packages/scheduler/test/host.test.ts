/** What a scheduler does to the process around it: host sources and tasks of the event loop. */

import { afterEach, describe, expect, it, vi } from "vitest";
import { createScheduler, type Scheduler } from "../src/index.ts";
import { createTestScheduler } from "../src/testing.ts";
import { settled } from "./kit.ts";

afterEach(() => vi.restoreAllMocks());

describe("a source that holds no handle of the host", () => {
  const handles = () => {
    const set = vi.spyOn(globalThis, "setInterval");
    const clear = vi.spyOn(globalThis, "clearInterval");
    return () => set.mock.calls.length - clear.mock.calls.length;
  };

  it("keeps the process alive while main runs; all such sources share one handle", async () => {
    const held = handles();
    const s = createScheduler();
    const c = s.makeChan<number>();
    const first = s.hostSource();
    expect(held()).toBe(0);
    const ended = s.main(() => c.recv());
    expect(held()).toBe(1);
    const second = s.hostSource();
    expect(held()).toBe(1);
    first();
    first();
    expect(held()).toBe(1);
    second();
    expect(held()).toBe(0);
    s.hostSource();
    expect(held()).toBe(1);
    await settled(s);
    expect(c.trySend(1)).toBe(true);
    await ended;
    expect(held()).toBe(0);
  });

  it("holds no handle with hold: false, with deadlock: off, or under virtual time", async () => {
    const held = handles();
    const cases: [s: Scheduler, hold: boolean][] = [
      [createScheduler(), false],
      [createScheduler({ deadlock: "off" }), true],
      [createTestScheduler(), true],
    ];
    for (const [s, hold] of cases) {
      const release = s.hostSource({ hold });
      s.startMain(
        () => s.makeChan().recv(),
        () => {},
        () => {},
      );
      expect(held()).toBe(0);
      release();
      s.close();
    }
  });
});

describe("a task of the host", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    // No other test file in this process may get the module of this test.
    vi.resetModules();
  });

  it.each([
    ["by setImmediate", []],
    ["by messages", ["setImmediate"]],
    ["by setTimeout", ["setImmediate", "MessageChannel"]],
  ])("runs after microtasks, in order, %s", async (_, missing) => {
    // Unlike the host's channel, this one does not keep the test's process alive.
    const { setImmediate } = globalThis;
    class Channel {
      port1: { onmessage?: () => void } = {};
      port2 = { postMessage: () => setImmediate(() => this.port1.onmessage!()) };
    }
    vi.stubGlobal("MessageChannel", Channel);
    for (const name of missing) vi.stubGlobal(name, undefined);
    vi.resetModules();
    const { hostTasks } = await import("../src/host.ts");
    const log: string[] = [];
    await new Promise<void>((resolve) => {
      hostTasks.task(() => log.push("first task"));
      hostTasks.task(() => {
        log.push("second task");
        resolve();
      });
      hostTasks.microtask(() => log.push("microtask"));
    });
    expect(log).toEqual(["microtask", "first task", "second task"]);
  });
});
