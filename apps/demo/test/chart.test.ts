import { describe, expect, it } from "vitest";
import { drawChart, LiveChart, type Series } from "../src/chart.ts";

const plain = (text: string) => text;
const series = (name: string, values: number[]): Series => ({ name, values, paint: plain });
const MB = 1e6;

describe("drawChart", () => {
  it("draws the lines of the plot, an axis and a legend with the last values, within the given width", () => {
    const lines = drawChart([series("live", [100 * MB, 150 * MB]), series("sys", [200 * MB, 335 * MB])], {
      width: 60,
      height: 8,
    });
    expect(lines).toHaveLength(10);
    expect(lines.at(-1)).toBe("● live 150  ● sys 335");
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(60);
    expect(lines[0]).toContain("400 MB ┤");
    expect(lines[4]).toContain("200 ┤");
  });

  it("puts the highest value at the top and zero at the bottom", () => {
    const lines = drawChart([series("high", [100 * MB, 100 * MB])], { width: 40, height: 4 });
    expect(lines[0]).toMatch(/[\u2801-\u28ff]/);
    expect(lines.slice(1, 4).join("")).not.toMatch(/[\u2801-\u28ff]/);
    const low = drawChart([series("low", [0, 0])], { width: 40, height: 4 });
    expect(low[3]).toMatch(/⣀|⢀|⡀/);
    expect(low.slice(0, 3).join("")).not.toMatch(/[\u2801-\u28ff]/);
  });

  it("draws a line without gaps through a jump", () => {
    const lines = drawChart([series("jump", [0, 100 * MB])], { width: 30, height: 6, points: 3 });
    for (const line of lines.slice(0, 6)) expect(line).toMatch(/[\u2801-\u28ff]/);
  });

  it("leaves the right side free for points to come", () => {
    const [line] = drawChart([series("x", [100 * MB, 100 * MB])], { width: 60, height: 4, points: 20 });
    expect(line.length).toBeLessThan(20);
  });

  it("draws a series without values", () => {
    expect(drawChart([series("x", [])], { width: 30, height: 4 }).at(-1)).toBe("● x -");
  });
});

describe("LiveChart", () => {
  it("overwrites its last frame, but not after keep()", () => {
    const writes: string[] = [];
    const chart = new LiveChart({ write: (text) => writes.push(text), columns: 200, rows: 12 });
    chart.draw(["a", "b", "c"]);
    chart.draw(["d"]);
    chart.keep();
    chart.draw(["e"]);
    expect(writes).toEqual(["a\nb\nc\n", "\x1b[3F\x1b[Jd\n", "e\n"]);
    expect(chart.size).toEqual({ width: 120, height: 4 });
  });
});
