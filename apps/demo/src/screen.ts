/**
 * Where a program of the demo writes: a terminal gets prose and a live chart, a pipe or file gets rows of figures,
 * with everything else on lines that begin with `# `, so that a reader of CSV can pass over them.
 */
import type { WriteStream } from "node:tty";

export interface Output {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
  rows?: number;
}

export class Screen {
  /** Whether a chart may be redrawn in place. */
  readonly live: boolean;

  constructor(
    readonly out: Output | WriteStream,
    plain = false,
  ) {
    this.live = out.isTTY === true && !plain;
  }

  /** A line of figures, or of a program's own output. */
  row(text: string): void {
    this.out.write(`${text}\n`);
  }

  /** Something said about the figures; each line of it. */
  note(text: string): void {
    const marked = this.live ? text : text.replace(/^/gm, "# ").replace(/^# $/gm, "#");
    this.out.write(`${marked}\n`);
  }
}
