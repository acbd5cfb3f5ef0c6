/**
 * The order of locks, and the mode that checks it (option `staticLockRanking`; Go's GOEXPERIMENT of that name).
 *
 * A thread may take a lock only if every lock that it holds stands above that lock in the table. It never holds two
 * locks of one rank. So threads cannot wait for each other's locks in a cycle. The order is Go's, for the locks we
 * have:
 *
 *     rank            the lock, and the state that it guards
 *     sched           one per memory with several threads: the Ps, the global queue of tasks, the list of Ms
 *     roots           one per memory: the making of the state behind a root (roots.ts)
 *     mcentral        one per span class: its span lists. Go: spanSetSpine
 *     mspanSpecial    one per span: its list of specials
 *     mheap           one per heap: pages, span structs, stack spans, mcaches
 *     globalAlloc     the memory's cursors: sysReserve and persistentAlloc. Go: globalAlloc
 *     sysStats        the memory's counters: a thread takes no other lock under it
 *
 * tryLock may take any lock, since it does not wait. The locks that the thread takes under it must come after it.
 *
 * Without the option none of this runs: lock and unlock call the kernel directly. With the option each thread keeps a
 * list of the locks that it holds. It throws a FatalError, which names the locks, in four cases: a lock taken out of
 * order, a lock taken twice, a lock released without being held, and a lock held while the thread blocks.
 */
import { lockError } from "./errors.ts";
import type { Kernel } from "./kernel.ts";
import type { Member } from "./threads.ts";

/** In the order in which a thread takes them. */
export const lockRanks = [
  "sched",
  "roots",
  "mcentral",
  "mspanSpecial",
  "mheap",
  "globalAlloc",
  "sysStats",
] as const;
export type LockRank = (typeof lockRanks)[number];

/** The part of a LinearMemory that its locks use. */
export interface LockMemory {
  readonly kernel: Kernel;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly shared: boolean;
  readonly member: Member;
  readonly lockOps: LockOps;
  readonly lockTimeoutMs: number;
  lockRankOf(addr: number): LockRank | undefined;
}

/** The changes that lock and unlock make to the word. acquire and release are the kernel's cas unless checks are on. */
export interface LockOps {
  /** As kernel.cas. */
  acquire(addr: number, expected: number, value: number): number;
  /** As kernel.cas. */
  release(addr: number, expected: number, value: number): number;
  /** Notes a lock that the thread took without a successful acquire. */
  acquired(addr: number): void;
  /** Notes that the thread is about to block on anything but a lock. `what` names the operation. */
  blocking(what: string): void;
}

export function plainLockOps(mem: LockMemory): LockOps {
  const { cas } = mem.kernel;
  return { acquire: cas, release: cas, acquired() {}, blocking() {} };
}

interface Held {
  readonly addr: number;
  readonly rank: LockRank | undefined;
}

export function checkedLockOps(mem: LockMemory): LockOps {
  const { kernel } = mem;
  const held: Held[] = [];
  const acquired = (addr: number): void => {
    held.push({ addr, rank: mem.lockRankOf(addr) });
  };
  return {
    acquired,
    acquire(addr, expected, value) {
      const rank = mem.lockRankOf(addr);
      for (const h of held) {
        if (h.addr === addr) throw lockError(`memory: ${lockName(mem, addr)} is taken twice by one thread`);
        if (rank === undefined || h.rank === undefined) continue; // a program's own lock has no rank
        if (lockRanks.indexOf(rank) <= lockRanks.indexOf(h.rank)) {
          throw lockError(
            `memory: lock ordering problem: ${lockName(mem, addr)} is taken while ${lockName(mem, h.addr)} is held`,
          );
        }
      }
      const old = kernel.cas(addr, expected, value);
      if (old === expected) acquired(addr);
      return old;
    },
    release(addr, expected, value) {
      const k = held.findLastIndex((h) => h.addr === addr);
      if (k < 0) {
        const owner = kernel.load(addr) >>> 1;
        const by = owner === 0 ? "is free" : `is held by thread ${owner}`;
        throw lockError(
          `memory: unlock of ${lockName(mem, addr)} by thread ${mem.member.thread}, which doesn't hold it: it ${by}`,
        );
      }
      held.splice(k, 1);
      return kernel.cas(addr, expected, value);
    },
    blocking(what) {
      const [h] = held;
      if (h !== undefined) throw lockError(`memory: ${what} while ${lockName(mem, h.addr)} is held`);
    },
  };
}

/** "lock mheap at 0x1234", for messages. */
export function lockName(mem: LockMemory, addr: number): string {
  const rank = mem.lockRankOf(addr);
  return `lock ${rank === undefined ? "" : `${rank} `}at 0x${addr.toString(16)}`;
}
