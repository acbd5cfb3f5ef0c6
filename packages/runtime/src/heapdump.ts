/**
 * `debug.writeHeapDump`: every object of this runtime's heap, its pointers and its roots, in Go's format.
 * `@gort/memstats/heapdump` describes, reads and converts the format.
 *
 * The world is stopped meanwhile. Objects that the last collection found dead are swept first; later garbage is in the
 * dump. The walk goes span by span and slot by slot, and allocates nothing in the heap.
 */
import {
  type Allocator,
  GCTYPE,
  MSPAN,
  SPAN_IN_USE,
  SPECIAL,
  SPECIAL_FINALIZER,
  SPECIAL_PROFILE,
} from "@gort/allocator/internal";
import type { Collector } from "@gort/gc";
import type { LinearMemory } from "@gort/memory";
import type { MemStats } from "@gort/memstats";
import type { DumpSink } from "@gort/memstats/heapdump";
import { HeapDumpWriter } from "@gort/memstats/internal";
import type { Profiler } from "@gort/profiling";
import type { Scheduler } from "@gort/scheduler";
import { creationSite, type G, G_SYSTEM, gStatusStrings, waitReasonStrings } from "@gort/scheduler/internal";
import { GOARCH, goVersion, numCPU } from "./version.ts";

/** Byte offsets of the fields. */
const S = MSPAN.offsets;
const T = GCTYPE.offsets;
const SP = SPECIAL.offsets;

/** A G has Go's status numbers. */
const waiting = gStatusStrings.indexOf("waiting");

/** Objects with pointers of at most so many bytes have their pointers in heapBits; larger ones have a header. */
const MAX_BITS_BYTES = 512;
const HEADER_BYTES = 8;
/** A stack of roots begins with its size, in so many bytes. */
const STACK_HEADER = 8;

export interface HeapDumpParts {
  allocator: Allocator;
  collector: Collector;
  scheduler: Scheduler;
  profiler: Profiler;
  memStats: MemStats;
}

/** Writes the dump. The caller has stopped the world and taken `memStats` in the same stop. */
export function dumpHeap(parts: HeapDumpParts, sink: DumpSink): number {
  const writer = new HeapDumpWriter(sink);
  const { allocator, collector } = parts;
  collector.sweeper.sweepAll();
  allocator.flushAll();
  const objects = new ObjectWalk(allocator);
  const { lo, hi } = objects.bounds();
  writer.params({
    bigEndian: false,
    pointerSize: 8,
    heapStart: lo,
    heapEnd: hi,
    arch: GOARCH,
    version: goVersion,
    cpus: numCPU(),
  });
  objects.write(writer);
  writeGoroutines(parts, writer);
  writeRoots(parts, writer);
  writer.memStats(parts.memStats);
  writeSpecials(parts, objects, writer);
  writer.end();
  return writer.bytes;
}

class ObjectWalk {
  readonly #allocator: Allocator;
  readonly #mem: LinearMemory;
  readonly #u32: Uint32Array;
  readonly #heapBits: number;
  /** Offsets of the pointers of the current object. */
  #offsets = new Uint32Array(64);
  #count = 0;

  constructor(allocator: Allocator) {
    this.#allocator = allocator;
    this.#mem = allocator.mem;
    this.#u32 = allocator.mem.u32;
    this.#heapBits = allocator.heapBitsBase;
  }

