/**
 * The threads of a heap, as the collector knows them: one GCTHREAD for each.
 *
 *     COLLECTOR.threads -> GCTHREAD -> GCTHREAD -> ...      the driver's is the last of the list
 *
 * A thread takes a record when its collector attaches, a record without owner if there is one, and gives it back when
 * it ends. `id` is the number of this life of the record: no two collectors of a memory have the same one. The driver's
 * is 0. What outlives a safepoint names its thread by the id, and finds out in this way that the thread has ended: root
 * slots (ref-table.ts), entries of finalizers (mfinal.ts), samples of the memory profile (mgcsweep.ts).
 *
 * ## Who may touch what
 * The owner of a record writes it. `entries` and `samples` are inboxes: any thread pushes by CAS, the owner takes all
 * at once. `waiting` is read by the thread that ends a cycle. The driver reads and resets the figures in a stop, and
 * works on records without owner.
 *
 * JavaScript values of a thread end with it, such as functions of finalizers. So what another thread finds for a thread
 * that has ended is dropped. Samples of its memory profile go to the driver: their buckets may be in linear memory.
 */
import { outOfMemory } from "@gort/base";
import type { LinearMemory } from "@gort/memory";
import { defineStruct } from "@gort/memory/internal";
import { pushEntry, stateBlock, stateWord } from "./gc-state.ts";

const GCTHREAD = defineStruct("gcThread", {
  /** The next record. */
  next: "u32",
  /** One of THREAD_*. Changed by CAS. */
  status: "u32",
  id: "u32",
  /** The world's number of the thread: WorldThreads.id. */
  thread: "u32",
  /** Its GCWORK. */
  work: "u32",
  /** 1: the thread waits for a cycle, and wants to be notified of its begin and end. */
  waiting: "u32",
  /** 1: the thread is notified, and has not looked. Any thread sets it. */
  notified: "u32",
  /** 1: the thread works for the collector only. */
  dedicated: "u32",
  /** Inboxes: entries of finalizers that are due or given back, and specials of freed samples. */
  entries: "u32",
  samples: "u32",
  // The queues of mfinal.ts.
  finalizers: "u32",
  finalizersTail: "u32",
  nfinalizers: "u32",
  cleanups: "u32",
  cleanupsTail: "u32",
  ncleanups: "u32",
  freeEntries: "u32",
  // Root slots: the list of free ones, and slots allocated less slots freed by this thread (a signed word).
  refFree: "u32",
  refsInuse: "u32",
  /** Ranges of stacks, for checks of the driver (mark-roots.ts): address, number, room. */
  ranges: "u32",
  nranges: "u32",
  maxRanges: "u32",
  /** Nanoseconds of marking in this cycle, of threads but the driver. */
  assistNs: "f64",
  backgroundNs: "f64",
  idleNs: "f64",
});
export const GCTHREAD_AT = GCTHREAD.offsets;

/** refFree of a record without a free slot: see ref-table.ts. */
export const FREE_TAG = 1;

const THREAD_FREE = 0;
const THREAD_ATTACHED = 1;
/** A thread has it, and gives it an id. */
const THREAD_CLAIMED = 2;

/** Records are made eight at a time, so that few bytes are lost to alignment. */
const BATCH = 8;

/** The id of the driver. */
export const DRIVER_ID = 0;

/** The driver's record. */
export function driverThread(mem: LinearMemory): number {
  return stateBlock(mem, "driver", () => addRecord(mem, mem.reserveControl(GCTHREAD.size), THREAD_ATTACHED));
}

function addRecord(mem: LinearMemory, t: number, status: number): number {
  const { u32 } = mem;
  u32.fill(0, t >>> 2, (t + GCTHREAD.size) >>> 2);
  u32[(t + GCTHREAD_AT.refFree) >>> 2] = FREE_TAG;
  u32[(t + GCTHREAD_AT.status) >>> 2] = status;
  pushEntry(mem, stateWord(mem, "threads"), t);
  return t;
}

