/**
 * Stops of the world, timed: what the histograms of runtime/metrics are made of. Everyone who stops this runtime's world
 * does it here. On one thread the world stands still whenever somebody asks, so `stopping` is what asking costs.
 *
 *     stopTheWorld called      world stopped            startTheWorld
 *     |<------- stopping ------>|                            |
 *     |<--------------------- total ----------------------->|
 */
import { TimeHistogram } from "@gort/memstats/metrics";

/** What can be stopped. */
export interface Stoppable {
  stopTheWorld(reason: string): void;
  startTheWorld(): void;
}

export class WorldStops {
  readonly stoppingGC = new TimeHistogram();
  readonly stoppingOther = new TimeHistogram();
  readonly pausesGC = new TimeHistogram();
  readonly pausesOther = new TimeHistogram();
  /** Nanoseconds that the collector has kept the world stopped. */
  gcStoppedNs = 0;
  /** Stops of the collector so far. Its figures of cycles change in a stop only. */
  gcStops = 0;
  /** Called after each stop of the collector, the world running. */
  onGC: () => void = () => {};
  readonly #world: Stoppable;
  readonly #nanotime: () => number;
  #stopped = false;
  #gc = false;
  #asked = 0;

  /** @param nanotime monotonic nanoseconds */
  constructor(world: Stoppable, nanotime: () => number) {
    this.#world = world;
    this.#nanotime = nanotime;
  }

  /** Whether the world is stopped. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Whether it is stopped by the collector, whose figures may be between two values. */
  get inGC(): boolean {
    return this.#stopped && this.#gc;
  }

  stopTheWorld(reason: string): void {
    const asked = this.#nanotime();
    this.#world.stopTheWorld(reason);
    this.#stopped = true;
    this.#gc = reason.startsWith("GC");
    this.#asked = asked;
    (this.#gc ? this.stoppingGC : this.stoppingOther).record(this.#nanotime() - asked);
  }

  startTheWorld(): void {
    this.#stopped = false;
    this.#world.startTheWorld();
    const ns = this.#nanotime() - this.#asked;
    if (!this.#gc) {
      this.pausesOther.record(ns);
      return;
    }
    this.pausesGC.record(ns);
    this.gcStoppedNs += ns;
    this.gcStops++;
    this.onGC();
  }
}
