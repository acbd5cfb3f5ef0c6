import { describe, expect, it } from "vitest";
import type { Runtime } from "../../src/index.ts";
import { block, expectEmpty, make, output, turn, verify, word } from "./kit.ts";

/** A live object that holds the address of a span that was freed: a raw pointer kept for too long. */
function corrupt(rt: Runtime): void {
  const p = rt.unsafe.mallocgc(16, rt.unsafe.newType(16, [0, 1]));
  rt.unsafe.newRoot(p);
  const gone = rt.unsafe.mallocgc(1 << 20);
  rt.gc();
  rt.memory.u32[p >>> 2] = gone;
}

describe("a broken heap", () => {
  const bad = /found bad pointer in Go heap/;

  it("ends main when a collection between two goroutines finds it", async () => {
    const rt = make();
    const main = rt.main(function* () {
      corrupt(rt);
      rt.collector.requestGC();
      while (true) yield* rt.gosched();
    });
    await expect(main).rejects.toThrow(bad);
  });

  it("ends main when marking in idle time finds it", async () => {
    const rt = make();
    const main = rt.main(function* () {
      corrupt(rt);
      rt.collector.start();
      rt.collector.requestGC();
      yield* rt.sleep(10_000);
    });
    await expect(main).rejects.toThrow(bad);
  });

  it("ends main when gc() finds it", async () => {
    const rt = make();
    const main = rt.main(() => {
      corrupt(rt);
      rt.gc();
    });
    await expect(main).rejects.toThrow(bad);
  });
});

describe("finalizers", () => {
  const finalizer = (rt: Runtime, f: (p: number) => unknown): void =>
    rt.collector.finalizers.setFinalizer(block(rt, 64, 7), f);

  it("that wait behind one that panics run all the same, and later ones too", async () => {
    const rt = make();
    let ran = 0;
    const main = rt.main(function* () {
      finalizer(rt, () => {
        throw new Error("boom");
      });
      for (let i = 0; i < 3; i++) finalizer(rt, () => ran++);
      rt.gc();
      yield* rt.sleep(1000);
    });
    await expect(main).rejects.toThrow("boom");
    // The next slice of the scheduler is a message of the host, which may come after a timer that is due.
    while (ran < 3) await turn();
    expect(ran).toBe(3);
    const done = rt.makeChan<void>();
    await rt.main(function* () {
      finalizer(rt, function* () {
        ran++;
        yield* done.send(undefined);
      });
      rt.gc();
      yield* done.recv();
    });
    expect(ran).toBe(4);
    await expectEmpty(rt);
  });

  it("may collect, block and collect again while their object lives", async () => {
    const rt = make();
    const seen: number[] = [];
    const gate = rt.makeChan<void>();
    await rt.main(function* () {
      finalizer(rt, function* (p) {
        rt.gc();
        rt.gc();
        seen.push(word(rt, p));
        yield* gate.recv();
        rt.gc();
        seen.push(word(rt, p));
        yield* gate.recv();
      });
      rt.gc();
      yield* gate.send(undefined);
      yield* gate.send(undefined);
    });
    expect(seen).toEqual([7, 7]);
    await expectEmpty(rt);
  });

  it("and a cycle that marks are left behind by close", async () => {
    const rt = make();
    const node = rt.unsafe.newType(16, [0, 1]);
    const main = rt.main(function* () {
      const list = rt.root(0 as never);
      for (let i = 0; i < 50_000; i++) {
        const n = rt.unsafe.mallocTyped(node);
        rt.unsafe.storePointer(n, list.ptr);
        list.ptr = n as never;
      }
      finalizer(rt, () => {
        throw new Error("not to be run");
      });
      rt.gc();
      rt.collector.start();
      expect(rt.collector.marking).toBe(true);
      yield* rt.sleep(10_000);
    });
    await turn();
    rt.close();
    await expect(main).rejects.toThrow(/closed/);
    await turn();
    expect(output()).toBe("");
    verify(rt);
  });
});
