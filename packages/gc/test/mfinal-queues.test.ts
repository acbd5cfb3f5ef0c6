import { describe, expect, it } from "vitest";
import { SPECIAL_AT, SPECIAL_FINALIZER } from "../src/heap.ts";
import { isFatalError } from "../src/index.ts";
import { bare, setUp } from "./mfinal-kit.ts";

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

describe("a memory without room for metadata", () => {
  /** Takes what is left for metadata, to the last word. */
  function exhaust({ a }: ReturnType<typeof setUp>): void {
    for (let n = 1 << 20; n >= 8; n /= 2) while (a.mem.persistentAlloc(n, 8, "otherSys") !== 0);
  }

  it("queues due finalizers all the same: the entry was taken when the finalizer was set", () => {
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
