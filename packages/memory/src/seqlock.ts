/**
 * A version word (seqlock) for figures that one thread changes and any thread reads. Readers never delay the writer.
 *
 *     writer   beginChange  (odd)   stores   endChange (even)
 *     reader   v = stableVersion    loads    unchanged(v)? done : again
 *
 * One writer at a time. Between begin and end the writer takes no lock and throws nothing. If a reader finds the writer
 * preempted in between, it sleeps after a while. If the writer died there, the reader gives up after a second and reads
 * the figures as they are.
 */
import type { LinearMemory } from "./linear-memory.ts";

/** Loads of the word before a reader sleeps: some microseconds, much longer than a change takes. */
const SPINS = 1000;
/** The longest wait for a writer: longer than a busy machine keeps a thread from running. */
const GIVE_UP_MS = 1000;

/** Begins a change of the figures whose version is at addr, a multiple of 4. */
export function beginChange(mem: LinearMemory, addr: number): void {
  const { kernel } = mem;
  kernel.add(addr, 1);
  // On ARM without single atomic instructions, plain stores may become visible before the store of an addition that
  // stands before them. But an atomic load waits for that store, and plain stores wait for the load.
  kernel.load(addr);
}

/** Ends the change. */
export function endChange(mem: LinearMemory, addr: number): void {
  mem.kernel.add(addr, 1);
}

/** Waits until no writer is changing the figures. Returns their version. */
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
      // This thread may not sleep: the memory is unshared and has no other threads, or it is a browser's main thread.
    }
  }
}

/** Whether the figures read since stableVersion returned v are of one moment. */
export function unchanged(mem: LinearMemory, addr: number, v: number): boolean {
  // A read-modify-write instead of a load: the reads before it must not move behind it.
  return mem.kernel.or(addr, 0) === v;
}
