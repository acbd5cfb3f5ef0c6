/**
 * Pool: objects for reuse.
 *
 * An object that is put back survives one collection and is dropped at the next. A collection turns the objects of a
 * pool into its victims, and drops the victims of the previous collection. So a pool in steady use keeps its objects,
 * and an idle pool loses them. Pools age at two kinds of collection: V8's, which a FinalizationRegistry notices, and
 * those of a facade's heap, which calls poolCleanup at the start of each.
 *
 * The order is Go's on one P. The first object put goes to a slot of its own, Go's `private`; the others go to the
 * stack `shared`. `get` takes from these places in turn: private, the top of shared, the private victim, and the bottom
 * of the shared victims.
 */

import { currentScheduler } from "../default.ts";
import type { Schedt } from "../runtime2.ts";

/** The pools of one scheduler. */
interface Pools {
  /** Pools that hold objects. */
  all: Pool<unknown>[];
  /** Pools that hold victims. A pool that the program has dropped leaves the lists at the second cleanup. */
  old: Pool<unknown>[];
}

const poolsOf = new WeakMap<Schedt, Pools>();
/** The pools of every scheduler that has some, for V8's collections. */
const withPools = new Set<Pools>();

/** The objects of a pool. `first` is Go's private slot. */
class Local<T> {
  first: T | undefined = undefined;
  readonly shared: T[] = [];
}

export class Pool<T> {
  /** Makes an object when the pool is empty. */
  readonly New: (() => T) | undefined;
  private local = new Local<T>();
  private victim: Local<T> | null = null;
  /** How many victims of `shared` have been taken. */
  private victimsTaken = 0;
  /** Whether the pool is in the list of its scheduler. */
  private listed = false;

  constructor(New?: () => T) {
    if (New !== undefined && typeof New !== "function") {
      throw new TypeError(`scheduler: Pool: New must be a function (got ${String(New)})`);
    }
    this.New = New;
  }

  /** Takes an object out of the pool, or makes one with `New`. Gives undefined if there is neither. */
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

  /** Gives an object back. The caller must not use it afterwards. */
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

/** Ages the pools of `s`. Call at the start of a collection. */
export function poolCleanup(s: Schedt): void {
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

/** Ages all pools after V8's next collection. */
function watchCollections(): void {
  if (watching || registry === null) return;
  watching = true;
  registry.register({}, undefined);
}
