// Programs of two threads, each in a process of its own, on the built packages: see threads/cases.mjs.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { run } from "./threads/run.ts";

const here = new URL("threads/", import.meta.url).href;

const program = (...args: string[]) => run(["cases.mjs", ...args]);
const ends = (out: string) => ({ code: 0, out: `${out}\n`, err: "" });

describe("tasks on a worker", () => {
  it("run there, once each", async () => {
    expect(await program("spread")).toEqual(ends("returned 4950"));
  });

  it("stop with the world in a loop that calls safepoint()", async () => {
    expect(await program("safepoint")).toEqual(ends("returned after three stops"));
  });

  it("can't collect in a stop of their own, and do not wait for ever for the driver", async () => {
    expect(await program("dumping")).toEqual(ends("returned 1"));
  });

  it("have a handle that waits for their end, several times and after it", async () => {
    expect(await program("done")).toEqual(ends("returned true"));
  });

  it("get values of the heap, and share them", async () => {
    const sums = Array.from({ length: 10 }, (_, i) => 4950 + 10_000 * i).join();
    expect((await run(["heap.mjs", "sum"])).out).toContain(`${sums} gc`);
  });

  it.each(["type", "exported"])(
    "get values with the types of their module, in its first task (%s)",
    async (how) => {
      expect((await run(["heap.mjs", how])).out).toMatch(/^1 gc/);
    },
  );

  it("talk to other threads through channels of the heap", async () => {
    expect((await run(["heap.mjs", "chan"])).out).toMatch(/^333833500 gc/);
  });

  it("need one file of each package below the runtime", async () => {
    const { out } = await program("files");
    const files = out.replace("returned ", "").trim().split("\n");
    const below = files.filter((file) => !file.startsWith("runtime/")).sort();
    expect(below).toEqual([
      "allocator/dist/internal.js",
      "base/dist/index.js",
      "gc/dist/internal.js",
      "memory/dist/internal.js",
      "memstats/dist/internal.js",
      "profiling/dist/internal.js",
      "scheduler/dist/internal.js",
      // The host's way to clone values is chosen by a condition of package.json.
      "threads/dist/cloner-node.js",
      "threads/dist/internal.js",
      "types/dist/internal.js",
    ]);
  });

  // Node 20 has no such cache.
  it("use the compile cache that the program has enabled", async () => {
    const folder = mkdtempSync(join(tmpdir(), "gort-cache-"));
    try {
      expect(await program("cache", folder)).toEqual(ends("returned true"));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  const collections: [string, string[], Record<string, string>][] = [
    ["collections in the background", ["plant", "3", "40"], {}],
    ["collections that tasks ask for", ["collect", "4", "20", "6"], {}],
    ["a collection at every safepoint of every thread", ["free", "4", "10", "6"], { GODEBUG: "gcstress=1" }],
  ];
  it.each(collections)("keep their objects through %s", async (_, args, env) => {
    const nodes = 2 ** (Number(args[3] ?? 8) + 1) - 1;
    const trees = Array.from({ length: Number(args[1]) }, () => nodes).join();
    const godebug = [env.GODEBUG, "clobberfree=1,gccheckmark=1"].filter(Boolean).join();
    const { out, err } = await run(["heap.mjs", ...args], { PROCS: "3", GODEBUG: godebug });
    expect([err, out.split(" gc")[0]]).toEqual(["", trees]);
  });

  it("run export of a module by `parallel`", async () => {
    expect(await program("exported")).toEqual(ends("returned 42"));
  });

  it("are shown as goroutines with the place that started them", async () => {
    const { out } = await program("dump");
    expect(out).toMatch(/goroutine \d+ \[sleep\]:\n.*waitForever.*\n\t.*tasks\.mjs:\d+\n/);
    expect(out).toMatch(/created by main\.dump in goroutine 1\n\t.*cases\.mjs:\d+/);
  });

  it("count as goroutines, in the queue and on the worker", async () => {
    expect(await program("counts")).toEqual(ends("returned 4,4,1"));
  });
});

describe("the threads of a runtime", () => {
  it("are in the profile threadcreate, with the code that started them", async () => {
    const { out } = await program("threadCreate");
    expect(out).toMatch(/^returned ;runtime\.newm main\.threadCreate /);
  });

  it("raise the collector's own goal, but not NextGC", async () => {
    expect(await program("nextGC")).toEqual(ends(`returned ${4 << 20}`));
  });

  it("are limited by setMaxThreads", async () => {
    expect(await program("maxThreads")).toEqual(ends("FatalError ERR_GORT_THREADS thread exhaustion "));
  });
});

describe("a panic on a worker", () => {
  it.each([
    ["an error", "error", "RangeError - boom"],
    ["an error of the runtime", "runtime", "RuntimeError ERR_BOOM runtime error: boom"],
    ["a value", "value", "PanicError ERR_GORT_PANIC"],
  ])("rejects main with %s", async (_, how, text) => {
    const { code, out, err } = await program("crash", how);
    expect([code, err, out.slice(0, text.length)]).toEqual([0, "", text]);
  });

  it("is reported once, if goroutines of two threads panic at the same time", async () => {
    expect(await program("crashTwice")).toEqual(ends("together the next program runs"));
  });

  it("keeps its stack and prints the report of its goroutine, if nothing handles it", async () => {
    const { code, out, err } = await program("uncaught", "error");
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(/^panic: .*boom/);
    expect(err).toMatch(/goroutine \d+ \[running\]:\n.*fail\(/);
  });
});

describe("a worker that ends", () => {
  it.each([
    ["by an unhandled rejection", "rejection", "worker 1 has ended by an uncaught TypeError: unhandled"],
    ["by an exception of a timer", "throw", "worker 1 has ended by an uncaught TypeError: from a timer"],
    ["by process.exit", "exit", "worker 1 has ended with code 3"],
  ])("%s ends the program", async (_, how, text) => {
    const { code, out } = await program("crash", how);
    expect([code, out.split(" cause")[0].trim()]).toEqual([0, `FatalError ERR_GORT_WORKER_LOST ${text}`]);
  });

  it("at a random instant ends the program with an error of the runtime, or after it", {
    timeout: 200_000,
  }, async () => {
    const rounds = process.env.GORT_KILLS ?? "12";
    const seed = process.env.GORT_SEED ?? String(Date.now() % 1e6);
    const { code, out, err } = await run(["kill.mjs", seed, rounds], {}, 180_000);
    expect([code, err], `seed ${seed}`).toEqual([0, ""]);
    const ends = JSON.parse(out) as Record<string, number>;
    expect(Object.values(ends).reduce((a, b) => a + b)).toBe(Number(rounds));
    const expected = [
      "ERR_GORT_LOCK",
      "ERR_GORT_THREAD_ENDED",
      "ERR_GORT_WORKER_LOST",
      "ERR_GORT_WORKER_START",
      "done",
    ];
    const underLock = /^a thread ended while it held the lock \w+$/;
    const others = Object.keys(ends).filter((end) => !expected.includes(end) && !underLock.test(end));
    expect(others, `seed ${seed}`).toEqual([]);
  });

  it("under a lock does not keep the runtime from closing", async () => {
    expect(await program("closeUnderLock")).toEqual(ends("returned true\ntrue true"));
  });

  it("leaves a runtime on which no program runs any more", async () => {
    expect(await program("afterLoss")).toEqual(
      ends("ERR_GORT_WORKER_LOST ERR_GORT_WORKER_LOST worker 1 has ended with code 3"),
    );
  });
});

describe("a module that cannot be loaded", () => {
  it.each([
    [
      "does not exist",
      "missing",
      `runtime: cannot load module ${here}gone.mjs, which has a task: Error: Cannot find`,
    ],
    [
      "has a wrong syntax",
      "syntax",
      "runtime: cannot load module data:text/javascript,export const f = (, which has a",
    ],
    [
      "has no such export",
      "noExport",
      `runtime: module ${here}tasks.mjs has no export "gone", which a task runs`,
    ],
    [
      "is the main module",
      "inMain",
      "runtime: task local is in the program's main module, which a worker would run",
    ],
  ])("because it %s ends the program with its URL", async (_, name, text) => {
    const { code, out } = await program(name);
    expect(code).toBe(0);
    expect(out).toContain(text);
  });

  it("on the worker only names the task that is missing", async () => {
    const { out } = await program("fewer");
    expect(out).toContain("make tasks at the top of the module, on every thread");
  });
});

describe("the end of main", () => {
  it.each([
    ["ends a goroutine that sleeps on a worker", ["returns"], "returned with a goroutine that sleeps"],
    ["does not wait for a worker that computes", ["stuck"], "returned with a worker that computes"],
    ["ends the process after close, too", ["returns", "close"], "returned with a goroutine that sleeps"],
    ["with a worker that computes, too", ["stuck", "close"], "returned with a worker that computes"],
  ])("%s", async (_, args, text) => {
    expect(await program(...args)).toEqual(ends(text));
  });

  it("ends the goroutines of all threads before the next program", async () => {
    expect(await program("twice")).toEqual(ends("returned 1 after 1"));
  });

  it("may come while a worker starts", async () => {
    expect(await program("early")).toEqual(ends("returned 5"));
  });

  it("may come before a worker is made that another one has asked for", async () => {
    expect(await program("earlier")).toEqual(ends("returned 3"));
  });

  it("may come by a thread too many, after which programs run", async () => {
    expect(await program("afterExhaustion")).toEqual(ends("ERR_GORT_THREADS and then done"));
  });

  it("ends the tasks that a goroutine starts after it", async () => {
    expect(await program("late")).toEqual(ends("returned 0 late, 0 goroutines"));
  });

  it("may come while a goroutine of a worker collects", async () => {
    expect(await program("endInPoll")).toEqual(ends("returned 100 of 100, 1"));
  });

  it("lets the process end although workers wait", async () => {
    expect(await program("spread", "open")).toEqual(ends("returned 4950"));
  });

  it("comes by a deadlock, which shows the goroutines of all threads", async () => {
    const { code, out, err } = await program("uncaughtDeadlock");
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(/^fatal error: all goroutines are asleep - deadlock!\n/);
    expect(err).toMatch(/goroutine 1 \[chan receive/);
    expect(err).toMatch(/deadlocked/);
  });
});

describe("a program with a handle of the host on a worker", () => {
  it("lives as long as the handle can wake a goroutine", async () => {
    expect(await program("server")).toEqual(ends("returned hello from the worker"));
  });
});

describe("workers of the program", () => {
  it("are made by the option, and find tasks by name", async () => {
    expect(await program("workers", "good")).toEqual(ends("returned true\ntrue"));
  });

  it.each([
    ["null", "null", "workers must return a new Worker (got null)"],
    ["an object", "object", "workers must return a new Worker (got Object)"],
    [
      "the same worker twice",
      "same",
      "workers must return a new Worker (got one that it has returned before)",
    ],
    ["an error", "throws", "RangeError: no more"],
  ])("that are %s end the program", async (_, how, text) => {
    const { code, out } = await program("badWorkers", how);
    expect([code, out.startsWith("FatalError ERR_GORT_WORKER_START cannot start worker")]).toEqual([0, true]);
    expect(out).toContain(text);
  });

  it.each([
    ["throw while they load", "throws", "Error: at the top of the worker's module"],
    ["do not exist", "gone", "Cannot find module"],
    ["have no such task", "empty", "this worker has no task named nothing"],
    ["have two tasks of the name", "double", "several tasks are named nothing"],
  ])("whose modules %s end the program", async (_, how, text) => {
    const { code, out } = await program("workers", how);
    expect(code).toBe(0);
    expect(out).toContain(text);
  });

  it("must have the same release as the program", async () => {
    expect((await program("otherRelease")).out).toContain("load one release on all threads");
  });
});

describe("two runtimes", () => {
  it("have workers of their own", async () => {
    expect(await program("nested")).toEqual(ends("returned both"));
  });
});
