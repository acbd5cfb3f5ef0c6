/** Helpers that several tests share. */
import type { Addr } from "@gort/memory";
import {
  array,
  BumpHeap,
  bool,
  bytes,
  complex128,
  createTypes,
  float64,
  int,
  int8,
  int16,
  int32,
  pointer,
  slice,
  string,
  struct,
  type TypedHeap,
} from "../src/index.ts";

/** A struct without pointers. */
export const Point = struct("Point", { x: float64, y: float64 });

/** A recursive type. */
export const Node = struct("Node", {
  value: int,
  get next() {
    return pointer(Node);
  },
});

/** Fields of many kinds, for loads and stores through handles. */
export const Mixed = struct("Mixed", {
  ok: bool,
  small: int8,
  at: Point,
  name: string,
  data: bytes,
  grid: array(array(int16, 2), 2),
  list: slice(int32),
  peer: pointer(Point),
});

export const P = struct("P", { x: int, y: int });

/** Every kind of a field that takes a value with parts, for values that run code. */
export const All = struct("All", {
  i: int,
  b: int8,
  f: float64,
  c: complex128,
  s: string,
  raw: bytes,
  p: P,
  ptr: pointer(P),
  list: slice(P),
  grid: array(int16, 4),
  names: array(string, 2),
});

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
