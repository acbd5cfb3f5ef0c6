/**
 * RWMutexes in the heap: many readers or one writer, on all threads. An RWMutex has the size of Go's:
 *
 *     0   state    bits 0..27  READERS: the readers inside
 *                  WRITER      there is a first writer: it is inside, or waits until the readers leave
 *                  WRITING     the first writer is inside
 *                  PARKED      goroutines wait for the first writer: readers, or further writers
 *     4   unused. The addresses of three words name the queues: `state` + 0 further writers, + 8 the first writer,
 *         which waits for readers, + 12 readers
 *
 * All changes of `state` are atomic. PARKED, WRITER while another goroutine waits, and the queues change only under the
 * lock of the bucket (sema.ts). All three queues lie in one bucket.
 *
 * Writers have priority. While there is a first writer, new readers queue, so readers cannot starve it. When it
 * unlocks, all readers that queued meanwhile enter, and the next writer becomes the first. So writers cannot starve
 * readers either. The first writer enters when the last reader leaves.
 *
 *     WRITING            =>  WRITER and READERS = 0
 *     not WRITER         =>  no goroutine waits
 *     READERS = 0        =>  the first writer is inside, or about to look
 *
 * The last line holds because the first writer looks at READERS and queues under the bucket's lock. The last reader
 * looks for it there after its decrement. A late reader may find the next first writer there, and other readers
 * inside: so it looks at READERS again.
 *
 * A writer waits twice, with the wait reasons of Go, which has a mutex between the writers.
 *
 * A waiter that is gone leaves its queue. The first writer that is gone also makes the next writer the first. A waiter
 * that was let in before it was gone unlocks.
 *
 * Sources: Go's sync/rwmutex.go; rwmutex.ts of the scheduler, which has the same rules for one thread.
 */
import { throwFatal } from "@gort/base";
import type { Addr } from "@gort/memory";
import {
  arm,
  currentScheduler,
  disarm,
  fatal,
  type G,
  m0,
  PhasedOp,
  type Schedt,
  waitReasonSyncMutexLock,
  waitReasonSyncRWMutexLock,
  waitReasonSyncRWMutexRLock,
} from "@gort/scheduler/internal";
import { type Above, type LockEnv, Locks } from "./lock-env.ts";
import { SUDOG_AT, type Waiter } from "./sudog.ts";

const WRITER = 1 << 28;
const WRITING = 1 << 29;
const PARKED = 1 << 30;
const READERS = WRITER - 1;

/** Offsets of the words by whose addresses the queues are found. The first is also the state. */
const WRITERS_QUEUE = 0;
const FIRST_WRITER_QUEUE = 8;
const READERS_QUEUE = 12;

/** The operations on the RWMutexes of a heap, by address. */
export class RWMutexes extends Locks {
  private readonly u32: Uint32Array;

  constructor(env: LockEnv) {
    super(env);
    this.u32 = env.u32;
  }

  tryLock(addr: number): boolean {
    return this.kernel.cas(addr, 0, WRITER | WRITING) === 0;
  }

  tryRLock(addr: number): boolean {
    // A plain load may be stale, but the CAS then fails.
    let s = this.u32[addr >>> 2] | 0;
    while ((s & WRITER) === 0) {
      if ((s & READERS) === READERS) throwFatal("sync: too many readers of an RWMutex", `state=${s}`);
      const now = this.kernel.cas(addr, s, s + 1);
      if (now === s) return true;
      s = now;
    }
    return false;
  }

  unlock(addr: number, above: Above): void {
    const s = this.kernel.cas(addr, WRITER | WRITING, 0);
    if (s === (WRITER | WRITING)) return;
    if ((s & WRITING) === 0) fatal("sync: Unlock of unlocked RWMutex");
    this.releaseWriter(addr, above);
  }

  rUnlock(addr: number, above: Above): void {
    let s = this.u32[addr >>> 2] | 0;
    for (;;) {
      // With a stale load the state may look free: only an atomic one decides.
      if ((s & READERS) === 0 && ((s = this.kernel.load(addr)) & READERS) === 0) {
        fatal("sync: RUnlock of unlocked RWMutex");
      }
      const now = this.kernel.cas(addr, s, s - 1);
      if (now === s) break;
      s = now;
    }
    if ((s & (READERS | WRITER)) === (WRITER | 1)) this.lastReaderLeft(addr, above);
  }

