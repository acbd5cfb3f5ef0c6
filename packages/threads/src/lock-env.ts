/** What the locks of one heap share on one thread: the memory, the waits, the semaphore table and the profiles. */
import type { Addr, Kernel } from "@gort/memory";
import { type AnyOp, type G, gopark, m0, type Schedt } from "@gort/scheduler/internal";
import type { Heap, RefSlot } from "@gort/types";
import { SemaTable } from "./sema.ts";
import { SUDOG_AT, type Waiter, type Waiters, type WaitOwner, waitersOf } from "./sudog.ts";

/**
 * Loads of a lock's word before a goroutine waits, if another thread may release the lock soon. A load takes 3 to 4 ns.
 * To wake a goroutine of another thread takes more than this loop: microseconds, or 50 us if its thread sleeps.
 */
const SPINS = 500;

/** A function whose caller the mutex profile charges. */
export type Above = (...args: never[]) => void;

export class LockEnv {
  readonly heap: Heap;
  readonly kernel: Kernel;
  readonly u32: Uint32Array;
  readonly waiters: Waiters;
  readonly semas: SemaTable;
  /** The scheduler of the goroutine of this thread that waited last: host code may release a lock. */
  private lastSched: Schedt | null = null;

  constructor(heap: Heap, waiters: Waiters) {
    this.heap = heap;
    this.waiters = waiters;
    this.kernel = waiters.mem.kernel;
    this.u32 = waiters.mem.u32;
    this.semas = new SemaTable(waiters);
  }

  /**
   * A sudog for a wait of `g` for the lock at `addr`, in one of the lock's queues. If the goroutine was readied and
   * must wait once more, it is the sudog of the wait before.
   */
  sudog(g: G, owner: WaitOwner, addr: number, queue: number): Addr {
    const { waiters, u32 } = this;
    const old = g.shared as Waiter | null;
    let sg: Addr;
    if (old !== null) {
      sg = waiters.again(old);
    } else {
      // Both may need memory. Without it, no wait has begun.
      waiters.reserve();
      // The lock lives while a goroutine waits for it, even if the program has released all handles of it.
      const ref = this.heap.newRef(addr as Addr);
      sg = waiters.add(waiters.begin(g, owner, null), false);
      u32[(sg + SUDOG_AT.elem) >>> 2] = addr;
      u32[(sg + SUDOG_AT.lockRef) >>> 2] = ref;
    }
    u32[(sg + SUDOG_AT.queue) >>> 2] = queue;
    return sg;
  }

  /** Parks `g`, whose sudog is queued since `now`. `timed`: it waits for a lock, which metrics and profiles count. */
  park(g: G, op: AnyOp, reason: number, now: number, timed: boolean): void {
    const { sched } = g;
    this.lastSched = sched;
    if (timed) {
      const w = g.shared as Waiter;
      w.parkedAt = now;
      w.waits = sched.lockWaits.begin(now);
    }
    gopark(g, op, reason);
  }

  /** The time at which a wait for a lock begins, as the mutex profile has it: -1 while it is off. */
  acquiretime(g: G, now: number): number {
    return g.sched.mutexProfileEnabled ? now : -1;
  }

  /** The time at which a lock is released, for `SemaTable.charge`: -1 while the mutex profile is off. */
  releasetime(): number {
    const sched = m0.curg === null ? this.lastSched : m0.curg.sched;
    return sched?.mutexProfileEnabled ? sched.clock.now() : -1;
  }

  /**
   * Charges the caller of `above`, whose name in Go is `unlock`, with the `ms` for which goroutines have waited. -1: no
   * timed goroutine has waited.
   */
  charged(ms: number, unlock: string, above: Above): void {
    if (ms < 0) return;
    const sched = m0.curg === null ? this.lastSched : m0.curg.sched;
    sched?.hooks.mutexEvent?.(ms * 1e6, unlock, above);
  }

  /**
   * Waits a little in a loop while the bits `held` are set in a lock's word, and none of `stop`. It does so only if a
   * look pays (Waiters.mayLook).
   */
  spin(g: G, addr: number, held: number, stop: number): void {
    if (!this.waiters.mayLook(g)) return;
    const { kernel } = this;
    for (let i = 0; i < SPINS; i++) {
      const s = kernel.load(addr);
      if ((s & held) === 0 || (s & stop) !== 0) return;
    }
  }
}

/** Locks of one kind in one heap, as owners of waits. */
export abstract class Locks implements WaitOwner {
  protected readonly env: LockEnv;
  protected readonly kernel: Kernel;

  constructor(env: LockEnv) {
    this.env = env;
    this.kernel = env.kernel;
  }

  abstract unqueue(sg: Addr): void;
  abstract undelivered(sg: Addr): void;

  freed(sg: Addr): void {
    this.env.heap.releaseRef(this.env.u32[(sg + SUDOG_AT.lockRef) >>> 2] as RefSlot);
  }
}

const envs = new WeakMap<Heap, LockEnv>();

/** The locks of a heap, on this thread. */
export function lockEnvOf(heap: Heap): LockEnv {
  let env = envs.get(heap);
  if (env === undefined) envs.set(heap, (env = new LockEnv(heap, waitersOf(heap.mem))));
  return env;
}
