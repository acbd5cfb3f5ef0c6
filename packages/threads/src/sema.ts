/**
 * The semaphore table: queues of goroutines that wait for locks in the heap. A lock has no room for a queue, so the
 * queue of a lock is found by the address of the lock. In Go this is `semaRoot`.
 *
 *     lock's address --hash--> bucket --> tree of queues --> first sudog <-> next <-> ... <-> last
 *
 * A bucket has a lock, which guards all of its queues and, for each lock of the heap that belongs to the bucket, the
 * relation between the lock's words and its queues (mutex.ts, rwmutex.ts, ...). A lock with several queues, such as an
 * RWMutex, keys them by different words of itself; all lie in the bucket of the lock's own address.
 *
 * The first sudog of each queue is a node of the bucket's tree, a digital search tree: at depth k, bit 31 - k of the
 * queue's hash tells left from right. The hash is a bijection of the address, so two queues differ in some bit, and the
 * tree is at most 32 deep; with n queues about log2(n). A node may be replaced by any leaf below it, so removing one
 * needs no rotations. Rejected: Go's treap, which needs rotations and random priorities for the same bounds; a list for
 * each bucket, which a million waiting WaitGroups would make thousands long.
 *
 * Times for the mutex profile (contention.ts of the scheduler) are two sums, in the first sudog of a queue:
 *
 *     uncharged = timed * now - timedSum     timedSum: over the timed waiters, the later of arrival and last charge
 *
 * Sources: Go's runtime/sema.go; Coffman and Eve, "File structures using hashing functions" (1970).
 */
import type { Addr, LinearMemory } from "@gort/memory";
import { defineStruct, lock, unlock } from "@gort/memory/internal";
import { SEMA_BUCKET_BYTES, SEMA_BUCKETS, SUDOG_AT, type Waiters } from "./sudog.ts";

/** A bucket. The rest of its 64 bytes is unused, so that threads that use different buckets share no cache line. */
export const SEMAROOT = defineStruct("semaRoot", {
  lock: "u32",
  /** The first sudog of the queue at the root of the tree; 0 if no goroutine waits. */
  tree: "u32",
});
const TREE = SEMAROOT.offsets.tree;

/** Bits of a hash that choose the bucket. */
const BUCKET_SHIFT = 32 - Math.log2(SEMA_BUCKETS);
const BUCKET_SHIFT_BYTES = Math.log2(SEMA_BUCKET_BYTES);

/** Odd multipliers (2^32 over the golden ratio, and another): multiplication by one is a bijection of 32 bits. */
export const QUEUE_HASH = 0x9e3779b1;
const BUCKET_HASH = 0x85ebca6b;

export class SemaTable {
  private readonly mem: LinearMemory;
  private readonly u32: Uint32Array;
  private readonly f64: Float64Array;
  private readonly buckets: number;

  constructor(waiters: Waiters) {
    this.mem = waiters.mem;
    this.u32 = waiters.mem.u32;
    this.f64 = waiters.mem.f64;
    this.buckets = waiters.semas;
  }

  /** Address of the bucket of a lock. */
  bucket(lockAddr: number): number {
    return this.buckets + ((Math.imul(lockAddr, BUCKET_HASH) >>> BUCKET_SHIFT) << BUCKET_SHIFT_BYTES);
  }

  /** Takes the lock of a bucket. The caller holds it only for a few steps: it runs no code of the program meanwhile. */
  lock(bucket: number): void {
    lock(this.mem, bucket);
  }

  unlock(bucket: number): void {
    unlock(this.mem, bucket);
  }

  // ---- queues: the caller holds the bucket's lock

  /** The first sudog of a queue, 0 if it is empty. */
  first(bucket: number, queue: number): Addr {
    return this.u32[this.find(bucket, queue) >>> 2] as Addr;
  }

  /** The sudog behind `sg` in its queue, or 0. */
  next(sg: number): Addr {
    return this.u32[(sg + SUDOG_AT.next) >>> 2] as Addr;
  }

  /**
   * Puts a sudog at the tail or the head of the queue that its field `queue` names. `now`: it is timed for the mutex
   * profile; -1: it is not.
   */
  enqueue(bucket: number, sg: Addr, atHead: boolean, now: number): void {
    const { u32, f64 } = this;
    const link = this.find(bucket, u32[(sg + SUDOG_AT.queue) >>> 2]) >>> 2;
    const first = u32[link];
    u32[(sg + SUDOG_AT.queued) >>> 2] = 1;
    u32[(sg + SUDOG_AT.prev) >>> 2] = 0;
    u32[(sg + SUDOG_AT.next) >>> 2] = 0;
    f64[(sg + SUDOG_AT.acquiretime) >>> 3] = now;
    if (first === 0) {
      u32[link] = sg;
      u32[(sg + SUDOG_AT.left) >>> 2] = 0;
      u32[(sg + SUDOG_AT.right) >>> 2] = 0;
      u32[(sg + SUDOG_AT.last) >>> 2] = sg;
      u32[(sg + SUDOG_AT.timed) >>> 2] = 0;
      f64[(sg + SUDOG_AT.timedSum) >>> 3] = 0;
      f64[(sg + SUDOG_AT.chargedAt) >>> 3] = 0;
    } else if (atHead) {
      u32[(sg + SUDOG_AT.next) >>> 2] = first;
      u32[(first + SUDOG_AT.prev) >>> 2] = sg;
      this.becomeFirst(link, first, sg);
    } else {
      const last = u32[(first + SUDOG_AT.last) >>> 2];
      u32[(last + SUDOG_AT.next) >>> 2] = sg;
      u32[(sg + SUDOG_AT.prev) >>> 2] = last;
      u32[(first + SUDOG_AT.last) >>> 2] = sg;
    }
    if (now >= 0) {
      const head = u32[link];
      u32[(head + SUDOG_AT.timed) >>> 2]++;
      f64[(head + SUDOG_AT.timedSum) >>> 3] += now;
    }
  }

