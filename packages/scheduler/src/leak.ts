/**
 * Finding leaked goroutines: those that wait for something nobody can reach any more.
 *
 * Whoever can wake a waiting goroutine holds it: a channel through its queue, a timer through the heap, a promise through its
 * callback. With detection on nobody else does; so the engine's collector finds those that are leaked.
 */

import type { Frame } from "./frames.ts";
import type { G } from "./runtime2.ts";

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

/** Holds goroutines weakly. */
export class LeakDetector {
  readonly refs = new Map<WeakRef<G>, Leak>();
  readonly leaks: Leak[] = [];
  private readonly refOf = new WeakMap<G, WeakRef<G>>();
  private readonly registry: FinalizationRegistry<WeakRef<G>>;
  private readonly onLeak: (leak: Leak) => void;

  constructor(onLeak: (leak: Leak) => void) {
    this.onLeak = onLeak;
    this.registry = new FinalizationRegistry((ref) => this.found(ref));
  }

  private found(ref: WeakRef<G>): void {
    const leak = this.refs.get(ref);
    if (leak === undefined) return;
    this.refs.delete(ref);
    this.leaks.push(leak);
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
