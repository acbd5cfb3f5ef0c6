import type { MemStats } from "../memstats.ts";
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
  TAG_EOF,
  TAG_FINALIZER,
  TAG_GOROUTINE,
  TAG_MEM_PROF,
  TAG_MEM_STATS,
  TAG_OBJECT,
  TAG_OTHER_ROOT,
  TAG_PARAMS,
  TAG_QUEUED_FINALIZER,
  TAG_STACK_FRAME,
} from "./format.ts";

/** Takes a piece of the dump. The bytes are valid during the call only. */
export type DumpSink = (chunk: Uint8Array) => void;

const BUFFER_BYTES = 64 << 10;
/** Longest uvarint: 64 bits. */
const MAX_VARINT = 10;
const utf8 = new TextEncoder();

/**
 * Writes the records of a dump. It allocates nothing per object. If the sink throws, the error goes to the caller, and
 * the dump is incomplete.
 */
export class HeapDumpWriter {
  readonly #sink: DumpSink;
  readonly #buf = new Uint8Array(BUFFER_BYTES);
  #n = 0;
  /** Bytes written so far. */
  bytes = 0;

  constructor(sink: DumpSink) {
    this.#sink = sink;
    this.#raw(utf8.encode(HEADER));
  }

  #flush(): void {
    if (this.#n === 0) return;
    this.#sink(this.#buf.subarray(0, this.#n));
    this.bytes += this.#n;
    this.#n = 0;
  }

  #uint(v: number | bigint): void {
    if (this.#n + MAX_VARINT > BUFFER_BYTES) this.#flush();
    const buf = this.#buf;
    let n = this.#n;
    if (typeof v === "bigint") {
      for (; v >= 0x80n; v >>= 7n) buf[n++] = Number(v & 0x7fn) | 0x80;
      buf[n++] = Number(v);
    } else {
      for (; v >= 0x80; v = Math.floor(v / 128)) buf[n++] = (v % 128) | 0x80;
      buf[n++] = v;
    }
    this.#n = n;
  }

  #raw(bytes: Uint8Array): void {
    let from = 0;
    while (from < bytes.length) {
      if (this.#n === BUFFER_BYTES) this.#flush();
      const n = Math.min(bytes.length - from, BUFFER_BYTES - this.#n);
      this.#buf.set(bytes.subarray(from, from + n), this.#n);
      this.#n += n;
      from += n;
    }
  }

  #contents(bytes: Uint8Array): void {
    this.#uint(bytes.length);
    this.#raw(bytes);
  }

  #string(text: string): void {
    this.#contents(utf8.encode(text));
  }

  #bool(b: boolean): void {
    this.#uint(b ? 1 : 0);
  }

  #fields(offsets: ArrayLike<number>, count: number): void {
    for (let i = 0; i < count; i++) {
      this.#uint(FIELD_PTR);
      this.#uint(offsets[i]);
    }
    this.#uint(FIELD_EOL);
  }

  params(p: DumpParams): void {
    this.#uint(TAG_PARAMS);
    this.#bool(p.bigEndian);
    this.#uint(p.pointerSize);
    this.#uint(p.heapStart);
    this.#uint(p.heapEnd);
    this.#string(p.arch);
    this.#string(p.version);
    this.#uint(p.cpus);
  }

  /** An object. The first `count` of `offsets` are the offsets of its pointers. */
  object(address: number, contents: Uint8Array, offsets: ArrayLike<number>, count = offsets.length): void {
    this.#uint(TAG_OBJECT);
    this.#uint(address);
    this.#contents(contents);
    this.#fields(offsets, count);
  }

  root(description: string, to: number): void {
    this.#uint(TAG_OTHER_ROOT);
    this.#string(description);
    this.#uint(to);
  }

  /** A goroutine. `sp` is the stack pointer of its innermost frame, if it has one. */
  goroutine(g: DumpGoroutine, sp: number): void {
    this.#uint(TAG_GOROUTINE);
    this.#uint(g.address);
    this.#uint(sp);
    this.#uint(g.id);
    this.#uint(0);
    this.#uint(g.status);
    this.#bool(g.isSystem);
    this.#bool(g.isBackground);
    this.#uint(g.waitSince);
    this.#string(g.waitReason);
    for (let i = 0; i < 4; i++) this.#uint(0);
  }

  frame(f: DumpFrame): void {
    this.#uint(TAG_STACK_FRAME);
    this.#uint(f.sp);
    this.#uint(f.depth);
    this.#uint(0);
    this.#contents(f.contents);
    for (let i = 0; i < 3; i++) this.#uint(0);
    this.#string(f.name);
    this.#fields(f.pointers, f.pointers.length);
  }

  finalizer(object: number, queued: boolean): void {
    this.#uint(queued ? TAG_QUEUED_FINALIZER : TAG_FINALIZER);
    this.#uint(object);
    for (let i = 0; i < 4; i++) this.#uint(0);
  }

  memStats(m: MemStats): void {
    this.#uint(TAG_MEM_STATS);
    for (const name of MEM_STATS_FIELDS) {
      const v = m[name];
      this.#uint(v < Number.MAX_SAFE_INTEGER ? v : BigInt(v));
    }
    this.#uint(m.LastGC);
    this.#uint(m.PauseTotalNs);
    for (const ns of m.PauseNs) this.#uint(ns);
    this.#uint(m.NumGC);
  }

  allocStack(a: DumpAlloc): void {
    this.#uint(TAG_MEM_PROF);
    this.#uint(a.id);
    this.#uint(a.size);
    this.#uint(a.frames.length);
    for (const f of a.frames) {
      this.#string(f.func);
      this.#string(f.file);
      this.#uint(f.line);
    }
    this.#uint(a.allocs);
    this.#uint(a.frees);
  }

  allocSample(object: number, id: number): void {
    this.#uint(TAG_ALLOC_SAMPLE);
    this.#uint(object);
    this.#uint(id);
  }

  /** Ends the dump, and passes the rest of it to the sink. */
  end(): void {
    this.#uint(TAG_EOF);
    this.#flush();
  }
}
