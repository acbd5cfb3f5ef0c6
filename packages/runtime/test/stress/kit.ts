/**
 * What the stress tests share: runtimes that are closed after each test, seeded randomness, walks over a whole
 * heap.
 */
import { verifyHeap as verifyAllocator } from "@gort/allocator/testing";
import { verifyHeap as verifyCollector } from "@gort/gc/testing";
import type { Addr, Ptr } from "@gort/memory";
import { afterEach, expect } from "vitest";
import { createRuntime, type Runtime, type RuntimeOptions } from "../../src/index.ts";

export const MiB = 1 << 20;

/** Every test derives its seeds from this one; GORT_SEED repeats a run. */
export const seed = Number(process.env.GORT_SEED ?? Date.now() % 1_000_000);

/** Uniform in [0, n). */
export type Random = (n: number) => number;

export function random(from: number): Random {
  let s = Math.imul(from + 1, 0x9e3779b1) >>> 0 || 1;
  return (n) => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return Math.floor(((s >>> 0) / 2 ** 32) * n);
  };
}

const open: Runtime[] = [];
let printed = "";

afterEach(() => {
  for (const rt of open.splice(0)) rt.close();
  printed = "";
});

/** A runtime without profile samples, whose freed memory is clobbered and whose marking is checked. */
export function make(options: RuntimeOptions = {}): Runtime {
  const rt = createRuntime({
    maxMemory: 256 * MiB,
    godebug: "clobberfree=1,gccheckmark=1,memprofilerate=0",
    stderr: (text) => {
      printed += text;
    },
    seed,
    ...options,
  });
  open.push(rt);
  return rt;
}

/** What runtimes of this test wrote to stderr. */
export const output = (): string => printed;

/** All invariants that allocator and collector know of. */
export function verify(rt: Runtime): void {
  verifyCollector(rt.collector);
  verifyAllocator(rt.allocator);
}

/** Lets the event loop turn: finalizers run. */
export const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

/** With nothing rooted two collections free everything: the second what finalizers of the first had held. */
export async function expectEmpty(rt: Runtime): Promise<void> {
  for (let i = 0; i < 2; i++) {
    rt.gc();
    await turn();
  }
  rt.gc();
  verify(rt);
  const m = rt.readMemStats();
  expect(m.HeapObjects).toBe(0);
  expect(m.HeapAlloc).toBe(0);
  expect(m.Mallocs).toBe(m.Frees);
  expect(m.HeapInuse).toBe(0);
}

/** A block of n bytes without pointers, its first word set. */
export function block(rt: Runtime, n: number, value: number): Ptr<unknown> {
  const p = rt.unsafe.mallocNoscan(n);
  rt.memory.u32[p >>> 2] = value;
  return p as Ptr<unknown>;
}

export const word = (rt: Runtime, p: Addr | number): number => rt.memory.u32[p >>> 2];
