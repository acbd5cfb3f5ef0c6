/**
 * Waits in memory that threads share: goroutines that wait for channels and locks in the heap.
 *
 * A G is a JavaScript object of one thread. Other threads know it by a *sudog*, a record in linear memory:
 *
 *     queue of a channel or lock --> sudog --m, slot--> that thread's Waiter --> G
 *
 * A wait has one sudog for each queue in which the goroutine stands: one, or several in a select. The first of them is
 * the *head* of the wait. Its word `winner` says whether the wait has ended:
 *
 *     0         the goroutine waits
 *     a sudog   a partner has taken this sudog out of its queue, and has ended the wait
 *     GIVEN_UP  the goroutine has given up a wait that had several sudogs, or a case with a local channel was chosen
 *
 * The goroutine:
 *   1. `begin` takes a Waiter; `add` takes a sudog for each queue.
 *   2. Under the lock of the queue it checks once more whether it must wait. Then it enqueues the sudog, unlocks and
 *      suspends.
 *   3. When it is resumed, `winner` is the sudog that its partner chose. The goroutine takes the other sudogs out of
 *      their queues, under the locks of these queues. `end` frees all of them.
 *
 * A partner, on any thread:
 *   1. Under the lock of the queue it takes a sudog out, and calls `win`. If that returns false, the wait has ended by
 *      another sudog: the partner goes on to the next one.
 *   2. It writes its results into the sudog, which belongs to it alone, and unlocks.
 *   3. `ready` readies a G of the same thread at once, and posts the sudog to another thread, whose `deliver` readies
 *      the G. The partner does not touch the sudog afterwards.
 *
 * So a wait with one sudog ends under the lock of its queue. In a select, the partners hold different locks: a CAS of
 * `winner` decides.
 *
 * Lingering. To park a goroutine and to ready it from another thread takes longer than most partners need. So a
 * goroutine with one sudog may look at the word `lingers` of the sudog for a moment before it parks (`linger`). `ready`
 * then only sets the word. A CAS decides:
 *
 *     goroutine   lingers = LINGERS, before it unlocks     looks until it is ENDED, or CASes LINGERS to 0 and parks
 *     partner     wins, unlocks                            CASes LINGERS to ENDED, or posts the sudog
 *
 * Giving up (an aborted signal, the end of the program) happens on the goroutine's own thread. For a select it first
 * sets `winner` by CAS. Then it takes the sudogs out of their queues, under the locks. If a partner was first, its
 * sudog is on the way to this thread. `cancel` then returns false. `abandon` keeps the Waiter and that sudog until the
 * delivery, which finds no G, and gives what the partner has handed over to `WaitOwner.undelivered`.
 *
 * Invariants:
 *   - A sudog that has won is delivered exactly once. Until then neither it nor its Waiter is used again. So no late
 *     wake-up can meet a later wait of the same slot (ABA), and slots need no generation.
 *   - Only the thread of the goroutine takes and frees its sudogs.
 *   - A loser is freed only after its goroutine has held the lock of its queue: no partner looks at it any more.
 *   - The Waiter holds the handle of the channel or lock (`hold`). So the object in the heap lives while a goroutine
 *     waits for it, even if no variable refers to the handle.
 *
 * Free sudogs lie in a list of each thread; a free Waiter keeps one of its last wait. A thread that ends gives its
 * list to the memory's list, from which other threads take them.
 *
 * Unlike Go: a sudog refers to an M and a slot instead of a G, and `winner` replaces `g.selectDone` and `g.param`.
 */
import { outOfMemory, throwFatal } from "@gort/base";
import type { Addr, LinearMemory } from "@gort/memory";
import { defineStruct, f64s, lock, ROOT_WAITING, u32s, unlock } from "@gort/memory/internal";
import type { G, LockWait, SharedWait } from "@gort/scheduler/internal";
import { LINE } from "./layout.ts";
import { NODE_READY, type Threads } from "./runtime2.ts";

/** Bytes of a sudog's place for an element without pointers: as many as a complex128 has. */
export const INLINE_ELEM = 16;

/**
 * A goroutine's place in one queue. The first two words are the header of a node (runtime2.ts). What a partner on
 * another thread uses of a wait for a channel lies in the first 64 bytes, a line of its cache.
 */