  /** Lets the first writer in, if it waits for readers. */
  private lastReaderLeft(addr: number, above: Above): void {
    const { env, kernel } = this;
    const { semas } = env;
    const bucket = semas.bucket(addr);
    const queue = addr + FIRST_WRITER_QUEUE;
    const at = env.releasetime();
    semas.lock(bucket);
    const sg = semas.first(bucket, queue);
    if (sg === 0 || (kernel.load(addr) & READERS) !== 0) {
      semas.unlock(bucket);
      return;
    }
    const ms = at < 0 ? -1 : semas.charge(bucket, queue, at);
    kernel.or(addr, WRITING);
    this.take(semas.dequeue(bucket, queue), 0);
    semas.unlock(bucket);
    env.charged(ms, "sync.(*RWMutex).RUnlock", above);
    env.waiters.ready(sg);
  }

  /** The first writer leaves, or gives up: lets the waiting readers in, and makes the next writer the first. */
  private releaseWriter(addr: number, above: Above): void {
    const { env, kernel } = this;
    const { semas, waiters } = env;
    const bucket = semas.bucket(addr);
    const at = env.releasetime();
    semas.lock(bucket);
    const readers = addr + READERS_QUEUE;
    const writers = addr + WRITERS_QUEUE;
    const ms = at < 0 ? -1 : sumOf(semas.charge(bucket, readers, at), semas.charge(bucket, writers, at));
    // The chosen waiters, linked in reverse order.
    let list = 0;
    let n = 0;
    for (let sg = semas.dequeue(bucket, readers); sg !== 0; sg = semas.dequeue(bucket, readers)) {
      list = this.take(sg, list);
      n++;
    }
    const next = semas.dequeue(bucket, writers);
    if (next !== 0) list = this.take(next, list);
    const set = (next === 0 ? 0 : WRITER) | (semas.first(bucket, writers) === 0 ? 0 : PARKED);
    for (let s = kernel.load(addr); ; ) {
      // Readers that were inside leave meanwhile, if the first writer gives up.
      const was = kernel.cas(addr, s, ((s & READERS) + n) | set);
      if (was === s) break;
      s = was;
    }
    semas.unlock(bucket);
    env.charged(ms, "sync.(*RWMutex).Unlock", above);
    for (list = this.reversed(list); list !== 0; ) {
      const sg = list as Addr;
      list = semas.next(sg);
      waiters.ready(sg);
    }
  }

  /** Ends the wait of a sudog that was dequeued, and links it before `list`. */
  private take(sg: Addr, list: number): number {
    this.env.waiters.win(sg);
    this.u32[(sg + SUDOG_AT.success) >>> 2] = 1;
    this.u32[(sg + SUDOG_AT.next) >>> 2] = list;
    return sg;
  }

  private reversed(list: number): number {
    let out = 0;
    while (list !== 0) {
      const link = (list + SUDOG_AT.next) >>> 2;
      const next = this.u32[link];
      this.u32[link] = out;
      out = list;
      list = next;
    }
    return out;
  }

  // ---- for the ops: each takes the lock, or parks the goroutine and returns false

  lockSlow(g: G, op: RWLockOp, addr: number): boolean {
    const { env, kernel } = this;
    env.spin(g, addr, -1, PARKED);
    if (this.tryLock(addr)) return true;
    const now = g.sched.clock.now();
    const bucket = env.semas.bucket(addr);
    env.sudog(g, this, addr, addr + WRITERS_QUEUE);
    env.semas.lock(bucket);
    for (let s = kernel.load(addr); ; ) {
      const first = (s & WRITER) === 0;
      const was = kernel.cas(addr, s, s | (first ? WRITER : PARKED));
      if (was !== s) {
        s = was;
      } else if (first) {
        return this.enterAlone(g, op, addr, bucket, now);
      } else break;
    }
    return this.wait(g, op, bucket, waitReasonSyncMutexLock, now);
  }

  /** The first writer takes the lock if no reader is inside. The caller holds the lock of the bucket. */
  private enterAlone(g: G, op: RWLockOp, addr: number, bucket: number, now: number): boolean {
    const { kernel } = this;
    // Readers cannot enter while WRITER is set.
    if ((kernel.load(addr) & READERS) === 0) {
      kernel.or(addr, WRITING);
      return this.done(g, bucket);
    }
    const { head } = g.shared as Waiter;
    this.u32[(head + SUDOG_AT.queue) >>> 2] = addr + FIRST_WRITER_QUEUE;
    return this.wait(g, op, bucket, waitReasonSyncRWMutexLock, now);
  }

  rLockSlow(g: G, op: RWLockOp, addr: number): boolean {
    const { env, kernel } = this;
    env.spin(g, addr, WRITER, PARKED);
    if (this.tryRLock(addr)) return true;
    const now = g.sched.clock.now();
    const bucket = env.semas.bucket(addr);
    env.sudog(g, this, addr, addr + READERS_QUEUE);
    env.semas.lock(bucket);
    for (let s = kernel.load(addr); ; ) {
      const free = (s & WRITER) === 0;
      const was = kernel.cas(addr, s, free ? s + 1 : s | PARKED);
      if (was !== s) {
        s = was;
      } else if (free) {
        return this.done(g, bucket);
      } else break;
    }
    return this.wait(g, op, bucket, waitReasonSyncRWMutexRLock, now);
  }

