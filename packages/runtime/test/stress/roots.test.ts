import { describe, expect, it } from "vitest";
import type { Root } from "../../src/roots.ts";
import { block, expectEmpty, make, word } from "./kit.ts";

describe("a goroutine's roots", () => {
  it("hold after a frame in which the goroutine rooted for the first time", async () => {
    const rt = make();
    await rt.main(function* () {
      yield* rt.frame(function* () {
        rt.root(block(rt, 64, 1));
      });
      const r = rt.root(block(rt, 64, 42));
      rt.gc();
      expect(word(rt, r.ptr)).toBe(42);
    });
    await expectEmpty(rt);
  });

  it("hold after a frame in which the stack has grown", async () => {
    const rt = make();
    await rt.main(function* () {
      const r = rt.root(block(rt, 64, 42));
      yield* rt.frame(function* () {
        for (let i = 0; i < 2000; i++) rt.root(block(rt, 64, i));
        rt.gc();
        expect(rt.readMemStats().HeapObjects).toBe(2001);
      });
      rt.gc();
      expect(word(rt, r.ptr)).toBe(42);
      expect(rt.readMemStats().HeapObjects).toBe(1);
    });
    await expectEmpty(rt);
  });

  it("are not released by the stale root that had their slot before, in a frame that has ended", async () => {
    const rt = make();
    await rt.main(function* () {
      const stale = (yield* rt.frame(function* () {
        return rt.root(block(rt, 64, 1));
      })) as Root<unknown>;
      const r = rt.root(block(rt, 64, 42));
      stale.release();
      rt.gc();
      expect(word(rt, r.ptr)).toBe(42);
      expect(() => stale.ptr).toThrow(/use of a root after its frame has ended/);
    });
    await expectEmpty(rt);
  });

  it("of a goroutine that has ended say nothing about the next one's", async () => {
    const rt = make();
    await rt.main(function* () {
      let stale: Root<unknown> | undefined;
      rt.go(function* () {
        stale = rt.root(block(rt, 64, 1));
      });
      yield* rt.gosched();
      const done = rt.makeChan<boolean>();
      rt.go(function* () {
        const r = rt.root(block(rt, 64, 42));
        stale!.release();
        rt.gc();
        expect(word(rt, r.ptr)).toBe(42);
        yield* done.send(true);
      });
      yield* done.recv();
    });
    await expectEmpty(rt);
  });
});
