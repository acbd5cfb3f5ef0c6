/**
 * Tells the code of these packages from the program's in bundles, where neither file names nor function names do.
 *
 * 1. Every published file makes an Error at its beginning and another at its end (tsup.base.ts), and puts both into a
 *    list behind a symbol that all packages and copies share.
 * 2. A bundler keeps the statements of a module together and in order. So the code between the two places of a script
 *    is ours, minified or not.
 * 3. The first call of `has` reads the places from the errors. Until then a mark costs a microsecond: V8 formats the
 *    stack of an Error only when it is read.
 */

interface Range {
  startLine: number;
  startColumn: number;
  endLine: number;
  endColumn: number;
}

/** An error, or another object with V8's stack, that was not formatted yet. */
export interface Mark {
  stack?: unknown;
}

/** The errors of one file. The second is missing while the file loads. */
type Marks = readonly Mark[];

/** The part of V8's CallSite that tells a place. */
export interface Place {
  getFileName(): string | null | undefined;
  getLineNumber(): number | null;
  getColumnNumber(): number | null;
}

const MARKS_KEY = Symbol.for("gort.code");

/** Tells the code of these packages from the program's. */
export class OwnCode {
  readonly #readSites: (mark: Mark) => readonly Place[];
  readonly #scriptOf: (file: string) => string;
  readonly #ranges = new Map<string, Range[]>();
  /** Length of the list when it was last read. */
  #read = 0;
  /** Files that had not finished loading then. */
  #loading: Marks[] = [];

  /**
   * @param readSites gives the call sites of an error, innermost first; none if they are not available
   * @param scriptOf makes the name of a script, as `has` takes it, from the file name of a call site
   */
  constructor(
    readSites: (mark: Mark) => readonly Place[],
    scriptOf: (file: string) => string = (file) => file,
  ) {
    this.#readSites = readSites;
    this.#scriptOf = scriptOf;
  }

  /** Reports whether a place of a script (line and column count from 1) is in a file of these packages. */
  has(script: string, line: number, column: number): boolean {
    const list = (globalThis as { [MARKS_KEY]?: readonly Marks[] })[MARKS_KEY];
    if (list === undefined) return false;
    if (list.length > this.#read || this.#loading.length > 0) this.#readMarks(list);
    const ranges = this.#ranges.get(script);
    if (ranges === undefined) return false;
    return ranges.some(
      (r) =>
        (line > r.startLine || (line === r.startLine && column >= r.startColumn)) &&
        (line < r.endLine || (line === r.endLine && column <= r.endColumn)),
    );
  }

  #readMarks(list: readonly Marks[]): void {
    const unread = this.#loading.concat(list.slice(this.#read));
    this.#read = list.length;
    this.#loading = unread.filter((marks) => marks.length < 2);
    for (const [begin, end] of unread) {
      if (begin === undefined || end === undefined) continue;
      const from = this.#readSites(begin)[0];
      const to = this.#readSites(end)[0];
      const file = from?.getFileName();
      if (typeof file !== "string" || file === "" || to?.getFileName() !== file) continue;
      const script = this.#scriptOf(file);
      const ranges = this.#ranges.get(script) ?? [];
      this.#ranges.set(script, ranges);
      ranges.push({
        startLine: from.getLineNumber() ?? 0,
        startColumn: from.getColumnNumber() ?? 0,
        endLine: to.getLineNumber() ?? 0,
        endColumn: to.getColumnNumber() ?? 0,
      });
    }
  }
}
