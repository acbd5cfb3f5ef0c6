import type { Result } from "./harness.ts";
import { spread } from "./stats.ts";

/** A figure with three significant digits; from 100 on, a whole number. */
export function figure(value: number): string {
  if (value >= 100) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

/** The results as the cells of a table, its heading first. The cells of a peer that was not measured are empty. */
export function cells(results: readonly Result[]): string[][] {
  const peers = [...new Set(results.flatMap((r) => Object.keys(r.peers)))];
  const head = ["benchmark", "unit", "gort", "±", ...peers.flatMap((peer) => [peer, "±", `gort/${peer}`])];
  const percent = (values: readonly number[] | undefined) =>
    values === undefined ? "" : `${Math.round(spread(values) * 50)}%`;
  return [
    head,
    ...results.map((r) => [
      r.name,
      r.unit,
      figure(r.gort),
      percent(r.samples.gort),
      ...peers.flatMap((peer) =>
        r.peers[peer] === undefined
          ? ["", "", ""]
          : [figure(r.peers[peer]), percent(r.samples[peer]), `${figure(r.ratio[peer])}x`],
      ),
    ]),
  ];
}

/** A table of aligned columns for a terminal. */
export function table(results: readonly Result[]): string {
  const rows = cells(results);
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => (column < 2 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join("  ")
      .trimEnd();
  return rows.map(line).join("\n");
}

/** The same table in Markdown. */
export function markdown(results: readonly Result[]): string {
  const [head, ...rows] = cells(results) as [string[], ...string[][]];
  const rule = head.map((_, column) => (column < 2 ? "---" : "--:"));
  return [head, rule, ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}