/** Takes a record for a thread that attaches. Its queues are those of the last owner. */
export function claimThread(mem: LinearMemory, thread: number, dedicated = false): number {
  const { u32, kernel } = mem;
  for (;;) {
    for (let t = firstThread(mem); t !== 0; t = nextThread(mem, t)) {
      if (kernel.cas(t + GCTHREAD_AT.status, THREAD_FREE, THREAD_CLAIMED) !== THREAD_FREE) continue;
      u32[(t + GCTHREAD_AT.thread) >>> 2] = thread;
      u32[(t + GCTHREAD_AT.dedicated) >>> 2] = dedicated ? 1 : 0;
      u32[(t + GCTHREAD_AT.id) >>> 2] = kernel.add(stateWord(mem, "lastThread"), 1) + 1;
      for (const at of [GCTHREAD_AT.assistNs, GCTHREAD_AT.backgroundNs, GCTHREAD_AT.idleNs]) {
        mem.f64[(t + at) >>> 3] = 0;
      }
      kernel.store(t + GCTHREAD_AT.status, THREAD_ATTACHED);
      return t;
    }
    const block = mem.persistentAlloc(BATCH * GCTHREAD.size, 64, "gcSys");
    if (block === 0) outOfMemory("gc: no room for the records of more threads");
    for (let k = 0; k < BATCH; k++) addRecord(mem, block + k * GCTHREAD.size, THREAD_FREE);
  }
}

/** The thread has ended. Its id means no thread from here on. */
export function releaseThread(mem: LinearMemory, t: number): void {
  mem.u32[(t + GCTHREAD_AT.waiting) >>> 2] = 0;
  mem.u32[(t + GCTHREAD_AT.notified) >>> 2] = 0;
  mem.kernel.store(t + GCTHREAD_AT.status, THREAD_FREE);
}

export function firstThread(mem: LinearMemory): number {
  return mem.u32[stateWord(mem, "threads") >>> 2];
}

export function nextThread(mem: LinearMemory, t: number): number {
  return mem.u32[(t + GCTHREAD_AT.next) >>> 2];
}

/** Whether a thread has the record. */
export function isAttached(mem: LinearMemory, t: number): boolean {
  return mem.kernel.load(t + GCTHREAD_AT.status) === THREAD_ATTACHED;
}

/** The record of the thread with the id; 0 if that thread has ended. */
export function threadById(mem: LinearMemory, id: number): number {
  for (let t = firstThread(mem); t !== 0; t = nextThread(mem, t)) {
    if (mem.u32[(t + GCTHREAD_AT.id) >>> 2] === id && isAttached(mem, t)) return t;
  }
  return 0;
}

const isDedicated = (mem: LinearMemory, t: number): boolean =>
  mem.u32[(t + GCTHREAD_AT.dedicated) >>> 2] !== 0 && isAttached(mem, t);

/** Threads that allocate and have a collector, the driver included. */
export function threadCount(mem: LinearMemory): number {
  let n = 0;
  for (let t = firstThread(mem); t !== 0; t = nextThread(mem, t))
    if (isAttached(mem, t) && !isDedicated(mem, t)) n++;
  return n;
}

/** Whether a thread is attached that works for the collector only. */
export function hasDedicated(mem: LinearMemory): boolean {
  for (let t = firstThread(mem); t !== 0; t = nextThread(mem, t)) if (isDedicated(mem, t)) return true;
  return false;
}

/** Calls f with the record of every thread, past and present. */
export function forEachThread(mem: LinearMemory, f: (t: number) => void): void {
  for (let t = firstThread(mem); t !== 0; t = nextThread(mem, t)) f(t);
}

/** Makes other threads look at their collector: see CollectorThreads.polled. */
export interface Notifier {
  notify(thread: number): void;
}

/** Notifies the thread of a GCTHREAD. */
export function notifyThread(mem: LinearMemory, threads: Notifier, t: number): void {
  mem.kernel.store(t + GCTHREAD_AT.notified, 1);
  threads.notify(mem.u32[(t + GCTHREAD_AT.thread) >>> 2]);
}

