/**
 * Walkers that check the heap against the promises of the essays, and helpers to step the collector. They take time and
 * V8 memory in proportion to the heap.
 */
import { hex } from "@gort/base";
import type { Addr } from "@gort/memory";
import { GC_OFF, MSPAN_AT, PAGE_SHIFT } from "./heap.ts";
import { bitAt, forEachPointerSlot, isAllocated, isMarked, objectIndex } from "./heap-walk.ts";
import { MARK_AT, SCAN_ROW_SHIFT } from "./mark-state.ts";
import { forEachReachable } from "./mcheckmark.ts";
import type { Collector } from "./mgc.ts";

export { CLOBBER_WORD } from "./clobber.ts";
// Marking by several threads, for the threads of a later release. A program does not load it.
export { attachMarkWorker, MarkWorker, ParallelMarker } from "./mark-phase.ts";
export { checkMarks } from "./mcheckmark.ts";
// Every entry needs all of the package, which is then built as one chunk: a program has fewer files to load.
export { Collector } from "./mgc.ts";

/** Figures of a walk. */
export interface HeapSurvey {
  /** Allocated objects, unswept garbage included. */
  objects: number;
  /** Objects that a root reaches. */
  reachable: number;
  /** Bytes of the slots of these objects. */
  reachableBytes: number;
}

/**
 * Checks
 *
 *     a span's allocCount    == ones in its allocBits
 *     a swept span's marks   == none, while no cycle marks
 *     an unswept span's marks are a part of its allocBits
 *     what a root reaches is allocated, and marked if its span is not swept yet
 *
 * and throws an Error that names the first object or span that breaks a rule. It flushes the mcaches.
 */
export function verifyHeap(collector: Collector): HeapSurvey {
  const { heap, roots, allocator } = collector;
  const u32 = heap.mem.u32;
  allocator.flushAll();
  const survey: HeapSurvey = { objects: 0, reachable: 0, reachableBytes: 0 };
  const unswept = (span: number): boolean => u32[(span + MSPAN_AT.sweepgen) >>> 2] === heap.sweepgen - 2;
  heap.forEachSpan((span) => {
    const nelems = u32[(span + MSPAN_AT.nelems) >>> 2];
    let allocated = 0;
    for (let i = 0; i < nelems; i++) {
      if (isAllocated(heap, span, i)) allocated++;
      if (heap.phase !== GC_OFF || !isMarked(heap, span, i)) continue;
      if (!unswept(span))
        throw new Error(`verifyHeap: span ${hex(span)} is swept, but object ${i} is marked`);
      if (!isAllocated(heap, span, i)) {
        throw new Error(`verifyHeap: object ${i} of span ${hex(span)} is marked, but not allocated`);
      }
    }
    const count = u32[(span + MSPAN_AT.allocCount) >>> 2];
    if (count !== allocated) {
      throw new Error(`verifyHeap: span ${hex(span)} has ${allocated} allocBits, but allocCount ${count}`);
    }
    survey.objects += allocated;
  });
  forEachReachable(heap, roots, (span, i, from) => {
    const what = `object ${hex(heap.objectBase(span, i))}, reached from ${hex(from)},`;
    if (!isAllocated(heap, span, i)) throw new Error(`verifyHeap: ${what} is free`);
    if (unswept(span) && !isMarked(heap, span, i)) {
      throw new Error(`verifyHeap: ${what} is going to be freed by the sweep`);
    }
    survey.reachable++;
    survey.reachableBytes += u32[(span + MSPAN_AT.elemsize) >>> 2];
  });
  return survey;
}

/**
 * Checks, while a cycle marks and between two of its steps, that no black object points to a white one:
 *
 *     an object whose scan bit is set in this cycle is marked, and so is everything that it points to
 *
 * It covers objects that are marked by page (16 to 512 bytes): only they have scan bits. The stores of a program keep
 * this rule only if all of them go through the barrier. Throws an Error that names object and slot; returns the number
 * of black objects.
 */
export function verifyTricolour(collector: Collector): number {
  const { heap, marker } = collector;
  const u32 = heap.mem.u32;
  const { state } = marker;
  const cycle = state.get(MARK_AT.cycle);
  let black = 0;
  heap.forEachSpan((span) => {
    if (heap.classes.byPage[u32[(span + MSPAN_AT.spanclass) >>> 2]] !== 1) return;
    const page = u32[(span + MSPAN_AT.startAddr) >>> 2] >>> PAGE_SHIFT;
    if ((u32[(state.pageState >>> 2) + page] & ~3) !== cycle) return;
    const nelems = u32[(span + MSPAN_AT.nelems) >>> 2];
    for (let i = 0; i < nelems; i++) {
      if (!bitAt(heap, state.scanRows + (page << (SCAN_ROW_SHIFT + 2)), i)) continue;
      const base = heap.objectBase(span, i);
      if (!isMarked(heap, span, i)) {
        // A free slot of a run was black with its run, and is white again since a flush has returned it.
        if (!isAllocated(heap, span, i)) continue;
        throw new Error(`verifyTricolour: object ${hex(base)} is scanned, not marked`);
      }
      black++;
      forEachPointerSlot(heap, span, base, (slot) => {
        const p = u32[slot >>> 2];
        const target = heap.allocator.spanOf(p as Addr) as number;
        if (target === 0 || heap.isManual(target)) return;
        const k = objectIndex(heap, target, p);
        if (k >= 0 && !isMarked(heap, target, k)) {
          throw new Error(
            `verifyTricolour: black object ${hex(base)} points to white ${hex(p)} at ${hex(slot)}`,
          );
        }
      });
    }
  });
  return black;
}

/** Calls f with every pointer slot of every allocated object. */
export function forEachHeapPointer(collector: Collector, f: (slot: number, value: number) => void): void {
  const { heap } = collector;
  const u32 = heap.mem.u32;
  heap.forEachSpan((span) => {
    const nelems = u32[(span + MSPAN_AT.nelems) >>> 2];
    const bits = u32[(span + MSPAN_AT.allocBits) >>> 2];
    for (let i = 0; i < nelems; i++) {
      if (!bitAt(heap, bits, i)) continue;
      forEachPointerSlot(heap, span, heap.objectBase(span, i), (slot) => f(slot, u32[slot >>> 2]));
    }
  });
}

/** Steps until all is marked and swept; returns the number of steps. */
export function finishCycle(collector: Collector, budget?: number): number {
  let n = 0;
  while (collector.step(budget) !== "idle") n++;
  return n;
}

/** A clock that tests move. */
export class FakeClock {
  now = 0;
  nanotime(): number {
    return this.now;
  }
  walltime(): bigint {
    return 1_700_000_000_000_000_000n + BigInt(this.now);
  }
  advance(ns: number): void {
    this.now += ns;
  }
}
