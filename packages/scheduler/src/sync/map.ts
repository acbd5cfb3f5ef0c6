/** SyncMap: Go's sync.Map. One thread uses it, so a Map with Go's set of atomic operations is enough. */

import { checkFunction } from "../functions.ts";

export interface MapResult<V> {
  value: V | undefined;
  /** Go's `ok` or `loaded`: whether the map had the key. */
  ok: boolean;
}

export class SyncMap<K, V> {
  private readonly m = new Map<K, V>();

  load(key: K): MapResult<V> {
    return { value: this.m.get(key), ok: this.m.has(key) };
  }
  store(key: K, value: V): void {
    this.m.set(key, value);
  }
  /** The value under `key`. If there is none, stores `value` and gives it. */
  loadOrStore(key: K, value: V): MapResult<V> {
    if (this.m.has(key)) return { value: this.m.get(key), ok: true };
    this.m.set(key, value);
    return { value, ok: false };
  }
  loadAndDelete(key: K): MapResult<V> {
    const r = this.load(key);
    this.m.delete(key);
    return r;
  }
  delete(key: K): void {
    this.m.delete(key);
  }
  /** Stores `value` and gives the previous value. */
  swap(key: K, value: V): MapResult<V> {
    const r = this.load(key);
    this.m.set(key, value);
    return r;
  }
  compareAndSwap(key: K, old: V, value: V): boolean {
    if (!this.m.has(key) || !Object.is(this.m.get(key), old)) return false;
    this.m.set(key, value);
    return true;
  }
  compareAndDelete(key: K, old: V): boolean {
    return this.m.has(key) && Object.is(this.m.get(key), old) && this.m.delete(key);
  }
  /** Calls `f` with every entry until it returns false. Goroutines may add and delete entries meanwhile. */
  range(f: (key: K, value: V) => boolean | void): void {
    checkFunction("SyncMap.range", f);
    for (const [k, v] of this.m) if (f(k, v) === false) return;
  }
  clear(): void {
    this.m.clear();
  }
}
