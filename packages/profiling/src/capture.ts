/**
 * Taking V8's call sites.
 *
 * `Error.captureStackTrace` records the stack cheaply and formats it when `.stack` is first read, through
 * `Error.prepareStackTrace` if that is set. So for the time of one read we put our own function there,
 * get the call sites as objects instead of text, and put back whatever was there: a user's hook,
 * the one that a source-map library installed, or nothing. A user's hook wins over Node's own formatter
 * (also under --enable-source-maps), and ours is in place only while no foreign code can run, so neither
 * side ever notices the other.
 *
 * Where Error is frozen or the hook can't be replaced, the text of the stack is parsed instead.
 */

/** The part of V8's CallSite that we read; all of it is optional information but the position. */
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
/** The Error that there was when this module was loaded: a program may put its own in its place. */
export const PlainError = Error;
const collect = (_error: Error, sites: NodeJS.CallSite[]): unknown => sites;
const none: CallSite[] = [];

/**
 * The call sites above the function `above`, innermost first, at most `limit`. Formatting hooks and
 * `Error.stackTraceLimit` are as before when it returns.
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
    // Error is frozen: no hook and no limit, but the text is still there.
    try {
      V8Error.captureStackTrace(holder, above);
      return parseStack(holder.stack, limit);
    } catch {
      return none;
    }
  } finally {
    // A frozen Error throws again here; there was nothing to put back then.
    try {
      restore("stackTraceLimit", savedLimit);
      restore("prepareStackTrace", savedHook);
    } catch {}
  }
}

/**
 * For whoever makes the error itself (a `PlainError`), which saves V8 the walk over frames that are not wanted: after
 * this the `stack` of a new Error is an array of call sites, at most `limit`, the first being where the error was
 * made. Followed by `closeCapture` whatever happens. False where Error's settings can't be replaced.
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

/** Puts back what `openCapture` replaced. */
export function closeCapture(): void {
  restore("stackTraceLimit", openLimit);
  restore("prepareStackTrace", openHook);
  openHook = undefined;
}

/** Error's settings as they were before `openCapture`. */
let openHook: ErrorConstructorV8["prepareStackTrace"];
let openLimit: number | undefined;

/**
 * Whether a new error's first call site is the function that made it: so it is, unless a library has replaced Error.
 */
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

/** A stack that V8 has recorded and nobody has read. */
export interface UnreadStack {
  stack?: unknown;
}

/** Records the stack above the function `above` without reading it: for stacks of which few will be wanted. */
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

/** The call sites of a stack that was recorded, innermost first. */
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

/** Puts back one of Error's two settings; one that wasn't there goes away again. */
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

const frameLine = /^\s*at (async )?(new )?(?:(.*?) \()?(.*?)(?::(\d+):(\d+))?\)?$/;

/** The call sites in a stack's text in V8's format, at most `limit` (0: all); lines that are none are passed over. */
export function parseStack(text: unknown, limit: number): CallSite[] {
  if (typeof text !== "string") return none;
  const sites: CallSite[] = [];
  for (const row of text.split("\n")) {
    if (limit > 0 && sites.length >= limit) break;
    const m = /^\s*at /.test(row) ? frameLine.exec(row) : null;
    if (m === null) continue;
    const [, isAsync, isNew, name, place, line, column] = m;
    // "Type.method [as alias]" keeps the first part.
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
