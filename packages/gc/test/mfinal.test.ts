import { newHeapStats } from "@gort/allocator";
import type { Addr } from "@gort/memory";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { collectHostUntil, dropWithReportsDue } from "../../../vitest.hostgc.ts";
import type { GCRecord } from "../src/gc-stats.ts";
import { SPECIAL_AT, SPECIAL_CLEANUP, SPECIAL_FINALIZER, SPECIAL_WEAK } from "../src/heap.ts";
import { isFatalError } from "../src/index.ts";
import { Finalizers } from "../src/mfinal.ts";
import { verifyHeap } from "../src/testing.ts";
import { type RigOptions, rig } from "./kit.ts";

/** A rig whose finalizers run when the test says so, not as microtasks. */
function setUp(options: RigOptions = {}) {
  let woken = 0;
  const r = rig({
    world: {
      stopTheWorld() {},
      startTheWorld() {},
      gomaxprocs: () => 1,
      ready: () => {
        woken++;
      },
    },
    godebug: { clobberfree: 1, gccheckmark: 1 },
    ...options,
  });
  const { a, gc, node, u32 } = r;
  return {
    ...r,
    woken: () => woken,
    make(next = 0): Addr {
      const p = a.mallocTyped(node);
      gc.storePointer(p, next);
      return p;
    },
    /** A collection, then all finalizers. */
    cycle(): void {
      gc.gc();
      gc.finalizers.run();
    },
    u32,
  };
}

describe("the default consumer", () => {
  it("goes on behind a function that throws", () => {
    const tasks: (() => void)[] = [];
    const world = {
      stopTheWorld() {},
      startTheWorld() {},
      gomaxprocs: () => 1,
      ready: (fn: () => void) => void tasks.push(fn),
    };
    const { a, gc } = rig({ world });
    const ran: number[] = [];
    for (let i = 0; i < 4; i++) {
      const f = (n: number): void => {
        ran.push(n);
        if (n === 1) throw new Error("boom");
      };
      gc.finalizers.addCleanup(a.mallocNoscan(64), f, i);
    }
    gc.gc();
    let thrown = 0;
    for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) {
      try {
        task();
      } catch {
        thrown++;
      }
    }
    expect(thrown).toBe(1);
    expect(ran.sort()).toEqual([0, 1, 2, 3]);
  });
});

