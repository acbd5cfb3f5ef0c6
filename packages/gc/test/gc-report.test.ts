/** Which figures of a cycle stand where in its trace lines: on a collector of figures. */
import { beforeEach, describe, expect, it } from "vitest";
import type { Cycle, GCController } from "../src/gc-controller.ts";
import { type CycleEnd, CycleReports } from "../src/gc-report.ts";
import type { GCRecord } from "../src/gc-stats.ts";
import { type Godebug, parseGodebug } from "../src/godebug.ts";
import type { GCHeap } from "../src/heap.ts";
import type { Roots } from "../src/mark-roots.ts";
import type { Marker } from "../src/mgcmark.ts";
import { MiB } from "./kit.ts";

const START = 5e9;
const MS = 1e6;

let heap: { heapLive: number; heapMarked: number; pagesSwept: number };
let lines: string[];

beforeEach(() => {
  heap = { heapLive: 31 * MiB, heapMarked: 30 * MiB, pagesSwept: 77 };
  lines = [];
});

const scans = (sparse: number, spanSparse: number) => ({
  sparse,
  spanSparse,
  spanDense: 0,
  spansSparse: 1,
  spansDense: 0,
});

function reports(godebug: Partial<Godebug> = {}): CycleReports {
  const marker = {
    heapScanWork: 1111,
    scanStats: () => scans(7, 8),
    classStats: () => [[0, scans(1, 0)] as const, [3, scans(6, 8)] as const],
  };
  return new CycleReports(
    { ...parseGodebug(), ...godebug },
    (text) => lines.push(text),
    {
      heap: heap as GCHeap,
      marker: marker as unknown as Marker,
      roots: { stackScan: 2.5 * MiB, globalsScan: 33, globalsBytes: 9 * MiB } as Roots,
      record: { gcCPUFraction: 0.125 } as GCRecord,
    },
    START,
  );
}

/** One of two processors, begun 2 s after the start; it stopped for 3 ms, and marked from 4 ms to 54 ms. */
const cycle: Cycle = {
  forced: false,
  stw: false,
  procs: 2,
  start: START + 2e9,
  markStart: START + 2e9 + 4 * MS,
  sweepTermNs: 3 * MS,
  pauseNs: 1,
  assistNs: 15 * MS,
  backgroundNs: 26 * MS,
  idleNs: 37 * MS,
  heapStart: 40 * MiB,
  goal: 50 * MiB,
  expectedWork: 12 * MiB,
};
const end: CycleEnd = {
  n: 6,
  stop: cycle.markStart + 50 * MS,
  end: cycle.markStart + 58 * MS,
  heapEnd: 44 * MiB,
  consMark: 0.75,
};

describe("the reports of a cycle", () => {
  it("are none without a switch", () => {
    const r = reports();
    r.forced();
    r.fallback(new Error("no"), false);
    r.start(cycle, {} as GCController);
    r.end(cycle, end);
    r.sweepDone(1, 31 * MiB);
    expect(lines).toEqual([]);
  });

  it("under gctrace=1 have clocks, processor time of all Ps, sizes and roots", () => {
    const r = reports({ gctrace: 1 });
    r.start(cycle, {} as GCController);
    r.end(cycle, end);
    r.end({ ...cycle, forced: true, procs: 1 }, { ...end, n: 7 });
    r.sweepDone(1, 31 * MiB);
    const line = (n: number, cpu: string, tail: string) =>
      `gc ${n} @2.000s 12%: 3.0+50+8.0 ms clock, ${cpu} ms cpu, ` +
      `40->44->30 MB, 50 MB goal, 2 MB stacks, 9 MB globals, ${tail}\n`;
    expect(lines).toEqual([line(6, "6.0+15/26/37+16", "2 P"), line(7, "3.0+15/26/37+8.0", "1 P (forced)")]);
  });

  it("under gctrace=2 have the objects scanned, in all and of each class", () => {
    reports({ gctrace: 2 }).end(cycle, end);
    expect(lines).toHaveLength(4);
    expect(lines.slice(1)).toEqual([
      "scan: total 7+8+0=15 objs, 1+0=1 spans\n",
      "scan: class L 1+0+0=1 objs, 1+0=1 spans\n",
      "scan: class 24B 6+8+0=14 objs, 1+0=1 spans\n",
    ]);
  });

  it("under gcpacertrace=1 have the pacer's expectation, the result, and the sweep", () => {
    const r = reports({ gcpacertrace: 1 });
    const asked: unknown[] = [];
    const assistRatio = (...args: unknown[]) => {
      asked.push(args);
      return 1.5;
    };
    r.start(cycle, { assistRatio } as unknown as GCController);
    expect(asked).toEqual([[cycle, 1111]]);
    r.end(cycle, end);
    heap.heapLive = 36 * MiB;
    r.sweepDone(0.25, 31 * MiB);
    // Marking had 41 ms of 100.
    expect(lines).toEqual([
      "pacer: assist ratio=1.5 (scan 12 MB in 31->50 MB) workers=0+0.25\n",
      `pacer: 41% CPU (25 exp.) for 1111+${2.5 * MiB}+33 B work (${12 * MiB} B exp.) ` +
        `in ${40 * MiB} B -> ${44 * MiB} B (∆goal ${-6 * MiB}, cons/mark 0.75)\n`,
      "pacer: sweep done at heap size 36MB; allocated 5MB during sweep; swept 77 pages at 0.25 pages/byte\n",
    ]);
  });

  it("under gcpacertrace=1 leave out a cycle without growth, and count no shrinking as allocation", () => {
    const r = reports({ gcpacertrace: 1 });
    r.end(cycle, { ...end, heapEnd: cycle.heapStart });
    expect(lines).toEqual([]);
    heap.heapLive = 30 * MiB;
    r.sweepDone(0, 31 * MiB);
    expect(lines).toEqual([
      "pacer: sweep done at heap size 30MB; allocated 0MB during sweep; swept 77 pages at 0 pages/byte\n",
    ]);
  });

  it("say under gctrace that the two-minute rule has asked for the cycle", () => {
    reports({ gctrace: 1 }).forced();
    expect(lines).toEqual(["GC forced\n"]);
  });

  it.each([
    ["by gctrace", { gctrace: 1 }, false],
    ["because the program asked for the kernel", {}, true],
  ])("tell of a host without a marking kernel %s", (_, godebug, asked) => {
    reports(godebug).fallback(new TypeError("refused"), asked);
    expect(lines).toEqual([
      "gc: no marking kernel in WebAssembly, marking goes on in JavaScript (TypeError: refused)\n",
    ]);
  });
});
