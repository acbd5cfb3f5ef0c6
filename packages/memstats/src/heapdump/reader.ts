/**
 * Reads a heap dump into columns: an object is an index, and its figures are elements of typed arrays, so that dumps of
 * millions of objects fit. The bytes are walked twice: to count, and to fill.
 */

import { MemStats } from "../memstats.ts";
import { PAUSE_RING } from "../source.ts";
import {
  type DumpAlloc,
  type DumpFrame,
  type DumpGoroutine,
  type DumpParams,
  FIELD_EOL,
  FIELD_PTR,
  HEADER,
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

/** Something outside of the heap that points into it. */
export interface DumpRoot {
  description: string;
  /** An address; it may point into the middle of an object, or at none. */
  to: number;
}

/** Memory of globals. */
export interface DumpSegment {
  kind: "data" | "bss";
  address: number;
  contents: Uint8Array;
  pointers: readonly number[];
}

/** A dump in memory. Objects are numbered from 0 in ascending order of their addresses. */
export interface HeapDump {
  readonly params: DumpParams;
  readonly objectCount: number;
  readonly addresses: Float64Array;
  /** Bytes of the slot. */
  readonly sizes: Float64Array;
  /** Pointer slots of each object, nil ones included. */
  readonly pointerSlots: Uint32Array;
  /** Object i's pointers that are not nil are [firstPointer[i], firstPointer[i + 1]) of the next two. */
  readonly firstPointer: Uint32Array;
  readonly pointers: Float64Array;
  readonly pointerOffsets: Float64Array;
  readonly roots: readonly DumpRoot[];
  readonly goroutines: readonly (DumpGoroutine & { frames: DumpFrame[] })[];
  readonly segments: readonly DumpSegment[];
  /** Objects with a finalizer, and those whose finalizer is queued: addresses. */
  readonly finalizers: readonly number[];
  readonly queuedFinalizers: readonly number[];
  readonly memStats: MemStats;
  readonly allocs: ReadonlyMap<number, DumpAlloc>;
  /** Of sampled objects: address, and the number of their allocation stack. */
  readonly samples: ReadonlyMap<number, number>;
  /** The object that an address points into, or -1. */
  find(address: number): number;
  /** Bytes of an object: a view of the dump. */
  contents(i: number): Uint8Array;
  /** The pointer at an offset of some contents. */
  pointerAt(contents: Uint8Array, offset: number): number;
}

const utf8 = new TextDecoder();

class Cursor {
  readonly bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  fail(what: string): never {
    throw new RangeError(`heapdump: ${what} at byte ${this.at}`);
  }

  uint(): number {
    const { bytes } = this;
    let v = 0;
    let scale = 1;
    for (let n = 0; n < 10; n++) {
      if (this.at >= bytes.length) this.fail("the dump ends in the middle of a record");
      const b = bytes[this.at++];
      v += (b & 0x7f) * scale;
      if (b < 0x80) return v;
      scale *= 128;
    }
    return this.fail("an integer has more than 64 bits");
  }

  /** As uint, exact above 2^53. */
  bigUint(): bigint {
    const { bytes } = this;
    let v = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (this.at >= bytes.length) this.fail("the dump ends in the middle of a record");
      const b = bytes[this.at++];
      v |= BigInt(b & 0x7f) << shift;
      if (b < 0x80) return v;
    }
    return this.fail("an integer has more than 64 bits");
  }

  contents(): Uint8Array {
    const n = this.uint();
    if (this.at + n > this.bytes.length) this.fail("the dump ends in the middle of a record");
    this.at += n;
    return this.bytes.subarray(this.at - n, this.at);
  }

  string(): string {
    return utf8.decode(this.contents());
  }

  fields(): number[] {
    const out: number[] = [];
    for (let kind = this.uint(); kind !== FIELD_EOL; kind = this.uint()) {
      const offset = this.uint();
      if (kind === FIELD_PTR) out.push(offset);
    }
    return out;
  }

  skip(integers: number): void {
    for (let i = 0; i < integers; i++) this.uint();
  }
}

