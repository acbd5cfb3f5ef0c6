import type { Addr } from "@gort/memory";
import { expect, it } from "vitest";
import { createAllocator, newHeapStats } from "../src/index.ts";

it("works", () => {
  const t = performance.now();
  const a = createAllocator();
  console.log("create", performance.now() - t);
  const st = newHeapStats();
  const p = a.mallocNoscan(16),
    q = a.mallocNoscan(16);
  expect(q - p).toBe(16);
  const typ = a.newType(32, [3]);
  const o = a.mallocgc(32, typ, true);
  expect(a.findObject((o + 9) as Addr)).toBe(o);
  const big = a.mallocgc(100000, 0, true);
  expect(a.findObject((big + 99999) as Addr)).toBe(big);
  const h = a.mallocgc(1024, a.newType(8, [1]), true);
  expect(a.findObject(h)).toBe(h - 8);
  a.mallocNoscan(8);
  a.mallocNoscan(8);
  a.mallocNoscan(3);
  a.stackAlloc(2048);
  a.readStats(st);
  console.log(JSON.stringify(st));
  expect(st.heapSys).toBe(st.heapInuse + st.heapIdle);
});