export const SUDOG = defineStruct("sudog", {
  nodeNext: "u32",
  nodeKind: "u32",
  /** The thread of the goroutine, and the number of its Waiter there. */
  m: "u32",
  slot: "u32",
  /** The first sudog of the wait. */
  head: "u32",
  /** In the head: how the wait has ended. */
  winner: "u32",
  /** 1 if the wait has several sudogs. */
  isSelect: "u32",
  /** LINGERS or ENDED; 0: the goroutine is parked, or about to park. */
  lingers: "u32",

  // The next words are the queue's, under its lock, and after `win` the partner's.

  /** 1 while the sudog stands in the queue. */
  queued: "u32",
  next: "u32",
  prev: "u32",
  /** Place of an element without pointers. */
  inline: f64s(INLINE_ELEM / 8),
  /** 1: woken by close, not by a partner. */
  closed: "u32",
  /** Address of the value to send, or of the place for the value to receive, unless it is `inline`. */
  elem: "u32",
  /** In a wait for a semaphore: the unit was handed over. */
  success: "u32",

  // The rest is the goroutine's.

  /** The next sudog of the wait, or of the list of free sudogs. */
  waitlink: "u32",
  /** Address of the channel or semaphore. */
  queue: "u32",
  /** Address of the channel's queue. */
  q: "u32",
  /** Position of the case in a select. */
  index: "u32",
  /** The root of the object at `elem`; 0 without one. */
  ref: "u32",

  // For locks (sema.ts). `elem` is the address of the lock, `lockRef` its root. The first sudog of a queue has the
  // words of the queue.

  lockRef: "u32",
  left: "u32",
  right: "u32",
  last: "u32",
  timedSum: "f64",
  chargedAt: "f64",
  /** When this sudog began to wait, in ms; -1 if it is not timed. */
  acquiretime: "f64",
  /** Waiters of the queue that are timed for the mutex profile. */
  timed: "u32",
  fill: u32s(13),
});

/** Offsets of the fields. */
export const SUDOG_AT = SUDOG.offsets;

/** As `winner`: the goroutine has given up. No sudog has this address. */
export const GIVEN_UP = 1;

/** Values of `lingers`: the goroutine looks at the word; its partner has ended the wait, and posts nothing. */
const LINGERS = 1;
const ENDED = 2;

/**
 * Looks at the word before the goroutine parks: 1.5 us. To park and to be readied takes about as long, so a goroutine
 * that lingers in vain loses at most as much time again.
 */
const LINGER_LOOKS = 400;

/** Sudogs that a thread takes from the memory at a time: some 4 KiB. */
const BATCH = 21;

/** Buckets of the semaphore table: a power of two. More of them cost memory, fewer make threads meet at a lock. */
export const SEMA_BUCKETS = 256;

/** Bytes of a bucket (SEMAROOT in sema.ts): a line of most caches. */
export const SEMA_BUCKET_BYTES = 64;

/** The part of all waits that every thread finds through ROOT_WAITING. */
const WAITING = defineStruct("waiting", {
  /** Guards `free`. */
  lock: "u32",
  /** Sudogs of threads that have ended, linked by `waitlink`. */
  free: "u32",
  unused: u32s(SEMA_BUCKET_BYTES / 4 - 2),
  semas: u32s((SEMA_BUCKETS * SEMA_BUCKET_BYTES) / 4),
});

/**
 * What the waits of a thread need to know of the others. Without a count there are several threads, and without `cpus`
 * no goroutine lingers or spins.
 */
type Others = Pick<Threads, "m" | "post"> & Partial<Pick<Threads, "count" | "cpus" | "pending">>;

/** The code of a kind of queue: channels, semaphores. */
export interface WaitOwner {
  /**
   * Takes those sudogs of a wait out of their queues that still stand in one (`queued`). It must take the lock of each
   * queue, also for a sudog that stands in none: a partner may still look at it.
   */
  unqueue(head: Addr): void;
  /** A partner has ended the wait by this sudog, but its goroutine is gone: passes on what was handed over. */
  undelivered(sudog: Addr): void;
  /** The sudog is about to be freed. */
  freed?(sudog: Addr): void;
  /** A wait is over, which has kept `hold`. */
  unheld?(hold: unknown): void;
}

