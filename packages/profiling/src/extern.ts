/**
 * Caller, Callers and CallersFrames.
 *
 * Go's two meanings of skip are kept: `caller(0)` is the function that calls `caller`. `callers(0, pcs)` records
 * `runtime.Callers` itself first, so there the same function has skip 1.
 *
 * Between two generators V8 has a frame of its own: the built-in `next` of each `yield*`. Such frames are left out,
 * and do not count. With a scheduler, a stack ends at the stack base: the run loop that resumes a goroutine, which
 * appears as `runtime.goexit`. Without a scheduler it ends where V8's stack ends. Frames that wait for a promise
 * (`await`) belong to the stack: they are the logical callers.
 */

import { wrongNumber } from "@gort/base";
import { type CallSite, captureSites, closeCapture, openCapture, PlainError } from "./capture.ts";
import { ELIDED, type Func, type PCTable } from "./pc-table.ts";

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

/** Whether the frame with this number is not to be shown. */
type Hide = (id: number) => boolean;

/** Depth of the stacks in profiles: Go's profstackdepth. */
export const DEFAULT_MAX_STACK_DEPTH = 128;

/** Stacks of up to this many frames are asked for at once. */
const SHORT_STACK = 16;
/** The largest buffer of `callers` that is kept for the next call. */
const MAX_KEPT_BUFFER = 256;

/** Frame numbers of a stack, reused between captures: a capture allocates only what V8 allocates. */
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
  /** Call sites to ask for at first: slowly follows the deepest of the last stacks. */
  private enough = SHORT_STACK;
  /** How many call sites the last walk read. */
  private walked = 0;
  private hitBase = false;

  constructor(private readonly table: PCTable) {
    this.callersFrame = table.synthetic("runtime.Callers", "<runtime>", 0);
    this.callerFrame = table.synthetic("runtime.Caller", "<runtime>", 0);
  }

  /**
   * Writes the stack above the function `above` to `out`, as frame numbers: skips `skip` frames, then takes as many as
   * fit. The stack base counts as a last frame, `runtime.goexit`. Innermost frames for which `hide` holds do not count.
   * If it holds for all frames, all count.
   */
  walk(out: StackBuffer, skip: number, above: AnyFunction, hide: Hide | null = null): number {
    const want = skip + out.ids.length;
    // Each frame costs V8 a third of a microsecond. A goroutine's stack is short but stands on a deep one of the host.
    // So ask first for as many frames as were enough for the last stacks.
    for (let limit = Math.min(want, this.enough); ; limit = limit < want ? want : limit * 2 + 8) {
      const sites = captureSites(limit, above);
      const n = this.internSites(sites, out, skip, 0, hide);
      // V8 also counts the built-in frames between generators, which are dropped here. So even `want` sites may show
      // too few frames.
      if (n === out.ids.length || sites.length < limit || this.hitBase) {
        if (want > SHORT_STACK) this.enough = Math.max(this.walked + 2, this.enough - 1, SHORT_STACK);
        return n;
      }
    }
  }

  /** How many call sites `take` needs of an error that the caller makes, the caller's own site included. */
  sitesFor(out: StackBuffer, skip: number): number {
    return Math.min(skip + out.ids.length, this.enough) + 1;
  }

  /**
   * The same as `walk`, from the call sites of an error that the function `above` has made: the first `asked` of the
   * stack. If `sites` are no call sites, or too few, it walks.
   */
  take(sites: unknown, asked: number, out: StackBuffer, skip: number, above: AnyFunction): number {
    if (Array.isArray(sites)) {
      const n = this.internSites(sites as CallSite[], out, skip, 1);
      if (n === out.ids.length || sites.length < asked || this.hitBase) return n;
    }
    return this.walk(out, skip, above);
  }

  /** Interns call sites that were taken before, innermost first, beginning with number `from`. */
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
      if (id === ELIDED) continue;
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

/**
 * Go's runtime.Caller and runtime.Callers. Each makes the error whose call sites it reads: V8 then need not walk the
 * frames of a helper.
 */
export class Callers {
  private readonly oneFrame = new StackBuffer(1);
  /** Buffers of exactly as many frames as `callers` was asked for, by that number. */
  private readonly buffers: (StackBuffer | undefined)[] = [];

  constructor(
    private readonly table: PCTable,
    private readonly walker: StackWalker,
  ) {}

  readonly caller = (skip = 0): CallerInfo => {
    checkInteger("skip", skip);
    const { walker, table } = this;
    let id = walker.callerFrame;
    if (skip >= 0) {
      const one = this.oneFrame;
      const asked = walker.sitesFor(one, skip);
      let sites: unknown;
      if (openCapture(asked)) {
        try {
          sites = new PlainError().stack;
        } finally {
          closeCapture();
        }
      }
      if (walker.take(sites, asked, one, skip, this.caller) === 0)
        return { pc: 0, file: "", line: 0, ok: false };
      id = one.ids[0];
    }
    const { file, line } = table.symbolize(id);
    return { pc: table.pcOf(id), file, line, ok: true };
  };

  readonly callers = (skip: number, pcs: PCs): number => {
    checkInteger("skip", skip);
    const { walker, table } = this;
    let n = 0;
    if (skip <= 0 && pcs.length > 0) pcs[n++] = table.pcOf(walker.callersFrame);
    if (n === pcs.length) return n;
    const buffer = this.bufferOf(pcs.length - n);
    const asked = walker.sitesFor(buffer, Math.max(0, skip - 1));
    let sites: unknown;
    if (openCapture(asked)) {
      try {
        sites = new PlainError().stack;
      } finally {
        closeCapture();
      }
    }
    const found = walker.take(sites, asked, buffer, Math.max(0, skip - 1), this.callers);
    for (let i = 0; i < found; i++) pcs[n++] = table.pcOf(buffer.ids[i]);
    return n;
  };

  private bufferOf(capacity: number): StackBuffer {
    if (capacity > MAX_KEPT_BUFFER) return new StackBuffer(capacity);
    return (this.buffers[capacity] ??= new StackBuffer(capacity));
  }
}

/** The result of `callersFrames`: frames one by one. */
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

  /** The next frame, and whether more follow. PCs that were never issued are skipped. */
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
