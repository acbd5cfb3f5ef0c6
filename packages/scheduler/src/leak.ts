/**
 * Finding leaked goroutines: those that wait for something nobody can reach any more.
 *
 * Whoever can wake a waiting goroutine holds it: a channel through its queue, a timer through the heap, a promise through its
 * callback. Where nobody else does, the engine's collector finds those that are leaked. There are two ways to that:
 *
 *   - LeakDetector, with `leakDetection`: the scheduler holds goroutines weakly from their start. The collector finds leaked ones
 *     whenever it runs, and a goroutine costs twenty times as much to start.
 *   - LeakSearch, when somebody asks: the scheduler holds those that wait weakly for one collection. Until then nothing is paid.
 */

import type { Frame } from "./frames.ts";
import type { GPool } from "./gpool.ts";
import { type G, Gwaiting, gHost, gMain, gSystem } from "./runtime2.ts";
import { siteText } from "./sites.ts";
import { creationSite } from "./traceback.ts";

/** A goroutine that could never have run again and was collected. */
export interface Leak {
  goid: number;
  /** Name of its function. */
  func: string;
  /** Where it was started, as `func file:line`. */
  site: string;
  /** The same, as a frame. */
  createdBy: Frame | null;
}

/**
 * The detectors by their registries, which live as long as this module: V8 before Node 26 never calls a registry of
 * the thread again after one that was due has been collected.
 */
const detectors = new Map<FinalizationRegistry<WeakRef<G>>, WeakRef<LeakDetector>>();

/** Holds goroutines weakly. */
export class LeakDetector {
  readonly refs = new Map<WeakRef<G>, Leak>();
  private readonly refOf = new WeakMap<G, WeakRef<G>>();
  private readonly registry: FinalizationRegistry<WeakRef<G>>;
  private readonly onLeak: (leak: Leak) => void;

  constructor(onLeak: (leak: Leak) => void) {
    this.onLeak = onLeak;
    const registry = new FinalizationRegistry<WeakRef<G>>((ref) =>
      detectors.get(registry)?.deref()?.found(ref),
    );
    detectors.set(registry, new WeakRef(this));
    this.registry = registry;
  }

  private found(ref: WeakRef<G>): void {
    const leak = this.refs.get(ref);
    if (leak === undefined) return;
    this.refs.delete(ref);
    this.onLeak(leak);
  }

  /** Finds those that are collected already, ahead of the engine's call. */
  sweep(): void {
    for (const ref of this.refs.keys()) if (ref.deref() === undefined) this.found(ref);
  }

  add(g: G, leak: Leak): void {
    const ref = new WeakRef(g);
    this.refs.set(ref, leak);
    this.refOf.set(g, ref);
    this.registry.register(g, ref, g);
  }

  remove(g: G): void {
    this.registry.unregister(g);
    this.refs.delete(this.refOf.get(g)!);
  }
}

/** Goroutines that wait with one of these flags are held by others: main by whoever waits for its end. */
const held = gSystem | gHost | gMain;

/** Finds leaked goroutines among those that wait now, with a collection between `begin` and `end`. */
export class LeakSearch {
  private readonly pool: GPool;
  private readonly onLeak: (leak: Leak) => void;
  /** Those that the pool holds weakly. */
  private readonly suspects: Leak[] = [];

  constructor(pool: GPool, onLeak: (leak: Leak) => void) {
    this.pool = pool;
    this.onLeak = onLeak;
  }

  begin(): void {
    for (const g of this.pool.list()) {
      // Also of one that is no suspect: the functions in its captured stack may reach the channels of others.
      const createdBy = creationSite(g);
      if (g.atomicstatus !== Gwaiting || (g.flags & held) !== 0 || !this.pool.loosen(g)) continue;
      this.suspects.push({ goid: g.goid, func: g.fn?.name ?? "", site: siteText(createdBy), createdBy });
    }
  }

  /** To be called in a later turn of the event loop, after a collection: the engine keeps what a turn has looked at. */
  end(): void {
    for (const leak of this.suspects.splice(0)) if (!this.pool.tighten(leak.goid)) this.onLeak(leak);
  }
}
