import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { block, expectEmpty, make, verify } from "./kit.ts";

/** Stand-ins for V8's collector: `forget` makes a target unreachable, its callback waits until `runCallbacks`. */
const forgotten = new Set<object>();
const callbacks: (() => void)[] = [];
const registered = new Map<object, (() => void)[]>();

class FakeWeakRef<T extends object> {
  readonly #target: T;
  constructor(target: T) {
    this.#target = target;
  }
  deref(): T | undefined {
    return forgotten.has(this.#target) ? undefined : this.#target;
  }
}

class FakeRegistry<H> {
  readonly #cleanup: (held: H) => void;
  constructor(cleanup: (held: H) => void) {
    this.#cleanup = cleanup;
  }
  register(target: object, held: H): void {
    const list = registered.get(target) ?? [];
    list.push(() => this.#cleanup(held));
    registered.set(target, list);
  }
  unregister(): boolean {
    return false;
  }
}

function forget(target: object): void {
  forgotten.add(target);
  callbacks.push(...(registered.get(target) ?? []));
}

function runCallbacks(): void {
  for (const f of callbacks.splice(0)) f();
}

const real = { WeakRef: globalThis.WeakRef, FinalizationRegistry: globalThis.FinalizationRegistry };

beforeEach(() => {
  Object.assign(globalThis, { WeakRef: FakeWeakRef, FinalizationRegistry: FakeRegistry });
});
afterEach(() => {
  Object.assign(globalThis, real);
});

describe("weak pointers", () => {
  it("of one object that V8 collects one after the other give their cell back once", async () => {
    const rt = make();
    const { finalizers } = rt.collector;
    const p = block(rt, 64, 1);
    const root = rt.unsafe.newRoot(p);
    const first = finalizers.weak(p);
    forget(first);
    // Its callback has not run yet: the cell gets a second pointer, and that is collected as well.
    const second = finalizers.weak(p);
    expect(second).not.toBe(first);
    forget(second);
    runCallbacks();
    // A cell freed twice would be two of these.
    const objects = Array.from({ length: 4 }, (_, i) => block(rt, 64, i));
    const pointers = objects.map((o) => finalizers.weak(o));
    expect(pointers.map((w) => w.value())).toEqual(objects);
    rt.gc();
    expect(pointers.map((w) => w.value())).toEqual([0, 0, 0, 0]);
    rt.unsafe.freeRoot(root);
    await expectEmpty(rt);
  });

  it("survive the callback of a pointer whose cell has become another object's", () => {
    const rt = make();
    const { finalizers } = rt.collector;
    const p = block(rt, 64, 1);
    const q = block(rt, 64, 2);
    const roots = [rt.unsafe.newRoot(p), rt.unsafe.newRoot(q)];
    forget(finalizers.weak(p));
    const second = finalizers.weak(p);
    forget(second);
    // The second's callback first, then the cell is taken again, then the first's.
    const [one, two] = callbacks.splice(0) as [() => void, () => void];
    two();
    const other = finalizers.weak(q);
    one();
    expect(other.value()).toBe(q);
    rt.unsafe.freeRoot(roots[1]);
    rt.gc();
    expect(other.value()).toBe(0);
    rt.unsafe.freeRoot(roots[0]);
    verify(rt);
  });
});