/** One wait of a goroutine of this thread. Waiters are pooled. */
export class Waiter implements SharedWait, LockWait {
  readonly slot: number;
  /** The goroutine; null while free, and after `abandon`. */
  g: G | null = null;
  head = 0 as Addr;
  /** Between two waits: a sudog for the next one, which is clear; or 0. */
  own = 0 as Addr;
  owner: WaitOwner = null as never;
  /** Handles of the objects in the heap for which the goroutine waits. */
  hold: unknown = null;
  /** The wait has ended, and `g` was readied. */
  delivered = false;
  /** For a lock: when the wait began, in ms, and how many waits it stands for. -1: no wait for a lock. */
  parkedAt = Number.NaN;
  waits = -1;
  /** When the goroutine first asked for the lock, in ms. */
  since = Number.NaN;
  private readonly waiters: Waiters;

  constructor(waiters: Waiters, slot: number) {
    this.waiters = waiters;
    this.slot = slot;
  }

  /** The sudog by which the wait has ended. */
  get winner(): Addr {
    return this.waiters.u32[(this.head + SUDOG_AT.winner) >>> 2] as Addr;
  }

  cancel(): boolean {
    return this.waiters.cancel(this);
  }

  abandon(): void {
    if (!this.waiters.cancel(this)) this.waiters.abandon(this);
  }

  claim(): boolean {
    return this.waiters.claim(this);
  }
}

/** The waits of this thread in one memory. */
export class Waiters {
  readonly mem: LinearMemory;
  readonly u32: Uint32Array;
  /** Number of this thread's M. */
  readonly m: number;
  /** All Waiters by slot. Slot 0 is not used. */
  private readonly table: (Waiter | null)[] = [null];
  private readonly freeSlots: Waiter[] = [];
  /** Free sudogs of this thread, linked by `waitlink`. */
  private free = 0;
  /** Sudogs of this thread, free or not. */
  private owned = 0;
  /** Whether other threads may use the memory. */
  connected: boolean;
  private readonly shared: number;
  private threads: Others | null;

  /** Use `waitersOf`. */
  constructor(mem: LinearMemory, threads: Others | null) {
    this.mem = mem;
    this.u32 = mem.u32;
    this.m = threads === null ? 0 : threads.m;
    this.connected = threads !== null;
    this.threads = threads;
    this.shared = sharedPart(mem);
  }

  /** Tells M0, which had no other threads when its goroutines first waited, how to reach them. Before they run. */
  connect(threads: Others): void {
    if (threads.m !== this.m) throw new TypeError(`threads: this thread is M ${this.m} (got ${threads.m})`);
    this.connected = true;
    this.threads = threads;
  }

  /** Whether another thread exists, whose goroutines may hold or want a lock at this moment. */
  get several(): boolean {
    return this.threads !== null && this.threads.count !== 1;
  }

  /** Address of the buckets of the semaphore table. */
  get semas(): number {
    return this.shared + WAITING.offsets.semas;
  }

  // ---- the goroutine's side

  /** Begins a wait of `g`. The caller adds sudogs to it, and then parks the goroutine. */
  begin(g: G, owner: WaitOwner, hold: unknown): Waiter {
    let w: Waiter;
    if (this.freeSlots.length > 0) {
      w = this.freeSlots.pop()!;
    } else {
      w = new Waiter(this, this.table.length);
      this.table.push(w);
    }
    w.g = g;
    w.owner = owner;
    w.hold = hold;
    g.shared = w;
    return w;
  }

