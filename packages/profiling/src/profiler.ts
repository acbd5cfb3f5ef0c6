/**
 * A profiler: one PC table, one set of buckets, and Go's functions over them. Several can live side by side; each
 * issues its own PCs. All functions of a profiler work without `this`, so they can be taken off it and passed on.
 */
import { type BucketKind, BucketTable, BufferArena, memKind, type ProfArena } from "./bucket.ts";
import type { CallSite } from "./capture.ts";
import {
  type CallerInfo,
  checkInteger,
  defaultMaxStackDepth,
  Frames,
  type PCs,
  StackBuffer,
  StackWalker,
} from "./extern.ts";
import { defaultMemProfileRate, MemProfileRecord, MemProfileRecorder } from "./mprof.ts";
import { type Func, PCTable, type PCTableOptions, type Symbolized } from "./pctab.ts";
import { NamedProfile } from "./profile.ts";
import { heapProfile } from "./protomem.ts";
import { heapText, type MemStatsLike } from "./text.ts";
import type { Sink } from "./writer.ts";

export interface ProfilerOptions extends PCTableOptions {
  /** Memory for the buckets; default: a buffer of the profiler's own. */
  arena?: ProfArena;
  /** Mean bytes between two samples of the memory profile; 0 off, 1 all. Default 512 KiB. */
  memProfileRate?: number;
  /** Frames kept of each stack in profiles, 1 to 1024; default 128. */
  maxStackDepth?: number;
  /** Uniform in [0, 1); default Math.random. */
  random?: () => number;
  /** The MemStats that the heap profile's text ends with; none are printed without. */
  memStats?: () => MemStatsLike;
}

export class Profiler {
  readonly table: PCTable;
  /** Hooks for an allocator and a collector; see mprof.ts for when to call which. */
  readonly mem: MemProfileRecorder;
  /** @internal */ readonly buckets: BucketTable;
  /** @internal */ readonly walker: StackWalker;

  private readonly stack: StackBuffer;
  private readonly options: ProfilerOptions;
  private readonly named = new Map<string, NamedProfile>();

  constructor(options: ProfilerOptions = {}) {
    const depth = options.maxStackDepth ?? defaultMaxStackDepth;
    if (!Number.isInteger(depth) || depth < 1 || depth > 1024) {
      throw new RangeError(
        `profiling: maxStackDepth must be an integer from 1 to 1024 (got ${String(depth)})`,
      );
    }
    this.options = options;
    this.table = new PCTable(options);
    this.walker = new StackWalker(this.table);
    this.buckets = new BucketTable(options.arena ?? new BufferArena());
    this.stack = new StackBuffer(depth);
    this.mem = new MemProfileRecorder(
      {
        buckets: this.buckets,
        captureBucket: (size) => this.captureBucket(memKind, size, MemProfileRecorder.prototype.alloc),
        random: options.random ?? Math.random,
      },
      options.memProfileRate ?? defaultMemProfileRate,
    );
    for (const name of ["heap", "allocs"] as const) {
      this.named.set(
        name,
        new NamedProfile({
          name,
          count: () => this.memProfile(null, true).n,
          toPprof: () => heapProfile(this.table, this.buckets, this.mem, name),
          toText: () => heapText(this.table, this.buckets, this.mem, this.options.memStats?.()),
        }),
      );
    }
  }

  // biome-ignore lint/complexity/noBannedTypes: V8 takes any function as the frame to cut above.
  private captureBucket(kind: BucketKind, size: number, above: Function): number {
    const { stack } = this;
    this.walker.walk(stack, 0, above);
    return this.buckets.find(kind, size, stack.ids, stack.length);
  }

  /** Bytes that the buckets of all profiles take: MemStats' BuckHashSys. */
  get buckHashSys(): number {
    return this.buckets.arena.bytes;
  }

  /** Mean bytes between two samples of the memory profile: 512 KiB by default, 1 samples all, 0 none. */
  get memProfileRate(): number {
    return this.mem.rate;
  }

  set memProfileRate(rate: number) {
    this.mem.rate = rate;
  }

