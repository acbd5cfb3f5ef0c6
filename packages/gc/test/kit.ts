/** What several tests need: heaps small and high, seeded randomness. */
import { type Allocator, createAllocator, newHeapStats } from "@gort/allocator";
import { createLinearMemory } from "@gort/memory";
import { type Collector, type CollectorOptions, createCollector } from "../src/index.ts";
import type { FakeClock } from "../src/testing.ts";

export const MiB = 1 << 20;

export interface Rig {
  a: Allocator;
  gc: Collector;
  u32: Uint32Array;
  /** Type of 32 bytes: two pointers, two other words. */
  node: number;
  /** What went to stderr. */
  lines: string[];
  heapObjects(): number;
  heapAlloc(): number;
}

export interface RigOptions extends CollectorOptions {
  maxMemory?: number;
  /** Put the heap above this address. */
  above?: number;
  shared?: boolean;
  kernel?: "wasm" | "js";
}

export function rig(options: RigOptions = {}): Rig {
  const { maxMemory = 128 * MiB, above = 0, shared, kernel, ...rest } = options;
  const memory = createLinearMemory({
    maxMemory: above ? 4096 * MiB : maxMemory,
    ...(shared === undefined ? {} : { shared }),
    ...(kernel === undefined ? {} : { kernel }),
  });
  const a = createAllocator({ memory });
  const lines: string[] = [];
  // GORT_MARKER=js runs every test with the marker's TypeScript twin.
  const marker = process.env.GORT_MARKER === "js" ? { marker: "js" as const } : {};
  const gc = createCollector(a, { stderr: (text) => lines.push(text), ...marker, ...rest });
  // The tables lie low; what follows them is the heap.
  if (above) memory.sysReserve(above, 1 << 22, "low");
  const stats = newHeapStats();
  return {
    a,
    gc,
    u32: memory.u32,
    node: a.newType(32, [0b0011]),
    lines,
    heapObjects: () => a.readStats(stats).heapObjects,
    heapAlloc: () => a.readStats(stats).heapAlloc,
  };
}

/** Uniform in [0, n). */
export type Random = (n: number) => number;

export function random(seed: number): Random {
  let s = seed >>> 0 || 1;
  return (n) => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return Math.floor(((s >>> 0) / 2 ** 32) * n);
  };
}

/** Reads the clock, after moving it by ns. */
export function tick(clock: FakeClock, ns = 1000): number {
  clock.advance(ns);
  return clock.now;
}

/** A world of one goroutine, whose finalizers run when the test says so. */
export const quietWorld = { stopTheWorld() {}, startTheWorld() {}, gomaxprocs: () => 1, ready() {} };