  #field(span: number, offset: number): number {
    return this.#u32[(span + offset) >>> 2];
  }

  /** Calls f with every span that holds objects. */
  spans(f: (span: number) => void): void {
    for (let i = 0; i < this.#allocator.nspans; i++) {
      const span = this.#allocator.spanAt(i);
      if (this.#field(span, S.state) === SPAN_IN_USE) f(span);
    }
  }

  /** The lowest address of an object, and the end of the highest. */
  bounds(): { lo: number; hi: number } {
    let lo = Number.POSITIVE_INFINITY;
    let hi = 0;
    this.spans((span) => {
      lo = Math.min(lo, this.#field(span, S.startAddr));
      hi = Math.max(hi, this.#field(span, S.limit));
    });
    return hi === 0 ? { lo: 0, hi: 0 } : { lo, hi };
  }

  write(writer: HeapDumpWriter): void {
    this.spans((span) => {
      const start = this.#field(span, S.startAddr);
      const size = this.#field(span, S.elemsize);
      const allocBits = this.#field(span, S.allocBits) >>> 2;
      for (let i = 0; i < this.#field(span, S.nelems); i++) {
        if ((this.#u32[allocBits + (i >>> 5)] & (1 << (i & 31))) === 0) continue;
        const base = start + i * size;
        this.#findPointers(span, base, size);
        writer.object(base, this.#mem.u8.subarray(base, base + size), this.#offsets, this.#count);
      }
    });
  }

  #findPointers(span: number, base: number, size: number): void {
    this.#count = 0;
    const spanclass = this.#field(span, S.spanclass);
    if ((spanclass & 1) !== 0) return;
    if (spanclass >>> 1 === 0) {
      this.#typed(0, this.#field(span, S.limit) - base, this.#field(span, S.largeType));
    } else if (size > MAX_BITS_BYTES) {
      this.#typed(HEADER_BYTES, size, this.#u32[base >>> 2]);
    } else {
      for (let a = base; a < base + size; a += 8) {
        const word = this.#u32[(this.#heapBits + ((a >>> 8) << 2)) >>> 2];
        if ((word & (1 << ((a >>> 3) & 31))) !== 0) this.#add(a - base);
      }
    }
  }

  /** The pointers of an array of values of a type, from offset `from` to `to`. */
  #typed(from: number, to: number, typ: number): void {
    if (typ === 0) return;
    const size = this.#field(typ, T.size);
    const ptrdata = this.#field(typ, T.ptrdata);
    const mask = this.#field(typ, T.maskAddr) >>> 2;
    for (let elem = from; elem < to; elem += size) {
      for (let off = 0; off < ptrdata && elem + off < to; off += 8) {
        if ((this.#u32[mask + (off >>> 8)] & (1 << ((off >>> 3) & 31))) !== 0) this.#add(elem + off);
      }
    }
  }

  #add(offset: number): void {
    if (this.#count === this.#offsets.length) {
      const larger = new Uint32Array(2 * this.#count);
      larger.set(this.#offsets);
      this.#offsets = larger;
    }
    this.#offsets[this.#count++] = offset;
  }

  /** Calls f with each special: the start of its object's slot, its kind and its data. */
  specials(f: (object: number, kind: number, data: number) => void): void {
    this.spans((span) => {
      const start = this.#field(span, S.startAddr);
      const size = this.#field(span, S.elemsize);
      for (let s = this.#field(span, S.specials); s !== 0; s = this.#field(s, SP.next)) {
        const i = Math.floor(this.#field(s, SP.offset) / size);
        f(start + i * size, this.#field(s, SP.kind), this.#field(s, SP.data));
      }
    });
  }
}

/** Goroutines, each with the roots that it holds as one frame. */
function writeGoroutines({ allocator, scheduler }: HeapDumpParts, writer: HeapDumpWriter): void {
  const { u32 } = allocator.mem;
  scheduler.forEachG((g: G) => {
    const sp = g.rootLo + STACK_HEADER;
    const slots = g.rootLo === 0 ? 0 : Math.max(0, (g.rootSp - STACK_HEADER) / 8);
    const description = {
      // An address that no other goroutine and no object has: the heap lies higher.
      address: g.goid,
      id: g.goid,
      status: g.atomicstatus,
      isSystem: (g.flags & G_SYSTEM) !== 0,
      isBackground: false,
      waitSince: 0,
      waitReason: g.atomicstatus === waiting ? waitReasonStrings[g.waitreason] : "",
    };
    writer.goroutine(description, slots > 0 ? sp : 0);
    if (slots === 0) return;
    const site = creationSite(g);
    // The upper word of a slot holds the number of its Root, and is no part of the pointer.
    const contents = new Uint32Array(2 * slots);
    for (let i = 0; i < slots; i++) contents[2 * i] = u32[(sp >>> 2) + 2 * i]!;
    writer.frame({
      sp,
      depth: 0,
      name: site === null ? "roots" : `roots (created by ${site.func})`,
      contents: new Uint8Array(contents.buffer),
      pointers: Array.from({ length: slots }, (_, i) => i * 8),
    });
  });
}

/** Globals, refs, and objects whose finalizers are queued. */
function writeRoots({ allocator, collector }: HeapDumpParts, writer: HeapDumpWriter): void {
  const { u32 } = allocator.mem;
  const { roots, refs, finalizers } = collector;
  const held: number[] = [];
  const range = (lo: number, hi: number): void => {
    for (let a = lo; a < hi; a += 8) if (u32[a >>> 2] !== 0) held.push(u32[a >>> 2]);
  };
  for (let b = refs.firstBlock; b !== 0; b = refs.nextBlock(b)) range(b + 8, b + REF_BLOCK_BYTES);
  const nrefs = held.length;
  for (let i = 0; i < nrefs; i++) writer.root("refs", held[i]);
  finalizers.forEachQueued((object) => {
    held.push(object);
    writer.finalizer(object, true);
  });
  roots.stacks(range);
  // forEachRoot visits globals first, then the other roots, which are counted above.
  const all: number[] = [];
  roots.forEachRoot((p) => all.push(p));
  for (let i = 0; i < all.length - held.length; i++) writer.root("globals", all[i]);
}

/** The collector's blocks of refs. */
const REF_BLOCK_BYTES = 4096;

function writeSpecials({ profiler }: HeapDumpParts, objects: ObjectWalk, writer: HeapDumpWriter): void {
  /** The buckets of each stack: its number is that of the first. */
  const known = new Map<number, number>();
  for (const { buckets, stack, size, allocs, frees } of profiler.memBuckets()) {
    const id = buckets[0];
    const frames: { func: string; file: string; line: number }[] = [];
    for (let i = 0; i < stack.length; i++) frames.push(profiler.table.symbolize(stack[i]));
    writer.allocStack({ id, size, frames, allocs, frees });
    for (const bucket of buckets) known.set(bucket, id);
  }
  objects.specials((object, kind, data) => {
    if (kind === SPECIAL_FINALIZER) writer.finalizer(object, false);
    else if (kind === SPECIAL_PROFILE && known.has(data)) writer.allocSample(object, known.get(data)!);
  });
}