describe("finalizers", () => {
  it("run one object of a chain a cycle, from the head", () => {
    const { gc, make, cycle, heapObjects } = setUp();
    const ran: number[] = [];
    let next = 0;
    for (let i = 3; i >= 1; i--) {
      next = make(next);
      gc.finalizers.setFinalizer(next as Addr, () => ran.push(i));
    }
    const after: number[][] = [];
    for (let i = 0; i < 4; i++) {
      cycle();
      after.push([...ran]);
    }
    expect(after).toEqual([[1], [1, 2], [1, 2, 3], [1, 2, 3]]);
    expect(heapObjects()).toBe(0);
  });

  it("never run in a ring, though the ring has one finalizer only, but do for an object that points to itself", () => {
    const { gc, make, cycle, u32, heapObjects } = setUp();
    const ran: string[] = [];
    const ring = (n: number, finalized: number, name: string): void => {
      const first = make();
      let p = first;
      for (let i = 1; i < n; i++) p = make(p);
      gc.storePointer(first, p);
      let q: number = p;
      for (let i = 0; i < finalized; i++) {
        gc.finalizers.setFinalizer(q as Addr, () => ran.push(name));
        q = u32[q >>> 2]!;
      }
    };
    ring(5, 5, "five");
    ring(2, 1, "two");
    ring(1, 1, "self");
    for (let i = 0; i < 4; i++) cycle();
    expect(ran).toEqual(["self"]);
    expect(heapObjects()).toBe(7);
  });

  it("may make their object reachable again, and run once for each setFinalizer", () => {
    const { gc, make, cycle, u32, heapObjects } = setUp();
    const saved = gc.refs.alloc(0);
    let runs = 0;
    const o = make();
    u32[(o + 16) >>> 2] = 7;
    gc.finalizers.setFinalizer(o, (p) => {
      runs++;
      gc.storePointer(saved, p);
    });
    cycle();
    expect(runs).toBe(1);
    expect(u32[(gc.refs.get(saved) + 16) >>> 2]).toBe(7);
    cycle();
    expect(runs).toBe(1);
    gc.storePointer(saved, 0);
    cycle();
    expect(runs).toBe(1);
    expect(heapObjects()).toBe(0);

    let again = 0;
    const f = (p: Addr): void => {
      again++;
      gc.finalizers.setFinalizer(p, f);
    };
    gc.finalizers.setFinalizer(make(), f);
    for (let i = 0; i < 3; i++) cycle();
    expect(again).toBe(3);
  });

  it("find what their object refers to intact, although it is referred to by nothing else", () => {
    const { gc, make, cycle, u32 } = setUp();
    const leaf = make();
    u32[(leaf + 24) >>> 2] = 42;
    let seen = 0;
    gc.finalizers.setFinalizer(make(leaf), (p) => {
      seen = u32[(u32[p >>> 2] + 24) >>> 2]!;
    });
    cycle();
    expect(seen).toBe(42);
  });

  it("can be taken away", () => {
    const { gc, make, cycle, heapObjects } = setUp();
    const o = make();
    gc.finalizers.setFinalizer(o, () => expect.fail("ran"));
    gc.finalizers.setFinalizer(o, null);
    cycle();
    expect(heapObjects()).toBe(0);
  });

  it("keep their object while they wait and while they run, and wake their consumer once", () => {
    const { gc, make, woken, heapObjects } = setUp();
    for (let i = 0; i < 10; i++) gc.finalizers.setFinalizer(make(), () => {});
    gc.gc();
    expect(woken()).toBe(1);
    expect(gc.finalizers.queued).toBe(10);
    gc.gc();
    expect(heapObjects()).toBe(10);
    const f = gc.finalizers.next()!;
    gc.gc();
    expect(heapObjects()).toBe(10);
    gc.finalizers.done(f);
    gc.gc();
    expect(heapObjects()).toBe(9);
    expect(gc.finalizers.run()).toBe(9);
    gc.gc();
    expect(heapObjects()).toBe(0);
  });

  it("that throw are reported, and the rest still runs", () => {
    const { gc, make, heapObjects } = setUp();
    let ran = 0;
    for (let i = 0; i < 3; i++) {
      gc.finalizers.setFinalizer(make(), () => {
        ran++;
        if (ran === 2) throw new Error("no");
      });
    }
    gc.gc();
    const thrown: unknown[] = [];
    gc.finalizers.run((err) => thrown.push((err as Error).message));
    expect(ran).toBe(3);
    expect(thrown).toEqual(["no"]);
    gc.gc();
    expect(heapObjects()).toBe(0);
  });

  it("may allocate and collect", () => {
    const { gc, make, a, node } = setUp();
    let done = false;
    gc.finalizers.setFinalizer(make(), () => {
      for (let i = 0; i < 1000; i++) a.mallocTyped(node);
      gc.gc();
      done = true;
    });
    gc.gc();
    gc.finalizers.run();
    expect(done).toBe(true);
    verifyHeap(gc);
  });

  it("work for objects with a header, large objects, and tiny ones", () => {
    const { gc, a, cycle, heapObjects } = setUp();
    const wide = a.newType(800, [1]);
    const got: number[] = [];
    const want: number[] = [];
    for (const p of [
      a.mallocTyped(wide),
      a.mallocgc(800 * 100, wide, true),
      a.mallocNoscan(100_000),
      a.mallocNoscan(5),
    ]) {
      want.push(p);
      gc.finalizers.setFinalizer(p, (q) => got.push(q));
    }
    cycle();
    expect(got.sort()).toEqual(want.sort());
    cycle();
    expect(heapObjects()).toBe(0);
  });

  it("set while marking goes on protect what their object refers to", () => {
    const { gc, make, u32 } = setUp();
    // Garbage when the cycle begins, but for the local that the program keeps it in.
    const o = make(make());
    gc.start();
    while (!gc.roots.done) gc.step(64);
    gc.finalizers.setFinalizer(o, () => {});
    gc.gc();
    const f = gc.finalizers.next()!;
    expect(f.arg).toBe(o);
    expect(u32[u32[o >>> 2] >>> 2]).toBe(0);
    gc.finalizers.done(f);
    verifyHeap(gc);
  });

  it("end the program with Go's words when misused", () => {
    const { gc, make, a, u32 } = setUp();
    const fatal = (f: () => void): string => {
      try {
        f();
      } catch (err) {
        if (isFatalError(err)) return err.message;
        throw err;
      }
      return "";
    };
    const { finalizers } = gc;
    const o = make();
    const nop = (): void => {};
    expect(fatal(() => finalizers.setFinalizer(0 as Addr, nop))).toBe(
      "runtime.SetFinalizer: first argument is nil",
    );
    expect(fatal(() => finalizers.setFinalizer(4096 as Addr, nop))).toBe(
      "runtime.SetFinalizer: pointer not in allocated block",
    );
    expect(fatal(() => finalizers.setFinalizer((o + 8) as Addr, nop))).toBe(
      "runtime.SetFinalizer: pointer not at beginning of allocated block",
    );
    finalizers.setFinalizer(o, nop);
    expect(fatal(() => finalizers.setFinalizer(o, nop))).toBe("runtime.SetFinalizer: finalizer already set");
    expect(() => finalizers.setFinalizer(o, 3 as never)).toThrow(TypeError);
    // What can't be collected has nothing to wait for.
    finalizers.setFinalizer(a.zerobase, nop);
    void u32;
  });
});

