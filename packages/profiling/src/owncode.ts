/**
 * Which code is the runtime's own, where neither file names nor function names tell: in bundles, minified or not,
 * without a source map.
 *
 * Every file that we publish makes an Error at its begin and one at its end (tsup.base.ts) and puts both in a list
 * behind a symbol that all packages and copies share. A bundler keeps the statements of a module together and in order,
 * so what lies between the two places in a script is ours. The places are read when first asked for: until then an
 * Error costs a microsecond.
 */
import { readSites, type UnreadStack } from "./capture.ts";
import { toPath } from "./host.ts";

interface Range {
  startLine: number;
  startColumn: number;
  endLine: number;
  endColumn: number;
}

/** The errors of one file. The second is missing while the file is being loaded. */
type Marks = readonly UnreadStack[];

const marksKey = Symbol.for("gort.code");
const ranges = new Map<string, Range[]>();
/** How much of the list was looked at, and what of it was incomplete. */
let seen = 0;
let pending: Marks[] = [];

function readMarks(list: readonly Marks[]): void {
  const fresh = pending.concat(list.slice(seen));
  seen = list.length;
  pending = fresh.filter((marks) => marks.length < 2);
  for (const [begin, end] of fresh) {
    if (begin === undefined || end === undefined) continue;
    const from = readSites(begin)[0];
    const to = readSites(end)[0];
    const file = from?.getFileName();
    if (!file || to?.getFileName() !== file) continue;
    const script = toPath(file);
    const known = ranges.get(script) ?? [];
    ranges.set(script, known);
    known.push({
      startLine: from.getLineNumber() ?? 0,
      startColumn: from.getColumnNumber() ?? 0,
      endLine: to.getLineNumber() ?? 0,
      endColumn: to.getColumnNumber() ?? 0,
    });
  }
}

/** Whether a place in a script (from 1) is in a file of these packages. */
export function isOwnCode(script: string, line: number, column: number): boolean {
  const list = (globalThis as { [marksKey]?: readonly Marks[] })[marksKey];
  if (list === undefined) return false;
  if (list.length > seen || pending.length > 0) readMarks(list);
  const known = ranges.get(script);
  if (known === undefined) return false;
  return known.some(
    (r) =>
      (line > r.startLine || (line === r.startLine && column >= r.startColumn)) &&
      (line < r.endLine || (line === r.endLine && column <= r.endColumn)),
  );
}
