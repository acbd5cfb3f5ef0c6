import { isFatalError } from "@gort/base";
import { describe, expect, it } from "vitest";
import { SPECIAL_PROFILE } from "../src/heap.ts";
import type { CollectorEvents } from "../src/index.ts";
import { finishCycle, verifyHeap } from "../src/testing.ts";
import { MiB, type Rig, type RigOptions, rig } from "./kit.ts";

/** A collector with a root that points into free pages: marking it is a fatal error. */
function poisoned(options: RigOptions = {}): Rig {
  const r = rig(options);
  // Freed below the bad pointer: later allocations take this room, so that the pointer stays bad.
  r.a.mallocNoscan(32 * MiB);
  const gone = r.a.mallocNoscan(100_000);
  r.gc.gc();
  r.gc.refs.alloc(gone);
  return r;
}

/** What f throws. */
function thrownBy(f: () => unknown): Error & { detail?: string } {
  try {
    f();
  } catch (err) {
    return err as Error;
  }
  throw new Error("nothing was thrown");
}

const BAD_POINTER = "found bad pointer in Go heap (incorrect use of unsafe or cgo?)";

describe("a fatal error", () => {
  const ways: Record<string, (r: Rig) => void> = {
    "in gc()": ({ gc }) => gc.gc(),
    "in a background slice": ({ gc }) => {
      gc.start();
      for (;;) gc.pollSafepoint();
    },
    "in idle work": ({ gc }) => {
      gc.start();
      while (gc.idleWork());
    },
    "in a step": ({ gc }) => {
      gc.start();
      while (gc.step() !== "idle");
    },
    "in an assist": ({ a, gc, node }) => {
      gc.start();
      for (;;) a.mallocTyped(node);
    },
    "at a safepoint of a collector that stops the world": ({ gc }) => {
      gc.godebug.gcstoptheworld = 1;
      gc.requestGC();
      gc.pollSafepoint();
    },
  };
  for (const [way, run] of Object.entries(ways)) {
    it(`${way} ends the collector, and later calls throw it as the cause`, () => {
      let stopped = 0;
      const world = {
        stopTheWorld: () => void stopped++,
        startTheWorld: () => void stopped--,
        gomaxprocs: () => 1,
        ready() {},
      };
      const r = poisoned({ world });
      const { a, gc, node } = r;
      const first = thrownBy(() => run(r));
      expect(first.message).toBe(BAD_POINTER);
      expect(stopped).toBe(0);
      for (const again of [() => gc.gc(), () => gc.start(), () => gc.step(), () => gc.pollSafepoint()]) {
        const err = thrownBy(again);
        expect(isFatalError(err)).toBe(true);
        expect(err.message).toBe("gc: no collection is possible after a fatal error in one");
        expect(err.detail).toBe(`runtime: the first error: ${BAD_POINTER}`);
        expect(err.cause).toBe(first);
      }
      // A program may want to report; nothing wakes it for collections.
      expect(gc.idleWork()).toBe(false);
      gc.requestGC();
      expect(gc.gcRequested).toBe(false);
      gc.setGCPercent(50);
      for (let i = 0; i < 400_000; i++) gc.storePointer(a.mallocTyped(node), a.mallocTyped(node));
    });
  }

  it.each([null, undefined, "a string", 0])(
    "that is %o and no Error ends the collector as well",
    (thrown) => {
      const { a, gc, node } = rig();
      gc.refs.alloc(a.mallocTyped(node));
      gc.marker.drain = () => {
        throw thrown;
      };
      expect(() => gc.gc()).toThrow();
      const err = thrownBy(() => gc.gc());
      expect(err.detail).toBe(`runtime: the first error: ${thrown}`);
      expect(err.cause).toBe(thrown);
    },
  );

  it("leaves no trigger, no barrier and no request", () => {
    let asked = 0;
    const { gc } = poisoned({ onRequest: () => void asked++ });
    gc.requestGC();
    const before = asked;
    expect(before).toBeGreaterThan(0);
    expect(() => gc.gc()).toThrow(BAD_POINTER);
    gc.setGCPercent(50);
    gc.setMemoryLimit(MiB);
    gc.requestGC();
    expect([gc.heap.trigger, gc.heap.phase, gc.gcRequested, asked]).toEqual([Infinity, 0, false, before]);
  });

  it("makes a full memory one that is not collected", () => {
    const { a, gc } = poisoned({ maxMemory: 64 * MiB, allocationSafepoints: true });
    expect(() => gc.gc()).toThrow(BAD_POINTER);
    expect(() => {
      for (let i = 0; i < 64; i++) a.mallocNoscan(MiB);
    }).toThrow("out of memory");
  });

  it("in a sweep that an allocation does ends the collector", () => {
    const { a, gc, node } = rig();
    const root = gc.refs.alloc(a.mallocTyped(node));
    const gone = a.mallocTyped(node);
    gc.gc();
    gc.storePointer(root, gone);
    gc.start();
    while (gc.step() !== "terminate");
    const first = thrownBy(() => {
      for (;;) a.mallocTyped(node);
    });
    expect(first.message).toBe("found pointer to free object");
    expect(thrownBy(() => gc.gc()).cause).toBe(first);
    gc.setGCPercent(50);
    expect(gc.heap.trigger).toBe(Infinity);
  });

  it("in a collection of a full memory ends the collector", () => {
    const { a, gc } = rig({ maxMemory: 64 * MiB, allocationSafepoints: true, gogc: -1 });
    gc.marker.drain = () => {
      throw new Error("broken");
    };
    const first = thrownBy(() => {
      for (let i = 0; i < 64; i++) a.mallocNoscan(MiB);
    });
    expect(first.message).toBe("broken");
    expect(thrownBy(() => gc.gc()).cause).toBe(first);
  });

  it("of a world that can't wake finalizers ends the collector at the end of the allocation that swept", () => {
    const world = {
      stopTheWorld() {},
      startTheWorld() {},
      gomaxprocs: () => 1,
      ready() {
        throw new Error("no goroutine");
      },
    };
    const { a, gc, node } = rig({ world });
    gc.finalizers.setFinalizer(a.mallocTyped(node), () => {});
    gc.start();
    while (gc.step() !== "terminate");
    const first = thrownBy(() => {
      for (let i = 0; i < 100_000; i++) a.mallocTyped(node);
    });
    expect(first.message).toBe("no goroutine");
    expect(thrownBy(() => gc.gc()).cause).toBe(first);
  });

  it("of a full memory that a collection can't help leaves the collector as it was", () => {
    const { a, gc } = rig({ maxMemory: 64 * MiB, allocationSafepoints: true });
    const ref = gc.refs.alloc(a.mallocNoscan(40 * MiB));
    expect(() => a.mallocNoscan(40 * MiB)).toThrow("out of memory");
    gc.refs.free(ref);
    gc.gc();
    a.mallocNoscan(40 * MiB);
    verifyHeap(gc);
  });
});

