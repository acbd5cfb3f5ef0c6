/**
 * The order in which another thread may see the writes of this one. The tests check the stores themselves, as no test
 * can make a processor reorder them.
 */
import { createLinearMemory, type Kernel } from "@gort/memory";
import { expect, it } from "vitest";
import { createAllocator, GC_OFF, GCCONTROL_AT, MSPAN_AT, SPAN_IN_USE } from "../src/internal.ts";

/** A memory whose kernel reports each atomic store before it does it. */
function watched(): { mem: ReturnType<typeof createLinearMemory>; watch(f: Kernel["store"]): void } {
  const mem = createLinearMemory({ maxMemory: 64 << 20 });
  const { kernel } = mem;
  let told: Kernel["store"] = () => {};
  const store: Kernel["store"] = (addr, value) => {
    told(addr, value);
    kernel.store(addr, value);
  };
  Object.defineProperty(mem, "kernel", { value: { ...kernel, store } });
  return {
    mem,
    watch(f) {
      told = f;
    },
  };
}

it("a span's pages name it atomically, and only once its struct is complete", () => {
  const { mem, watch } = watched();
  const a = createAllocator({ memory: mem });
  const pages: number[] = [];
  watch((addr) => {
    const page = (addr - a.pageInfoBase) >>> 2;
    if (addr < a.pageInfoBase || page >= mem.size / 8192) return;
    const s = mem.u32[(a.pageSpanBase >>> 2) + page];
    expect(mem.u32[(s + MSPAN_AT.state) >>> 2]).toBe(SPAN_IN_USE);
    expect(mem.u32[(s + MSPAN_AT.startAddr) >>> 2]).toBe((pages[0] ?? page) * 8192);
    pages.push(page);
  });
  const p = a.mallocgc(3 * 8192 + 32768, 0, true);
  expect(pages).toEqual(Array.from({ length: 7 }, (_, i) => (p >>> 13) + i));
});

it("the mark bits of a whole word of new objects are stored atomically, after the objects were cleared", () => {
  const { mem, watch } = watched();
  const a = createAllocator({ memory: mem });
  const typ = a.newType(16, [1]);
  mem.u32[(a.gcControl + GCCONTROL_AT.gcPhase) >>> 2] = GC_OFF + 1;
  const stored: number[] = [];
  watch((addr, value) => {
    if (value === -1) stored.push(addr);
  });
  const p = a.mallocTyped(typ);
  const marks = mem.u32[(a.spanOf(p) + MSPAN_AT.gcmarkBits) >>> 2];
  expect(stored).toEqual(Array.from({ length: 512 / 32 }, (_, i) => marks + 4 * i));
  mem.u32[(a.gcControl + GCCONTROL_AT.gcPhase) >>> 2] = GC_OFF;
});

it("the mark of a new large object is stored atomically, after the object was cleared and has its type", () => {
  const { mem, watch } = watched();
  const a = createAllocator({ memory: mem });
  const typ = a.newType(8192, [1]);
  a.mem.u32.fill(1, a.malloc(65536) >>> 2, 100);
  a.mem.kernel.fill(a.malloc(65536), 1, 65536);
  mem.u32[(a.gcControl + GCCONTROL_AT.gcPhase) >>> 2] = GC_OFF + 1;
  const complete: boolean[] = [];
  let marks = 0;
  watch((addr, value) => {
    if (value !== 1) return;
    for (let n = 0; n < a.nspans; n++) {
      const s = a.spanAt(n);
      if (mem.u32[(s + MSPAN_AT.gcmarkBits) >>> 2] !== addr) continue;
      marks = addr;
      const start = mem.u32[(s + MSPAN_AT.startAddr) >>> 2] >>> 2;
      complete.push(mem.u32[(s + MSPAN_AT.largeType) >>> 2] === typ);
      complete.push(mem.u32.subarray(start, start + 65536 / 4).every((w) => w === 0));
    }
  });
  const p = a.mallocgc(65536, typ, true);
  expect(marks).toBe(mem.u32[(a.spanOf(p) + MSPAN_AT.gcmarkBits) >>> 2]);
  expect(complete).toEqual([true, true]);
  mem.u32[(a.gcControl + GCCONTROL_AT.gcPhase) >>> 2] = GC_OFF;
});
