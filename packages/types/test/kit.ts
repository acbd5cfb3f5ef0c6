/** Helpers that several tests share. */
import type { Addr } from "@gort/memory";
import { BumpHeap, createTypes, type TypedHeap } from "../src/index.ts";

/** A new heap, one for each test: an arena frees nothing. */
export function testHeap(): { heap: RecordingHeap; types: TypedHeap } {
  const heap = new RecordingHeap();
  return { heap, types: createTypes(heap) };
}

/** A heap that records the calls of the typed layer. Its write barrier is on, unless `barrier` is false. */
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

/** A value that TypeScript would refuse. */
export const hostile = (v: unknown): never => v as never;

/** The value as JSON reads it back. */
export const json = (v: unknown): unknown => JSON.parse(JSON.stringify(v));

/** The error that `f` throws. */
export function thrown(f: () => unknown): unknown {
  try {
    f();
  } catch (err) {
    return err;
  }
  throw new Error("nothing was thrown");
}
