/**
 * Queues of tasks: a ring of 256 and `runnext` per P, and one global queue. The rules are those of Go's runq functions.
 *
 *     ring    the thread that holds the P writes slot tail, then stores tail + 1. It takes at the head like a thief.
 *     thief   reads head, tail and half of the slots between, then CASes head forward by as many. If the CAS fails,
 *             what it has read is worth nothing, and it reads again.
 *
 * The owner overwrites a slot only after head has passed it, and then the CAS of a thief that has read the slot fails.
 * head and tail count modulo 2^32. A thief would have to sleep through 2^32 tasks to take a wrong one.
 *
 * A thief copies straight into the ring of its own P, behind the tail, where no other thread looks before it stores the
 * new tail.
 *
 * A full ring moves half of its tasks to the global queue, a list under SCHED.lock. A thread takes a batch from there:
 * its share among all Ps, at most half a ring.
 */
import { lock, unlock } from "@gort/memory/internal";
import { PREC_AT, RING, SCHED_AT } from "./layout.ts";
import { NODE_NEXT } from "./runtime2.ts";
import type { SharedState } from "./shared-state.ts";

const HEAD = PREC_AT.head;
const TAIL = PREC_AT.tail;
const RUNNEXT = PREC_AT.runnext;
const MASK = RING - 1;

/** Looks at a running P's `runnext` before a thief takes it: about a microsecond, for its owner to run it. */
const RUNNEXT_PAUSE = 200;

const slot = (p: number, k: number): number => (p + PREC_AT.ring + ((k & MASK) << 2)) >>> 2;

/** Puts a task into runnext of P p, which this thread holds. The previous runnext moves to the ring. */
export function runqput(s: SharedState, p: number, task: number): void {
  const old = s.kernel.xchg(p + RUNNEXT, task) >>> 0;
  if (old !== 0) runqputTail(s, p, old);
}

function runqputTail(s: SharedState, p: number, task: number): void {
  const { kernel, u32 } = s;
  const tail = u32[(p + TAIL) >>> 2];
  for (;;) {
    const head = kernel.load(p + HEAD);
    if (((tail - head) | 0) < RING) {
      u32[slot(p, tail)] = task;
      kernel.store(p + TAIL, tail + 1);
      return;
    }
    if (runqputSlow(s, p, head, task)) return;
  }
}

/** Moves half of the full ring, and the task, to the global queue. False if a thief has taken tasks meanwhile. */
function runqputSlow(s: SharedState, p: number, head: number, task: number): boolean {
  const { kernel, u32 } = s;
  const first = u32[slot(p, head)];
  let last = first;
  for (let k = 1; k < RING / 2; k++) {
    const next = u32[slot(p, head + k)];
    // A thief may have taken these tasks and be running them. So nothing is linked before the CAS.
    batch[k] = next;
  }
  if (kernel.cas(p + HEAD, head, head + RING / 2) !== head) return false;
  for (let k = 1; k < RING / 2; k++) {
    u32[(last + NODE_NEXT) >>> 2] = batch[k];
    last = batch[k];
  }
  u32[(last + NODE_NEXT) >>> 2] = task;
  lock(s.mem, s.sched + SCHED_AT.lock);
  globrunqputLocked(s, first, task, RING / 2 + 1);
  unlock(s.mem, s.sched + SCHED_AT.lock);
  return true;
}

const batch = new Uint32Array(RING / 2);

/** Takes a task of P p, which this thread holds; 0 if there is none. */
export function runqget(s: SharedState, p: number): number {
  const { kernel, u32 } = s;
  const next = kernel.load(p + RUNNEXT);
  if (next !== 0 && kernel.cas(p + RUNNEXT, next, 0) === next) return next >>> 0;
  const tail = u32[(p + TAIL) >>> 2] | 0;
  for (;;) {
    const head = kernel.load(p + HEAD);
    if (head === tail) return 0;
    const task = u32[slot(p, head)];
    if (kernel.cas(p + HEAD, head, head + 1) === head) return task;
  }
}

/** Takes a task of any P, as a thief does; 0 if there is none. */
export function runqtake(s: SharedState, p: number): number {
  const { kernel, u32 } = s;
  const next = kernel.load(p + RUNNEXT);
  if (next !== 0 && kernel.cas(p + RUNNEXT, next, 0) === next) return next >>> 0;
  for (;;) {
    const head = kernel.load(p + HEAD);
    if (((kernel.load(p + TAIL) - head) | 0) <= 0) return 0;
    const task = u32[slot(p, head)];
    if (kernel.cas(p + HEAD, head, head + 1) === head) return task;
  }
}

/** Tasks of P p. */
export function runqcount(s: SharedState, p: number): number {
  const { kernel } = s;
  const ring = (kernel.load(p + TAIL) - kernel.load(p + HEAD)) | 0;
  return Math.max(0, ring) + (kernel.load(p + RUNNEXT) === 0 ? 0 : 1);
}

/** Whether P p has no task. */
export function runqempty(s: SharedState, p: number): boolean {
  const { kernel } = s;
  return kernel.load(p + HEAD) === kernel.load(p + TAIL) && kernel.load(p + RUNNEXT) === 0;
}

