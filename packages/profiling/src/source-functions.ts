/**
 * The functions of a JavaScript file and how they nest. V8's call sites do not say this, and Go's names need it.
 *
 * A call site knows where its function begins. For an anonymous function it does not know the function around it. For
 * a method it knows the receiver's class, but not the class that declares the method. `source-scanner.ts` finds both.
 *
 * A function is looked up by the position at which it begins, as V8 reports it on a stack:
 *
 *   function, async function    the first of these words
 *   arrow                       its parameters, or `async` before them
 *   method, accessor            its name (also noted under its first modifier)
 *   in V8's own profiles        all of them by their parameters
 *
 * An error's text gives only the place of a call: then the innermost function around that place is looked up.
 *
 * If the scanner errs, a look-up finds nothing, or a name that V8 contradicts. The caller then uses V8's own name. So
 * an error of the scanner costs a good name, and never a position.
 */
import { FunctionScanner } from "./source-scanner.ts";
import type { ScannedFunction } from "./source-scopes.ts";

export type { ScannedFunction } from "./source-scopes.ts";

export class SourceFunctions {
  private readonly lineStarts: number[] = [0];
  private readonly scanned: FunctionScanner;
  /** The last line of each function for which it was computed. */
  private readonly lastLines = new Map<ScannedFunction, number>();

  constructor(private readonly source: string) {
    for (let i = source.indexOf("\n"); i >= 0; i = source.indexOf("\n", i + 1)) this.lineStarts.push(i + 1);
    this.scanned = new FunctionScanner(source);
    this.scanned.scan();
  }

  /** How many functions the scanner found. */
  get size(): number {
    return new Set(this.scanned.byStart.values()).size;
  }

  /** The function that begins at this line and column (both from 1), or undefined if the scanner found none there. */
  at(line: number, column: number): ScannedFunction | undefined {
    const start = this.lineStarts[line - 1];
    return start === undefined ? undefined : this.scanned.byStart.get(start + column - 1);
  }

  /** The innermost function around this line and column (both from 1). Outside of all functions: the module's body. */
  around(line: number, column: number): ScannedFunction | undefined {
    const offset = (this.lineStarts[line - 1] ?? Number.NaN) + column - 1;
    if (!(offset >= 0 && offset <= this.source.length)) return undefined;
    const { changes, innermost, topLevel } = this.scanned;
    return innermost[countUpTo(changes, offset) - 1] ?? topLevel;
  }

  /**
   * The line on which the function ends that begins at this line and column. Undefined if the scanner found no function
   * there.
   */
  endLine(line: number, column: number): number | undefined {
    const fn = this.at(line, column);
    if (fn === undefined) return undefined;
    const known = this.lastLines.get(fn);
    if (known !== undefined) return known;
    const { changes, innermost } = this.scanned;
    // The last stretch of code that lies in the function. Parameters and body are two stretches.
    let i = changes.length - 1;
    while (i >= 0 && !isWithin(innermost[i], fn)) i--;
    if (i < 0) return undefined;
    const next = changes[i + 1] ?? this.source.length;
    const nextLine = countUpTo(this.lineStarts, next);
    // If the code that follows begins a line, the function ended on an earlier line.
    const beginsLine = this.source.slice(this.lineStarts[nextLine - 1], next).trim() === "";
    const end = Math.max(line, beginsLine ? nextLine - 1 : nextLine);
    this.lastLines.set(fn, end);
    return end;
  }
}

/** How many of the rising `positions` are at most `limit`. */
function countUpTo(positions: readonly number[], limit: number): number {
  let from = 0;
  let to = positions.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (positions[middle] <= limit) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** Whether `fn` is `outer` or lies inside of it. */
function isWithin(fn: ScannedFunction | null, outer: ScannedFunction): boolean {
  for (let f = fn; f !== null; f = f.parent) if (f === outer) return true;
  return false;
}

/** The name of a scanned function as Go would form it, without its package. */
export function scannedName(fn: ScannedFunction): string {
  if (fn.className !== "") {
    if (fn.name === "constructor") return `(*${fn.className}).constructor`;
    const suffix = fn.accessor === "" ? "" : `-${fn.accessor}`;
    return `${fn.isStatic ? fn.className : `(*${fn.className})`}.${fn.name}${suffix}`;
  }
  if (fn.name !== "") return fn.name;
  const { parent } = fn;
  if (parent === null) return `init.func${fn.ordinal}`;
  // A closure in a numbered closure adds only its number.
  return parent.isClosure && parent.name === ""
    ? `${scannedName(parent)}.${fn.ordinal}`
    : `${scannedName(parent)}.func${fn.ordinal}`;
}
