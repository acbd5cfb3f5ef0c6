/** Heaps for tests. */
import type { Addr } from "@gort/memory";
import { BumpHeap, createTypes, type TypedHeap } from "../src/index.ts";

/** A heap of its own for each test: an arena frees nothing. */
export function testHeap(): { heap: RecordingHeap; types: TypedHeap } {
  const heap = new RecordingHeap();
  return { heap, types: createTypes(heap) };
}

/** Counts what the typed layer asks for, and has a write barrier that is always on. */
export class RecordingHeap extends BumpHeap {
  readonly mallocs: [size: number, typ: number][] = [];
  readonly stores: [slot: number, value: number][] = [];
  readonly typeMasks: [size: number, mask: number[]][] = [];
  barrier = true;

  override malloc(size: number, typ: number, zero?: boolean): Addr {
    this.mallocs.push([size, typ]);
    return super.malloc(size, typ, zero);
  }

  override newType(size: number, mask: Uint32Array): number {
    this.typeMasks.push([size, [...mask]]);
    return super.newType(size, mask);
  }

  override storePointer(slot: Addr, value: Addr): void {
    this.stores.push([slot, value]);
    super.storePointer(slot, value);
  }

  override writeBarrierEnabled(): boolean {
    return this.barrier;
  }
}
