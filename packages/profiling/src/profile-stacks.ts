/**
 * Stacks for profiles: those of the running code, and those that a scheduler took. Each becomes frame numbers, and
 * for a profile that counts in buckets, a bucket.
 */
import { BLOCK_KIND, type BucketKind, type BucketTable, MUTEX_KIND } from "./bucket.ts";
import type { CallSite } from "./capture.ts";
import type { CountedStack } from "./count-profile.ts";
import { StackBuffer, type StackWalker } from "./extern.ts";
import type { LabelSet } from "./labels.ts";
import type { PCTable, PortableFrame } from "./pc-table.ts";
import type { StackFrame, StackSource } from "./profiler-options.ts";

// biome-ignore lint/complexity/noBannedTypes: V8 takes any function as the frame to cut above.
type AnyFunction = Function;

/** The profiles of events, by name. */
export type EventProfile = "block" | "mutex";

/** Stacks of one thread for another: plain data. */
export interface PortableStacks {
  readonly frames: readonly PortableFrame[];
  /** Indices into `frames`, innermost first; labels as entries. */
  readonly stacks: readonly {
    readonly stack: readonly number[];
    readonly labels: readonly (readonly [string, string])[] | null;
  }[];
}

/** The file of frames that stand for operations of the runtime. */
const RUNTIME_FILE = "<runtime>";

const bucketKindOf = (profile: EventProfile): BucketKind => (profile === "block" ? BLOCK_KIND : MUTEX_KIND);

export class ProfileStacks {
  /** The stack that was captured last. */
  readonly stack: StackBuffer;
  /** The frames of operations of the runtime, by name. */
  private readonly leaves = new Map<string, number>();
  /** Whether a frame is the runtime's, by frame number; undefined: not computed yet. */
  private readonly runtimeFrames: (boolean | undefined)[] = [];

  constructor(
    private readonly table: PCTable,
    private readonly walker: StackWalker,
    private readonly buckets: BucketTable,
    /** Frames kept of a stack, at most. */
    readonly depth: number,
  ) {
    this.stack = new StackBuffer(depth);
  }

  /**
   * The bucket of the running code: the stack above the function `above`, without the runtime's own innermost frames.
   */
  captureBucket(kind: BucketKind, size: number, above: AnyFunction, weight = 1): number {
    const { stack } = this;
    this.walker.walk(stack, 0, above, this.isOwn);
    return this.buckets.find(kind, size, stack.ids, stack.length, weight);
  }

  /** A copy of the stack above the function `above`, without its first `skip` frames. */
  capture(skip: number, above: AnyFunction): Uint32Array {
    const { stack } = this;
    return stack.ids.slice(0, this.walker.walk(stack, skip, above));
  }

  /** The bucket of a stack that was taken outside of the profiler. */
  eventBucket(profile: EventProfile, stack: readonly number[] | readonly StackFrame[]): number {
    const ids = Uint32Array.from(this.framesOf(stack));
    return this.buckets.find(bucketKindOf(profile), 0, ids, ids.length);
  }

  /** The bucket of call sites that were taken outside; see `Profiler.sitesBucket`. */
  sitesBucket(profile: EventProfile, leaf: string, sites: readonly CallSite[]): number {
    const { stack } = this;
    this.walker.internSites(sites, stack, 0, 0, this.isRuntime);
    return this.bucketUnder(profile, leaf, stack);
  }

  /** `Profiler.callerBucket` itself: each function between the two would be one more frame for V8 to walk. */
  readonly callerBucket = (profile: EventProfile, leaf: string, above: AnyFunction): number => {
    const { stack } = this;
    this.walker.walk(stack, 0, above, this.isRuntime);
    return this.bucketUnder(profile, leaf, stack);
  };

