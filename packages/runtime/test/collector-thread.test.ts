// The option collectorThread, in programs of their own on the built packages: see threads/collector-cases.mjs.
import { describe, expect, it } from "vitest";
import { createRuntime } from "../src/index.ts";
import { FastClock } from "./fast-clock.ts";
import { run } from "./threads/run.ts";

const program = (...args: string[]) => run(["collector-cases.mjs", ...args]);
const ends = (out: string) => ({ code: 0, out: `${out}\n`, err: "" });

describe("a collector's own thread", () => {
  it("marks and sweeps a heap whose program does nothing", async () => {
    expect(await program("marks")).toEqual(
      ends("cycles 1\nidle true\nhere true all true\nswept true 524287"),
    );
  });

  it.each([
    ["", 3000],
    ["gccheckmark=1", 1000],
    ["clobberfree=1", 1000],
    ["gccheckmark=1,clobberfree=1", 1000],
    ["gcstress=1", 100],
  ])("loses no object while the program stores (GODEBUG=%s)", async (godebug, rounds) => {
    // Rounds beyond the first 64 each check a tree of 1023 nodes.
    expect(await program("churn", godebug, String(rounds))).toEqual(ends(`${(rounds - 64) * 1023} true`));
  });

  it("takes no tasks: another worker runs them", async () => {
    expect(await program("tasks")).toEqual(ends("2"));
  });

  it("that comes while a cycle runs marks and sweeps for it", async () => {
    expect(await program("late")).toEqual(ends("cycles 1\nswept true 131071"));
  });

  it("that is killed in a cycle ends the program", async () => {
    // The first to notice is the host's event, or a stop that waits for the thread.
    const ended = [
      "FatalError ERR_GORT_WORKER_LOST worker 1 has ended with code 1\n",
      "FatalError ERR_GORT_THREAD_ENDED threads: M 1 has ended without leaving\n",
    ];
    const { code, out } = await program("killed");
    expect(code).toBe(0);
    expect(ended).toContain(out);
  });

  it.each([
    ["wrong", "TypeError"],
    ["fails", "Error: no"],
  ])("that cannot start ends the program, also one that begins later (%s)", async (workers, why) => {
    const { code, out } = await program("unable", workers);
    expect(code).toBe(0);
    expect(out).toContain(`FatalError ERR_GORT_WORKER_START cannot start worker 1: ${why}`);
  });

  it("is no reason to wait: deadlocks are found, and the process ends", async () => {
    expect(await program("deadlock")).toEqual(ends("FatalError all goroutines are asleep - deadlock!"));
    expect(await program("open")).toEqual(ends("over"));
  });

  it("ends with its runtime", async () => {
    expect(await program("closed")).toEqual(ends("closed"));
  });

  it("is refused where there can be none", () => {
    const needs = "runtime: collectorThread needs";
    expect(() => createRuntime({ collectorThread: true, shared: false })).toThrow(
      new TypeError(`${needs} a second thread, but threads cannot share the memory, so there is one`),
    );
    expect(() => createRuntime({ collectorThread: true, clock: new FastClock() })).toThrow(
      new TypeError(`${needs} the host's clock (got a clock)`),
    );
    expect(() => createRuntime({ collectorThread: 1 as never })).toThrow(
      new TypeError("runtime: collectorThread must be a boolean (got 1)"),
    );
    createRuntime({ collectorThread: false, shared: false }).close();
  });
});
