/**
 * Go's public records of profiles, with Go's names of fields.
 *
 * The protocol by which they are filled: `n` is the number of records. If the slice has room for all of them, its first
 * `n` elements are filled and `ok` is true. Otherwise the slice is left as it is.
 */
import type { EventRecorder } from "./contention.ts";
import type { MemProfileRecorder } from "./mprof.ts";
import type { PCTable } from "./pc-table.ts";

/** How many PCs a record holds: the size of Go's Stack0. */
const STACK0_SIZE = 32;

/** A stack, Go's runtime.StackRecord. */
export class StackRecord {
  /** PCs (return addresses), innermost first, ended by 0 if there are fewer than 32. */
  Stack0: number[] = new Array<number>(STACK0_SIZE).fill(0);

  /** The PCs of Stack0 before the first 0. */
  stack(): number[] {
    const end = this.Stack0.indexOf(0);
    return end < 0 ? this.Stack0.slice() : this.Stack0.slice(0, end);
  }
}

/** One record of a memory profile, Go's runtime.MemProfileRecord. Counts are those of the samples: not scaled. */
export class MemProfileRecord extends StackRecord {
  AllocBytes = 0;
  FreeBytes = 0;
  AllocObjects = 0;
  FreeObjects = 0;

  inUseBytes(): number {
    return this.AllocBytes - this.FreeBytes;
  }

  inUseObjects(): number {
    return this.AllocObjects - this.FreeObjects;
  }
}

/** Events at one stack, Go's runtime.BlockProfileRecord. */
export class BlockProfileRecord extends StackRecord {
  Count = 0;
  /** Nanoseconds. */
  Cycles = 0;
}

/** A slice to fill; an element that is null or undefined is made. */
export type RecordSlice<R> = (R | null | undefined)[] | null;

export interface Filled {
  n: number;
  ok: boolean;
}

/** The memory profile, not scaled. With `inuseZero`, it includes records whose objects are all freed. */
export function fillMemRecords(
  table: PCTable,
  recorder: MemProfileRecorder,
  p: RecordSlice<MemProfileRecord>,
  inuseZero: boolean,
): Filled {
  let n = 0;
  recorder.forEach(inuseZero, () => n++);
  if (n > (p?.length ?? 0)) return { n, ok: false };
  let i = 0;
  recorder.forEach(inuseZero, (r) => {
    const record = (p![i++] ??= new MemProfileRecord());
    record.AllocBytes = r.allocBytes;
    record.FreeBytes = r.freeBytes;
    record.AllocObjects = r.allocs;
    record.FreeObjects = r.frees;
    fillStack0(table, record.Stack0, r.stack);
  });
  return { n, ok: true };
}

/** The block or mutex profile. */
export function fillEventRecords(
  table: PCTable,
  recorder: EventRecorder,
  p: RecordSlice<BlockProfileRecord>,
): Filled {
  const n = recorder.count;
  if (n > (p?.length ?? 0)) return { n, ok: false };
  let i = 0;
  recorder.forEach((r) => {
    const record = (p![i++] ??= new BlockProfileRecord());
    record.Count = Math.trunc(r.count);
    record.Cycles = Math.trunc(r.cycles);
    fillStack0(table, record.Stack0, r.stack);
  });
  return { n, ok: true };
}

/** Stacks of frame numbers, as records. */
export function fillStackRecords(
  table: PCTable,
  stacks: readonly ArrayLike<number>[],
  p: RecordSlice<StackRecord>,
): Filled {
  if (stacks.length > (p?.length ?? 0)) return { n: stacks.length, ok: false };
  for (const [i, stack] of stacks.entries()) fillStack0(table, (p![i] ??= new StackRecord()).Stack0, stack);
  return { n: stacks.length, ok: true };
}

function fillStack0(table: PCTable, pcs: number[], stack: ArrayLike<number>): void {
  for (let i = 0; i < STACK0_SIZE; i++) pcs[i] = i < stack.length ? table.pcOf(stack[i]) : 0;
}