  /** A sudog for one more queue of the wait. `isSelect`: there will be several. */
  add(w: Waiter, isSelect: boolean): Addr {
    const { u32 } = this;
    const { own } = w;
    if (own !== 0) {
      w.own = 0 as Addr;
      w.head = own;
      if (isSelect) u32[(own + SUDOG_AT.isSelect) >>> 2] = 1;
      return own;
    }
    const sg = this.acquire();
    const { head } = w;
    const i = sg >>> 2;
    u32[i + (SUDOG_AT.slot >>> 2)] = w.slot;
    u32[i + (SUDOG_AT.isSelect >>> 2)] = isSelect ? 1 : 0;
    u32[i + (SUDOG_AT.winner >>> 2)] = 0;
    u32[i + (SUDOG_AT.success >>> 2)] = 0;
    u32[i + (SUDOG_AT.closed >>> 2)] = 0;
    u32[i + (SUDOG_AT.queued >>> 2)] = 0;
    u32[i + (SUDOG_AT.ref >>> 2)] = 0;
    u32[i + (SUDOG_AT.lingers >>> 2)] = 0;
    if (head === 0) {
      w.head = sg;
      u32[i + (SUDOG_AT.head >>> 2)] = sg;
      u32[i + (SUDOG_AT.waitlink >>> 2)] = 0;
    } else {
      // Behind the head: the order of a wait's sudogs has no meaning.
      u32[i + (SUDOG_AT.head >>> 2)] = head;
      const link = (head + SUDOG_AT.waitlink) >>> 2;
      u32[i + (SUDOG_AT.waitlink >>> 2)] = u32[link];
      u32[link] = sg;
    }
    return sg;
  }

  /**
   * Ends a wait: no sudog of it stands in a queue. The Waiter keeps the head for its next wait. So a wait with one
   * sudog writes few words.
   */
  end(w: Waiter): void {
    const { u32 } = this;
    const g = w.g as G;
    const { head } = w;
    g.shared = null;
    if (head !== 0) {
      const i = head >>> 2;
      w.owner.freed?.(head);
      if (u32[i + (SUDOG_AT.isSelect >>> 2)] !== 0) {
        this.releaseFrom(w, u32[i + (SUDOG_AT.waitlink >>> 2)] as Addr, 0);
        u32[i + (SUDOG_AT.waitlink >>> 2)] = 0;
        u32[i + (SUDOG_AT.isSelect >>> 2)] = 0;
      }
      u32[i + (SUDOG_AT.winner >>> 2)] = 0;
      u32[i + (SUDOG_AT.success >>> 2)] = 0;
      w.own = head;
    }
    this.put(w);
  }

  /** Decides a select by none of its sudogs. Returns false if a partner has ended the wait. */
  claim(w: Waiter): boolean {
    return this.mem.kernel.cas(w.head + SUDOG_AT.winner, 0, GIVEN_UP) === 0;
  }

  /** Gives up a wait. Returns false if a partner has ended it: its sudog is on the way, or `g` is readied. */
  cancel(w: Waiter): boolean {
    const { u32 } = this;
    const { head } = w;
    if (head !== 0) {
      const winner = head + SUDOG_AT.winner;
      if (u32[(head + SUDOG_AT.isSelect) >>> 2] !== 0) this.mem.kernel.cas(winner, 0, GIVEN_UP);
      w.owner.unqueue(head);
      // A partner writes the word under a lock that `unqueue` has held, or by the CAS above.
      if (u32[winner >>> 2] > GIVEN_UP) return false;
    }
    this.end(w);
    return true;
  }

  /** Gives up a wait that `cancel` could not give up. */
  abandon(w: Waiter): void {
    const g = w.g as G;
    const { winner } = w;
    g.shared = null;
    w.g = null;
    this.releaseFrom(w, w.head, winner);
    if (w.delivered) this.dropUndelivered(w, winner);
  }

  /**
   * Whether `g`, which has to wait, may look for a moment at what it waits for. Another thread must have a processor of
   * its own to end the wait, and no other goroutine of this thread can run meanwhile.
   */
  mayLook(g: G): boolean {
    if (!this.several || !(this.threads!.cpus! > 1)) return false;
    const { p, globq } = g.sched;
    return p.runnext === null && p.runqLength === 0 && globq.size === 0;
  }

  /**
   * Whether `g`, which has to wait, lingers first. It does so only if a look pays (`mayLook`), nothing waits for a
   * safepoint, and its time slice is not over. While waits are timed for the block profile, none lingers.
   */
  mayLinger(g: G): boolean {
    if (!this.mayLook(g) || this.threads!.pending) return false;
    const { sched } = g;
    return !sched.blockProfileEnabled && !sched.shouldYield();
  }

