import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { collectHostUntil, dropWithReportsDue } from "../../../vitest.hostgc.ts";
import { SPECIAL_WEAK } from "../src/heap.ts";
import { verifyHeap } from "../src/testing.ts";
import { setUp } from "./mfinal-kit.ts";

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
