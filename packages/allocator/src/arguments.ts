/** The arguments that users give, and the errors for wrong ones. */
import { kindOf, show } from "@gort/base";
import type { LinearMemory, LinearMemoryOptions } from "@gort/memory";
import type { HeapStats } from "./mstats.ts";

export interface AllocatorOptions extends LinearMemoryOptions {
  /** A memory to use instead of making one. If it holds an allocator already, this one attaches to it. */
  memory?: LinearMemory;
  /** Seed of the memory profile's sampling. Default: drawn at random. */
  seed?: number;
  /** Checks for use by hand: poison, leakReport, frees inside withView. Slow. */
  checks?: boolean;
  /** Milliseconds, for the scavenger's pacing. Default performance.now. */
  clock?: () => number;
}

/** Throws a TypeError or RangeError that names the option that is wrong. */
export function checkOptions(options: AllocatorOptions): void {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`allocator: options must be an object (got ${kindOf(options)})`);
  }
  const { memory, seed, checks, clock } = options;
  if (memory !== undefined && !isLinearMemory(memory)) {
    throw new TypeError(
      "allocator: memory must be a LinearMemory, as attachLinearMemory gives for a WebAssembly.Memory " +
        `(got ${kindOf(memory)})`,
    );
  }
  if (clock !== undefined && typeof clock !== "function") {
    throw new TypeError(`allocator: clock must be a function (got ${kindOf(clock)})`);
  }
  if (checks !== undefined && typeof checks !== "boolean") {
    throw new TypeError(`allocator: checks must be a boolean (got ${show(checks)})`);
  }
  if (seed !== undefined && !Number.isInteger(seed)) {
    const fault = `allocator: seed must be a whole number (got ${show(seed)})`;
    throw typeof seed === "number" ? new RangeError(fault) : new TypeError(fault);
  }
}

/** Whether the options of malloc ask for zeros. */
export function wantsZero(options: { zero?: boolean; noscan?: true }): boolean {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`allocator: the options of malloc must be an object (got ${show(options)})`);
  }
  const { zero, noscan } = options;
  if (zero !== undefined && typeof zero !== "boolean") {
    throw new TypeError(`allocator: zero must be a boolean (got ${show(zero)})`);
  }
  if (noscan !== undefined && noscan !== true) {
    throw new TypeError(
      `allocator: noscan must be true for a block by hand, which no collector scans (got ${show(noscan)})`,
    );
  }
  return zero === true;
}

export function checkStats(out: HeapStats): void {
  if (!((out as Partial<HeapStats> | null)?.smallAllocCount instanceof Float64Array)) {
    throw new TypeError(`allocator: readStats needs what newHeapStats gives (got ${show(out)})`);
  }
}

export function checkViewType(type: { readonly BYTES_PER_ELEMENT: number } | null | undefined): void {
  if (typeof type !== "function" || !((type as { BYTES_PER_ELEMENT: number }).BYTES_PER_ELEMENT > 0)) {
    throw new TypeError(`allocator: a view needs the constructor of a typed array (got ${show(type)})`);
  }
}

/** Whether x is a LinearMemory, of this or another copy of its package. */
function isLinearMemory(x: unknown): x is LinearMemory {
  return typeof (x as Partial<LinearMemory> | null)?.root === "function";
}