describe("a callback that throws", () => {
  /** A collector with garbage, of which the named event throws once. */
  function throwing(name: keyof CollectorEvents, options: RigOptions = {}) {
    const seen: string[] = [];
    let armed = true;
    const event = (at: keyof CollectorEvents) => () => {
      seen.push(at);
      if (at !== name || !armed) return;
      armed = false;
      throw new Error(`thrown in ${at}`);
    };
    const events = {
      gcStart: event("gcStart"),
      markDone: event("markDone"),
      sweepDone: event("sweepDone"),
    };
    const r = rig({ events, ...options });
    const keep = r.gc.refs.alloc(r.a.mallocTyped(r.node));
    for (let i = 0; i < 10_000; i++) r.a.mallocTyped(r.node);
    return { ...r, seen, keep };
  }
  const all = ["gcStart", "markDone", "sweepDone"] as const;

  for (const name of all) {
    it(`in ${name} does not disturb the cycle, and gc() throws it on at its end`, () => {
      const { gc, seen, heapObjects } = throwing(name);
      expect(() => gc.gc()).toThrow(`thrown in ${name}`);
      expect(seen).toEqual(all);
      expect(heapObjects()).toBe(1);
      verifyHeap(gc);
      gc.gc();
      expect(gc.readGCStats().numGC).toBe(2);
    });

    it(`in ${name} of a cycle in slices is thrown on at the safepoint`, () => {
      const { gc, seen, heapObjects } = throwing(name);
      const errors: string[] = [];
      gc.requestGC();
      for (let i = 0; i < 10_000 && (gc.gcRequested || gc.marking || !gc.sweeper.done); i++) {
        try {
          gc.pollSafepoint();
        } catch (err) {
          errors.push((err as Error).message);
        }
      }
      expect(errors).toEqual([`thrown in ${name}`]);
      expect(seen).toEqual(all);
      expect(heapObjects()).toBe(1);
      verifyHeap(gc);
    });
  }

  it("in an allocation that ends the sweep is thrown on at the next safepoint", () => {
    const { a, gc, node, seen } = throwing("sweepDone");
    gc.start();
    while (gc.step() !== "terminate");
    for (let i = 0; i < 100_000; i++) a.mallocTyped(node);
    expect(seen).toEqual(all);
    verifyHeap(gc);
    expect(() => gc.pollSafepoint()).toThrow("thrown in sweepDone");
    gc.pollSafepoint();
    finishCycle(gc);
  });

  it("may not collect: its calls are refused", () => {
    const errors: string[] = [];
    const { gc } = rig({
      events: {
        gcStart: () => void errors.push(thrownBy(() => gc.gc()).message),
        markDone: () => void errors.push(thrownBy(() => gc.start()).message),
        sweepDone: () => void errors.push(thrownBy(() => gc.step()).message),
      },
    });
    gc.gc();
    expect(errors).toEqual([
      "gc: gc() called from within the collector",
      "gc: start() called from within the collector",
      "gc: step() called from within the collector",
    ]);
  });

  it("may not start a cycle in one, and comes to no safepoint", () => {
    const errors: string[] = [];
    const polled = (): void => {
      gc.pollSafepoint();
      expect(gc.idleWork()).toBe(false);
    };
    const { gc } = rig({
      events: {
        gcStart() {
          polled();
          errors.push(thrownBy(() => gc.start()).message);
        },
        markDone: polled,
        sweepDone: polled,
      },
    });
    gc.gc();
    expect(errors).toEqual(["gc: start() called from within the collector"]);
    expect(gc.record.numGC).toBe(1);
  });

  it.each<[string, RigOptions, (r: Rig) => void]>([
    [
      "in idle time",
      {},
      ({ gc }) => {
        gc.start();
        while (gc.idleWork());
      },
    ],
    [
      "for a full memory",
      { maxMemory: 64 * MiB, allocationSafepoints: true, gogc: -1 },
      ({ a }) => {
        for (let i = 0; i < 70; i++) a.mallocNoscan(MiB);
      },
    ],
  ])("may not collect in a cycle that runs %s", (_, options, run) => {
    const errors: string[] = [];
    const refused = (): void => void errors.push(thrownBy(() => r.gc.gc()).message);
    const r = rig({ ...options, events: { markDone: refused } });
    run(r);
    expect(errors).toEqual(["gc: gc() called from within the collector"]);
    expect(r.gc.record.numGC).toBe(1);
  });

  it("that prints traces keeps its error until the cycle is over", () => {
    let writes = 0;
    const { a, gc, heapObjects } = rig({
      godebug: "gctrace=1,gcpacertrace=1",
      stderr: () => {
        writes++;
        throw new Error("EPIPE");
      },
    });
    a.mallocNoscan(100);
    expect(() => gc.gc()).toThrow("EPIPE");
    // At the start, the trace, the pacer's cycle, the end of the sweep.
    expect(writes).toBeGreaterThanOrEqual(3);
    expect(heapObjects()).toBe(0);
    expect(() => gc.gc()).toThrow("EPIPE");
    expect(gc.readGCStats().numGC).toBe(2);
  });

  it("that gets the memory profile's frees keeps its error until all is swept", () => {
    const freed: number[] = [];
    const { a, gc, heapObjects } = rig({
      freeProfile: (data) => {
        freed.push(data);
        if (data === 1) throw new Error("profile");
      },
    });
    for (let i = 1; i <= 100; i++) a.addSpecial(a.mallocNoscan(64), SPECIAL_PROFILE, i);
    expect(() => gc.gc()).toThrow("profile");
    expect(freed).toHaveLength(100);
    expect(heapObjects()).toBe(0);
    verifyHeap(gc);
    gc.gc();
  });

  it("that is asked for a safepoint does not disturb an allocation", () => {
    let asked = 0;
    const { a, gc, node } = rig({
      onRequest: () => {
        asked++;
        throw new Error("asked");
      },
    });
    while (!gc.gcRequested) a.mallocTyped(node);
    expect(asked).toBe(1);
    let thrown = 0;
    for (let i = 0; i < 1e5 && (gc.gcRequested || gc.marking || !gc.sweeper.done); i++) {
      try {
        gc.pollSafepoint();
      } catch (err) {
        expect((err as Error).message).toBe("asked");
        thrown++;
      }
    }
    expect(thrown).toBeGreaterThan(0);
    verifyHeap(gc);
    expect(gc.readGCStats().numGC).toBe(1);
  });
});

