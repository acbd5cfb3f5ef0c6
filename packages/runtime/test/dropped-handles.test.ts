import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeEach, describe, expect, it } from "vitest";
import { DroppedHandles, type HandleOwner, MIN_HEAP } from "../src/dropped-handles.ts";
import { createRuntime, isFatalError, uint8 } from "../src/index.ts";

const MiB = 2 ** 20;

/** A process of its own, whose heap V8 collects in no time. */
async function program(name: string, ...args: number[]): Promise<string> {
  const path = fileURLToPath(new URL(`workers/${name}.mjs`, import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [path, ...args.map(String)]);
  return stdout.trim();
}

describe("dropped references", () => {
  it.each([64 << 10, 1 << 20])(
    "of %d bytes each do not exhaust the heap of a program that yields",
    async (size) => {
      expect(await program("dropped-slices", 16, size)).toBe("ok");
    },
    60_000,
  );

  it("that finalizers got let a chain run in one or two collections for each link", async () => {
    // Go 1.27.3: a chain of 1000 takes 1000 calls of runtime.GC, one for each link. Here the caller may wake before the
    // finalizer.
    const { ran, cycles, sorted } = JSON.parse(await program("finalizer-chain", 50));
    expect({ ran, sorted }).toEqual({ ran: 50, sorted: true });
    expect(cycles).toBeLessThanOrEqual(102);
  }, 60_000);

  it("end a loop that never yields with an error that says what to do", () => {
    const rt = createRuntime({ maxMemory: 64 * MiB, stderr: () => {} });
    let error: unknown;
    try {
      for (;;) rt.makeSlice(uint8, MiB);
    } catch (e) {
      error = e;
    }
    if (!isFatalError(error)) throw error;
    expect(error.code).toBe("ERR_GORT_OUT_OF_MEMORY");
    expect(error.detail).toMatch(
      new RegExp(
        String.raw`\nruntime: \d\d references \(Ref, Slice\) hold objects, also those that were dropped since the ` +
          String.raw`event loop had a turn\. In a long loop, release\(\) them, yield\* gosched\(\) ` +
          "or use raw pointers$",
      ),
    );
    rt.close();
  });

  it("are no part of the error when no reference is held", () => {
    const rt = createRuntime({ maxMemory: 64 * MiB, stderr: () => {} });
    let error: unknown;
    try {
      for (;;) rt.makeSlice(uint8, MiB).release();
    } catch (e) {
      error = e;
    }
    if (!isFatalError(error)) throw error;
    expect(error.detail).not.toContain("references");
    rt.close();
  });
});

describe("DroppedHandles", () => {
  let now: number;
  let costMs: number;
  /** Handles that V8 reports after its next collection, and in which turn. */
  let dead: number;
  let live: number;
  let inuse: number;
  let limit: bigint;
  let gcPercent: number;
  let log: string[];
  let heap: { mem: { size: number }; collectedRefs: number };
  let collectHost: (() => void) | null;
  let owner: HandleOwner;
  let handles: DroppedHandles;

  beforeEach(() => {
    [now, costMs, dead, live, inuse, gcPercent] = [0, 10, 100, 0, 1000, 100];
    limit = 2n ** 63n - 1n;
    log = [];
    heap = { mem: { size: 1024 * MiB }, collectedRefs: 0 };
    collectHost = () => {
      now += costMs;
      log.push("V8");
    };
    owner = {
      heap,
      collector: {
        get heap() {
          return { heapMarked: live };
        },
        get refs() {
          return { inuse };
        },
        get gcPercent() {
          return gcPercent;
        },
        setMemoryLimit: () => limit,
        requestGC: () => log.push("cycle"),
        gc: (forced: boolean) => log.push(`collection, forced ${forced}`),
      },
      scheduler: {
        requestSafepoint: () => log.push("safepoint"),
        yieldToHost: () => log.push("turn"),
      },
      dropOne: () => {},
      hostCollector: () => collectHost,
      now: () => now,
      last: { end: Number.NEGATIVE_INFINITY, costMs: 0 },
    } as unknown as HandleOwner;
    handles = new DroppedHandles(owner);
  });

  /** Runs a cycle that marks `bytes`. If V8 collects then, runs another that marks `left`. Returns whether it did. */
  function cycle(bytes: number, left = bytes, forced = false): boolean {
    const { count } = handles;
    handles.cycleStart(forced);
    live = bytes;
    handles.cycleEnd();
    handles.safepoint();
    if (handles.count === count) return false;
    heap.collectedRefs += dead;
    handles.safepoint();
    handles.cycleStart(false);
    live = left;
    handles.cycleEnd();
    return true;
  }

  it("has V8 collect at the safepoint after marking, gives the event loop a turn, then asks for a cycle", () => {
    handles.cycleStart(false);
    live = MIN_HEAP;
    handles.cycleEnd();
    expect(log).toEqual(["safepoint"]);
    handles.safepoint();
    expect(log.splice(0)).toEqual(["safepoint", "V8", "turn", "safepoint"]);
    handles.safepoint();
    expect(log.splice(0)).toEqual(["turn", "safepoint"]);
    heap.collectedRefs += 2;
    handles.safepoint();
    expect(log.splice(0)).toEqual(["cycle"]);
    handles.safepoint();
    expect(log).toEqual([]);
  });

  it("collects at once under pressure", () => {
    cycle(300 * MiB);
    expect(log.splice(0).at(-1)).toBe("collection, forced false");
  });

  it("asks for no cycle when only its own handle was dropped, or none is reported", () => {
    dead = 1;
    cycle(MIN_HEAP);
    expect(log).not.toContain("cycle");
    dead = 0;
    now += 1e6;
    cycle(4 * MIN_HEAP);
    for (let i = 0; i < 10; i++) handles.safepoint();
    expect(log.filter((s) => s === "turn")).toHaveLength(1 + 4);
    expect(log).not.toContain("cycle");
  });

  it("lets the live heap grow by GOGC percent, and to its minimum at least", () => {
    expect(cycle(MIN_HEAP - 1)).toBe(false);
    expect(cycle(MIN_HEAP, 15 * MiB)).toBe(true);
    now += 1e6;
    expect(cycle(30 * MiB - 1)).toBe(false);
    expect(cycle(31 * MiB, 31 * MiB)).toBe(true);
    now += 1e6;
    gcPercent = 50;
    expect(cycle(46 * MiB)).toBe(false);
    expect(cycle(47 * MiB)).toBe(true);
  });

  it("has V8 collect whatever the growth when a quarter of the room that was left is used", () => {
    gcPercent = -1;
    expect(cycle(256 * MiB - 1)).toBe(false);
    expect(cycle(256 * MiB)).toBe(true);
    // Not worth it, and no time has passed.
    expect(cycle((256 + 191) * MiB)).toBe(false);
    expect(cycle((256 + 192) * MiB)).toBe(true);
  });

  it("has V8 collect when a quarter of the room below the memory limit is used, for half of the time at most", () => {
    gcPercent = -1;
    limit = BigInt(64 * MiB);
    expect(cycle(16 * MiB - 1)).toBe(false);
    expect(cycle(16 * MiB, 4 * MiB)).toBe(true);
    expect(cycle(20 * MiB, 4 * MiB)).toBe(false);
    now += 10;
    expect(cycle(19 * MiB - 1)).toBe(false);
    expect(cycle(19 * MiB, 18 * MiB)).toBe(true);
    now += 309;
    expect(cycle(32 * MiB)).toBe(false);
    now += 1;
    expect(cycle(32 * MiB)).toBe(true);
  });

  it("takes 3 % of the time when more than the memory limit is live", () => {
    limit = BigInt(32 * MiB);
    let spent = 0;
    for (let i = 0; i < 1000; i++, now += 10) if (cycle((32 + i / 8) * MiB)) spent += costMs;
    expect(spent / now).toBeGreaterThan(0.02);
    expect(spent / now).toBeLessThanOrEqual(1 / 30);
  });

  it("leaves nine times between useful collections, and thirty-one after a useless one", () => {
    expect(cycle(20 * MiB, 5 * MiB)).toBe(true);
    now += 89;
    expect(cycle(20 * MiB, 16 * MiB)).toBe(false);
    now += 1;
    expect(cycle(20 * MiB, 16 * MiB)).toBe(true);
    now += 309;
    expect(cycle(40 * MiB, 10 * MiB)).toBe(false);
    now += 1;
    expect(cycle(40 * MiB, 10 * MiB)).toBe(true);
  });

  it("takes a heap that has shrunk as the new base, after a useless collection only when its time has passed", () => {
    expect(cycle(100 * MiB, 100 * MiB)).toBe(true);
    expect(cycle(10 * MiB)).toBe(false);
    expect(cycle(60 * MiB)).toBe(false);
    now += 310;
    expect(cycle(10 * MiB)).toBe(false);
    expect(cycle(60 * MiB)).toBe(true);
  });

  it("shares the limit in time with the other runtimes of its thread", () => {
    expect(cycle(20 * MiB, 5 * MiB)).toBe(true);
    handles = new DroppedHandles(owner);
    now += 89;
    expect(cycle(20 * MiB, 5 * MiB)).toBe(false);
    now += 1;
    expect(cycle(20 * MiB, 5 * MiB)).toBe(true);
  });

  it("leaves a program without handles alone", () => {
    inuse = 0;
    expect(cycle(900 * MiB)).toBe(false);
  });

  it("leaves V8 alone where the host gives no access, and asks again only after growth", () => {
    collectHost = null;
    expect(cycle(20 * MiB)).toBe(false);
    expect(cycle(39 * MiB)).toBe(false);
    expect(log).toEqual(["safepoint"]);
  });

  it("has V8 collect what finalizers got, in its time or when the program asks for a collection", () => {
    expect(cycle(20 * MiB, 5 * MiB)).toBe(true);
    expect(cycle(5 * MiB, 5 * MiB, true)).toBe(false);
    handles.finalizerDone();
    expect(cycle(5 * MiB)).toBe(false);
    expect(cycle(5 * MiB, 4 * MiB, true)).toBe(true);
    expect(cycle(4 * MiB, 4 * MiB, true)).toBe(false);
    now += 310;
    handles.finalizerDone();
    expect(cycle(4 * MiB)).toBe(true);
  });
});