  /** Takes the first sudog of a queue, or returns 0. */
  dequeue(bucket: number, queue: number): Addr {
    const link = this.find(bucket, queue) >>> 2;
    const sg = this.u32[link];
    if (sg !== 0) this.removeFirst(link, sg);
    return sg as Addr;
  }

  /** Takes a sudog out of its queue, wherever it stands. */
  remove(bucket: number, sg: Addr): void {
    const { u32 } = this;
    const link = this.find(bucket, u32[(sg + SUDOG_AT.queue) >>> 2]) >>> 2;
    const first = u32[link];
    if (first === sg) {
      this.removeFirst(link, sg);
      return;
    }
    this.leave(first, sg);
    const prev = u32[(sg + SUDOG_AT.prev) >>> 2];
    const next = u32[(sg + SUDOG_AT.next) >>> 2];
    u32[(prev + SUDOG_AT.next) >>> 2] = next;
    if (next === 0) u32[(first + SUDOG_AT.last) >>> 2] = prev;
    else u32[(next + SUDOG_AT.prev) >>> 2] = prev;
    u32[(sg + SUDOG_AT.queued) >>> 2] = 0;
  }

  /**
   * Time in ms that the timed waiters of a queue have waited and that no unlock was charged yet; -1 without timed
   * waiters. This call charges it.
   */
  charge(bucket: number, queue: number, now: number): number {
    const { u32, f64 } = this;
    const first = this.first(bucket, queue);
    if (first === 0) return -1;
    const timed = u32[(first + SUDOG_AT.timed) >>> 2];
    if (timed === 0) return -1;
    const sum = (first + SUDOG_AT.timedSum) >>> 3;
    const ms = timed * now - f64[sum];
    f64[sum] = timed * now;
    f64[(first + SUDOG_AT.chargedAt) >>> 3] = now;
    return Math.max(0, ms);
  }

  /** Ends the timing of a sudog that leaves the queue with this first sudog. */
  private leave(first: number, sg: number): void {
    const { u32, f64 } = this;
    const since = f64[(sg + SUDOG_AT.acquiretime) >>> 3];
    if (since < 0) return;
    u32[(first + SUDOG_AT.timed) >>> 2]--;
    f64[(first + SUDOG_AT.timedSum) >>> 3] -= Math.max(since, f64[(first + SUDOG_AT.chargedAt) >>> 3]);
  }

  private removeFirst(link: number, sg: number): void {
    const { u32 } = this;
    const next = u32[(sg + SUDOG_AT.next) >>> 2];
    if (next === 0) {
      this.cutNode(link, sg);
    } else {
      this.leave(sg, sg);
      u32[(next + SUDOG_AT.prev) >>> 2] = 0;
      this.becomeFirst(link, sg, next);
    }
    u32[(sg + SUDOG_AT.queued) >>> 2] = 0;
  }

  /** Gives the words of a queue, and its place in the tree, to its new first sudog. */
  private becomeFirst(link: number, old: number, sg: number): void {
    const { u32, f64 } = this;
    u32[(sg + SUDOG_AT.left) >>> 2] = u32[(old + SUDOG_AT.left) >>> 2];
    u32[(sg + SUDOG_AT.right) >>> 2] = u32[(old + SUDOG_AT.right) >>> 2];
    u32[(sg + SUDOG_AT.last) >>> 2] = u32[(old + SUDOG_AT.last) >>> 2];
    u32[(sg + SUDOG_AT.timed) >>> 2] = u32[(old + SUDOG_AT.timed) >>> 2];
    f64[(sg + SUDOG_AT.timedSum) >>> 3] = f64[(old + SUDOG_AT.timedSum) >>> 3];
    f64[(sg + SUDOG_AT.chargedAt) >>> 3] = f64[(old + SUDOG_AT.chargedAt) >>> 3];
    u32[link] = sg;
  }

  // ---- the tree

  /** Address of the word that refers to the first sudog of a queue, or to which one would be hung. */
  private find(bucket: number, queue: number): number {
    const { u32 } = this;
    let link = bucket + TREE;
    let bits = Math.imul(queue, QUEUE_HASH);
    for (let sg = u32[link >>> 2]; sg !== 0; sg = u32[link >>> 2]) {
      if (u32[(sg + SUDOG_AT.queue) >>> 2] === queue) break;
      link = sg + (bits < 0 ? SUDOG_AT.right : SUDOG_AT.left);
      bits <<= 1;
    }
    return link;
  }

  /** Takes the node of an empty queue out of the tree: a leaf below it takes its place. */
  private cutNode(link: number, sg: number): void {
    const { u32 } = this;
    let leafLink = link;
    let leaf = sg;
    for (;;) {
      const left = (leaf + SUDOG_AT.left) >>> 2;
      const right = (leaf + SUDOG_AT.right) >>> 2;
      const down = u32[left] !== 0 ? left : right;
      if (u32[down] === 0) break;
      leafLink = down;
      leaf = u32[down];
    }
    u32[leafLink] = 0;
    if (leaf === sg) return;
    u32[(leaf + SUDOG_AT.left) >>> 2] = u32[(sg + SUDOG_AT.left) >>> 2];
    u32[(leaf + SUDOG_AT.right) >>> 2] = u32[(sg + SUDOG_AT.right) >>> 2];
    u32[link] = leaf;
  }
}
