/**
 * A mutual-exclusion lock that is one word of linear memory: 0 free, 1 held, 2 held with sleepers
 * (Drepper, "Futexes are tricky", mutex 3). It spins first, as the sections it guards are short, then
 * sleeps in Atomics.wait where the thread may (a browser's main thread may not, and keeps spinning).
 * On an unshared memory there is nobody to wait for: a held lock is a bug there, and throws.
 *
 * A lock that stays held for LOCK_TIMEOUT_MS means that its holder is gone (a worker terminated inside a section) or that a
 * thread waits for itself: lock throws then rather than hang.
 *
 * Not reentrant. There is no owner and no queue: fairness is the operating system's.
 */
import type { LinearMemory } from "./linear-memory.ts";

/** Tries before sleeping. One try is about 20 ns: 200 cover a section of 4 us, and less than a wake-up. */
const SPINS = 200;

/** Longer than any section by six orders of magnitude, and short enough for a test to see. */
export const LOCK_TIMEOUT_MS = 10_000;

let maySleep = true;

/** Takes the lock at addr (a multiple of 4). */
export function lock(mem: LinearMemory, addr: number): void {
  if (mem.kernel.cas(addr, 0, 1) !== 0) lockSlow(mem, addr);
}

function lockSlow(mem: LinearMemory, addr: number): void {
  const { kernel } = mem;
  if (!mem.shared) throw new Error(`memory: lock at 0x${addr.toString(16)} is held by its own thread`);
  for (let i = 0; i < SPINS; i++) {
    if (kernel.load(addr) === 0 && kernel.cas(addr, 0, 1) === 0) return;
  }
  const deadline = performance.now() + LOCK_TIMEOUT_MS;
  while (kernel.xchg(addr, 2) !== 0) {
    if (performance.now() > deadline) {
      throw new Error(
        `memory: lock at 0x${addr.toString(16)} was not released for ${LOCK_TIMEOUT_MS} ms: its holder was terminated, or is this thread`,
      );
    }
    if (maySleep) {
      try {
        Atomics.wait(mem.i32 as Int32Array<SharedArrayBuffer>, addr >>> 2, 2, LOCK_TIMEOUT_MS);
      } catch {
        maySleep = false;
      }
    }
  }
}

/** Takes the lock if it is free. */
export function tryLock(mem: LinearMemory, addr: number): boolean {
  return mem.kernel.cas(addr, 0, 1) === 0;
}

/** Frees the lock and wakes one sleeper. Throws if it isn't held. */
export function unlock(mem: LinearMemory, addr: number): void {
  const old = mem.kernel.xchg(addr, 0);
  if (old === 1) return;
  if (old === 0) throw new Error(`memory: unlock of the free lock at 0x${addr.toString(16)}`);
  Atomics.notify(mem.i32, addr >>> 2, 1);
}

/** The lock as an object, for code that holds it in a field. The state is in the memory alone. */
export class Lock {
  readonly #mem: LinearMemory;
  readonly addr: number;
  constructor(mem: LinearMemory, addr: number) {
    this.#mem = mem;
    this.addr = addr;
  }
  lock(): void {
    lock(this.#mem, this.addr);
  }
  tryLock(): boolean {
    return tryLock(this.#mem, this.addr);
  }
  unlock(): void {
    unlock(this.#mem, this.addr);
  }
  get held(): boolean {
    return this.#mem.kernel.load(this.addr) !== 0;
  }
}
