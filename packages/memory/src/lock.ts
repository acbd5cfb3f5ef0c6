/**
 * A mutual-exclusion lock that is one word of linear memory:
 *
 *     bit 0        1: a thread sleeps
 *     bits 1..31   the number of the thread that holds the lock (threads.ts)
 *     the whole word is 0 while the lock is free
 *
 * This is mutex 3 of Drepper, "Futexes are tricky", with an owner. `lock` spins first, because the critical sections
 * are short. Then it sleeps in Atomics.wait where the thread may sleep; a browser's main thread may not, and keeps
 * spinning.
 *
 * Every few milliseconds a waiting thread checks whether the holder still lives. A dead holder, or a holder that is the
 * waiting thread itself, is a FatalError at once: the state under the lock may be half changed, and nothing can repair
 * it. If nothing tells that the holder has ended (no /proc, and no threadExited yet), `lock` gives up after
 * lockTimeoutMs.
 *
 * The lock is not reentrant. It has no queue: fairness is that of the operating system. lockrank.ts has the order of
 * locks.
 */
import { lockError } from "./errors.ts";
import { type LockMemory, lockName } from "./lockrank.ts";
import { threadGone } from "./threads.ts";

/** Tries before sleeping. One try takes about 20 ns, so 200 cover a section of 4 us and cost less than a wake-up. */
const SPINS = 200;

/** Default of mem.lockTimeoutMs: six orders of magnitude longer than any critical section. */
export const LOCK_TIMEOUT_MS = 10_000;

/** The longest sleep between two checks of the holder. A dead holder is noticed within this time. */
const MAX_SLEEP_MS = 32;

/**
 * How long a thread only spins after the host has refused it Atomics.wait. A browser refuses it to its main thread for
 * ever, and a refusal costs some microseconds. Other hosts may grant it later.
 */
const REFUSAL_MS = 1000;

/** performance.now() until which this thread does not ask again. */
let refusedUntil = 0;

/** Takes the lock at addr (a multiple of 4). Throws a FatalError if the lock will never be free. */
export function lock(mem: LockMemory, addr: number): void {
  const { lockWord } = mem.member;
  if (lockWord === 0) lockBorrowing(mem, addr);
  else if (mem.lockOps.acquire(addr, 0, lockWord) !== 0) lockSlow(mem, addr, lockWord);
}

/** `lock` for a thread without a number: the holder of a lock needs one. */
function lockBorrowing(mem: LockMemory, addr: number): void {
  const { member } = mem;
  const lockWord = member.borrow();
  try {
    if (mem.lockOps.acquire(addr, 0, lockWord) !== 0) lockSlow(mem, addr, lockWord);
  } catch (err) {
    member.returnBorrowed();
    throw err;
  }
}

/** The lock is taken: spins, then sleeps, until it is free. */
function lockSlow(mem: LockMemory, addr: number, lockWord: number): void {
  const { kernel } = mem;
  if (kernel.load(addr) >>> 1 === mem.member.thread) {
    throw lockError(`memory: ${lockName(mem, addr)} is held by its own thread`);
  }
  for (let i = 0; i < SPINS; i++) {
    if (kernel.load(addr) === 0 && kernel.cas(addr, 0, lockWord) === 0) {
      mem.lockOps.acquired(addr);
      return;
    }
  }
  const start = performance.now();
  let nextLook = start + 1;
  let sleepMs = 1;
  while (true) {
    const word = kernel.load(addr);
    if (word === 0) {
      // Other threads may sleep. The word keeps the bit until an unlock has woken them all, one by one.
      if (kernel.cas(addr, 0, lockWord | 1) !== 0) continue;
      mem.lockOps.acquired(addr);
      return;
    }
    if ((word & 1) === 0 && kernel.cas(addr, word, word | 1) !== word) continue;
    const now = performance.now();
    if (now >= nextLook) {
      checkHolder(mem, addr, word >>> 1, now - start);
      sleepMs = Math.min(2 * sleepMs, MAX_SLEEP_MS);
      nextLook = now + sleepMs;
    }
    // An unshared memory has no other thread that could wake this one, and Atomics.wait refuses it.
    if (mem.shared && now >= refusedUntil) {
      try {
        Atomics.wait(mem.i32 as Int32Array<SharedArrayBuffer>, addr >>> 2, word | 1, sleepMs);
      } catch {
        refusedUntil = now + REFUSAL_MS;
      }
    }
  }
}

/** Throws a FatalError if the holder has ended, or the wait has lasted too long. */
function checkHolder(mem: LockMemory, addr: number, holder: number, waitedMs: number): void {
  // The holder may unlock and give its number back at this moment: then it is gone, but does not hold the lock. Or it
  // may have come back and taken the lock again: then the second check finds it alive.
  const gone = threadGone(mem, holder) && mem.kernel.load(addr) >>> 1 === holder && threadGone(mem, holder);
  if (gone) {
    throw lockError(`memory: ${lockName(mem, addr)} is held by thread ${holder}, which has ended`);
  }
  if (waitedMs > mem.lockTimeoutMs) {
    throw lockError(
      `memory: ${lockName(mem, addr)} was not released by thread ${holder} for ${mem.lockTimeoutMs} ms: ` +
        "that thread was terminated, or waits for this one",
    );
  }
}

/** Takes the lock if it is free. It does not wait, so the order of locks does not bind it. */
export function tryLock(mem: LockMemory, addr: number): boolean {
  const { member } = mem;
  const borrows = member.lockWord === 0;
  const lockWord = borrows ? member.borrow() : member.lockWord;
  if (mem.kernel.cas(addr, 0, lockWord) !== 0) {
    if (borrows) member.returnBorrowed();
    return false;
  }
  mem.lockOps.acquired(addr);
  return true;
}

/** Frees the lock and wakes one sleeper. If this thread does not hold it, throws a FatalError and changes nothing. */
export function unlock(mem: LockMemory, addr: number): void {
  const { lockWord } = mem.member;
  if (lockWord === 0) {
    unlockBorrowed(mem, addr);
    return;
  }
  const old = mem.lockOps.release(addr, lockWord, 0);
  if (old !== lockWord) unlockSlow(mem, addr, old);
}

function unlockBorrowed(mem: LockMemory, addr: number): void {
  const { member } = mem;
  const lockWord = member.thread << 1;
  const old = mem.lockOps.release(addr, lockWord, 0);
  if (old === 0 || old !== lockWord) unlockSlow(mem, addr, old);
  member.returnBorrowed();
}

/** The word is not just this thread's number: another thread sleeps, or this thread does not hold the lock. */
function unlockSlow(mem: LockMemory, addr: number, old: number): void {
  if (old === 0) throw lockError(`memory: unlock of the free ${lockName(mem, addr)}`);
  if (old >>> 1 !== mem.member.thread) {
    throw lockError(
      `memory: unlock of ${lockName(mem, addr)} by thread ${mem.member.thread}, but thread ${old >>> 1} holds it`,
    );
  }
  mem.kernel.store(addr, 0);
  Atomics.notify(mem.i32, addr >>> 2, 1);
}

/** The lock as an object, for code that keeps it in a field. All its state is in the memory. */
export class Lock {
  readonly #mem: LockMemory;
  readonly addr: number;
  constructor(mem: LockMemory, addr: number) {
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
  /** Number of the thread that holds the lock; 0 if it is free. */
  get holder(): number {
    return this.#mem.kernel.load(this.addr) >>> 1;
  }
}
