/** The program `buffers`: the cost of garbage, and the savings of recycling. */
import { closeSync, openSync, writeSync } from "node:fs";
import { createRuntime, type MemStats } from "@gort/runtime";
import pc from "picocolors";
import { drawChart, LiveChart, mega, type Series } from "../chart.ts";
import { interrupted } from "../interrupt.ts";
import { choiceOption, fileOption, numberOption } from "../options.ts";
import type { Program } from "../program.ts";
import { COLUMNS, type Row, recycling, STANDARD, VARIANTS, type Variant } from "../recycling.ts";
import type { Screen } from "../screen.ts";

/** Defaults of a run of one variant: the pace of the classic study. */
const ALONE = { interval: 1, steps: 60 };
/** Defaults of the comparison, which takes about 10 s. */
const COMPARED = { interval: 0.03, steps: 100 };

export const buffersProgram: Program = {
  name: "buffers",
  about: "20 buffers of 5 to 10 MB, a random one replaced at each step: garbage or recycled",
  options: [
    { flags: "--variant <name>", about: `${VARIANTS.join(", ")}; without it all three are compared` },
    {
      flags: "--interval <sec>",
      about: `Between steps; 0 for as fast as it goes (${ALONE.interval}, compared ${COMPARED.interval})`,
    },
    {
      flags: "--steps <n>",
      about: `Steps to take; 0 until Ctrl-C (${ALONE.steps}, compared ${COMPARED.steps})`,
    },
    { flags: "--seed <n>", about: `Sizes and choices are drawn from it (${STANDARD.seed})` },
    { flags: "--csv <file>", about: "Write the rows to a file" },
    { flags: "--plain", about: "Rows instead of a chart" },
  ],
  async run(given, screen) {
    const variant = choiceOption(given, "variant", VARIANTS);
    const defaults = variant ? ALONE : COMPARED;
    const interval = numberOption(given, "interval", defaults.interval, 0);
    const steps = numberOption(given, "steps", defaults.steps, 0, true) || Number.POSITIVE_INFINITY;
    const seed = numberOption(given, "seed", STANDARD.seed, 0, true);
    const file = fileOption(given, "csv");
    const csv = file === undefined ? null : openSync(file, "w");
    try {
      if (csv !== null) writeSync(csv, `${COLUMNS.join(",")}${variant ? "" : ",variant"}\n`);
      const results: Result[] = [];
      for (const v of variant ? [variant] : VARIANTS) {
        const record = (line: string) => {
          if (csv !== null) writeSync(csv, `${line}${variant ? "" : `,${v}`}\n`);
        };
        const result = await runVariant(v, { steps, seed, interval }, screen, record);
        results.push(result);
        if (result.interrupted) break;
      }
      if (!variant) screen.note(comparison(results));
      if (file !== undefined) screen.note(`rows written to ${file}`);
    } finally {
      if (csv !== null) closeSync(csv);
    }
  },
};

interface Result {
  variant: Variant;
  last: Row;
  NumGC: number;
  interrupted: boolean;
}

/** Runs one variant on a runtime of its own, so that its figures cover no other variant. */
async function runVariant(
  variant: Variant,
  { steps, seed, interval }: { steps: number; seed: number; interval: number },
  screen: Screen,
  record: (line: string) => void,
): Promise<Result> {
  const rt = createRuntime();
  const stop = rt.makeChan<never>();
  const signal = interrupted(() => stop.close());
  const view = screen.live ? chartView(screen, variant, steps) : rowView(screen, variant);
  let last: Row = { HeapSys: 0, bytes: 0, HeapAlloc: 0, HeapIdle: 0, HeapReleased: 0, makes: 0 };
  try {
    await rt.main(function* main() {
      yield* recycling(rt, {
        ...STANDARD,
        variant,
        steps,
        seed,
        intervalMs: interval * 1000,
        stop,
        onRow(row, stats) {
          last = row;
          record(line(row));
          view(row, stats);
        },
      });
    });
    const stats = rt.readMemStats();
    screen.note(`${rt.summary()}${screen.live ? "\n" : ""}`);
    return { variant, last, NumGC: stats.NumGC, interrupted: signal.fired };
  } finally {
    signal.dispose();
    rt.close();
  }
}

const line = (row: Row) => COLUMNS.map((c) => row[c]).join(",");

type View = (row: Row, stats: MemStats) => void;

function rowView(screen: Screen, variant: Variant): View {
  screen.note(`buffers --variant ${variant}`);
  screen.row(COLUMNS.join(","));
  return (row) => screen.row(line(row));
}

const COLOURS: Record<(typeof COLUMNS)[number], (text: string) => string> = {
  HeapSys: pc.blue,
  bytes: pc.green,
  HeapAlloc: pc.yellow,
  HeapIdle: pc.cyan,
  HeapReleased: pc.magenta,
  makes: pc.white,
};
/** The curves of the chart. The last one is drawn on top. */
const DRAWN = ["HeapReleased", "HeapIdle", "HeapSys", "HeapAlloc", "bytes"] as const;

function chartView(screen: Screen, variant: Variant, steps: number): View {
  const chart = new LiveChart(screen.out);
  const rows: Row[] = [];
  return (row, stats) => {
    rows.push(row);
    const series: Series[] = DRAWN.map((name) => ({
      name,
      values: rows.map((r) => r[name]),
      paint: COLOURS[name],
    }));
    const of = Number.isFinite(steps) ? `/${steps}` : "";
    const progress = `step ${rows.length}${of}, ${row.makes} made, ${stats.NumGC} collections`;
    chart.draw([
      `${pc.bold(`buffers --variant ${variant}`)}  ${progress}`,
      ...drawChart(series, { ...chart.size, points: Number.isFinite(steps) ? steps : 60 }),
    ]);
  };
}

function comparison(results: readonly Result[]): string {
  const head = ["variant", "made", "live MB", "HeapSys MB", "HeapSys/live", "collections"];
  const table = [
    head,
    ...results.map(({ variant, last, NumGC }) => [
      variant,
      String(last.makes),
      mega(last.bytes),
      mega(last.HeapSys),
      last.bytes > 0 ? (last.HeapSys / last.bytes).toFixed(2) : "-",
      String(NumGC),
    ]),
  ];
  const widths = head.map((_, c) => Math.max(...table.map((row) => row[c].length)));
  return table
    .map((row) =>
      row.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c]))).join("  "),
    )
    .join("\n");
}
