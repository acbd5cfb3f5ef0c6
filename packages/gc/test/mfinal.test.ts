import { newHeapStats } from "@gort/allocator";
import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { SPECIAL_AT, SPECIAL_FINALIZER, SPECIAL_WEAK } from "../src/heap.ts";
import { isFatalError } from "../src/index.ts";
import { verifyHeap } from "../src/testing.ts";
import { rig } from "./kit.ts";
import { bare, setUp } from "./mfinal-kit.ts";

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

  it("find the objects to which their object refers intact, even if nothing else refers to them", () => {
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

  it("set while a cycle marks protect the objects to which their object refers", () => {
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

describe("an address that can't be collected or is no object's", () => {
  it("has cleanups that never run, and weak pointers that go on reading it", () => {
    const { a, fin, said } = bare();
    fin.addCleanup(a.zerobase, () => {}, 0).stop();
    fin.setFinalizer(a.zerobase, () => {});
    expect(fin.weak(a.zerobase).value()).toBe(a.zerobase);
    expect(fin.weak(0 as Addr).value()).toBe(0);
    expect([said(), fin.queued]).toEqual([[], 0]);
  });

  it("is refused in Go's words; a value that is no function is refused in ours", () => {
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

  it("is distinguished from the beginning of an object, whose header comes before it", () => {
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