describe("cleanups", () => {
  it("run with an argument that equals the address: a number holds nothing", () => {
    const { gc, make, cycle } = setUp();
    const got: number[] = [];
    const o = make();
    gc.finalizers.addCleanup(o, (n: number) => got.push(n), o);
    cycle();
    expect(got).toEqual([o]);
  });

  it("run in rings, several for an object, unless stopped", () => {
    const { gc, make, cycle, heapObjects } = setUp();
    const got: number[] = [];
    const p = make();
    const q = make(p);
    gc.storePointer(p, q);
    const add = (o: Addr, n: number) => gc.finalizers.addCleanup(o, (k: number) => got.push(k), n);
    add(p, 1);
    add(p, 2);
    add(q, 3);
    const c = add(q, 4);
    c.stop();
    c.stop();
    cycle();
    expect(got.sort()).toEqual([1, 2, 3]);
    expect(heapObjects()).toBe(0);
    c.stop();
  });

  it("come a cycle after the finalizer of the same object", () => {
    const { gc, make, cycle } = setUp();
    const got: number[] = [];
    const o = make();
    gc.finalizers.setFinalizer(o, () => got.push(10));
    gc.finalizers.addCleanup(o, (n: number) => got.push(n), 11);
    const after: number[][] = [];
    for (let i = 0; i < 3; i++) {
      cycle();
      after.push(got.splice(0));
    }
    expect(after).toEqual([[10], [11], []]);
  });

  it("can be stopped after their object is gone, which changes nothing", () => {
    const { gc, make } = setUp();
    let ran = 0;
    const c = gc.finalizers.addCleanup(make(), () => ran++, 0);
    gc.gc();
    c.stop();
    gc.finalizers.run();
    expect(ran).toBe(1);
    c.stop();
  });
});