/**
 * Notifies the threads that wait for a cycle: it has begun, or its end has come.
 *
 * Each side stores, then loads what the other one stores (Dekker). So at least one of them sees the other:
 *
 *     this thread           stores the cycle's state, then SCHED.stopper or CYCLE.served        loads `waiting`
 *     thread that waits     stores `waiting`        loads CYCLE.marking or CYCLE.served, then the other state
 *
 * On each side the last store and the first load are atomic. A plain load may come before the store on some processors.
 */
export function notifyWaiting(mem: LinearMemory, threads: Notifier): void {
  for (let t = firstThread(mem); t !== 0; t = nextThread(mem, t)) {
    if (mem.kernel.load(t + GCTHREAD_AT.waiting) !== 0) notifyThread(mem, threads, t);
  }
}

/**
 * Whether the thread of a GCTHREAD is notified. From now on it is not: look at the state of the cycle after the call.
 * The mark is taken by an exchange. After a plain store, the loads of that state could come first: then a second
 * notification would be cleared together with the first one, and its cause not seen.
 */
export function takeNotification(mem: LinearMemory, t: number): boolean {
  const at = t + GCTHREAD_AT.notified;
  return mem.u32[at >>> 2] !== 0 && mem.kernel.xchg(at, 0) !== 0;
}

/** Takes the whole list of an inbox, oldest entry first. The first word of an entry links it. */
export function takeInbox(mem: LinearMemory, t: number, inbox: "entries" | "samples"): number {
  const { u32, kernel } = mem;
  const word = t + GCTHREAD_AT[inbox];
  if (u32[word >>> 2] === 0) return 0;
  let newest = kernel.xchg(word, 0) >>> 0;
  let list = 0;
  while (newest !== 0) {
    const older = u32[newest >>> 2];
    u32[newest >>> 2] = list;
    list = newest;
    newest = older;
  }
  return list;
}

/** Puts an entry into an inbox. */
export function postTo(mem: LinearMemory, t: number, inbox: "entries" | "samples", entry: number): void {
  pushEntry(mem, t + GCTHREAD_AT[inbox], entry);
}

// --- ranges of stacks: pairs of words

/** Ranges that a list has room for at first. */
const FIRST_RANGES = 64;

/** Empties the list of ranges of a thread. */
export function clearRanges(mem: LinearMemory, t: number): void {
  mem.u32[(t + GCTHREAD_AT.nranges) >>> 2] = 0;
}

/** Adds a range. A list that is full is copied to one of twice the size. */
export function addRange(mem: LinearMemory, t: number, lo: number, hi: number): void {
  const { u32 } = mem;
  const n = u32[(t + GCTHREAD_AT.nranges) >>> 2];
  const room = u32[(t + GCTHREAD_AT.maxRanges) >>> 2];
  if (n === room) {
    const more = Math.max(FIRST_RANGES, 2 * room);
    const list = mem.persistentAlloc(8 * more, 8, "gcSys");
    if (list === 0) outOfMemory("gc: no room for the list of a thread's stacks");
    u32.copyWithin(
      list >>> 2,
      u32[(t + GCTHREAD_AT.ranges) >>> 2] >>> 2,
      (u32[(t + GCTHREAD_AT.ranges) >>> 2] >>> 2) + 2 * n,
    );
    u32[(t + GCTHREAD_AT.ranges) >>> 2] = list;
    u32[(t + GCTHREAD_AT.maxRanges) >>> 2] = more;
  }
  const at = (u32[(t + GCTHREAD_AT.ranges) >>> 2] >>> 2) + 2 * n;
  u32[at] = lo;
  u32[at + 1] = hi;
  u32[(t + GCTHREAD_AT.nranges) >>> 2] = n + 1;
}

export function forEachRange(mem: LinearMemory, t: number, f: (lo: number, hi: number) => void): void {
  const { u32 } = mem;
  const at = u32[(t + GCTHREAD_AT.ranges) >>> 2] >>> 2;
  for (let k = 0; k < u32[(t + GCTHREAD_AT.nranges) >>> 2]; k++) f(u32[at + 2 * k], u32[at + 2 * k + 1]);
}