describe("a finalizer that throws", () => {
  function withFinalizers(options: RigOptions = {}) {
    const tasks: (() => void)[] = [];
    const world = {
      stopTheWorld() {},
      startTheWorld() {},
      gomaxprocs: () => 1,
      ready: (fn: () => void) => void tasks.push(fn),
    };
    const r = rig({ world, ...options });
    const ran: number[] = [];
    for (let i = 0; i < 3; i++) {
      r.gc.finalizers.addCleanup(
        r.a.mallocNoscan(64),
        (k) => {
          ran.push(k);
          if (k !== 1) return;
          expect(() => r.gc.gc()).not.toThrow();
          throw new Error("finalizer");
        },
        i,
      );
    }
    r.gc.gc();
    return { ...r, tasks, ran };
  }

  /** Runs the tasks, and those that they add; what was thrown. */
  function runAll(tasks: (() => void)[]): string[] {
    const errors: string[] = [];
    while (tasks.length > 0) {
      try {
        tasks.shift()!();
      } catch (err) {
        errors.push((err as Error).message);
      }
    }
    return errors;
  }

  it("may collect before, and leaves collector and queue in order", () => {
    const { gc, tasks, ran } = withFinalizers();
    const errors = runAll(tasks);
    expect([...ran].sort()).toEqual([0, 1, 2]);
    expect(errors).toEqual(["finalizer"]);
    expect(gc.finalizers.queued).toBe(0);
    gc.gc();
    verifyHeap(gc);
  });

  it("whose listener throws too leaves them in order as well", () => {
    const { gc, tasks, ran } = withFinalizers({
      onFinalizerPanic: () => {
        throw new Error("listener");
      },
    });
    const errors = runAll(tasks);
    expect([...ran].sort()).toEqual([0, 1, 2]);
    expect(errors).toEqual(["listener"]);
    gc.gc();
  });
});