  /**
   * The place of the `skip`-th caller: 0 is the function that calls `caller`. `ok` is false and the rest empty when the
   * stack isn't that deep. `pc` is the return address, for `funcForPC`.
   */
  readonly caller = (skip = 0): CallerInfo => {
    checkInteger("skip", skip);
    const { walker, table } = this;
    let id = walker.callerFrame;
    if (skip >= 0) {
      const one = this.oneFrame;
      if (walker.walk(one, skip, this.caller) === 0) return { pc: 0, file: "", line: 0, ok: false };
      id = one.ids[0]!;
    }
    const { file, line } = table.symbolize(id);
    return { pc: table.pcOf(id), file, line, ok: true };
  };
  private readonly oneFrame = new StackBuffer(1);

  /**
   * Fills `pcs` with the return addresses of the calling stack and returns how many. Unlike `caller`'s, a skip of 0 is
   * `runtime.Callers` itself and 1 the function that calls `callers`.
   */
  readonly callers = (skip: number, pcs: PCs): number => {
    checkInteger("skip", skip);
    const { walker, table } = this;
    let n = 0;
    if (skip <= 0 && pcs.length > 0) pcs[n++] = table.pcOf(walker.callersFrame);
    if (n === pcs.length) return n;
    const buffer = this.walkBuffer(pcs.length - n);
    const found = walker.walk(buffer, Math.max(0, skip - 1), this.callers);
    for (let i = 0; i < found; i++) pcs[n++] = table.pcOf(buffer.ids[i]!);
    return n;
  };

  /** A buffer of exactly this many frames; the usual sizes are kept. */
  private walkBuffer(capacity: number): StackBuffer {
    if (capacity > 256) return new StackBuffer(capacity);
    return (this.walkBuffers[capacity] ??= new StackBuffer(capacity));
  }
  private readonly walkBuffers: (StackBuffer | undefined)[] = [];

  /** The frames of PCs that `callers` recorded. */
  readonly callersFrames = (pcs: Iterable<number>): Frames => new Frames(this.table, pcs);

  /** The function that has the instruction at `pc`, or null. */
  readonly funcForPC = (pc: number): Func | null => this.table.funcForPC(pc);

  /** Name and place of a call site of V8, with the source map applied; the object is shared, don't change it. */
  readonly symbolize = (site: CallSite): Symbolized => {
    const id = this.table.intern(site);
    return id === 0 ? { func: "", file: "", line: 0, column: 0 } : this.table.symbolize(id);
  };

  /** The return addresses of call sites taken elsewhere, innermost first, up to the stack base. */
  readonly internSites = (sites: readonly CallSite[]): number[] => {
    const out = new StackBuffer(sites.length + 1);
    const n = this.walker.internSites(sites, out);
    return Array.from(out.ids.subarray(0, n), (id) => this.table.pcOf(id));
  };

  /**
   * The memory profile, not scaled. `n` is the number of records; if `p` has room for all, they are put in its first
   * `n` elements and `ok` is true, else `p` is left as it is. With `inuseZero`, also records of which all is freed.
   */
  readonly memProfile = (
    p: (MemProfileRecord | null | undefined)[] | null,
    inuseZero: boolean,
  ): { n: number; ok: boolean } => {
    let n = 0;
    this.mem.forEach(inuseZero, () => n++);
    const room = p === null ? 0 : p.length;
    if (n > room) return { n, ok: false };
    let i = 0;
    this.mem.forEach(inuseZero, (r) => {
      const record = (p![i++] ??= new MemProfileRecord());
      record.AllocBytes = r.allocBytes;
      record.FreeBytes = r.freeBytes;
      record.AllocObjects = r.allocs;
      record.FreeObjects = r.frees;
      const stack = this.buckets.stackOf(r.bucket);
      for (let f = 0; f < 32; f++) record.Stack0[f] = f < stack.length ? this.table.pcOf(stack[f]!) : 0;
    });
    return { n, ok: true };
  };

  /** The profile of this name, or null. */
  readonly lookup = (name: string): NamedProfile | null => this.named.get(name) ?? null;

  /** All profiles, sorted by name. */
  readonly profiles = (): NamedProfile[] =>
    [...this.named.values()].sort((a, b) => (a.name() < b.name() ? -1 : a.name() > b.name() ? 1 : 0));

  /** Writes the heap profile as gzipped pprof: `lookup("heap").writeTo(sink, 0)`. */
  readonly writeHeapProfile = (sink: Sink): Promise<void> => this.named.get("heap")!.writeTo(sink, 0);
}

/** Makes a profiler of its own. */
export function createProfiler(options: ProfilerOptions = {}): Profiler {
  return new Profiler(options);
}
