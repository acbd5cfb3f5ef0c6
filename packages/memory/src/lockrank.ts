/**
 * The order of locks, and the mode that checks it (option `staticLockRanking`; Go's GOEXPERIMENT of that name).
 *
 * A thread may take a lock only while every lock it holds stands before it in the table; two of one rank are never held
 * together. A cycle of threads that wait for each other's locks is impossible then. Go's order, for the locks we have:
 *
 *     rank            the lock, and what is done under it
 *     mcentral        one a span class: its span lists. Go: spanSetSpine
 *     mspanSpecial    one a span: its list of specials
 *     mheap           one a heap: pages, span structs, stack spans, mcaches
 *     globalAlloc     the memory's cursors: sysReserve and persistentAlloc. Go: globalAlloc
 *     sysStats        the memory's counters: nothing is taken under it
 *
 * Without the option none of this runs: lock and unlock go straight to the kernel. With it each thread keeps a list of the
 * locks it holds, and throws a FatalError that names both locks when one is taken out of order, taken twice, released
 * without being held, or held while the thread blocks.
 */
import { lockError } from "./errors.ts";
import type { LinearMemory } from "./linear-memory.ts";

/** From the first that is taken to the last. */
export const lockRanks = ["mcentral", "mspanSpecial", "mheap", "globalAlloc", "sysStats"] as const;
export type LockRank = (typeof lockRanks)[number];

/** What lock and unlock do to the word. The two functions are the kernel's own unless the order is checked. */
export interface LockOps {
  /** As kernel.cas. */
  acquire(addr: number, expected: number, value: number): number;
  /** As kernel.cas. */
  release(addr: number, expected: number, value: number): number;
  /** The lock was taken by another way than a successful acquire. */
  acquired(addr: number): void;
  /** The thread is about to block on something that is no lock. */
  blocking(what: string): void;
}

export function plainLockOps(mem: LinearMemory): LockOps {
  const { cas } = mem.kernel;
  return { acquire: cas, release: cas, acquired() {}, blocking() {} };
}

interface Held {
  readonly addr: number;
  readonly rank: LockRank | undefined;
}

export function checkedLockOps(mem: LinearMemory): LockOps {
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
        if (rank === undefined || h.rank === undefined) continue; // a lock of a program has no place in the order
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
          `memory: unlock of ${lockName(mem, addr)} by thread ${mem.thread}, which doesn't hold it: it ${by}`,
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
export function lockName(mem: LinearMemory, addr: number): string {
  const rank = mem.lockRankOf(addr);
  return `lock ${rank === undefined ? "" : `${rank} `}at 0x${addr.toString(16)}`;
}
