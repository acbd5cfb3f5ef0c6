import { describe, expect, it } from "vitest";
import { buffersProgram } from "../src/programs/buffers.ts";
import { Screen } from "../src/screen.ts";

/** A terminal that keeps its text. It knows the escape sequence of the chart: cursor up, clear to the end. */
class FakeTerminal {
  readonly isTTY = true;
  readonly columns = 80;
  readonly rows = 24;
  lines: string[] = [];
  frames = 0;

  write(text: string): void {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the test is about escape sequences.
    const back = /^\x1b\[(\d+)F\x1b\[J/.exec(text);
    if (back) {
      this.lines.length -= Number(back[1]);
      this.frames++;
    }
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the test ignores colours.
    const plain = text.slice(back?.[0].length ?? 0).replace(/\x1b\[\d+m/g, "");
    this.lines.push(...plain.replace(/\n$/, "").split("\n"));
  }
}

describe("buffers on a terminal", () => {
  it("redraws one chart in place that fits the screen, and prints the summary below it", async () => {
    const terminal = new FakeTerminal();
    await buffersProgram.run({ variant: "channel", interval: 0, steps: 6 }, new Screen(terminal));
    expect(terminal.frames).toBe(5);
    const heads = terminal.lines.filter((l) => l.startsWith("buffers --variant channel"));
    expect(heads).toHaveLength(1);
    expect(heads[0]).toMatch(/step 6\/6, 6 made, \d+ collections$/);
    expect(terminal.lines.length).toBeLessThanOrEqual(terminal.rows);
    for (const line of terminal.lines.slice(0, -2)) expect(line.length).toBeLessThan(terminal.columns);
    expect(terminal.lines.at(-2)).toMatch(/^NumGC:\d+ Pause:/);
  });

  it("prints rows instead of a chart with --plain", async () => {
    const terminal = new FakeTerminal();
    await buffersProgram.run({ variant: "garbage", interval: 0, steps: 2 }, new Screen(terminal, true));
    expect(terminal.frames).toBe(0);
    expect(terminal.lines.filter((l) => /^\d+(,\d+){5}$/.test(l))).toHaveLength(2);
  });

  it("compares the variants if none is named", async () => {
    const terminal = new FakeTerminal();
    await buffersProgram.run({ interval: 0, steps: 2 }, new Screen(terminal));
    const table = terminal.lines.slice(-4);
    expect(table[0]).toMatch(/^variant +made +live MB +HeapSys MB +HeapSys\/live +collections$/);
    expect(table.slice(1).map((l) => l.split(" ", 1)[0])).toEqual(["garbage", "channel", "recycler"]);
  });
});
