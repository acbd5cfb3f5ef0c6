/**
 * Pool: objects that may be used again.
 *
 * What is put back is kept through one collection and dropped at the next: at a collection the objects in use
 * become the victims of the pool, and the victims before them go. So a pool in steady use keeps its
 * objects and an idle one loses them. Without a heap of our own the collections are V8's, noticed through a
 * FinalizationRegistry; a facade calls poolCleanup at its own.
 */

/** Pools that hold something. A pool that nobody holds goes with its entry at the second cleanup. */
let pools: Pool<unknown>[] = [];
let oldPools: Pool<unknown>[] = [];

export class Pool<T> {
  /** Makes an object when the pool is empty. */
  readonly New: (() => T) | undefined;
  private local: T[] = [];
  private victim: T[] = [];
  private listed = false;

  constructor(New?: () => T) {
    this.New = New;
  }

  /** Takes any object of the pool, or a new one. */
  get(): T {
    if (this.local.length > 0) return this.local.pop()!;
    if (this.victim.length > 0) return this.victim.pop()!;
    return this.New === undefined ? (undefined as T) : this.New();
  }

  /** Gives an object back; nobody may use it any more. */
  put(x: T): void {
    if (x === null || x === undefined) return;
    this.local.push(x);
    if (!this.listed) {
      this.listed = true;
      pools.push(this as Pool<unknown>);
      watchCollections();
    }
  }

  /** For poolCleanup: drops the victims; what is in use becomes the victims. */
  age(): void {
    this.victim = this.local;
    this.local = [];
    this.listed = false;
  }

  dropVictims(): void {
    if (!this.listed) this.victim = [];
  }
}

/** To be called at the start of a collection. */
export function poolCleanup(): void {
  for (const p of oldPools) p.dropVictims();
  for (const p of pools) p.age();
  oldPools = pools;
  pools = [];
}

let watching = false;
const registry =
  typeof FinalizationRegistry === "function"
    ? new FinalizationRegistry<void>(() => {
        watching = false;
        poolCleanup();
        if (oldPools.length > 0 || pools.length > 0) watchCollections();
      })
    : null;

/** Has poolCleanup called after the next collection of V8. */
function watchCollections(): void {
  if (watching || registry === null) return;
  watching = true;
  registry.register({}, undefined);
}
