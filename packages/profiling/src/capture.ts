/**
 * Taking V8's call sites.
 *
 * `Error.captureStackTrace` records the stack cheaply. V8 formats it when `.stack` is first read, through
 * `Error.prepareStackTrace` if that is set. So for the time of one read we put our own function there, and get the call
 * sites as objects instead of text. Then we restore the previous hook: a user's, that of a source-map library, or none.
 * Such a hook wins over Node's own formatter, also under --enable-source-maps. Ours is in place only while no foreign
 * code can run, so neither side sees the other.
 *
 * If Error is frozen or the hook cannot be replaced, the text of the stack is parsed instead.
 */

/** The part of V8's CallSite that we read. Only the position is always there. */
export interface CallSite {
  getFunctionName(): string | null;
  getTypeName(): string | null;
  getFileName(): string | null | undefined;
  getScriptNameOrSourceURL?(): string | null | undefined;
  getEvalOrigin?(): string | undefined;
  getLineNumber(): number | null;
  getColumnNumber(): number | null;
  getPosition?(): number;
  isConstructor(): boolean;
  isEval?(): boolean;
  isAsync?(): boolean;
  getEnclosingLineNumber?(): number | null;
  getEnclosingColumnNumber?(): number | null;
}

// biome-ignore lint/complexity/noBannedTypes: V8 takes any function as the frame to cut above.
type AnyFunction = Function;

interface ErrorConstructorV8 {
  prepareStackTrace?: ((error: Error, sites: NodeJS.CallSite[]) => unknown) | undefined;
  stackTraceLimit?: number;
  captureStackTrace?(target: object, above?: AnyFunction): void;
}

const V8Error = Error as unknown as ErrorConstructorV8;
/** The Error at the time when this module was loaded: a program may replace it later. */
export const PlainError = Error;
const collect = (_error: Error, sites: NodeJS.CallSite[]): unknown => sites;
const NO_SITES: CallSite[] = [];

/**
 * The call sites above the function `above`, innermost first, at most `limit`. When it returns, the formatting hook and
 * `Error.stackTraceLimit` are as before.
 */
export function captureSites(limit: number, above: AnyFunction): CallSite[] {
  if (V8Error.captureStackTrace === undefined) return parseStack(new Error().stack, 0);
  const holder: { stack?: unknown } = {};
  const savedLimit = V8Error.stackTraceLimit;
  const savedHook = V8Error.prepareStackTrace;
  try {
    V8Error.stackTraceLimit = limit;
    V8Error.prepareStackTrace = collect;
    V8Error.captureStackTrace(holder, above);
    const stack = holder.stack;
    if (Array.isArray(stack)) return stack as CallSite[];
    return parseStack(stack, limit);
  } catch {
    // Error is frozen: neither hook nor limit can be set, but V8 still gives the text.
    try {
      V8Error.captureStackTrace(holder, above);
      return parseStack(holder.stack, limit);
    } catch {
      return NO_SITES;
    }
  } finally {
    // A frozen Error throws here too; then there is nothing to restore.
    try {
      restore("stackTraceLimit", savedLimit);
      restore("prepareStackTrace", savedHook);
    } catch {}
  }
}

/**
 * For a caller that makes the error itself (a `PlainError`): V8 then need not walk frames of ours. After this, the
 * `stack` of a new Error is an array of at most `limit` call sites, and the first is where the error was made. The
 * caller must call `closeCapture`, whatever happens. Returns false if Error's settings cannot be replaced.
 */
export function openCapture(limit: number): boolean {
  makesSites ??= madeHere();
  if (!makesSites) return false;
  openHook = V8Error.prepareStackTrace;
  openLimit = V8Error.stackTraceLimit;
  try {
    V8Error.stackTraceLimit = limit;
    V8Error.prepareStackTrace = collect;
    return true;
  } catch {
    return false;
  }
}

/** Restores the settings that `openCapture` replaced. */
export function closeCapture(): void {
  restore("stackTraceLimit", openLimit);
  restore("prepareStackTrace", openHook);
  openHook = undefined;
}

/** Error's settings as they were before `openCapture`. */
let openHook: ErrorConstructorV8["prepareStackTrace"];
let openLimit: number | undefined;

