/**
 * Which code is of these packages, where file names don't tell: in bundles. Every file that we publish puts an Error
 * made at its begin and one made at its end (tsup.base.ts) in a list behind a symbol that all packages and copies
 * share. A bundler keeps the statements of a module together and in order, so what lies between the two places in a
 * script is ours.
 */

interface Range {
  startLine: number;
  startColumn: number;
  endLine: number;
  endColumn: number;
}

/** The errors of one file. The second is missing while the file is being loaded. */
type Marks = readonly { stack?: unknown }[];
type ReadSites = (holder: { stack?: unknown }) => readonly NodeJS.CallSite[];

const marksKey = Symbol.for("gort.code");
const ranges = new Map<string, Range[]>();
/** How much of the list was looked at, and what of it was incomplete. */
let seen = 0;
let pending: Marks[] = [];

function readMarks(list: readonly Marks[], readSites: ReadSites): void {
  const fresh = pending.concat(list.slice(seen));
  seen = list.length;
  pending = fresh.filter((marks) => marks.length < 2);
  for (const [begin, end] of fresh) {
    if (begin === undefined || end === undefined) continue;
    const from = readSites(begin)[0];
    const to = readSites(end)[0];
    const file = from?.getFileName();
    if (typeof file !== "string" || to.getFileName() !== file) continue;
    const known = ranges.get(file) ?? [];
    ranges.set(file, known);
    known.push({
      startLine: from.getLineNumber() ?? 0,
      startColumn: from.getColumnNumber() ?? 0,
      endLine: to.getLineNumber() ?? 0,
      endColumn: to.getColumnNumber() ?? 0,
    });
  }
}

/** Whether a place in a script (from 1) is in a file of these packages; `readSites` gives the call sites of an error. */
export function isOwnCode(file: string, line: number, column: number, readSites: ReadSites): boolean {
  const list = (globalThis as { [marksKey]?: readonly Marks[] })[marksKey];
  if (list === undefined) return false;
  if (list.length > seen || pending.length > 0) readMarks(list, readSites);
  const known = ranges.get(file);
  if (known === undefined) return false;
  return known.some(
    (r) =>
      (line > r.startLine || (line === r.startLine && column >= r.startColumn)) &&
      (line < r.endLine || (line === r.endLine && column <= r.endColumn)),
  );
}
