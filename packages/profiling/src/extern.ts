/**
 * Caller, Callers, CallersFrames and FuncForPC.
 *
 * Go's two meanings of skip are kept: `caller(0)` is the function that calls `caller`, while `callers(0, pcs)`
 * records `runtime.Callers` itself first, so the same frame needs one more there.
 *
 * Frames that V8 puts between two generators (the built-in `next` of every `yield*`) are left out and don't count.
 * A stack ends at the stack base (the run loop that resumes a goroutine, where the scheduler is in use),
 * which appears as `runtime.goexit`; without a scheduler it ends where V8's stack ends. Frames that wait for a promise
 * (`await`) belong to the stack: they are the logical callers.
 */

import { wrongNumber } from "@gort/base";
import { type CallSite, captureSites } from "./capture.ts";
import { elided, type Func, type PCTable } from "./pc-table.ts";

/** Where PCs are written: any array of numbers that holds them exactly. */
export type PCs = number[] | Float64Array | Uint32Array;

export interface CallerInfo {
  pc: number;
  file: string;
  line: number;
  ok: boolean;
}

/** One frame of a walk, Go's runtime.Frame. The zero frame has PC 0 and empty names. */
export interface Frame {
  PC: number;
  Func: Func | null;
  Function: string;
  File: string;
  Line: number;
  Entry: number;
}

// biome-ignore lint/complexity/noBannedTypes: V8 takes any function as the frame to cut above.
type AnyFunction = Function;

/** Says of a frame number that it is not to be shown. */
type Hide = (id: number) => boolean;

/** Depth of the stacks in profiles: Go's profstackdepth. */
export const defaultMaxStackDepth = 128;

/** Stacks up to this many frames are asked for in one go. */
const shortStack = 16;

/** Frame numbers of a stack, reused between captures: a capture allocates nothing but what V8 does. */
export class StackBuffer {
  ids: Uint32Array;
  length = 0;
  constructor(capacity: number) {
    this.ids = new Uint32Array(capacity);
  }
}

/** Walks the present stack of V8 and interns it. */
export class StackWalker {
  readonly callersFrame: number;
  readonly callerFrame: number;

  constructor(private readonly table: PCTable) {
    this.callersFrame = table.synthetic("runtime.Callers", "<runtime>", 0);
    this.callerFrame = table.synthetic("runtime.Caller", "<runtime>", 0);
  }

  /**
   * The stack above the function `above`, as frame numbers in `out`: skips `skip` frames, then takes as many as
   * fit. The stack base counts as a last frame, `runtime.goexit`. Frames for which `hide` holds don't count as long as
   * no other came, unless there is no other.
   */
  walk(out: StackBuffer, skip: number, above: AnyFunction, hide: Hide | null = null): number {
    const want = skip + out.ids.length;
    // Every frame costs V8 a third of a microsecond, and a goroutine's stack is short but stands on a deep one of the
    // host: ask first for as many as were enough lately.
    for (let limit = Math.min(want, this.enough); ; limit = limit < want ? want : limit * 2 + 8) {
      const sites = captureSites(limit, above);
      const n = this.internSites(sites, out, skip, 0, hide);
      // Between two generators V8 counts a built-in frame that we drop, so that even `want` may show too little.
      if (n === out.ids.length || sites.length < limit || this.hitBase) {
        if (want > shortStack) this.enough = Math.max(this.walked + 2, this.enough - 1, shortStack);
        return n;
      }
    }
  }

  /** Call sites that `take` wants of an error which the caller makes, the caller's own included. */
  sitesFor(out: StackBuffer, skip: number): number {
    return Math.min(skip + out.ids.length, this.enough) + 1;
  }

  /**
   * As `walk`, from the call sites of an error that the function `above` has made, which are the first `asked` of the stack. Walks
   * itself where these are no call sites or show too little.
   */
  take(sites: unknown, asked: number, out: StackBuffer, skip: number, above: AnyFunction): number {
    if (Array.isArray(sites)) {
      const n = this.internSites(sites as CallSite[], out, skip, 1);
      if (n === out.ids.length || sites.length < asked || this.hitBase) return n;
    }
    return this.walk(out, skip, above);
  }

  /** Call sites to ask for at first: slowly follows the deepest of the last stacks. */
  private enough = shortStack;
  /** How many call sites the last walk looked at. */
  private walked = 0;
  private hitBase = false;

  /** Interns call sites that were taken elsewhere, innermost first, beginning with number `from`. */
  internSites(
    sites: readonly CallSite[],
    out: StackBuffer,
    skip = 0,
    from = 0,
    hide: Hide | null = null,
  ): number {
    const { table } = this;
    const { ids } = out;
    this.hitBase = false;
    let n = 0;
    let seen = 0;
    let i = from;
    while (i < sites.length && n < ids.length) {
      const id = table.intern(sites[i++]);
      if (id === elided) continue;
      if (table.isBase(id)) {
        this.hitBase = true;
        if (seen >= skip) ids[n++] = table.goexit;
        break;
      }
      if (n === 0 && hide?.(id) === true) continue;
      if (seen++ >= skip) ids[n++] = id;
    }
    if (hide !== null && (n === 0 || (n === 1 && ids[0] === table.goexit))) {
      return this.internSites(sites, out, skip, from);
    }
    this.walked = i - from;
    out.length = n;
    return n;
  }
}

/** What CallersFrames returns: frames one by one. */
export class Frames implements Iterable<Frame> {
  private at = 0;
  private readonly pcs: readonly number[];

  constructor(
    private readonly table: PCTable,
    pcs: Iterable<number>,
  ) {
    this.pcs = Array.from(pcs);
    this.skipUnknown();
  }

  private skipUnknown(): void {
    while (this.at < this.pcs.length && this.table.frameAt(this.pcs[this.at] - 1) === undefined) this.at++;
  }

  /** The next frame, and whether there are more; PCs that were never issued are passed over. */
  next(): { frame: Frame; more: boolean } {
    if (this.at >= this.pcs.length) return { frame: zeroFrame(), more: false };
    const pc = this.pcs[this.at++] - 1;
    this.skipUnknown();
    return { frame: frameOf(this.table, pc), more: this.at < this.pcs.length };
  }

  *[Symbol.iterator](): IterableIterator<Frame> {
    while (this.at < this.pcs.length) yield this.next().frame;
  }
}

function zeroFrame(): Frame {
  return { PC: 0, Func: null, Function: "", File: "", Line: 0, Entry: 0 };
}

/** The frame of a pc inside a call (return address - 1). */
function frameOf(table: PCTable, pc: number): Frame {
  const frame = table.frameAt(pc)!;
  const { func, file, line } = table.symbolizeFrame(frame);
  return { PC: pc, Func: frame.func, Function: func, File: file, Line: line, Entry: frame.func.entry() };
}

/** Throws unless `n` is an integer. */
export function checkInteger(what: string, n: number): void {
  if (!Number.isInteger(n)) throw wrongNumber("profiling", n, `${what} must be an integer`);
}
