/**
 * Profiles as text, in Go's format (debug=1).
 */
import { hex } from "@gort/base";
import type { MemBucket, MemProfileRecorder } from "./mprof.ts";
import type { PCTable } from "./pc-table.ts";
import { isRuntimeName } from "./protomem.ts";

/**
 * Aligns cells as Go's tab writer does with a minimum width of 1, tab width 8 and a padding of 1 tab. A column exists
 * in a block of consecutive lines that have it. It is as wide as its widest cell there, rounded up to a multiple of
 * 8, and padded with tabs. A tab ends a cell. The text behind the last tab of a line is in no column.
 */
export function tabAlign(text: string): string {
  const lines = text.split("\n").map((line) => line.split("\t"));
  const widths: number[] = [];
  let out = "";
  const format = (from: number, to: number): void => {
    const column = widths.length;
    for (let row = from; row < to; row++) {
      if (column >= lines[row].length - 1) continue;
      // From here on, a block of lines that all have this column.
      emit(from, row);
      from = row;
      let width = 1;
      for (; row < to && column < lines[row].length - 1; row++) {
        const cell = lines[row][column];
        width = Math.max(width, [...cell].length + 1);
      }
      widths.push(Math.ceil(width / 8) * 8);
      format(from, row);
      widths.pop();
      from = row;
      row--;
    }
    emit(from, to);
  };
  const emit = (from: number, to: number): void => {
    for (let row = from; row < to; row++) {
      const cells = lines[row];
      for (let i = 0; i < cells.length; i++) {
        out += cells[i];
        if (i < cells.length - 1) {
          out += "\t".repeat(Math.ceil((widths[i] - [...cells[i]].length) / 8));
        }
      }
      if (row < lines.length - 1) out += "\n";
    }
  };
  format(0, lines.length);
  return out;
}

/**
 * The lines of a stack, `#`, pc, function+offset and position. Frames of the runtime at the leaf are hidden unless
 * `all` is set or nothing would be left. An empty line ends the record.
 */
export function stackLines(table: PCTable, stack: ArrayLike<number>, all: boolean): string {
  let out = "";
  let show = all;
  for (let i = 0; i < stack.length; i++) {
    const id = stack[i];
    if (id === table.goexit) continue;
    const { func, file, line } = table.symbolize(id);
    if (!show && isRuntimeName(func)) continue;
    show = true;
    const pc = table.pcOf(id) - 1;
    out += `#\t${hex(pc)}\t${func}+${hex(pc - table.funcOf(id).entry())}\t${file}:${line}\n`;
  }
  if (!show) return stack.length === 0 ? "\n" : stackLines(table, stack, true);
  return `${out}\n`;
}

/** The PCs of a stack, for the first line of a record. */
export function stackPCs(table: PCTable, stack: ArrayLike<number>): string {
  let out = "@";
  for (let i = 0; i < stack.length; i++) out += ` ${hex(table.pcOf(stack[i]))}`;
  return out;
}

/** The MemStats that the heap profile prints: all fields that Go prints. */
export interface MemStatsLike {
  [field: string]: unknown;
}

const MEM_STATS_LINES: readonly [label: string, ...fields: string[]][] = [
  ["Alloc", "Alloc"],
  ["TotalAlloc", "TotalAlloc"],
  ["Sys", "Sys"],
  ["Lookups", "Lookups"],
  ["Mallocs", "Mallocs"],
  ["Frees", "Frees"],
  ["HeapAlloc", "HeapAlloc"],
  ["HeapSys", "HeapSys"],
  ["HeapIdle", "HeapIdle"],
  ["HeapInuse", "HeapInuse"],
  ["HeapReleased", "HeapReleased"],
  ["HeapObjects", "HeapObjects"],
  ["Stack", "StackInuse", "StackSys"],
  ["MSpan", "MSpanInuse", "MSpanSys"],
  ["MCache", "MCacheInuse", "MCacheSys"],
  ["BuckHashSys", "BuckHashSys"],
  ["GCSys", "GCSys"],
  ["OtherSys", "OtherSys"],
  ["NextGC", "NextGC"],
  ["LastGC", "LastGC"],
  ["PauseNs", "PauseNs"],
  ["PauseEnd", "PauseEnd"],
  ["NumGC", "NumGC"],
  ["NumForcedGC", "NumForcedGC"],
  ["GCCPUFraction", "GCCPUFraction"],
  ["DebugGC", "DebugGC"],
];

function memStatsText(stats: MemStatsLike): string {
  let out = "\n# runtime.MemStats\n";
  for (const [label, ...fields] of MEM_STATS_LINES) {
    out += `# ${label} = ${fields.map((field) => statText(stats[field])).join(" / ")}\n`;
  }
  const maxRSS = maxResidentBytes();
  if (maxRSS !== undefined) out += `# MaxRSS = ${maxRSS}\n`;
  return out;
}

function statText(value: unknown): string {
  if (ArrayBuffer.isView(value) || Array.isArray(value))
    return `[${Array.from(value as Iterable<unknown>).join(" ")}]`;
  return String(value ?? 0);
}

/** The largest resident set so far in bytes, if the platform reports it. */
function maxResidentBytes(): number | undefined {
  const usage = (
    globalThis as { process?: { resourceUsage?: () => { maxRSS: number } } }
  ).process?.resourceUsage?.();
  return usage === undefined ? undefined : usage.maxRSS * 1024;
}

/** The heap profile as text: `heap` and `allocs` print the same. */
export function heapText(table: PCTable, recorder: MemProfileRecorder, stats?: MemStatsLike): string {
  const records: MemBucket[] = [];
  recorder.forEach(true, (r) => {
    records.push({ ...r });
  });
  records.sort((a, b) => a.allocBytes - a.freeBytes - (b.allocBytes - b.freeBytes));
  let inuseObjects = 0;
  let inuseBytes = 0;
  let allocObjects = 0;
  let allocBytes = 0;
  for (const r of records) {
    inuseObjects += r.allocs - r.frees;
    inuseBytes += r.allocBytes - r.freeBytes;
    allocObjects += r.allocs;
    allocBytes += r.allocBytes;
  }
  // Tools recognise the form with four numbers, and not the old form with two, by byte counts that differ.
  if (allocBytes === inuseBytes) allocBytes++;
  let out = `heap profile: ${inuseObjects}: ${inuseBytes} [${allocObjects}: ${allocBytes}]`;
  out += ` @ heap/${2 * recorder.rate}\n`;
  for (const r of records) {
    const { stack } = r;
    out += `${r.allocs - r.frees}: ${r.allocBytes - r.freeBytes} [${r.allocs}: ${r.allocBytes}] `;
    out += `${stackPCs(table, stack)}\n${stackLines(table, stack, false)}`;
  }
  return tabAlign(out) + (stats === undefined ? "" : memStatsText(stats));
}