  /** The goroutine of `sg` lingers before it parks. The caller holds the lock of the queue, and then calls `linger`. */
  beginLinger(sg: Addr): void {
    this.u32[(sg + SUDOG_AT.lingers) >>> 2] = LINGERS;
  }

  /**
   * Looks for a moment whether a partner ends the wait. Returns whether one has: then the goroutine goes on. Otherwise
   * it parks. The caller holds no lock.
   */
  linger(sg: Addr): boolean {
    const { kernel } = this.mem;
    const at = sg + SUDOG_AT.lingers;
    let ended = false;
    for (let i = LINGER_LOOKS; i > 0 && !ended; i--) ended = kernel.load(at) === ENDED;
    // A partner that comes later finds 0, and posts the sudog.
    ended ||= kernel.cas(at, LINGERS, 0) === ENDED;
    if (ended) this.u32[at >>> 2] = 0;
    return ended;
  }

  /** The goroutine was readied and must wait again, with the same single sudog. */
  again(w: Waiter): Addr {
    const { head } = w;
    w.delivered = false;
    this.u32[(head + SUDOG_AT.winner) >>> 2] = 0;
    this.u32[(head + SUDOG_AT.success) >>> 2] = 0;
    return head;
  }

  // ---- the partner's side

  /**
   * Ends the wait to which a sudog belongs. The caller holds the lock of the queue from which it has taken the sudog.
   * Returns false if the wait has ended otherwise: then the caller leaves the sudog alone.
   */
  win(sg: Addr): boolean {
    const { u32 } = this;
    const i = sg >>> 2;
    u32[i + (SUDOG_AT.queued >>> 2)] = 0;
    if (u32[i + (SUDOG_AT.isSelect >>> 2)] === 0) {
      // It is the head of its wait.
      u32[i + (SUDOG_AT.winner >>> 2)] = sg;
      return true;
    }
    return this.mem.kernel.cas(u32[i + (SUDOG_AT.head >>> 2)] + SUDOG_AT.winner, 0, sg) === 0;
  }

  /** Readies the goroutine of a sudog that `win` returned true for. The caller holds no lock. */
  ready(sg: Addr): void {
    const m = this.u32[(sg + SUDOG_AT.m) >>> 2];
    if (m === this.m) {
      this.deliver(sg);
      return;
    }
    const at = sg + SUDOG_AT.lingers;
    if (this.u32[at >>> 2] !== 0 && this.mem.kernel.cas(at, LINGERS, ENDED) === LINGERS) return;
    this.post(m, sg);
  }

  /** Readies the goroutine of a sudog that has won: one of this thread, or one that another thread has posted here. */
  deliver(sg: Addr): void {
    const { u32 } = this;
    const w = this.table[u32[(sg + SUDOG_AT.slot) >>> 2]] as Waiter;
    const { g } = w;
    if (g === null) {
      this.dropUndelivered(w, sg);
      return;
    }
    w.delivered = true;
    if (w.waits >= 0) g.sched.lockWaitOver(w);
    g.sched.ready(g);
  }

  private post(m: number, sg: Addr): void {
    if (this.threads !== null) this.threads.post(m, sg);
    else throwFatal("threads: a goroutine of another thread waits", `threads: post to M ${m} of one thread`);
  }

  private dropUndelivered(w: Waiter, sg: Addr): void {
    const { owner } = w;
    try {
      owner.undelivered(sg);
    } finally {
      owner.freed?.(sg);
      this.release(sg);
      this.put(w);
    }
  }

  // ---- pools

  private put(w: Waiter): void {
    const { hold } = w;
    w.g = null;
    w.head = 0 as Addr;
    if (hold !== null) {
      w.hold = null;
      w.owner.unheld?.(hold);
    }
    if (w.waits >= 0) {
      w.parkedAt = Number.NaN;
      w.waits = -1;
    }
    w.delivered = false;
    this.freeSlots.push(w);
  }

  /** Makes sure that the next `add` does not allocate: before a lock is taken. */
  reserve(): void {
    if (this.free === 0) this.refill();
  }

  private acquire(): Addr {
    if (this.free === 0) this.refill();
    const sg = this.free;
    this.free = this.u32[(sg + SUDOG_AT.waitlink) >>> 2];
    return sg as Addr;
  }

