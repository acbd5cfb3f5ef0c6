/** A walker over the semaphore table: the invariants in the essay of sema.ts. */
import { hex } from "@gort/base";
import { lock, unlock } from "@gort/memory/internal";
import { QUEUE_HASH, SEMAROOT } from "./sema.ts";
import { SEMA_BUCKET_BYTES, SEMA_BUCKETS, SUDOG_AT, type Waiters } from "./sudog.ts";

/** Checks the tree and the queues of every bucket. Returns the number of sudogs that wait for locks. */
export function verifySemas(waiters: Waiters): number {
  const { mem, u32 } = waiters;

  /** The subtree at `link`, to which the first `depth` bits of a hash lead: those of `path`. */
  const verifyNode = (link: number, path: number, depth: number): number => {
    const first = u32[link >>> 2];
    if (first === 0) return 0;
    const must = (ok: boolean, what: string): void => {
      if (!ok) throw new Error(`threads: sudog ${hex(first)} in the semaphore table: ${what}`);
    };
    const queue = u32[(first + SUDOG_AT.queue) >>> 2];
    const hash = Math.imul(queue, QUEUE_HASH);
    must(depth === 0 || hash >>> (32 - depth) === path, "its queue is not where its hash says");
    let n = 0;
    let timed = 0;
    let prev = 0;
    for (let sg = first; sg !== 0; prev = sg, sg = u32[(sg + SUDOG_AT.next) >>> 2]) {
      must(u32[(sg + SUDOG_AT.queue) >>> 2] === queue, "another queue is linked to it");
      must(u32[(sg + SUDOG_AT.queued) >>> 2] === 1, "a sudog behind it is not queued");
      must(u32[(sg + SUDOG_AT.prev) >>> 2] === prev, "a link back is wrong");
      if (mem.f64[(sg + SUDOG_AT.acquiretime) >>> 3] >= 0) timed++;
      n++;
    }
    must(u32[(first + SUDOG_AT.last) >>> 2] === prev, "last is wrong");
    must(u32[(first + SUDOG_AT.timed) >>> 2] === timed, "timed is wrong");
    n += verifyNode(first + SUDOG_AT.left, path * 2, depth + 1);
    return n + verifyNode(first + SUDOG_AT.right, path * 2 + 1, depth + 1);
  };

  let n = 0;
  for (let i = 0; i < SEMA_BUCKETS; i++) {
    const bucket = waiters.semas + i * SEMA_BUCKET_BYTES;
    lock(mem, bucket);
    try {
      n += verifyNode(bucket + SEMAROOT.offsets.tree, 0, 0);
    } finally {
      unlock(mem, bucket);
    }
  }
  return n;
}
