/**
 * Pool: objects that may be used again.
 *
 * An object that is put back survives one collection and is dropped at the next: a collection turns the objects
 * of a pool into its victims, and drops the victims of the collection before. So a pool in steady use keeps its
 * objects and an idle one loses them. Pools age at two kinds of collection: those of V8, noticed through a
 * FinalizationRegistry, and those of a facade's heap, which calls poolCleanup as each begins.
 *
 * The order is Go's on one P: the first object put has a slot of its own, `private`; the others are the stack `shared`.
 * `get` takes private, then shared from the top; then the victims, private first, shared from the bottom.
 */

import { currentScheduler } from "../default.ts";
import type { Scheduler } from "../proc.ts";

/** The pools of one scheduler. */
interface Pools {
  /** Pools that hold objects, and pools that hold victims. An unreachable pool is dropped at the second cleanup. */
  all: Pool<unknown>[];
  old: Pool<unknown>[];
}

const poolsOf = new WeakMap<Scheduler, Pools>();
/** Schedulers with such pools, for the collections of V8. */
const withPools = new Set<Pools>();

/** The objects of a pool. `first` is the private slot. */
class Local<T> {
  first: T | undefined = undefined;
  readonly shared: T[] = [];
}

export class Pool<T> {
  /** Makes an object when the pool is empty. */
  readonly New: (() => T) | undefined;
  private local = new Local<T>();
  private victim: Local<T> | null = null;
  /** Victims of `shared` that are taken. */
  private victimsTaken = 0;
  private listed = false;

  constructor(New?: () => T) {
    if (New !== undefined && typeof New !== "function") {
      throw new TypeError(`scheduler: Pool: New must be a function (got ${String(New)})`);
    }
    this.New = New;
  }

  /** Takes any object of the pool, or a new one. */
  get(): T {
    const l = this.local;
    const x = l.first;
    if (x !== undefined) {
      l.first = undefined;
      return x;
    }
    if (l.shared.length > 0) return l.shared.pop()!;
    if (this.victim !== null) {
      const v = this.takeVictim(this.victim);
      if (v !== undefined) return v;
    }
    return this.New === undefined ? (undefined as T) : this.New();
  }

  /** Gives an object back; the caller must not use it any more. */
  put(x: T): void {
    if (x === null || x === undefined) return;
    const l = this.local;
    if (l.first === undefined) l.first = x;
    else l.shared.push(x);
    if (!this.listed) {
      this.listed = true;
      list(this);
    }
  }

  private takeVictim(v: Local<T>): T | undefined {
    const x = v.first;
    if (x !== undefined) {
      v.first = undefined;
      return x;
    }
    if (this.victimsTaken < v.shared.length) return v.shared[this.victimsTaken++];
    this.victim = null;
    return undefined;
  }

  /** For poolCleanup: the objects become the victims. */
  age(): void {
    this.victim = this.local;
    this.victimsTaken = 0;
    this.local = new Local();
    this.listed = false;
  }

  /** For poolCleanup. */
  dropVictims(): void {
    this.victim = null;
  }
}

function list(p: Pool<unknown>): void {
  const s = currentScheduler();
  let pools = poolsOf.get(s);
  if (pools === undefined) poolsOf.set(s, (pools = { all: [], old: [] }));
  pools.all.push(p);
  withPools.add(pools);
  watchCollections();
}

/** Ages the pools of `s`: to be called at the start of a collection. */
export function poolCleanup(s: Scheduler): void {
  const pools = poolsOf.get(s);
  if (pools !== undefined) cleanup(pools);
}

function cleanup(pools: Pools): void {
  for (const p of pools.old) p.dropVictims();
  for (const p of pools.all) p.age();
  pools.old = pools.all;
  pools.all = [];
  if (pools.old.length === 0) withPools.delete(pools);
}

let watching = false;
const registry =
  typeof FinalizationRegistry === "function"
    ? new FinalizationRegistry<void>(() => {
        watching = false;
        for (const pools of withPools) cleanup(pools);
        if (withPools.size > 0) watchCollections();
      })
    : null;

/** Has the pools age after the next collection of V8. */
function watchCollections(): void {
  if (watching || registry === null) return;
  watching = true;
  registry.register({}, undefined);
}
