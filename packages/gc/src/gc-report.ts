/**
 * What a cycle prints under `gctrace` and `gcpacertrace`: it fills the lines of gc-trace.ts with the collector's
 * figures.
 */
import { type Cycle, type GCController, utilization } from "./gc-controller.ts";
import type { GCRecord } from "./gc-stats.ts";
import {
  formatGCTrace,
  formatPacerAssist,
  formatPacerCycle,
  formatPacerSweep,
  formatScanStats,
} from "./gc-trace.ts";
import type { Godebug } from "./godebug.ts";
import { classToSize, type GCHeap, OBJ_LARGE_CLASS } from "./heap.ts";
import type { Roots } from "./mark-roots.ts";
import type { Marker } from "./mgcmark.ts";
import { GC_BACKGROUND_UTILIZATION } from "./mgcpacer.ts";

/** The end of a mark phase. */
export interface CycleEnd {
  /** NumGC with this cycle. */
  n: number;
  /** nanotime when marking was found done, and when the world ran again. */
  stop: number;
  end: number;
  /** heapLive when marking ended, garbage included. */
  heapEnd: number;
  /** ConsMark that this cycle was paced with. */
  consMark: number;
}

export class CycleReports {
  readonly #godebug: Godebug;
  readonly #stderr: (text: string) => void;
  readonly #heap: GCHeap;
  readonly #marker: Marker;
  readonly #roots: Roots;
  readonly #record: GCRecord;
  readonly #startNs: number;

  constructor(
    godebug: Godebug,
    stderr: (text: string) => void,
    parts: { heap: GCHeap; marker: Marker; roots: Roots; record: GCRecord },
    startNs: number,
  ) {
    this.#godebug = godebug;
    this.#stderr = stderr;
    this.#heap = parts.heap;
    this.#marker = parts.marker;
    this.#roots = parts.roots;
    this.#record = parts.record;
    this.#startNs = startNs;
  }

  #print(line: string): void {
    this.#stderr(`${line}\n`);
  }

  /** The two-minute rule has asked for a collection. */
  forced(): void {
    if (this.#godebug.gctrace !== 0) this.#print("GC forced");
  }

  /**
   * The host refuses the marking kernel. Only speed is lost, so it is reported only if the program asked for the kernel
   * or for traces.
   */
  fallback(err: unknown, asked: boolean): void {
    if (this.#godebug.gctrace === 0 && !asked) return;
    this.#print(`gc: no marking kernel in WebAssembly, marking goes on in JavaScript (${String(err)})`);
  }

  /** Marking begins. */
  start(cycle: Cycle, controller: GCController): void {
    if (this.#godebug.gcpacertrace === 0) return;
    this.#print(
      formatPacerAssist({
        assistRatio: controller.assistRatio(cycle, this.#marker.heapScanWork),
        scanBytes: cycle.expectedWork,
        heapLive: this.#heap.heapLive,
        goal: cycle.goal,
        dedicated: 0,
        fractional: GC_BACKGROUND_UTILIZATION,
      }),
    );
  }

  /** Marking has ended, and the sweep has begun. */
  end(cycle: Cycle, e: CycleEnd): void {
    if (this.#godebug.gctrace !== 0) {
      this.#print(
        formatGCTrace({
          n: e.n,
          atNs: cycle.start - this.#startNs,
          cpuFraction: this.#record.gcCPUFraction,
          clockSweepTermNs: cycle.sweepTermNs,
          clockMarkNs: e.stop - cycle.markStart,
          clockMarkTermNs: e.end - e.stop,
          cpuSweepTermNs: cycle.sweepTermNs * cycle.procs,
          cpuAssistNs: cycle.assistNs,
          cpuBackgroundNs: cycle.backgroundNs,
          cpuIdleNs: cycle.idleNs,
          cpuMarkTermNs: (e.end - e.stop) * cycle.procs,
          heapStart: cycle.heapStart,
          heapEnd: e.heapEnd,
          heapLive: this.#heap.heapMarked,
          goal: cycle.goal,
          stackScan: this.#roots.stackScan,
          globalsScan: this.#roots.globalsBytes,
          procs: cycle.procs,
          forced: cycle.forced,
        }),
      );
      if (this.#godebug.gctrace > 1) this.#scanned();
    }
    if (this.#godebug.gcpacertrace !== 0 && e.heapEnd > cycle.heapStart) {
      this.#print(
        formatPacerCycle({
          cpuPercent: Math.trunc(utilization(cycle, e.stop - cycle.markStart) * 100),
          heapWork: this.#marker.heapScanWork,
          stackWork: this.#roots.stackScan,
          globalsWork: this.#roots.globalsScan,
          expectedWork: cycle.expectedWork,
          trigger: cycle.heapStart,
          heapLive: e.heapEnd,
          overGoal: e.heapEnd - cycle.goal,
          consMark: e.consMark,
        }),
      );
    }
  }

  /** gctrace=2: how objects were scanned, in all and by size class. */
  #scanned(): void {
    this.#print(formatScanStats("total", this.#marker.scanStats()));
    for (const [cls, stats] of this.#marker.classStats()) {
      this.#print(formatScanStats(cls === OBJ_LARGE_CLASS ? "class L" : `class ${classToSize[cls]}B`, stats));
    }
  }

  /** All is swept: pagesPerByte was the ratio in force, and startLive was heapLive when the sweep began. */
  sweepDone(pagesPerByte: number, startLive: number): void {
    if (this.#godebug.gcpacertrace === 0) return;
    const heap = this.#heap;
    this.#print(
      formatPacerSweep({
        heapLive: heap.heapLive,
        allocated: Math.max(0, heap.heapLive - startLive),
        pagesSwept: heap.pagesSwept,
        pagesPerByte,
      }),
    );
  }
}