  /** The goroutine was readied. A writer that has become the first must still wait for the readers. */
  woke(g: G, op: RWLockOp): boolean {
    const { env, u32 } = this;
    const { head } = g.shared as Waiter;
    const addr = u32[(head + SUDOG_AT.elem) >>> 2];
    const bucket = env.semas.bucket(addr);
    const now = g.sched.clock.now();
    env.semas.lock(bucket);
    if (u32[(head + SUDOG_AT.queue) >>> 2] !== addr + WRITERS_QUEUE) return this.done(g, bucket);
    env.sudog(g, this, addr, addr + WRITERS_QUEUE);
    return this.enterAlone(g, op, addr, bucket, now);
  }

  /** Queues the goroutine, unlocks the bucket and parks. */
  private wait(g: G, op: RWLockOp, bucket: number, reason: number, now: number): false {
    const { env } = this;
    const { head } = g.shared as Waiter;
    env.semas.enqueue(bucket, head, false, env.acquiretime(g, now));
    env.semas.unlock(bucket);
    env.park(g, op, reason, now, true);
    return false;
  }

  /** The goroutine has the lock. */
  private done(g: G, bucket: number): true {
    this.env.semas.unlock(bucket);
    this.env.waiters.end(g.shared as Waiter);
    return true;
  }

  // ---- waiters that are gone

  unqueue(sg: Addr): void {
    const { env, u32 } = this;
    const { semas } = env;
    const addr = u32[(sg + SUDOG_AT.elem) >>> 2];
    const bucket = semas.bucket(addr);
    semas.lock(bucket);
    const queued = u32[(sg + SUDOG_AT.queued) >>> 2] !== 0;
    const first = u32[(sg + SUDOG_AT.queue) >>> 2] === addr + FIRST_WRITER_QUEUE;
    if (queued) {
      semas.remove(bucket, sg);
      const none =
        semas.first(bucket, addr + READERS_QUEUE) === 0 && semas.first(bucket, addr + WRITERS_QUEUE) === 0;
      if (none) this.kernel.and(addr, ~PARKED);
    }
    semas.unlock(bucket);
    if (queued && first) this.releaseWriter(addr, this.unqueue);
  }

  undelivered(sg: Addr): void {
    const addr = this.u32[(sg + SUDOG_AT.elem) >>> 2];
    const reader = this.u32[(sg + SUDOG_AT.queue) >>> 2] === addr + READERS_QUEUE;
    if (reader) this.rUnlock(addr, this.undelivered);
    else this.releaseWriter(addr, this.undelivered);
  }
}

/** The sum of two results of `charge`. */
function sumOf(a: number, b: number): number {
  return a < 0 ? b : b < 0 ? a : a + b;
}

/** An op of all RWMutexes of this thread. A wait keeps its state in the G's Waiter, so one object serves all. */
abstract class RWLockOp extends PhasedOp<void> {
  rws: RWMutexes = null as never;
  ref: unknown = null;
  addrOf: (ref: unknown) => number = null as never;

  protected override finish(g: G): boolean {
    return ((g.shared as Waiter).owner as RWMutexes).woke(g, this);
  }

  protected hostScheduler(): Schedt {
    return currentScheduler();
  }
}

class WLockOp extends RWLockOp {
  get what(): string {
    return "rwmutex lock";
  }
  protected start(g: G): boolean {
    const { rws, ref } = this;
    this.ref = null;
    const addr = this.addrOf(ref);
    return rws.tryLock(addr) || rws.lockSlow(g, this, addr);
  }
  protected replace(): void {
    if (wlockOp === this) wlockOp = new WLockOp();
  }
}

class RLockOp extends RWLockOp {
  get what(): string {
    return "rwmutex rlock";
  }
  protected start(g: G): boolean {
    const { rws, ref } = this;
    this.ref = null;
    const addr = this.addrOf(ref);
    return rws.tryRLock(addr) || rws.rLockSlow(g, this, addr);
  }
  protected replace(): void {
    if (rlockOp === this) rlockOp = new RLockOp();
  }
}

let wlockOp = new WLockOp();
let rlockOp = new RLockOp();

/** The op that takes the RWMutex which `ref` shows, for writing or reading. */
export function lockRWMutex(
  rws: RWMutexes,
  ref: unknown,
  addrOf: (ref: unknown) => number,
  write: boolean,
): RWLockOp {
  if (m0.armed !== null) disarm();
  const op = write ? wlockOp : rlockOp;
  op.rws = rws;
  op.ref = ref;
  op.addrOf = addrOf;
  return arm(op);
}
