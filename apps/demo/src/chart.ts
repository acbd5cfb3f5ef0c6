/**
 * A line chart for a terminal. Every character cell is a braille pattern, two dots wide and four high. It has the
 * colour of the last series that crosses it.
 */

export interface Series {
  name: string;
  /** Bytes, not negative. */
  values: readonly number[];
  paint(text: string): string;
}

export interface ChartSize {
  /** Characters, the axis included. */
  width: number;
  /** Lines of the plot, without the axis and the legend below it. */
  height: number;
  /** Number of values that fill the width; 0: the number of values of the longest series. */
  points?: number;
}

/** Characters of the axis: "1000 MB" and a space. */
const AXIS_WIDTH = 8;

/** First braille pattern of Unicode, without dots. */
const BRAILLE = 0x2800;
/** The bit of a braille pattern for the dot in column x (0, 1) and row y (0 at the top): DOTS[x][y]. */
const DOTS = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
];

/** The lines of the plot, the axis and the legend. Amounts are in MB of 10^6 bytes, like the sizes of the buffers. */
export function drawChart(series: readonly Series[], { width, height, points = 0 }: ChartSize): string[] {
  const columns = Math.max(1, width - AXIS_WIDTH - 1);
  const count = Math.max(points, 2, ...series.map((s) => s.values.length));
  const top = niceCeiling(Math.max(1e6, ...series.map((s) => Math.max(0, ...s.values))));
  const mask = new Uint8Array(columns * height);
  const owner = new Uint8Array(columns * height);
  const x = (i: number) => Math.round((i / (count - 1)) * (columns * 2 - 1));
  const y = (value: number) => Math.round((1 - value / top) * (height * 4 - 1));
  series.forEach(({ values }, s) => {
    const dot = (px: number, py: number) => {
      const cell = (py >> 2) * columns + (px >> 1);
      mask[cell] |= DOTS[px & 1][py & 3];
      owner[cell] = s;
    };
    values.forEach((value, i) => {
      // A step: up or down from the previous value, then level until the next one.
      const level = y(value);
      const before = i > 0 ? y(values[i - 1]) : level;
      for (let py = Math.min(before, level); py <= Math.max(before, level); py++) dot(x(i), py);
      for (let px = x(i) + 1; i + 1 < values.length && px < x(i + 1); px++) dot(px, level);
    });
  });
  const lines = Array.from({ length: height }, (_, row) => {
    const label = row === 0 ? `${mega(top)} MB` : row === height >> 1 ? mega(top / 2) : "";
    let line = `${label.padStart(AXIS_WIDTH - 1)} ${label ? "┤" : "│"}`;
    const cells = Array.from(mask.subarray(row * columns, (row + 1) * columns));
    const paints = owner.subarray(row * columns, (row + 1) * columns);
    for (let c = 0, end: number; c < columns; c = end) {
      // One change of colour for each run of cells keeps the frame small.
      for (end = c + 1; end < columns && paints[end] === paints[c] && !cells[end] === !cells[c]; ) end++;
      const run = cells.slice(c, end);
      line += cells[c]
        ? series[paints[c]].paint(String.fromCharCode(...run.map((m) => BRAILLE | m)))
        : " ".repeat(end - c);
    }
    return line.trimEnd();
  });
  lines.push(`${"0".padStart(AXIS_WIDTH - 1)} └${"─".repeat(columns)}`);
  lines.push(
    series
      .map((s) => s.paint(`● ${s.name} ${s.values.length ? mega(s.values[s.values.length - 1]) : "-"}`))
      .join("  "),
  );
  return lines;
}

/** Bytes, rounded to whole MB. */
export function mega(bytes: number): string {
  return String(Math.round(bytes / 1e6));
}

/** Rounds up to 1, 2, 3, 4, 5, 6 or 8 times a power of ten, so that half of the axis is a readable number, too. */
function niceCeiling(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 3, 4, 5, 6, 8].find((f) => f * power >= value) ?? 10) * power;
}

/** Redraws its lines in place, over its previous frame. */
export class LiveChart {
  readonly #out: { write(text: string): unknown; columns?: number; rows?: number };
  /** Lines of the frame that the next one replaces. */
  #lines = 0;

  constructor(out: { write(text: string): unknown; columns?: number; rows?: number }) {
    this.#out = out;
  }

  /** Characters and plot lines that fit on the terminal, so that the frame never scrolls. */
  get size(): { width: number; height: number } {
    const { columns = 80, rows = 24 } = this.#out;
    return { width: Math.min(columns - 1, 120), height: Math.max(4, Math.min(rows - 8, 20)) };
  }

  draw(lines: readonly string[]): void {
    // Move up to the frame's first line, and clear from there to the end.
    const back = this.#lines > 0 ? `\x1b[${this.#lines}F\x1b[J` : "";
    this.#out.write(`${back}${lines.join("\n")}\n`);
    this.#lines = lines.length;
  }

  /** The frame stays on the screen; the next one starts below it. */
  keep(): void {
    this.#lines = 0;
  }
}
