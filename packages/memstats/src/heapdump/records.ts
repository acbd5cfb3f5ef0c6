/**
 * The first walk over a dump: reads every record except the contents of objects, of which it notes the places. Each
 * reader below reads the fields of its record, in the order of format.ts.
 */
import { MemStats } from "../memstats.ts";
import { PAUSE_RING } from "../source.ts";
import type { Cursor } from "./cursor.ts";
import type { DumpRoot, DumpSegment } from "./dump.ts";
import {
  type DumpAlloc,
  type DumpFrame,
  type DumpGoroutine,
  type DumpParams,
  MEM_STATS_FIELDS,
  TAG_ALLOC_SAMPLE,
  TAG_BSS,
  TAG_DATA,
  TAG_DEFER,
  TAG_EOF,
  TAG_FINALIZER,
  TAG_GOROUTINE,
  TAG_ITAB,
  TAG_MEM_PROF,
  TAG_MEM_STATS,
  TAG_OBJECT,
  TAG_OS_THREAD,
  TAG_OTHER_ROOT,
  TAG_PANIC,
  TAG_PARAMS,
  TAG_QUEUED_FINALIZER,
  TAG_STACK_FRAME,
  TAG_TYPE,
} from "./format.ts";

/** An object that the first walk has passed: where its fields begin, and its address. */
export interface ObjectRecord {
  readonly at: number;
  readonly address: number;
}

/** A goroutine; `top` is the stack pointer of its innermost frame. */
interface GoroutineRecord {
  readonly g: DumpGoroutine & { frames: DumpFrame[] };
  readonly top: number;
}

/** A stack frame; `child` is the stack pointer of the frame that it called, 0 if it called none. */
interface FrameRecord {
  readonly frame: DumpFrame;
  readonly child: number;
}

/** The records of a dump, by kind. */
export class Records {
  params: DumpParams | undefined;
  readonly objects: ObjectRecord[] = [];
  readonly roots: DumpRoot[] = [];
  readonly goroutines: GoroutineRecord[] = [];
  readonly frames: FrameRecord[] = [];
  readonly segments: DumpSegment[] = [];
  readonly finalizers: number[] = [];
  readonly queuedFinalizers: number[] = [];
  readonly memStats = new MemStats();
  readonly allocs = new Map<number, DumpAlloc>();
  readonly samples = new Map<number, number>();
}

/** Reads all records up to the end record. Throws a RangeError for a tag that the format does not have. */
export function readRecords(c: Cursor): Records {
  const out = new Records();
  for (let tag = c.uint(); tag !== TAG_EOF; tag = c.uint()) {
    const read = READERS.get(tag);
    if (read === undefined) c.fail(`unknown record ${tag}`);
    read(c, out);
  }
  return out;
}

type RecordReader = (c: Cursor, out: Records) => void;

function readObject(c: Cursor, out: Records): void {
  const at = c.at;
  out.objects.push({ at, address: c.uint() });
  c.contents();
  c.fields();
}

function readGoroutine(c: Cursor, out: Records): void {
  const address = c.uint();
  const top = c.uint();
  const id = c.uint();
  c.skip(1); // place of creation
  const status = c.uint();
  const isSystem = c.uint() !== 0;
  const isBackground = c.uint() !== 0;
  const waitSince = c.uint();
  const waitReason = c.string();
  c.skip(4); // context, thread, top defer, top panic
  const g = { address, id, status, isSystem, isBackground, waitSince, waitReason, frames: [] };
  out.goroutines.push({ g, top });
}

function readFrame(c: Cursor, out: Records): void {
  const sp = c.uint();
  const depth = c.uint();
  const child = c.uint();
  const contents = c.contents();
  c.skip(3); // entry, pc, continuation pc
  const name = c.string();
  out.frames.push({ frame: { sp, depth, name, contents, pointers: c.fields() }, child });
}

function readParams(c: Cursor, out: Records): void {
  out.params = {
    bigEndian: c.uint() !== 0,
    pointerSize: c.uint(),
    heapStart: c.uint(),
    heapEnd: c.uint(),
    arch: c.string(),
    version: c.string(),
    cpus: c.uint(),
  };
}

function readMemStats(c: Cursor, { memStats }: Records): void {
  for (const name of MEM_STATS_FIELDS) memStats[name] = c.uint();
  memStats.LastGC = c.bigUint();
  memStats.PauseTotalNs = c.uint();
  for (let i = 0; i < PAUSE_RING; i++) memStats.PauseNs[i] = c.uint();
  memStats.NumGC = c.uint();
}

function readAllocStack(c: Cursor, out: Records): void {
  const id = c.uint();
  const size = c.uint();
  const frames = Array.from({ length: c.uint() }, () => ({
    func: c.string(),
    file: c.string(),
    line: c.uint(),
  }));
  out.allocs.set(id, { id, size, frames, allocs: c.uint(), frees: c.uint() });
}

const segmentReader =
  (kind: DumpSegment["kind"]): RecordReader =>
  (c, out) => {
    out.segments.push({ kind, address: c.uint(), contents: c.contents(), pointers: c.fields() });
  };

const READERS: ReadonlyMap<number, RecordReader> = new Map<number, RecordReader>([
  [TAG_OBJECT, readObject],
  [TAG_OTHER_ROOT, (c, out) => void out.roots.push({ description: c.string(), to: c.uint() })],
  [
    TAG_TYPE,
    (c) => {
      c.skip(2);
      c.contents();
      c.skip(1);
    },
  ],
  [TAG_GOROUTINE, readGoroutine],
  [TAG_STACK_FRAME, readFrame],
  [TAG_PARAMS, readParams],
  [
    TAG_FINALIZER,
    (c, out) => {
      out.finalizers.push(c.uint());
      c.skip(4);
    },
  ],
  [TAG_ITAB, (c) => c.skip(2)],
  [TAG_OS_THREAD, (c) => c.skip(3)],
  [TAG_MEM_STATS, readMemStats],
  [
    TAG_QUEUED_FINALIZER,
    (c, out) => {
      out.queuedFinalizers.push(c.uint());
      c.skip(4);
    },
  ],
  [TAG_DATA, segmentReader("data")],
  [TAG_BSS, segmentReader("bss")],
  [TAG_DEFER, (c) => c.skip(7)],
  [TAG_PANIC, (c) => c.skip(6)],
  [TAG_MEM_PROF, readAllocStack],
  [TAG_ALLOC_SAMPLE, (c, out) => void out.samples.set(c.uint(), c.uint())],
]);

/** Gives each goroutine its frames, innermost first. A frame's caller is the frame whose child it is. */
export function linkFrames({ goroutines, frames }: Records): void {
  const bySp = new Map(frames.map(({ frame }, i) => [frame.sp, i]));
  const callers = new Map<number, number>();
  frames.forEach(({ child }, i) => {
    const callee = bySp.get(child);
    if (child !== 0 && callee !== undefined) callers.set(callee, i);
  });
  for (const { g, top } of goroutines) {
    for (let i = bySp.get(top); i !== undefined; i = callers.get(i)) g.frames.push(frames[i].frame);
  }
}