/** Whether a new error's first call site is the function that made it. It is, unless a library has replaced Error. */
let makesSites: boolean | undefined;
function madeHere(): boolean {
  if (V8Error.captureStackTrace === undefined) return false;
  try {
    const limit = V8Error.stackTraceLimit;
    const hook = V8Error.prepareStackTrace;
    V8Error.stackTraceLimit = 1;
    V8Error.prepareStackTrace = collect;
    try {
      const sites: unknown = new PlainError().stack;
      return Array.isArray(sites) && (sites[0] as CallSite | undefined)?.getFunctionName() === madeHere.name;
    } finally {
      restore("stackTraceLimit", limit);
      restore("prepareStackTrace", hook);
    }
  } catch {
    return false;
  }
}

/** A stack that V8 has recorded but not formatted. */
export interface UnreadStack {
  stack?: unknown;
}

/** Records the stack above the function `above` without formatting it: for stacks of which few are read. */
export function captureUnread(limit: number, above: AnyFunction): UnreadStack {
  const holder: UnreadStack = {};
  const saved = V8Error.stackTraceLimit;
  try {
    V8Error.stackTraceLimit = limit;
    V8Error.captureStackTrace?.(holder, above);
    restore("stackTraceLimit", saved);
  } catch {
    // Error is frozen: its own limit holds.
    V8Error.captureStackTrace?.(holder, above);
  }
  return holder;
}

/** The call sites of a recorded stack, innermost first. */
export function readSites(unread: UnreadStack): CallSite[] {
  const saved = V8Error.prepareStackTrace;
  let stack: unknown;
  try {
    V8Error.prepareStackTrace = collect;
    stack = unread.stack;
    restore("prepareStackTrace", saved);
  } catch {
    stack = unread.stack;
  }
  return Array.isArray(stack) ? (stack as CallSite[]) : parseStack(stack, 0);
}

/** Restores one of Error's two settings. A limit that was not set is deleted again. */
function restore<K extends "stackTraceLimit" | "prepareStackTrace">(
  key: K,
  saved: ErrorConstructorV8[K],
): void {
  if (saved === undefined && key === "stackTraceLimit") delete V8Error[key];
  else V8Error[key] = saved;
}

/** A call site read back from the text of a stack. */
class TextSite implements CallSite {
  constructor(
    private readonly name: string | null,
    private readonly file: string | null,
    private readonly line: number | null,
    private readonly column: number | null,
    private readonly isNew: boolean,
    private readonly async: boolean,
  ) {}
  getFunctionName(): string | null {
    return this.name;
  }
  getTypeName(): string | null {
    return null;
  }
  getFileName(): string | null {
    return this.file;
  }
  getLineNumber(): number | null {
    return this.line;
  }
  getColumnNumber(): number | null {
    return this.column;
  }
  isConstructor(): boolean {
    return this.isNew;
  }
  isAsync(): boolean {
    return this.async;
  }
}

const FRAME_LINE = /^\s*at (async )?(new )?(?:(.*?) \()?(.*?)(?::(\d+):(\d+))?\)?$/;

/** The call sites in a stack's text in V8's format, at most `limit` (0: all). Other lines are skipped. */
export function parseStack(text: unknown, limit: number): CallSite[] {
  if (typeof text !== "string") return NO_SITES;
  const sites: CallSite[] = [];
  for (const row of text.split("\n")) {
    if (limit > 0 && sites.length >= limit) break;
    const m = /^\s*at /.test(row) ? FRAME_LINE.exec(row) : null;
    if (m === null) continue;
    const [, isAsync, isNew, name, place, line, column] = m;
    // Of "Type.method [as alias]", keep the first part.
    const fn = name?.replace(/ \[as .*\]$/, "") ?? null;
    const known = place !== undefined && place !== "<anonymous>" && place !== "native";
    sites.push(
      new TextSite(
        fn,
        known && line !== undefined ? place : null,
        line === undefined ? null : Number(line),
        column === undefined ? null : Number(column),
        isNew !== undefined,
        isAsync !== undefined,
      ),
    );
  }
  return sites;
}