/**
 * Takes half of the tasks of P `from` into P `to`, which this thread holds and whose ring is empty. Returns one of
 * them, or 0. `next`: if there is nothing else, it takes runnext.
 */
export function runqsteal(s: SharedState, to: number, from: number, next: boolean): number {
  const { kernel, u32 } = s;
  const tail = u32[(to + TAIL) >>> 2];
  for (;;) {
    const head = kernel.load(from + HEAD);
    let n = (kernel.load(from + TAIL) - head) | 0;
    n -= n >>> 1;
    if (n === 0) return next ? stealRunnext(s, from) : 0;
    // head and tail are not of one moment: the owner and other thieves were faster.
    if (n > RING / 2) continue;
    for (let k = 0; k < n; k++) u32[slot(to, tail + k)] = u32[slot(from, head + k)];
    if (kernel.cas(from + HEAD, head, head + n) !== head) continue;
    // The last of them is the result; the others become visible in the own ring.
    const task = u32[slot(to, tail + n - 1)];
    if (n > 1) kernel.store(to + TAIL, tail + n - 1);
    return task;
  }
}

/** Takes runnext of a P, unless its owner takes it within a moment. */
function stealRunnext(s: SharedState, from: number): number {
  const { kernel } = s;
  const task = kernel.load(from + RUNNEXT);
  if (task === 0) return 0;
  for (let i = 0; i < RUNNEXT_PAUSE; i++) if (kernel.load(from + RUNNEXT) !== task) return 0;
  return kernel.cas(from + RUNNEXT, task, 0) === task ? task >>> 0 : 0;
}

// ---- the global queue

/** Appends a list of n tasks. The caller holds the lock. */
function globrunqputLocked(s: SharedState, first: number, last: number, n: number): void {
  const { kernel, u32, sched } = s;
  const tail = u32[(sched + SCHED_AT.runqTail) >>> 2];
  u32[(last + NODE_NEXT) >>> 2] = 0;
  if (tail === 0) u32[(sched + SCHED_AT.runqHead) >>> 2] = first;
  else u32[(tail + NODE_NEXT) >>> 2] = first;
  u32[(sched + SCHED_AT.runqTail) >>> 2] = last;
  kernel.add(sched + SCHED_AT.runqsize, n);
}

/** Appends a task to the global queue. */
export function globrunqput(s: SharedState, task: number): void {
  lock(s.mem, s.sched + SCHED_AT.lock);
  globrunqputLocked(s, task, task, 1);
  unlock(s.mem, s.sched + SCHED_AT.lock);
}

/**
 * Takes at most `max` tasks from the global queue: the P's share, at most half a ring. Returns the first; the others go
 * into the ring of P p, which this thread holds and which has room. Returns 0 if the queue is empty.
 */
export function globrunqget(s: SharedState, p: number, max: number): number {
  const { kernel, u32, sched } = s;
  if (kernel.load(sched + SCHED_AT.runqsize) === 0) return 0;
  lock(s.mem, sched + SCHED_AT.lock);
  const size = u32[(sched + SCHED_AT.runqsize) >>> 2];
  const n = Math.min(size, Math.floor(size / s.gomaxprocs) + 1, max, RING / 2);
  const first = u32[(sched + SCHED_AT.runqHead) >>> 2];
  let next = first;
  const tail = u32[(p + TAIL) >>> 2];
  for (let k = 0; k < n; k++) {
    if (k > 0) u32[slot(p, tail + k - 1)] = next;
    next = u32[(next + NODE_NEXT) >>> 2];
  }
  if (n > 0) {
    u32[(sched + SCHED_AT.runqHead) >>> 2] = next;
    if (next === 0) u32[(sched + SCHED_AT.runqTail) >>> 2] = 0;
    kernel.add(sched + SCHED_AT.runqsize, -n);
  }
  if (n > 1) kernel.store(p + TAIL, tail + n - 1);
  unlock(s.mem, sched + SCHED_AT.lock);
  return n > 0 ? first : 0;
}

/** Takes the first task of the global queue; 0 if it is empty. */
export function globrunqtake(s: SharedState): number {
  const { kernel, u32, sched } = s;
  if (kernel.load(sched + SCHED_AT.runqsize) === 0) return 0;
  lock(s.mem, sched + SCHED_AT.lock);
  const first = u32[(sched + SCHED_AT.runqHead) >>> 2];
  if (first !== 0) {
    const next = u32[(first + NODE_NEXT) >>> 2];
    u32[(sched + SCHED_AT.runqHead) >>> 2] = next;
    if (next === 0) u32[(sched + SCHED_AT.runqTail) >>> 2] = 0;
    kernel.add(sched + SCHED_AT.runqsize, -1);
  }
  unlock(s.mem, sched + SCHED_AT.lock);
  return first;
}

/** Moves all tasks of a P that goes out of use to the global queue. The world is stopped; the caller holds the lock. */
export function runqdrainLocked(s: SharedState, p: number): void {
  for (let task = runqget(s, p); task !== 0; task = runqget(s, p)) globrunqputLocked(s, task, task, 1);
}
