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
function burn(ms: number): void { for (const end = performance.now() + ms; performance.now() < end; ); }
interface Job { ms: number }
function schedule({ ms }: Job): void { setTimeout(() => burn(ms), 1); }
function readThenBurn(): void { readFile("package.json", () => burn(30)); }
startEventLoopProfile({ rate: 1_000_000 });
schedule({ ms: 60 });
readThenBurn();
setTimeout(() => {}, 1);
await new Promise((r) => setTimeout(r, 200));
stopEventLoopProfile();
setTimeout(() => burn(40), 1);
await new Promise((r) => setTimeout(r, 60));
const profile = lookup("eventloop")!.toPprof();
console.log(JSON.stringify(functionTotals(decodeMessage(profile.encode()))));
`,
    });
    const totals = app.json<{ name: string; flat: number }[]>();
    const ms = (name: string) => (totals.find((t) => t.name === name)?.flat ?? 0) / 1e6;
    expect(ms("main.schedule")).toBeGreaterThanOrEqual(59);
    expect(ms("main.schedule")).toBeLessThan(110);
    expect(ms("main.readThenBurn")).toBeGreaterThanOrEqual(29);
    // What ran after the end isn't in it, short callbacks hardly.
    expect(ms("main.init")).toBeLessThan(20);
  });

  it("refuses a rate that is none, and stops without having started", () => {
    const p = createProfiler();
    expect(() => p.startEventLoopProfile({ rate: 0 })).toThrow(/event loop profile's rate/);
    p.stopEventLoopProfile();
    expect(p.lookup("eventloop")).toBeNull();
  });
});
