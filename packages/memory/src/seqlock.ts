/**
 * A version word for figures that one thread changes and any thread reads: readers never hold up the writer.
 *
 *     writer   beginChange  (odd)   stores   endChange (even)
 *     reader   v = stableVersion    loads    unchanged(v)? done : again
 *
 * One writer at a time. Between begin and end it takes no lock and throws nothing. A reader may find the writer
 * preempted in between, so it sleeps after a while; a writer that died there is given up after a second, and what it
 * left is read.
 */
import type { LinearMemory } from "./linear-memory.ts";

/** Looks at the word before a reader sleeps: some microseconds, much longer than a change takes. */
const SPINS = 1000;
/** Longer than a busy machine keeps a thread from running. */
const GIVE_UP_MS = 1000;

/** Begins a change of the figures whose version is at addr, a multiple of 4. */
export function beginChange(mem: LinearMemory, addr: number): void {
  mem.kernel.add(addr, 1);
}

export function endChange(mem: LinearMemory, addr: number): void {
  mem.kernel.add(addr, 1);
}

/** The version, once nobody is changing the figures. */
export function stableVersion(mem: LinearMemory, addr: number): number {
  const { kernel } = mem;
  for (let i = 0; i < SPINS; i++) {
    const v = kernel.load(addr);
    if ((v & 1) === 0) return v;
  }
  const deadline = performance.now() + GIVE_UP_MS;
  for (;;) {
    const v = kernel.load(addr);
    if ((v & 1) === 0 || performance.now() >= deadline) return v;
    try {
      Atomics.wait(mem.i32 as Int32Array<SharedArrayBuffer>, addr >>> 2, v, 1);
    } catch {
      // Nobody else can be at work on an unshared memory, and a browser's main thread may not sleep.
    }
  }
}

/** Whether what was read since stableVersion gave v is of one moment. */
export function unchanged(mem: LinearMemory, addr: number, v: number): boolean {
  // Not a load: the reads before it must not happen after it.
  return mem.kernel.or(addr, 0) === v;
}
