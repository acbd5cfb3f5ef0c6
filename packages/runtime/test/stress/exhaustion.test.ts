import { describe, expect, it } from "vitest";
import { isFatalError, type Runtime } from "../../src/index.ts";
import type { RootSlot } from "../../src/unsafe-access.ts";
import { block, expectEmpty, MiB, make, random, seed, verify, word } from "./kit.ts";

const outOfMemory = /out of memory/;

/** A runtime with room for this many bytes of spans. Its heap grows too full for the check of each mark phase. */
function small(bytes: number): Runtime {
  const rt = make({ maxMemory: 64 * MiB, gogc: "off", godebug: "clobberfree=1,memprofilerate=0" });
  const low = rt.memory.size - rt.memory.unreserved;
  const start = Math.ceil(low / (4 * MiB)) * 4 * MiB;
  rt.memory.sysReserve(rt.memory.unreserved - (start - low) - bytes, 8, "high");
  return rt;
}

/** Allocates until the memory is used up, each object linked to the one before; the last one. */
function fill(rt: Runtime, size: number, typ: number, list: RootSlot): number {
  let n = 0;
  try {
    for (; ; n++) {
      const p = rt.unsafe.mallocgc(size, typ);
      rt.unsafe.storePointer(p, rt.unsafe.loadPointer(list));
      rt.unsafe.setRoot(list, p);
    }
  } catch (err) {
    if (!isFatalError(err)) throw err;
    expect(String(err)).toMatch(outOfMemory);
  }
  return n;
}

function length(rt: Runtime, list: RootSlot): number {
  let n = 0;
  for (let p = word(rt, list); p !== 0; p = word(rt, p)) n++;
  return n;
}

describe("a memory that is used up", () => {
  for (const size of [8, 48, 1024, 9000, 32_760, 100_000]) {
    it(`by objects of ${size} bytes can be marked, swept, and used again`, async () => {
      const rt = small(size < 100 ? 4 * MiB : 16 * MiB);
      const typ = rt.unsafe.newType(size, [0]);
      const list = rt.unsafe.newRoot(0);
      const n = fill(rt, size, typ, list);
      verify(rt);
      rt.gc();
      verify(rt);
      expect(length(rt, list)).toBe(n);
      // Unlinks every other object.
      let kept = 0;
      for (let p = word(rt, list); p !== 0; p = word(rt, p), kept++) {
        const next = word(rt, p);
        if (next !== 0) rt.unsafe.storePointer(p as never, word(rt, next) as never);
      }
      rt.gc();
      expect(rt.readMemStats().HeapObjects).toBe(kept);
      // Their memory can be used again. Objects of another size need whole free spans.
      const again = fill(rt, size, typ, list);
      expect(again).toBeGreaterThanOrEqual(n - kept - 1024);
      expect(length(rt, list)).toBe(kept + again);
      verify(rt);
      rt.unsafe.freeRoot(list);
      await expectEmpty(rt);
      const last = rt.unsafe.newRoot(0);
      expect(fill(rt, 16, rt.unsafe.newType(16, [0]), last)).toBeGreaterThan(200_000);
      rt.unsafe.freeRoot(last);
      await expectEmpty(rt);
    });
  }

  it("is marked without room for grey objects, by the slow way", async () => {
    const rt = small(32 * MiB);
    const { unsafe } = rt;
    const list = unsafe.newRoot(0);
    // A fan: marking the array finds all of its objects at once, and each of them has one of its own.
    const n = 20_000;
    const fan = unsafe.mallocgc(8 * n, unsafe.newType(8, [0]));
    unsafe.setRoot(list, fan);
    const leaf = unsafe.newType(600, [74]);
    for (let i = 0; i < n; i++) {
      const p = unsafe.mallocgc(600, leaf);
      unsafe.storePointer((fan + 8 * i) as never, p);
      unsafe.storePointer((p + 74 * 8) as never, block(rt, 32, i));
    }
    const rest = unsafe.newRoot(0);
    fill(rt, 8192, unsafe.newType(8192, [0]), rest);
    fill(rt, 16, unsafe.newType(16, [0]), rest);
    for (const how of ["gc", "steps"]) {
      if (how === "gc") rt.gc();
      else {
        rt.collector.start();
        while (rt.collector.step(10_000) !== "terminate");
      }
      verify(rt);
    }
    for (let i = 0; i < n; i++) {
      const p = word(rt, fan + 8 * i);
      expect(word(rt, word(rt, p + 74 * 8))).toBe(i);
    }
    unsafe.freeRoot(list);
    unsafe.freeRoot(rest);
    await expectEmpty(rt);
  });

  it("by the records of cleanups says so", () => {
    const rt = small(8 * MiB);
    const { finalizers } = rt.collector;
    const list = rt.unsafe.newRoot(0);
    fill(rt, 16, rt.unsafe.newType(16, [0]), list);
    let set = 0;
    expect(() => {
      for (let p = word(rt, list); p !== 0; p = word(rt, p), set++)
        finalizers.addCleanup(p as never, () => {}, 0);
    }).toThrow(outOfMemory);
    expect(set).toBeGreaterThan(1000);
    expect(() => finalizers.setFinalizer(word(rt, list) as never, () => {})).toThrow(outOfMemory);
    verify(rt);
  });

  it("by stacks leaves them and the heap whole", async () => {
    const rt = small(4 * MiB);
    const list = rt.unsafe.newRoot(0);
    const rnd = random(seed);
    await rt.main(function* () {
      const done = rt.makeChan<boolean>();
      const values: number[] = [];
      rt.go(function* () {
        const roots = [];
        for (let i = 0; i < 1000; i++) {
          values.push(rnd(1 << 30));
          roots.push(rt.root(block(rt, 16, values[i])));
        }
        fill(rt, 4096, rt.unsafe.newType(4096, [0]), list);
        fill(rt, 16, rt.unsafe.newType(16, [0]), list);
        // A stack of twice the size does not fit any more.
        expect(() => {
          while (true) rt.root(word(rt, list) as never);
        }).toThrow(outOfMemory);
        rt.gc();
        expect(roots.map((r) => word(rt, r.ptr))).toEqual(values);
        yield* rt.gosched();
        expect(roots.map((r) => word(rt, r.ptr))).toEqual(values);
        yield* done.send(true);
      });
      yield* done.recv();
    });
    rt.unsafe.freeRoot(list);
    await expectEmpty(rt);
  });
});
