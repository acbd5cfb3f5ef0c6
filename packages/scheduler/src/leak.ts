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

import type { G, Leak } from "./runtime2.ts";

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
