/**
 * The roots: a word of the control block for each subsystem, the address of the state that an attaching thread must
 * find. layout.ts has the indices. A root is 0 until the state behind it is complete.
 *
 * Several threads may look for a subsystem that no thread has made yet. `makeRoot` lets one of them make it: the others
 * wait for the lock, and find the state.
 */
import { ROOTS_LOCK, rootAddr } from "./layout.ts";
import { lock, unlock } from "./lock.ts";
import type { LockMemory } from "./lockrank.ts";

export function rootOf(mem: LockMemory, index: number): number {
  return mem.kernel.load(rootAddr(index)) >>> 0;
}

/** Atomic: a thread that finds the address finds the state behind it complete. */
export function setRoot(mem: LockMemory, index: number, value: number): void {
  mem.kernel.store(rootAddr(index), value);
}

/** See LinearMemory.makeRoot. */
export function makeRoot(mem: LockMemory, index: number, make: () => number): number {
  const found = rootOf(mem, index);
  if (found !== 0) return found;
  lock(mem, ROOTS_LOCK);
  try {
    const made = rootOf(mem, index);
    if (made !== 0) return made;
    const state = make();
    setRoot(mem, index, state);
    return state;
  } finally {
    unlock(mem, ROOTS_LOCK);
  }
}
