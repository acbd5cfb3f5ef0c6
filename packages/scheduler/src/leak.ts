/**
 * Leaked goroutines: they wait for an object that is unreachable, so nothing can wake them.
 *
 * An object that can wake a waiting goroutine refers to it: a channel through its queue, a timer through the heap, a
 * promise through its callback. If the scheduler's references are weak, the engine's collector takes the leaked
 * goroutines and so finds them. There are two ways:
 *
 *   - LeakDetector, with `leakDetection`: the scheduler holds goroutines weakly from their start. The collector finds
 *     leaked ones whenever it runs, but a goroutine costs twenty times as much to start.
 *   - LeakSearch, on request (leak-search.ts): the scheduler holds the waiting goroutines weakly for one collection.
 *     Without a search it costs nothing.
 */

import type { G, Leak } from "./runtime2.ts";

/**
 * The detectors by their registries. The registries live as long as this module: if V8 before Node 26 collects a
 * registry with due callbacks, it never calls any registry of the thread again.
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

  /** Reports the goroutines that are collected already, before the engine calls their finalizers. */
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
