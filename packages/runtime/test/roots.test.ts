import { describe, expect, it } from "vitest";
import { createRuntime, int, pointer, type Root, type Runtime, struct } from "../src/index.ts";
import { closeAfterTest } from "./kit.ts";

const Node = struct("Node", { value: int, next: pointer(int) });

function make(): Runtime {
  const rt = createRuntime({
    maxMemory: 128 << 20,
    godebug: "clobberfree=1",
    gogc: "off",
    stderr() {},
    seed: 1,
  });
  closeAfterTest(rt);
  return rt;
}

/** Roots n new nodes, whose values count up from `from`. */
function rootNodes(rt: Runtime, n: number, from = 0): Root<typeof Node>[] {
  return Array.from({ length: n }, (_, i) => {
    const p = rt.unsafe.newObject(Node);
    rt.unsafe.view(Node, p).value = from + i;
    return rt.root(p);
  });
}

const valuesOf = (rt: Runtime, roots: Root<typeof Node>[]): number[] =>
  roots.map((r) => Number(rt.unsafe.view(Node, r.ptr).value));

const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

describe("a goroutine's roots", () => {
  it("leave the size of the stack alone when the outermost frame has ended and another begins", async () => {
    const rt = make();
    await rt.main(function* () {
      yield* rt.frame(function* () {
        rootNodes(rt, 1);
        yield* rt.gosched();
      });
      yield* rt.frame(function* () {
        // Past the first 254: the stack grows, by the size that stands in its header.
        const roots = rootNodes(rt, 300);
        yield* rt.gosched();
        rt.gc();
        expect(valuesOf(rt, roots)).toEqual(upTo(300));
      });
    });
    expect(rt.readMemStats().StackInuse).toBeLessThanOrEqual(32768);
  });

  it("are unusable after their release, whatever the slot has become", async () => {
    const rt = make();
    await rt.main(function* () {
      yield* rt.gosched();
      const [first, second, third] = rootNodes(rt, 3);
      second.release();
      for (const use of [() => second.ptr, () => (second.ptr = first.ptr)]) {
        expect(use).toThrow("runtime: use of a root after its frame has ended");
      }
      second.release();
      third.release();
      const [next] = rootNodes(rt, 1, 7);
      expect(() => third.ptr).toThrow("runtime: use of a root after its frame has ended");
      third.release();
      rt.gc();
      expect(valuesOf(rt, [first, next])).toEqual([0, 7]);
    });
  });

  it("keep the object that they are set to, and release the previous one", async () => {
    const rt = make();
    await rt.main(function* () {
      yield* rt.gosched();
      const [root] = rootNodes(rt, 1);
      const other = rt.unsafe.newObject(Node);
      rt.unsafe.view(Node, other).value = 9;
      root.ptr = other;
      rt.gc();
      expect(rt.readMemStats().HeapObjects).toBe(1);
      expect(valuesOf(rt, [root])).toEqual([9]);
    });
  });

  it("of host code keep what they are set to while a collection marks", () => {
    const rt = make();
    const [root] = rootNodes(rt, 1);
    const other = rt.unsafe.newObject(Node);
    rt.unsafe.view(Node, other).value = 9;
    root.ptr = other;
    rt.gc();
    expect(valuesOf(rt, [root])).toEqual([9]);
    root.release();
    expect(() => (root.ptr = other)).toThrow("runtime: use of a root after its release");
    root.release();
    rt.gc();
    expect(rt.readMemStats().HeapObjects).toBe(0);
  });
});
