import { formatBytes, formatDuration } from "./format.ts";
import type { BySizeEntry, MemStats } from "./memstats.ts";
import { PAUSE_RING } from "./source.ts";

/** The fields of MemStats that hold one number. */
export type ScalarField = {
  [K in keyof MemStats]: MemStats[K] extends number ? K : never;
}[keyof MemStats];

/** The change from one snapshot to a later one: later minus earlier, negative where a figure fell. */
export type MemStatsDiff = { [K in ScalarField]: number } & {
  /** Nanoseconds from the last cycle of the earlier snapshot to that of the later one. */
  LastGC: bigint;
  /** Pauses of the cycles between the two, oldest first, ns; at most the last 256. */
  Pauses: number[];
  /** `Size` as in MemStats, counts as differences. Classes that did not change are left out. */
  BySize: BySizeEntry[];
};

/** `diff(before, after)`: the changes between two snapshots. */
export function diff(before: MemStats, after: MemStats): MemStatsDiff {
  const out: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(after)) {
    if (typeof value === "number") out[name] = value - before[name as ScalarField];
  }
  out.LastGC = after.LastGC - before.LastGC;
  const cycles = Math.max(0, Math.min(after.NumGC - before.NumGC, PAUSE_RING));
  out.Pauses = Array.from(
    { length: cycles },
    (_, i) => after.PauseNs[(after.NumGC - cycles + i) % PAUSE_RING],
  );
  out.BySize = after.BySize.map((b, i) => ({
    Size: b.Size,
    Mallocs: b.Mallocs - before.BySize[i].Mallocs,
    Frees: b.Frees - before.BySize[i].Frees,
  })).filter((b) => b.Mallocs !== 0 || b.Frees !== 0);
  return out as MemStatsDiff;
}

/** Fields that count objects or cycles, not bytes. */
const COUNTS = new Set<string>(["Lookups", "Mallocs", "Frees", "HeapObjects", "NumGC", "NumForcedGC"]);

/** The figures that changed, one per line: `HeapAlloc +1.50M`. Empty if none changed. */
export function formatDiff(d: MemStatsDiff): string {
  const lines: string[] = [];
  for (const [name, value] of Object.entries(d)) {
    if (typeof value !== "number" || value === 0) continue;
    const text = COUNTS.has(name)
      ? String(value)
      : name === "PauseTotalNs"
        ? formatDuration(value)
        : name === "GCCPUFraction"
          ? `${(value * 100).toFixed(2)}%`
          : formatBytes(value);
    lines.push(`${name} ${value > 0 ? "+" : ""}${text}`);
  }
  return lines.join("\n");
}
