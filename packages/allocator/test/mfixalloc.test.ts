import { createLinearMemory } from "@gort/memory";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { FIXALLOC } from "../src/layout.ts";
import { FIXALLOC_CHUNK, FixAlloc } from "../src/mfixalloc.ts";

type Memory = ReturnType<typeof createLinearMemory>;
let mem: Memory;
beforeEach(() => {
  mem = createLinearMemory({ maxMemory: 64 << 20 });
});
const newAlloc = (size: number, keep = 0): FixAlloc =>
  new FixAlloc(mem, mem.reserveControl(FIXALLOC.size), size, "otherSys", keep);

describe("a free list of structs", () => {
  it("cuts structs of whole words of 8 bytes one after the other from chunks of 16 KiB", () => {
    const chunks = vi.spyOn(mem, "persistentAlloc");
    const list = newAlloc(100); // 104 with padding, 157 a chunk
    const first = list.alloc();
    for (let k = 1; k < 157; k++) expect(list.alloc()).toBe(first + 104 * k);
    expect([list.inuse, chunks.mock.calls]).toEqual([157 * 104, [[FIXALLOC_CHUNK, 64, "otherSys"]]]);
    expect(list.alloc()).toBe(chunks.mock.results[1]?.value);
    expect([list.inuse, chunks.mock.calls.length]).toEqual([158 * 104, 2]);
  });

  it("uses a chunk to its last byte", () => {
    const list = newAlloc(4096);
    const first = list.alloc();
    expect([list.alloc(), list.alloc(), list.alloc()]).toEqual([1, 2, 3].map((k) => first + 4096 * k));
    const chunks = vi.spyOn(mem, "persistentAlloc");
    expect(list.alloc()).toBe(chunks.mock.results[0]?.value);
  });

  it("hands the struct freed last out first, zeroed but for the bytes that outlive it", () => {
    const list = newAlloc(32, 8);
    const [p, q] = [list.alloc(), list.alloc()];
    const words = (at: number): number[] => [...mem.u32.subarray(at >>> 2, (at >>> 2) + 8)];
    expect(words(p)).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    for (const at of [p, q]) mem.u32.fill(at, at >>> 2, (at >>> 2) + 8);
    list.free(p);
    list.free(q);
    expect(list.inuse).toBe(0);
    expect([list.alloc(), list.alloc()]).toEqual([q, p]);
    expect(words(q)).toEqual([0, 0, 0, 0, 0, 0, q, q]);
    expect(words(p)).toEqual([0, 0, 0, 0, 0, 0, p, p]);
    expect(list.inuse).toBe(64);
    expect(list.alloc()).toBe(q + 32); // the list is empty again
  });

  it("gives 0 and counts nothing where there is no memory", () => {
    const list = newAlloc(32);
    mem.persistentAlloc = () => 0 as never;
    expect([list.alloc(), list.inuse]).toEqual([0, 0]);
  });
});
