import { afterAll, describe, expect, it } from "vitest";
import { createProfiler } from "../src/index.ts";
import { type Program, program } from "./support/build.ts";

describe("the event loop's profile", () => {
  let app: Program | undefined;
  afterAll(() => app?.remove());

  it("charges a callback's time to the code that asked for it", () => {
    app = program({
      "main.ts": `
import { readFile } from "node:fs";
import { lookup, startEventLoopProfile, stopEventLoopProfile } from "@gort/profiling";
import { decodeMessage, functionTotals } from "@gort/profiling/pprof";
function burn(ms: number): number {
  const start = performance.now();
  while (performance.now() < start + ms);
  return performance.now() - start;
}
interface Job { ms: number; done: (ms: number) => void }
function schedule({ ms, done }: Job): void { setTimeout(() => done(burn(ms)), 1); }
function readThenBurn(done: (ms: number) => void): void { readFile("package.json", () => done(burn(30))); }
function scheduleLate(): void { setTimeout(() => burn(40), 1); }
const start = performance.now();
startEventLoopProfile({ rate: 1_000_000 });
const [schedule60, read30] = await Promise.all([
  new Promise<number>((done) => schedule({ ms: 60, done })),
  new Promise<number>((done) => readThenBurn(done)),
]);
await new Promise((r) => setTimeout(r, 1));
stopEventLoopProfile();
const elapsed = performance.now() - start;
scheduleLate();
await new Promise((r) => setTimeout(r, 60));
const profile = lookup("eventloop")!.toPprof();
console.log(JSON.stringify({ schedule60, read30, elapsed, totals: functionTotals(decodeMessage(profile.encode())) }));
`,
    });
    const { schedule60, read30, elapsed, totals } = app.json<{
      schedule60: number;
      read30: number;
      elapsed: number;
      totals: { name: string; flat: number }[];
    }>();
    const ms = (name: string) => (totals.find((t) => t.name === name)?.flat ?? 0) / 1e6;
    expect(ms("main.schedule")).toBeGreaterThanOrEqual(schedule60);
    expect(ms("main.readThenBurn")).toBeGreaterThanOrEqual(read30);
    // No time is counted twice, and none after the end.
    expect(totals.reduce((sum, t) => sum + t.flat, 0) / 1e6).toBeLessThanOrEqual(elapsed);
    expect(ms("main.scheduleLate")).toBe(0);
  });

  it("refuses a rate that is none, and stops without having started", () => {
    const p = createProfiler();
    expect(() => p.startEventLoopProfile({ rate: 0 })).toThrow(/event loop profile's rate/);
    p.stopEventLoopProfile();
    expect(p.lookup("eventloop")).toBeNull();
  });
});