describe("weak pointers", () => {
  it("read the address while the object lives, and nil from the cycle that finds it dead", () => {
    const { gc, make, heapObjects } = setUp();
    const o = make();
    const ref = gc.refs.alloc(o);
    const w = gc.finalizers.weak(o);
    expect(gc.finalizers.weak(o)).toBe(w);
    gc.gc();
    expect(w.value()).toBe(o);
    gc.refs.free(ref);
    gc.gc();
    expect(w.value()).toBe(0);
    expect(heapObjects()).toBe(0);
  });

  it("are nil before the finalizer runs, and stay nil if that revives the object", () => {
    const { gc, make } = setUp();
    const o = make();
    const w = gc.finalizers.weak(o);
    const saved = gc.refs.alloc(0);
    let seen = -1;
    gc.finalizers.setFinalizer(o, (p) => {
      seen = w.value();
      gc.storePointer(saved, p);
    });
    gc.gc();
    gc.finalizers.run();
    expect(seen).toBe(0);
    expect(gc.refs.get(saved)).toBe(o);
    expect(w.value()).toBe(0);
    const again = gc.finalizers.weak(o);
    expect(again.value()).toBe(o);
    gc.gc();
    expect(again.value()).toBe(o);
  });

  it("keep the object through the cycle if they are read while it marks", () => {
    const { gc, make, a, u32 } = setUp();
    const o = make();
    const w = gc.finalizers.weak(o);
    const stack = a.stackAlloc(2048);
    u32[stack >>> 2] = 0;
    gc.setStackRoots((visit) => visit(stack, stack + 8));
    gc.start();
    const p = w.value();
    expect(p).toBe(o);
    // The stack was scanned when the cycle began, and stores into it have no barrier.
    u32[stack >>> 2] = p;
    while (gc.step() !== "terminate");
    expect(w.value()).toBe(o);
    gc.gc();
    expect(w.value()).toBe(o);
    verifyHeap(gc);
  });

  it("sweep no more than their object's span when they are read before the sweep is done", () => {
    const { gc, make } = setUp();
    const o = make();
    gc.refs.alloc(o);
    const w = gc.finalizers.weak(o);
    for (let i = 0; i < 20_000; i++) make();
    gc.start();
    while (gc.step() !== "terminate");
    const before = gc.heap.pagesSwept;
    expect(w.value()).toBe(o);
    expect(gc.heap.pagesSwept).toBe(before + 1);
    gc.finalizers.setFinalizer(o, () => {});
    expect(gc.heap.pagesSwept).toBe(before + 1);
    gc.gc();
    verifyHeap(gc);
  });

  it("do not return an object that is dead but not swept", () => {
    const { gc, make } = setUp();
    const w = gc.finalizers.weak(make());
    gc.start();
    while (gc.step() !== "terminate");
    expect(w.value()).toBe(0);
  });
});

describe("the cell of a weak pointer", () => {
  it("is free once V8 has collected the pointer, also after a heap was dropped that waited for such news", async () => {
    const weakTo = (rig: ReturnType<typeof setUp>) => {
      const o = rig.make();
      rig.gc.refs.alloc(o);
      for (let i = 0; i < 10; i++) rig.gc.finalizers.weak(o);
      return o;
    };
    await dropWithReportsDue(() => {
      const other = setUp();
      weakTo(other);
      return other;
    });
    const kept = setUp();
    const o = weakTo(kept);
    expect(kept.a.findSpecial(o, SPECIAL_WEAK)).not.toBe(0);
    await collectHostUntil(() => kept.a.findSpecial(o, SPECIAL_WEAK) === 0);
  });
});

