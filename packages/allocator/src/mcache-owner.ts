/**
 * Which thread owns an mcache: how a thread gets one, and how a thread takes over the mcache of a dead thread.
 *
 * MCACHE.owned is the number of the owner, 0 if there is none. An mcache without an owner is empty, but for parked
 * blocks (freed.ts), and waits for the next thread. It keeps the counters of its earlier owners.
 *
 *     attach    takes an mcache without owner, or else the mcache of an owner that has ended (as far as the system
 *               tells), or else a new one
 *     close     empties the mcache and gives it up
 *     death     another thread takes the mcache over. It sets its own number as owner by compare-and-swap, so that only
 *               one thread does so, recovers the mcache (recovery.ts), empties it and gives it up
 */
import { hex, outOfMemory, throwFatal } from "@gort/base";
import type { LinearMemory } from "@gort/memory";
import { MCACHE_AT, MHEAP_AT } from "./layout.ts";
import { findMCache, forEachMCache } from "./mcache-list.ts";
import type { MHeap } from "./mheap.ts";

/** Recovers an mcache whose owner is dead, empties it and gives it up. */
export type EmptyMCache = (mem: LinearMemory, mcache: number) => void;

/** Takes over the mcache of a thread that has ended. False if the thread isn't its owner. */
export function takeOver(mem: LinearMemory, mcache: number, owner: number, empty: EmptyMCache): boolean {
  const { owned } = MCACHE_AT;
  if (owner === 0 || mem.u32[(mcache + owned) >>> 2] !== owner) return false;
  const { member } = mem;
  member.join(); // an owner needs a number, also when this thread's own allocator is closed
  try {
    // Several threads may have learned of the end. The thread that sets its own number does the work.
    if (mem.kernel.cas(mcache + owned, owner, member.thread) !== owner) return false;
    empty(mem, mcache);
    return true;
  } finally {
    member.part();
  }
}

/** The mcache with the id, 0 if there is none. */
export function mcacheOf(heap: MHeap, id: number): number {
  const { u32 } = heap.mem;
  return findMCache(heap, (c) => u32[(c + MCACHE_AT.id) >>> 2] === id);
}

/**
 * Takes over the mcaches of a thread that has ended. Throws the fatal error if it ended inside of a lock: that can't be
 * repaired.
 */
export function takeOverThread(heap: MHeap, thread: number, empty: EmptyMCache): void {
  const { mem } = heap;
  const held = heap.lockHeldBy(thread);
  if (held !== 0) {
    mem.threadExited(thread);
    const rank = mem.lockRankOf(held);
    throwFatal(
      `a thread ended while it held the lock ${rank}`,
      `allocator: thread ${thread} held the lock ${rank} at ${hex(held)}`,
    );
  }
  forEachMCache(heap, (c) => takeOver(mem, c, thread, empty), undefined);
  // Last: from here on no thread waits for the ended thread, and any thread may take its mcaches over.
  mem.threadExited(thread);
}

/** Visits each owner of an mcache that has ended. */
export function forEachEndedOwner(heap: MHeap, visit: (thread: number) => void): void {
  const { mem } = heap;
  const visitEnded = (c: number): void => {
    const owner = mem.u32[(c + MCACHE_AT.owned) >>> 2];
    if (owner !== 0 && owner !== mem.thread && mem.threadGone(owner)) visit(owner);
  };
  forEachMCache(heap, visitEnded, undefined);
}

/**
 * An mcache for this thread. The thread keeps its number as long as it has an allocator: mcaches and locks go by the
 * number.
 */
export function joinWithMCache(heap: MHeap, empty: EmptyMCache): number {
  const { member } = heap.mem;
  member.join();
  try {
    return acquireMCache(heap, empty);
  } catch (err) {
    member.part();
    throw err;
  }
}

function acquireMCache(heap: MHeap, empty: EmptyMCache): number {
  const { mem } = heap;
  const { u32, kernel } = mem;
  const ownerOf = (c: number): number => u32[(c + MCACHE_AT.owned) >>> 2];
  const nmcaches = heap.base + MHEAP_AT.nmcaches;
  // By compare-and-swap: of two threads that find a new heap, which has no locks yet, one is its only thread.
  const first = kernel.cas(nmcaches, 0, 1) === 0;
  if (!first && u32[(heap.base + MHEAP_AT.shared) >>> 2] === 0) {
    throw new TypeError(
      "allocator: memory has an allocator that was not shared: call its share() before attaching",
    );
  }
  // Stops at the first mcache without owner. The mcache of a dead owner that comes before it becomes one.
  findMCache(heap, (c) => {
    const owner = ownerOf(c);
    if (owner === 0) return true;
    return owner !== mem.thread && mem.threadGone(owner) && takeOver(mem, c, owner, empty);
  });
  heap.lock();
  let c = findMCache(heap, (free) => ownerOf(free) === 0);
  if (c === 0) {
    c = heap.cachealloc.alloc();
    if (c !== 0) {
      const id = first ? 0 : kernel.add(nmcaches, 1);
      u32[(c + MCACHE_AT.next) >>> 2] = u32[(heap.base + MHEAP_AT.mcaches) >>> 2];
      u32[(c + MCACHE_AT.id) >>> 2] = id;
      u32[(c + MCACHE_AT.owned) >>> 2] = mem.thread;
      // Atomic: a thread that walks the list without the lock finds the mcache complete.
      kernel.store(heap.base + MHEAP_AT.mcaches, c);
    } else if (first) kernel.store(nmcaches, 0);
  } else u32[(c + MCACHE_AT.owned) >>> 2] = mem.thread;
  heap.unlock();
  if (c === 0) outOfMemory("runtime: cannot allocate an mcache");
  return c;
}
