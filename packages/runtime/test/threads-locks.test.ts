// Locks and atomic values of the heap between real threads, on the built packages: see threads/locks.mjs.
import { describe, expect, it } from "vitest";
import { run } from "./threads/run.ts";

const env = { PROCS: "4", GODEBUG: "clobberfree=1,gccheckmark=1" };

describe("between four threads", () => {
  it.each([
    ["a mutex guards two steps that another thread would see half done", "mutex", "12000"],
    ["readers of an rwMutex never see the middle of a write", "rwMutex", "1000,1000,0"],
    ["a cond wakes the threads that wait for a change", "cond", "180300,0,0"],
    ["a once runs once, before any of its calls returns; a waitGroup waits for all", "once", "1,50"],
    ["an atomic pointer loses no object while all threads collect", "pointers", "720600,0,0"],
    ["sums of atomic values are exact", "counts", "6000,6000,6000,6000"],
  ])("%s", async (_, name, value) => {
    expect(await run(["locks.mjs", name], env)).toEqual({ code: 0, out: `${value}\n`, err: "" });
  });
});