  private release(sg: Addr): void {
    this.u32[(sg + SUDOG_AT.waitlink) >>> 2] = this.free;
    this.free = sg;
  }

  /** Frees the sudogs of a wait from `sg` on, but one. */
  private releaseFrom(w: Waiter, sg: Addr, but: number): void {
    while (sg !== 0) {
      const next = this.u32[(sg + SUDOG_AT.waitlink) >>> 2] as Addr;
      if (sg !== but) {
        w.owner.freed?.(sg);
        this.release(sg);
      }
      sg = next;
    }
  }

  /** Takes free sudogs of threads that have ended, a batch at most, or new ones. */
  private refill(): void {
    const { mem, u32 } = this;
    lock(mem, this.shared + WAITING.offsets.lock);
    const list = (this.shared + WAITING.offsets.free) >>> 2;
    this.free = u32[list];
    let last = 0;
    let n = 0;
    for (let sg = this.free; sg !== 0 && n < BATCH; sg = u32[(sg + SUDOG_AT.waitlink) >>> 2], n++) {
      this.adopt(sg);
      last = sg;
    }
    if (last !== 0) {
      u32[list] = u32[(last + SUDOG_AT.waitlink) >>> 2];
      u32[(last + SUDOG_AT.waitlink) >>> 2] = 0;
    }
    unlock(mem, this.shared + WAITING.offsets.lock);
    if (this.free !== 0) return;
    const batch = mem.persistentAlloc(BATCH * SUDOG.size, LINE, "otherSys");
    if (batch === 0) outOfMemory(`threads: no memory left for sudogs (${BATCH * SUDOG.size} bytes)`);
    for (let i = BATCH - 1; i >= 0; i--) {
      const sg = (batch + i * SUDOG.size) as Addr;
      u32[(sg + SUDOG_AT.nodeKind) >>> 2] = NODE_READY;
      this.adopt(sg);
      this.release(sg);
    }
  }

  private adopt(sg: number): void {
    this.u32[(sg + SUDOG_AT.m) >>> 2] = this.m;
    this.owned++;
  }

  /** Sudogs of this thread. */
  stats(): { inUse: number; free: number } {
    let free = this.freeSlots.filter(({ own }) => own !== 0).length;
    for (let sg = this.free; sg !== 0; sg = this.u32[(sg + SUDOG_AT.waitlink) >>> 2]) free++;
    return { inUse: this.owned - free, free };
  }

  /** Gives the free sudogs to the other threads. The thread's goroutines have ended. */
  close(): void {
    const { mem, u32 } = this;
    for (const w of this.freeSlots) {
      if (w.own === 0) continue;
      this.release(w.own);
      w.own = 0 as Addr;
    }
    if (this.free === 0) return;
    let last = this.free;
    for (let sg = last; sg !== 0; sg = u32[(sg + SUDOG_AT.waitlink) >>> 2]) {
      last = sg;
      this.owned--;
    }
    lock(mem, this.shared + WAITING.offsets.lock);
    const list = (this.shared + WAITING.offsets.free) >>> 2;
    u32[(last + SUDOG_AT.waitlink) >>> 2] = u32[list];
    u32[list] = this.free;
    unlock(mem, this.shared + WAITING.offsets.lock);
    this.free = 0;
  }
}

const byMemory = new WeakMap<ArrayBufferLike, Waiters>();

/** The waits of this thread in `mem`. `threads`: all threads of the memory, if this thread knows others. */
export function waitersOf(mem: LinearMemory, threads: Others | null = null): Waiters {
  let w = byMemory.get(mem.buffer);
  if (w === undefined) {
    w = new Waiters(mem, threads);
    byMemory.set(mem.buffer, w);
  } else if (threads !== null) {
    w.connect(threads);
  }
  return w;
}

/** Address of the WAITING block. The first thread that needs it makes it. */
function sharedPart(mem: LinearMemory): number {
  return mem.makeRoot(ROOT_WAITING, () => {
    const made = mem.persistentAlloc(WAITING.size, SEMA_BUCKET_BYTES, "otherSys");
    if (made === 0) outOfMemory(`threads: no memory left for waiting goroutines (${WAITING.size} bytes)`);
    return made;
  });
}
