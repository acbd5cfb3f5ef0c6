/**
 * Stops of the world, timed for the histograms of runtime/metrics. All code that stops this runtime's world does it
 * here. On one thread the world stands still at once, so `stopping` is the cost of the call.
 *
 *     stopTheWorld called      world stopped            startTheWorld
 *     |<------- stopping ------>|                            |
 *     |<--------------------- total ----------------------->|
 */
import type { GCRecord } from "@gort/gc/internal";
import { TimeHistogram } from "@gort/memstats/internal";

/** A world that can be stopped. */
export interface Stoppable {
  stopTheWorld(reason: string): void;
  startTheWorld(): void;
}

/** The four histograms, in the collector's block of the linear memory. */
export interface StopHistograms {
  readonly stoppingGC: TimeHistogram;
  readonly stoppingOther: TimeHistogram;
  readonly pausesGC: TimeHistogram;
  readonly pausesOther: TimeHistogram;
}

export function stopHistograms(record: GCRecord): StopHistograms {
  return {
    stoppingGC: new TimeHistogram(record.histogram("stoppingGC")),
    stoppingOther: new TimeHistogram(record.histogram("stoppingOther")),
    pausesGC: new TimeHistogram(record.histogram("pausesGC")),
    pausesOther: new TimeHistogram(record.histogram("pausesOther")),
  };
}

export class WorldStops {
  /** Called after each stop by the collector, when the world runs again. */
  onGC: () => void = () => {};
  readonly #world: Stoppable;
  readonly #nanotime: () => number;
  readonly histograms: StopHistograms;
  #stopped = false;
  #gc = false;
  #asked = 0;

  /** @param nanotime monotonic nanoseconds */
  constructor(world: Stoppable, nanotime: () => number, record: GCRecord) {
    this.#world = world;
    this.#nanotime = nanotime;
    this.histograms = stopHistograms(record);
  }

  /** Whether the world is stopped. */
  get stopped(): boolean {
    return this.#stopped;
  }

  stopTheWorld(reason: string): void {
    const asked = this.#nanotime();
    this.#world.stopTheWorld(reason);
    this.#stopped = true;
    this.#gc = reason.startsWith("GC");
    this.#asked = asked;
    const h = this.histograms;
    (this.#gc ? h.stoppingGC : h.stoppingOther).record(this.#nanotime() - asked);
  }

  startTheWorld(): void {
    const gc = this.#gc;
    const ns = this.#nanotime() - this.#asked;
    const h = this.histograms;
    // While the world is stopped: another thread may stop it at once, and record in the same histogram.
    (gc ? h.pausesGC : h.pausesOther).record(ns);
    this.#stopped = false;
    this.#world.startTheWorld();
    if (gc) this.onGC();
  }
}
