/**
 * A mutual-exclusion lock that is one word of linear memory:
 *
 *     bit 0        1: somebody sleeps
 *     bits 1..31   the number of the thread that holds it (threads.ts); the whole word is 0 when the lock is free
 *
 * (Drepper, "Futexes are tricky", mutex 3, with an owner.) It spins first, as the sections it guards are short, then
 * sleeps in Atomics.wait where the thread may (a browser's main thread may not, and keeps spinning). Every few
 * milliseconds it looks whether the holder still lives. A holder that is dead, or is the waiting thread itself, is a
 * FatalError at once: what the lock guards may be half changed, and nothing can repair that. Where nobody can tell that
 * the holder is gone (no /proc, and no threadExited yet) lock gives up after lockTimeoutMs.
 *
 * Not reentrant. There is no queue: fairness is the operating system's. The order in which locks may be taken is
 * lockrank.ts's.
 */
import { lockError } from "./errors.ts";
import { type LockMemory, lockName } from "./lockrank.ts";
import { threadGone } from "./threads.ts";

/** Tries before sleeping. One try is about 20 ns: 200 cover a section of 4 us, and less than a wake-up. */
const SPINS = 200;

/** Default of mem.lockTimeoutMs: longer than any section by six orders of magnitude. */
export const LOCK_TIMEOUT_MS = 10_000;

/** The longest sleep between two looks at the holder, and so the longest a dead holder goes unnoticed. */
const MAX_SLEEP_MS = 32;

let maySleep = true;

/** Takes the lock at addr (a multiple of 4). Throws a FatalError if it can't ever be had. */
export function lock(mem: LockMemory, addr: number): void {
  const { lockWord } = mem.member;
  if (lockWord === 0) lockBorrowing(mem, addr);
  else if (mem.lockOps.acquire(addr, 0, lockWord) !== 0) lockSlow(mem, addr, lockWord);
}

/** For a thread that has given its number back: the lock's holder must have one. */
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
      // Others may sleep: the word says so until an unlock has woken them all, one by one.
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
    if (maySleep) {
      try {
        Atomics.wait(mem.i32 as Int32Array<SharedArrayBuffer>, addr >>> 2, word | 1, sleepMs);
      } catch {
        maySleep = false;
      }
    }
  }
}

function checkHolder(mem: LockMemory, addr: number, holder: number, waitedMs: number): void {
  // A holder that unlocks and gives its number back at this moment has ended, and does not hold the lock. One that has
  // taken it again since is back.
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

/** Takes the lock if it is free. */
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

/** Frees the lock and wakes one sleeper. Throws a FatalError, and changes nothing, if this thread doesn't hold it. */
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

/** The word is not just this thread's number: somebody sleeps, or it is not this thread's lock. */
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

/** The lock as an object, for code that holds it in a field. The state is in the memory alone. */
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
  /** Number of the thread that holds it, 0 if it is free. */
  get holder(): number {
    return this.#mem.kernel.load(this.addr) >>> 1;
  }
}