describe("V8's news of a weak pointer", () => {
  const { FinalizationRegistry: Registry, WeakRef: Ref } = globalThis;
  type News = (held: unknown) => void;
  /** What V8 would call, and with what, for each pointer in the order they were made. */
  let news: (() => void)[];
  let dead: Set<object>;

  beforeEach(() => {
    news = [];
    dead = new Set();
    globalThis.FinalizationRegistry = class {
      readonly #f: News;
      constructor(f: News) {
        this.#f = f;
      }
      register(_target: object, held: unknown): void {
        news.push(() => this.#f(held));
      }
      unregister(): void {}
    } as never;
    globalThis.WeakRef = class {
      readonly #target: object;
      constructor(target: object) {
        this.#target = target;
      }
      deref(): object | undefined {
        return dead.has(this.#target) ? undefined : this.#target;
      }
    } as never;
  });

  afterEach(() => {
    globalThis.FinalizationRegistry = Registry;
    globalThis.WeakRef = Ref;
  });

  it("takes the special away, so that a later pointer is another one and works", () => {
    const { gc, make, a } = setUp();
    const o = make();
    const root = gc.refs.alloc(o);
    const first = gc.finalizers.weak(o);
    expect(gc.finalizers.weak(o)).toBe(first);
    dead.add(first);
    news[0]();
    expect(a.findSpecial(o, SPECIAL_WEAK)).toBe(0);
    const second = gc.finalizers.weak(o);
    expect(second).not.toBe(first);
    gc.refs.free(root);
    gc.gc();
    expect(second.value()).toBe(0);
  });

  it("is ignored when another pointer was made before it came", () => {
    const { gc, make, a, cycle } = setUp();
    const o = make();
    const root = gc.refs.alloc(o);
    const first = gc.finalizers.weak(o);
    dead.add(first);
    const second = gc.finalizers.weak(o);
    expect(second).not.toBe(first);
    news[0]();
    expect(a.findSpecial(o, SPECIAL_WEAK)).not.toBe(0);
    expect(gc.finalizers.weak(o)).toBe(second);
    expect(second.value()).toBe(o);
    // The cell is not handed out again while the second pointer has it.
    const other = make();
    gc.finalizers.setFinalizer(other, () => {});
    expect(second.value()).toBe(o);
    gc.refs.free(root);
    cycle();
    expect(second.value()).toBe(0);
  });
});

describe("queues of finalizers and cleanups", () => {
  it("are taken from one by one, and each wakes when it gets its first entry", () => {
    const { gc, make, woken } = setUp();
    const { finalizers } = gc;
    const ran: string[] = [];
    const finalizer = make();
    finalizers.setFinalizer(finalizer, () => ran.push("finalizer"));
    gc.gc();
    expect(woken()).toBe(1);
    for (let i = 0; i < 2; i++) finalizers.addCleanup(make(), () => ran.push("cleanup"), i);
    gc.gc();
    expect(woken()).toBe(2);
    expect([finalizers.queuedOf("finalizer"), finalizers.queuedOf("cleanup"), finalizers.queued]).toEqual([
      1, 2, 3,
    ]);
    const f = finalizers.next("cleanup")!;
    expect(f.kind).toBe("cleanup");
    finalizers.done(f);
    expect([finalizers.queuedOf("finalizer"), finalizers.queuedOf("cleanup")]).toEqual([1, 1]);
    expect(finalizers.run()).toBe(2);
    expect(ran).toEqual(["finalizer", "cleanup"]);
    expect(finalizers.next("finalizer")).toBe(null);
    expect(finalizers.next("cleanup")).toBe(null);
  });
});

describe("finalizers in bulk", () => {
  it("all run, and the memory comes back", () => {
    const { gc, make, a } = setUp({ godebug: {} });
    let ran = 0;
    for (let i = 0; i < 20_000; i++) gc.finalizers.setFinalizer(make(), () => ran++);
    gc.gc();
    gc.finalizers.run();
    gc.gc();
    expect(ran).toBe(20_000);
    expect(a.readStats(newHeapStats()).heapAlloc).toBe(0);
  });
});

describe("a memory without room for metadata", () => {
  /** Takes what is left for metadata, to the last word. */
  function exhaust({ a }: ReturnType<typeof setUp>): void {
    for (let n = 1 << 20; n >= 8; n /= 2) while (a.mem.persistentAlloc(n, 8, "otherSys") !== 0);
  }

  it("queues what is due all the same: the entry was taken when the finalizer was set", () => {
    const s = setUp({ maxMemory: 64 * 2 ** 20 });
    const { gc, make, heapObjects } = s;
    const ran: string[] = [];
    // More than a block of entries holds.
    const n = 600;
    for (let i = 0; i < n; i++) {
      gc.finalizers.setFinalizer(make(), () => ran.push("finalizer"));
      gc.finalizers.addCleanup(make(), () => ran.push("cleanup"), 0);
    }
    exhaust(s);
    gc.gc();
    gc.finalizers.run();
    expect(ran.filter((x) => x === "finalizer")).toHaveLength(n);
    expect(ran.filter((x) => x === "cleanup")).toHaveLength(n);
    gc.gc();
    expect(heapObjects()).toBe(0);
    // What they took serves the next ones.
    for (let i = 0; i < n; i++) gc.finalizers.addCleanup(make(), () => ran.push("again"), 0);
    gc.gc();
    gc.finalizers.run();
    expect(ran.filter((x) => x === "again")).toHaveLength(n);
  });

  it("refuses the finalizer that it has no room for, and nothing of it is left", () => {
    const s = setUp({ maxMemory: 64 * 2 ** 20 });
    const { gc, make, heapObjects } = s;
    const o = make();
    const ref = gc.refs.alloc(o);
    let ran = 0;
    exhaust(s);
    const refused = (set: () => void): number => {
      let n = 0;
      try {
        for (;;) {
          set();
          n++;
        }
      } catch (err) {
        if (!isFatalError(err)) throw err;
        expect(err.message).toContain("out of memory");
      }
      return n;
    };
    const n = refused(() => gc.finalizers.addCleanup(o, () => ran++, 0));
    expect(refused(() => gc.finalizers.setFinalizer(make(), () => ran++))).toBe(0);
    gc.refs.free(ref);
    gc.gc();
    gc.finalizers.run();
    expect(ran).toBe(n);
    expect(heapObjects()).toBe(0);
  });
});

/** Finalizers without a collector: the test says what the sweeper finds, and keeps what the host is asked for. */
function bare() {
  const { a, gc, node, u32 } = rig();
  const calls: string[] = [];
  const counted: string[] = [];
  const host = {
    marking: false,
    shade: (p: number) => void calls.push(`shade ${p}`),
    scanFinalizerObject: (base: number) => void calls.push(`scan ${base}`),
    ensureSwept: (span: number): void => void calls.push(`sweep ${span}`),
    wake: () => void calls.push("wake"),
  };
  const record = { countFinalization: (name: string) => void counted.push(name) } as unknown as GCRecord;
  const fin = new Finalizers(gc.heap, host, record);
  const said = (): string[] => calls.splice(0);
  return {
    a,
    u32,
    fin,
    host,
    counted,
    said,
    make: () => a.mallocTyped(node),
    /** The object's finalizer is due. */
    finalize(p: Addr): void {
      fin.queueFinalizer(a.removeSpecial(p, SPECIAL_FINALIZER), p);
    },
    /** The object is freed. */
    cleanUp(p: Addr): void {
      fin.queueCleanup(a.removeSpecial(p, SPECIAL_CLEANUP));
    },
  };
}

describe("an address that can't be collected or is no object's", () => {
  it("has cleanups that never run, and weak pointers that go on reading it", () => {
    const { a, fin, said } = bare();
    fin.addCleanup(a.zerobase, () => {}, 0).stop();
    fin.setFinalizer(a.zerobase, () => {});
    expect(fin.weak(a.zerobase).value()).toBe(a.zerobase);
    expect(fin.weak(0 as Addr).value()).toBe(0);
    expect([said(), fin.queued]).toEqual([[], 0]);
  });

  it("is refused in Go's words, and what is no function in ours", () => {
    const { fin, make } = bare();
    const nop = (): void => {};
    const none = 4096 as Addr;
    expect(() => fin.addCleanup(0 as Addr, nop, 0)).toThrow("runtime.AddCleanup: ptr is nil");
    expect(() => fin.addCleanup(none, nop, 0)).toThrow("runtime.AddCleanup: ptr not in allocated block");
    expect(() => fin.weak(none)).toThrow("runtime: weak pointer to an address that is not in the heap");
    const what = new TypeError("gc: addCleanup needs a function (got 3)");
    expect(() => fin.addCleanup(make(), 3 as never, 0)).toThrow(what);
    const whatElse = new TypeError("gc: setFinalizer needs a function or null (got undefined)");
    expect(() => fin.setFinalizer(make(), undefined as never)).toThrow(whatElse);
  });

  it("shares its object with another address if both point into it, tiny ones apart", () => {
    const { a, fin, make } = bare();
    const [p, q] = [make(), make()];
    const wide = a.mallocTyped(a.newType(1000, [1]));
    const tiny = a.mallocNoscan(4);
    const pairs: [Addr, number][] = [
      [p, p + 31],
      [p, q],
      [wide, wide + 999],
      [tiny, tiny],
      [4096 as Addr, 4096],
      [p, 4096],
    ];
    expect(pairs.map(([x, y]) => fin.sameObject(x, y as Addr))).toEqual([
      true,
      false,
      true,
      false,
      false,
      false,
    ]);
  });

  it("is told from the beginning of an object, whose header comes before it", () => {
    const { a, fin } = bare();
    const objects = [
      a.mallocTyped(a.newType(512, [1])),
      a.mallocTyped(a.newType(520, [1])),
      a.mallocNoscan(600),
      a.mallocNoscan(40_000),
      a.mallocgc(40_000, a.newType(8, [1]), true),
    ];
    for (const p of objects) {
      fin.setFinalizer(p, () => {});
      expect(a.findSpecial(p, SPECIAL_FINALIZER)).not.toBe(0);
      expect(() => fin.setFinalizer((p + 8) as Addr, () => {})).toThrow(
        "pointer not at beginning of allocated block",
      );
    }
    // Tiny objects share a block, and begin anywhere in it.
    for (const p of [a.mallocNoscan(4), a.mallocNoscan(4)]) fin.setFinalizer(p, () => {});
  });
});

describe("the entries of the queues", () => {
  it("are taken from blocks of 255, and used again once their function was taken away, stopped or done", () => {
    const { a, fin, make, finalize } = bare();
    const { mem } = a;
    let blocks = 0;
    const { persistentAlloc } = mem;
    mem.persistentAlloc = (...args) => {
      if (args[0] === 4096) blocks++;
      return persistentAlloc.apply(mem, args);
    };
    const objects = Array.from({ length: 255 }, make);
    for (let round = 0; round < 3; round++) {
      for (const p of objects) fin.setFinalizer(p, () => {});
      expect(blocks).toBe(1);
      if (round === 0) for (const p of objects) fin.setFinalizer(p, null);
      else {
        for (const p of objects) finalize(p);
        fin.run();
      }
    }
    const cleanups = objects.map((p) => fin.addCleanup(p, () => {}, 0));
    for (const c of cleanups) c.stop();
    expect(blocks).toBe(1);
    for (const p of objects) fin.setFinalizer(p, () => {});
    fin.addCleanup(objects[0], () => {}, 0);
    expect(blocks).toBe(2);
    mem.persistentAlloc = persistentAlloc;
  });

  it("are none where a finalizer is taken away that was not set", () => {
    const { fin, make, finalize } = bare();
    const [p, q] = [make(), make()];
    fin.setFinalizer(p, () => {});
    fin.setFinalizer(q, null);
    const ran: number[] = [];
    for (const o of [make(), make()]) {
      fin.setFinalizer(o, (x) => void ran.push(x));
      finalize(o);
    }
    expect([fin.run(), new Set(ran).size]).toEqual([2, 2]);
  });

  it("are given back when there is no memory for the special", () => {
    for (const what of ["finalizer", "cleanup", "weak pointer"]) {
      const { a, fin, make, finalize } = bare();
      const p = make();
      const { addSpecial } = a;
      a.addSpecial = () => -1;
      const set = () => {
        if (what === "finalizer") fin.setFinalizer(p, () => {});
        else if (what === "cleanup") fin.addCleanup(p, () => {}, 0);
        else fin.weak(p);
      };
      const detail = `gc: no room for a ${what}'s special`;
      expect(set).toThrow(
        expect.objectContaining({ message: expect.stringContaining("out of memory"), detail }),
      );
      a.addSpecial = addSpecial;
      fin.setFinalizer(p, () => {});
      finalize(p);
      expect(fin.run()).toBe(1);
    }
  });

  it("root the objects of finalizers, from all blocks, until each is done", () => {
    const { fin, make, finalize, cleanUp } = bare();
    const objects = Array.from({ length: 600 }, make);
    for (const p of objects) {
      fin.setFinalizer(p, () => {});
      fin.addCleanup(p, () => {}, 0);
    }
    const rooted = () => {
      const seen: number[] = [];
      fin.forEachQueued((p) => seen.push(p));
      return seen.sort((x, y) => x - y);
    };
    expect(rooted()).toEqual([]);
    for (const p of objects) {
      finalize(p);
      cleanUp(p);
    }
    expect(rooted()).toEqual(objects);
    const first = fin.next()!;
    expect([first.kind, first.arg, rooted().length]).toEqual(["finalizer", objects[0], 600]);
    fin.done(first);
    expect(rooted()).toEqual(objects.slice(1));
    fin.run();
    expect(rooted()).toEqual([]);
  });

  it("wake the consumer at the first of each queue, and keep their order when it has taken some", () => {
    const { fin, make, finalize, cleanUp, said, counted } = bare();
    const [a, b, c] = [make(), make(), make()];
    for (const p of [a, b, c]) {
      fin.setFinalizer(p, () => {});
      fin.addCleanup(p, () => {}, p + 1);
    }
    said();
    finalize(a);
    finalize(b);
    cleanUp(a);
    expect(said()).toEqual(["wake", "wake"]);
    expect([fin.queued, fin.queuedOf("finalizer"), fin.queuedOf("cleanup")]).toEqual([3, 2, 1]);
    const taken = [fin.next("cleanup")!, fin.next()!];
    expect(fin.next("cleanup")).toBeNull();
    finalize(c);
    cleanUp(b);
    cleanUp(c);
    expect(said()).toEqual(["wake"]);
    while (taken.length < 6) taken.push(fin.next()!);
    expect(taken.map((f) => f.arg)).toEqual([a + 1, a, b, c, b + 1, c + 1]);
    expect([fin.next(), fin.queued]).toEqual([null, 0]);
    for (const f of taken) fin.done(f);
    const n = (name: string) => counted.filter((x) => x === name).length;
    expect(["finalizersQueued", "finalizersExecuted", "cleanupsQueued", "cleanupsExecuted"].map(n)).toEqual([
      3, 3, 3, 3,
    ]);
  });

  it("name a function, or the program ends", () => {
    const { fin, make, finalize, a, u32 } = bare();
    const p = make();
    fin.setFinalizer(p, () => {});
    const entry = u32[(a.findSpecial(p, SPECIAL_FINALIZER) + SPECIAL_AT.data) >>> 2];
    finalize(p);
    u32[(entry + 8) >>> 2] = 12_345;
    expect(() => fin.next()).toThrow("gc: finalizer queue names an unknown function");
  });

  it("stay where a function throws and no listener takes the error", () => {
    const { fin, make, finalize } = bare();
    const failure = new Error("of the finalizer");
    for (const throws of [true, false]) {
      const p = make();
      fin.setFinalizer(p, () => {
        if (throws) throw failure;
      });
      finalize(p);
    }
    expect(() => fin.run()).toThrow(failure);
    expect([fin.queued, fin.run()]).toEqual([1, 1]);
  });
});

describe("while a cycle marks", () => {
  it("an object is shaded whose finalizer is done, to which a weak pointer is made, and which one reads", () => {
    const { fin, make, finalize, cleanUp, host, said, a } = bare();
    const p = make();
    const span = a.spanOf(p);
    for (const marking of [false, true]) {
      host.marking = marking;
      const shade = marking ? [`shade ${p}`] : [];
      fin.setFinalizer(p, () => {});
      expect(said()).toEqual([`sweep ${span}`, ...(marking ? [`scan ${p}`] : [])]);
      finalize(p);
      const f = fin.next()!;
      said();
      fin.done(f);
      expect(said()).toEqual(shade);
      fin.addCleanup(p, () => {}, 0);
      cleanUp(p);
      said();
      fin.done(fin.next()!);
      expect(said()).toEqual([]);
      const weak = fin.weak(p);
      expect(said()).toEqual([`sweep ${span}`, ...shade]);
      expect(fin.weak(p)).toBe(weak);
      said();
      expect(weak.value()).toBe(p);
      expect(said()).toEqual([`sweep ${span}`, ...shade]);
    }
  });

  it("a weak pointer shades nothing if the sweep that it asks for finds the object dead", () => {
    const { fin, make, host, said, a, u32 } = bare();
    const p = make();
    const weak = fin.weak(p);
    const cell = u32[(a.findSpecial(p, SPECIAL_WEAK) + SPECIAL_AT.data) >>> 2];
    host.marking = true;
    host.ensureSwept = () => fin.clearWeak(cell);
    said();
    expect([weak.value(), said()]).toEqual([0, []]);
    host.ensureSwept = () => {
      throw new Error("there is nothing to sweep for");
    };
    expect(weak.value()).toBe(0);
  });
});
