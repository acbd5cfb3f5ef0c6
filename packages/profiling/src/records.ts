/**
 * Go's public records of profiles, with Go's names of fields.
 *
 * The protocol by which they are filled: `n` is the number of records. If the slice has room for all of them, its first
 * `n` elements are filled and `ok` is true. Otherwise the slice is left as it is.
 *
 * The slice and its elements are the program's: an access to them may run code of the program (a setter, a Proxy). So
 * the profile is read into records of our own (`take...`), perhaps in a stopped world, and these are copied after that
 * (`fillRecords`).
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

/** The records of a profile; null if there are more than the slice has room for. */
export interface Taken<R> {
  n: number;
  records: R[] | null;
}

/** The memory profile, not scaled. With `inuseZero`, it includes records whose objects are all freed. */
export function takeMemRecords(
  table: PCTable,
  recorder: MemProfileRecorder,
  room: number,
  inuseZero: boolean,
): Taken<MemProfileRecord> {
  let n = 0;
  recorder.forEach(inuseZero, () => n++);
  if (n > room) return { n, records: null };
  const records: MemProfileRecord[] = [];
  recorder.forEach(inuseZero, (r) => {
    const record = new MemProfileRecord();
    record.AllocBytes = r.allocBytes;
    record.FreeBytes = r.freeBytes;
    record.AllocObjects = r.allocs;
    record.FreeObjects = r.frees;
    setStack(table, record, r.stack);
    records.push(record);
  });
  return { n, records };
}

/** The block or mutex profile. */
export function takeEventRecords(
  table: PCTable,
  recorder: EventRecorder,
  room: number,
): Taken<BlockProfileRecord> {
  const n = recorder.count;
  if (n > room) return { n, records: null };
  const records: BlockProfileRecord[] = [];
  recorder.forEach((r) => {
    const record = new BlockProfileRecord();
    record.Count = Math.trunc(r.count);
    record.Cycles = Math.trunc(r.cycles);
    setStack(table, record, r.stack);
    records.push(record);
  });
  return { n, records };
}

/** Stacks of frame numbers, as records. */
export function takeStackRecords(
  table: PCTable,
  stacks: readonly ArrayLike<number>[],
  room: number,
): Taken<StackRecord> {
  const n = stacks.length;
  if (n > room) return { n, records: null };
  const records = stacks.map((stack) => {
    const record = new StackRecord();
    setStack(table, record, stack);
    return record;
  });
  return { n, records };
}

function setStack(table: PCTable, { Stack0 }: StackRecord, stack: ArrayLike<number>): void {
  const n = Math.min(stack.length, STACK0_SIZE);
  for (let i = 0; i < n; i++) Stack0[i] = table.pcOf(stack[i]);
}

/** Gives the records to the program. An element that is there keeps its identity, and so does its Stack0. */
export function fillRecords<R extends StackRecord>(p: RecordSlice<R>, { n, records }: Taken<R>): Filled {
  if (records === null) return { n, ok: false };
  for (const [i, record] of records.entries()) {
    const to = p![i];
    if (to === null || to === undefined) {
      p![i] = record;
      continue;
    }
    const { Stack0, ...figures } = record;
    Object.assign(to, figures);
    const pcs = to.Stack0;
    for (let k = 0; k < STACK0_SIZE; k++) pcs[k] = Stack0[k];
  }
  return { n, ok: true };
}