  /** Replaces the runtime's own innermost frames by one frame `leaf`. The outermost frame always stays. */
  private bucketUnder(profile: EventProfile, leaf: string, stack: StackBuffer): number {
    let frame = this.leaves.get(leaf);
    if (frame === undefined) {
      frame = this.table.synthetic(leaf, RUNTIME_FILE, 0);
      this.leaves.set(leaf, frame);
    }
    const { ids } = stack;
    let own = 0;
    while (own < stack.length - 1 && this.isRuntime(ids[own])) own++;
    const n = Math.min(ids.length, stack.length - own + 1);
    ids.copyWithin(1, own, stack.length);
    ids[0] = frame;
    return this.buckets.find(bucketKindOf(profile), 0, ids, n);
  }

  /** How many stacks a source has. */
  countOf(source: StackSource): number {
    if (source.count !== undefined) return source.count();
    let n = 0;
    source.forEach(() => {
      n++;
    });
    return n;
  }

  /** The stacks of a source as frame numbers, cut at the depth of profiles. */
  stacksOf(source: StackSource): CountedStack[] {
    const out: CountedStack[] = [];
    source.forEach((stack, labels = null) => {
      out.push({ stack: this.framesOf(stack).slice(0, this.depth), labels });
    });
    return out;
  }

  /** The stacks of a source as plain data. */
  portable(source: StackSource): PortableStacks {
    const frames: PortableFrame[] = [];
    const numbers = new Map<number, number>();
    const numberOf = (id: number): number => {
      let n = numbers.get(id);
      if (n === undefined) {
        n = frames.push(this.table.portable(id)) - 1;
        numbers.set(id, n);
      }
      return n;
    };
    const stacks = this.stacksOf(source).map(({ stack, labels }) => ({
      stack: Array.from(stack, numberOf),
      labels: labels === null ? null : [...labels],
    }));
    return { frames, stacks };
  }

  /** The stacks that another thread has described, as PCs. */
  adopt({ frames, stacks }: PortableStacks): { stack: number[]; labels: LabelSet | null }[] {
    const pcs = frames.map((frame) => this.table.pcOf(this.table.adopt(frame)));
    return stacks.map(({ stack, labels }) => ({
      stack: stack.map((i) => pcs[i]),
      labels: labels === null ? null : new Map(labels),
    }));
  }

  /** Frame numbers of a stack that was given from outside, without PCs that were never issued. */
  private framesOf(stack: readonly number[] | readonly StackFrame[]): number[] {
    const ids: number[] = [];
    for (const at of stack) {
      const id =
        typeof at === "number"
          ? this.table.frameIdAt(at - 1)
          : this.table.synthetic(at.func, at.file, at.line);
      if (id !== 0) ids.push(id);
    }
    return ids;
  }

  /** Return addresses of call sites that were taken outside, innermost first, up to the stack base. */
  internSites(sites: readonly CallSite[]): number[] {
    const out = new StackBuffer(sites.length + 1);
    const n = this.walker.internSites(sites, out);
    return Array.from(out.ids.subarray(0, n), (id) => this.table.pcOf(id));
  }

  /** Return addresses without the stack base and the runtime's own outermost frames. */
  withoutOuterRuntime(pcs: readonly number[]): number[] {
    const { table } = this;
    let n = pcs.length;
    while (n > 0) {
      const id = table.frameIdAt(pcs[n - 1] - 1);
      if (id !== table.goexit && !this.isRuntime(id)) break;
      n--;
    }
    return pcs.slice(0, n);
  }

  /** The return addresses that stand for operations of the runtime, such as `runtime.gopark`. */
  operationPCs(names: readonly string[]): number[] {
    return names.map((name) => this.table.pcOf(this.table.synthetic(name, RUNTIME_FILE, 0)));
  }

  /**
   * Whether a frame is code of the runtime's own packages. Does not read source maps, which are read when a profile is
   * written.
   */
  private readonly isOwn = (id: number): boolean => this.table.isOwn(id);

  /** The same, with source maps. */
  private readonly isRuntime = (id: number): boolean => {
    let known = this.runtimeFrames[id];
    if (known === undefined) {
      known =
        id !== this.table.goexit &&
        (this.table.isOwn(id) || this.table.symbolize(id).func.startsWith("runtime."));
      this.runtimeFrames[id] = known;
    }
    return known;
  };
}
