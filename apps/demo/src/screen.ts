/**
 * The output of a program of the demo. A terminal gets prose and a live chart. A pipe or file gets rows of figures; all
 * other text stands on lines that begin with `# `, so that a reader of CSV can skip them.
 */
import type { WriteStream } from "node:tty";

export interface Output {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
  rows?: number;
}

export class Screen {
  /** Whether the output is a terminal, on which a chart can be redrawn in place. */
  readonly live: boolean;

  constructor(
    readonly out: Output | WriteStream,
    plain = false,
  ) {
    this.live = out.isTTY === true && !plain;
  }

  /** Writes a line of figures, or of the program's own output. */
  row(text: string): void {
    this.out.write(`${text}\n`);
  }

  /** Writes text about the figures. Off a terminal each of its lines begins with `#`. */
  note(text: string): void {
    const marked = this.live ? text : text.replace(/^/gm, "# ").replace(/^# $/gm, "#");
    this.out.write(`${marked}\n`);
  }
}