/** Reads pointers of the dump's architecture. */
function pointerReader(params: DumpParams): (contents: Uint8Array, offset: number) => number {
  const { pointerSize, bigEndian } = params;
  return (contents, offset) => {
    if (offset + pointerSize > contents.length) return 0;
    let v = 0;
    for (let i = 0; i < pointerSize; i++) {
      v = v * 256 + contents[offset + (bigEndian ? i : pointerSize - 1 - i)];
    }
    return v;
  };
}

/**
 * Reads a dump, of gort or of Go. The result refers to `bytes`: leave them as they are.
 *
 * @throws RangeError for what is no dump, or is cut off; the message says where
 */
export function readHeapDump(bytes: Uint8Array): HeapDump {
  const c = new Cursor(bytes);
  const header = utf8.decode(bytes.subarray(0, HEADER.length));
  if (header !== HEADER)
    throw new RangeError(`heapdump: not a heap dump (begins with ${JSON.stringify(header)})`);

  let params: DumpParams | undefined;
  const objects: { at: number; address: number }[] = [];
  const roots: DumpRoot[] = [];
  const goroutines: (DumpGoroutine & { frames: DumpFrame[] })[] = [];
  const frames: DumpFrame[] = [];
  const tops: number[] = [];
  const children: number[] = [];
  const segments: DumpSegment[] = [];
  const finalizers: number[] = [];
  const queuedFinalizers: number[] = [];
  const memStats = new MemStats();
  const allocs = new Map<number, DumpAlloc>();
  const samples = new Map<number, number>();

  c.at = HEADER.length;
  for (let tag = c.uint(); tag !== TAG_EOF; tag = c.uint()) {
    switch (tag) {
      case TAG_OBJECT: {
        const at = c.at;
        objects.push({ at, address: c.uint() });
        c.contents();
        c.fields();
        break;
      }
      case TAG_OTHER_ROOT:
        roots.push({ description: c.string(), to: c.uint() });
        break;
      case TAG_TYPE:
        c.skip(2);
        c.contents();
        c.skip(1);
        break;
      case TAG_GOROUTINE: {
        const address = c.uint();
        tops.push(c.uint());
        const id = c.uint();
        c.skip(1);
        const status = c.uint();
        const isSystem = c.uint() !== 0;
        const isBackground = c.uint() !== 0;
        const waitSince = c.uint();
        const waitReason = c.string();
        c.skip(4);
        goroutines.push({
          address,
          id,
          status,
          isSystem,
          isBackground,
          waitSince,
          waitReason,
          frames: [],
        });
        break;
      }
      case TAG_STACK_FRAME: {
        const sp = c.uint();
        const depth = c.uint();
        children.push(c.uint());
        const contents = c.contents();
        c.skip(3);
        const name = c.string();
        frames.push({ sp, depth, name, contents, pointers: c.fields() });
        break;
      }
      case TAG_PARAMS:
        params = {
          bigEndian: c.uint() !== 0,
          pointerSize: c.uint(),
          heapStart: c.uint(),
          heapEnd: c.uint(),
          arch: c.string(),
          version: c.string(),
          cpus: c.uint(),
        };
        break;
      case TAG_FINALIZER:
      case TAG_QUEUED_FINALIZER:
        (tag === TAG_FINALIZER ? finalizers : queuedFinalizers).push(c.uint());
        c.skip(4);
        break;
      case TAG_ITAB:
        c.skip(2);
        break;
      case TAG_OS_THREAD:
        c.skip(3);
        break;
      case TAG_MEM_STATS:
        for (const name of MEM_STATS_FIELDS) memStats[name] = c.uint();
        memStats.LastGC = c.bigUint();
        memStats.PauseTotalNs = c.uint();
        for (let i = 0; i < PAUSE_RING; i++) memStats.PauseNs[i] = c.uint();
        memStats.NumGC = c.uint();
        break;
      case TAG_DATA:
      case TAG_BSS:
        segments.push({
          kind: tag === TAG_DATA ? "data" : "bss",
          address: c.uint(),
          contents: c.contents(),
          pointers: c.fields(),
        });
        break;
      case TAG_DEFER:
        c.skip(7);
        break;
      case TAG_PANIC:
        c.skip(6);
        break;
      case TAG_MEM_PROF: {
        const id = c.uint();
        const size = c.uint();
        const list = Array.from({ length: c.uint() }, () => ({
          func: c.string(),
          file: c.string(),
          line: c.uint(),
        }));
        allocs.set(id, { id, size, frames: list, allocs: c.uint(), frees: c.uint() });
        break;
      }
      case TAG_ALLOC_SAMPLE: {
        const object = c.uint();
        samples.set(object, c.uint());
        break;
      }
      default:
        c.fail(`unknown record ${tag}`);
    }
  }
  if (params === undefined) return c.fail("the dump has no parameters");
  const pointerAt = pointerReader(params);

  // A goroutine's frames follow one another: the child of a frame is the one that it called.
  const bySp = new Map(frames.map((f, i) => [f.sp, i]));
  const callers = new Map<number, number>();
  frames.forEach((_, i) => {
    const child = bySp.get(children[i]);
    if (children[i] !== 0 && child !== undefined) callers.set(child, i);
  });
  goroutines.forEach((g, k) => {
    for (let i = bySp.get(tops[k]); i !== undefined; i = callers.get(i)) g.frames.push(frames[i]);
  });

  objects.sort((a, b) => a.address - b.address);
  const n = objects.length;
  const addresses = new Float64Array(n);
  const sizes = new Float64Array(n);
  const starts = new Float64Array(n);
  const pointerSlots = new Uint32Array(n);
  const firstPointer = new Uint32Array(n + 1);
  let total = 0;
  objects.forEach((o, i) => {
    c.at = o.at;
    addresses[i] = c.uint();
    const contents = c.contents();
    sizes[i] = contents.length;
    starts[i] = c.at - contents.length;
    for (let kind = c.uint(); kind !== FIELD_EOL; kind = c.uint()) {
      const offset = c.uint();
      if (kind !== FIELD_PTR) continue;
      pointerSlots[i]++;
      if (pointerAt(contents, offset) !== 0) total++;
    }
    firstPointer[i + 1] = total;
  });
  const pointers = new Float64Array(total);
  const pointerOffsets = new Float64Array(total);
  let k = 0;
  for (let i = 0; i < n; i++) {
    c.at = starts[i] + sizes[i];
    const contents = bytes.subarray(starts[i], c.at);
    for (let kind = c.uint(); kind !== FIELD_EOL; kind = c.uint()) {
      const offset = c.uint();
      const to = kind === FIELD_PTR ? pointerAt(contents, offset) : 0;
      if (to === 0) continue;
      pointers[k] = to;
      pointerOffsets[k++] = offset;
    }
  }

  return {
    params,
    objectCount: n,
    addresses,
    sizes,
    pointerSlots,
    firstPointer,
    pointers,
    pointerOffsets,
    roots,
    goroutines,
    segments,
    finalizers,
    queuedFinalizers,
    memStats,
    allocs,
    samples,
    find(address) {
      let lo = 0;
      let hi = n;
      while (lo < hi) {
        const mid = (lo + hi) >>> 1;
        if (addresses[mid] <= address) lo = mid + 1;
        else hi = mid;
      }
      return lo > 0 && address < addresses[lo - 1] + sizes[lo - 1] ? lo - 1 : -1;
    },
    contents: (i) => bytes.subarray(starts[i], starts[i] + sizes[i]),
    pointerAt,
  };
}
