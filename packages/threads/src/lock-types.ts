/**
 * The types of locks in the heap, and the members of their Refs. A lock is a value of the heap, as an `int64` is: a
 * field of a struct, an element, or an object of its own. Its Ref, on any thread, has the methods.
 *
 *     const Counter = struct("Counter", { mu: mutex, n: int64 });
 *     const c = rt.newObject(Counter);
 *     yield* c.mu.lock();
 *
 * Names: types of the heap begin with a small letter (`int64`, `slice`, `mutex`). The classes of locks of one thread
 * begin with a capital (`Mutex`). So both can be imported side by side, and `newObject(mutex)` needs no function of its
 * own.
 *
 * The classes with the operations (mutex.ts and the others) know addresses only. This file finds the address of a Ref,
 * and checks that the Ref is live, at each operation.
 */
import type { Kernel } from "@gort/memory";
import type { Goroutine, NotAsync, Operation } from "@gort/scheduler";
import {
  checkFunction,
  checkGoroutineFunction,
  checkResult,
  currentScheduler,
  isBody,
  nothing,
} from "@gort/scheduler/internal";
import type { Locker } from "@gort/scheduler/sync";
import type { Ref } from "@gort/types";
import { OpaqueType } from "@gort/types/internal";
import { Conds, waitForCond } from "./cond.ts";
import { lockEnvOf } from "./lock-env.ts";
import { lockMutex, Mutexes } from "./mutex.ts";
import { lockRWMutex, RWMutexes } from "./rwmutex.ts";
import { WaitGroups, waitForGroup } from "./waitgroup.ts";

/** What `yield*` takes. */
type Yieldable<T> = { [Symbol.iterator](): Iterator<undefined, T, unknown> };

export interface MutexMembers extends Locker {
  /** Takes the lock when it is free. The fastest way is `m.tryLock() || (yield* m.lock())`. */
  lock(): Operation<void>;
  /** Takes the lock if it is free. */
  tryLock(): boolean;
  /** Frees the lock. Any goroutine of any thread may call it. Fatal if the lock is free. */
  unlock(): void;
}

/** `sync.Mutex` in the heap. */
export const mutex = /* @__PURE__ */ new OpaqueType<MutexMembers>("sync.Mutex", 8, 4, ({ heap, addrOf }) => {
  const mutexes = new Mutexes(lockEnvOf(heap));
  return {
    lock() {
      return lockMutex(mutexes, this, addrOf);
    },
    tryLock() {
      return mutexes.tryLock(addrOf(this));
    },
    unlock() {
      mutexes.unlock(addrOf(this), this.unlock);
    },
  };
});

export interface RWMutexMembers extends Locker {
  /** Takes the lock for writing. */
  lock(): Operation<void>;
  tryLock(): boolean;
  unlock(): void;
  /** Takes the lock for reading. Do not nest it: with a writer in between, both would wait for each other for ever. */
  rLock(): Operation<void>;
  tryRLock(): boolean;
  rUnlock(): void;
  /** A Locker whose lock and unlock are rLock and rUnlock. */
  rLocker(): Locker;
}

/** `sync.RWMutex` in the heap. */
export const rwMutex = /* @__PURE__ */ new OpaqueType<RWMutexMembers>(
  "sync.RWMutex",
  24,
  4,
  ({ heap, addrOf }) => {
    const rws = new RWMutexes(lockEnvOf(heap));
    return {
      lock() {
        return lockRWMutex(rws, this, addrOf, true);
      },
      tryLock() {
        return rws.tryLock(addrOf(this));
      },
      unlock() {
        rws.unlock(addrOf(this), this.unlock);
      },
      rLock() {
        return lockRWMutex(rws, this, addrOf, false);
      },
      tryRLock() {
        return rws.tryRLock(addrOf(this));
      },
      rUnlock() {
        rws.rUnlock(addrOf(this), this.rUnlock);
      },
      rLocker() {
        return { lock: () => this.rLock(), unlock: () => this.rUnlock() };
      },
    };
  },
);

export interface WaitGroupMembers {
  /** Adds `delta` to the counter. At 0 it wakes all waiters; below 0 it panics. */
  add(delta: number): void;
  done(): void;
  /**
   * Starts `f` in a goroutine of this thread, which counts until it ends. A task on another thread counts by itself:
   * call `add(1)` before `go(task, wg)`, and `wg.done()` at the end of the task.
   */
  go<A extends readonly unknown[], R = unknown>(f: (...args: A) => NotAsync<R>, ...args: A): Goroutine;
  /** Waits until the counter is 0. */
  wait(): Operation<void>;
}

/** `sync.WaitGroup` in the heap. */
export const waitGroup = /* @__PURE__ */ new OpaqueType<WaitGroupMembers>(
  "sync.WaitGroup",
  16,
  8,
  ({ heap, addrOf }) => {
    const groups = new WaitGroups(lockEnvOf(heap));
    return {
      add(delta) {
        groups.add(addrOf(this), delta);
      },
      done() {
        groups.add(addrOf(this), -1);
      },
      go(f, ...args) {
        // Check before add: for a function that cannot run, the counter would never return to 0.
        checkGoroutineFunction(f, "WaitGroup.go");
        groups.add(addrOf(this), 1);
        return currentScheduler().newproc(f, args, this.go, () => groups.add(addrOf(this), -1));
      },
      wait() {
        return waitForGroup(groups, this, addrOf);
      },
    };
  },
);

export interface OnceMembers {
  /**
   * The first call of `do`, of all threads, calls `f`; every call returns when this call of `f` has ended. A panic of
   * `f` counts as an end. `f` may be a generator function: `yield* once.do(function* () { ... })`.
   */
  do<R>(f: () => NotAsync<R>): Yieldable<void>;
}

/** `sync.Once` in the heap: a word that is 1 when the work is done, and a mutex. */
export const once = /* @__PURE__ */ new OpaqueType<OnceMembers>("sync.Once", 12, 4, ({ heap, addrOf }) => {
  const mutexes = new Mutexes(lockEnvOf(heap));
  const { kernel } = heap.mem;
  const members: OnceMembers = {
    do(f) {
      checkFunction("Once.do", f);
      return kernel.load(addrOf(this)) !== 0 ? nothing : doSlow(kernel, mutexes, () => addrOf(this), f);
    },
  };
  return members;
});

/** Offset of the mutex of a Once. */
const ONCE_MUTEX = 4;

function* doSlow(
  kernel: Kernel,
  mutexes: Mutexes,
  addr: () => number,
  f: () => unknown,
): Generator<undefined, void, unknown> {
  yield* lockMutex(mutexes, null, () => addr() + ONCE_MUTEX);
  try {
    if (kernel.load(addr()) !== 0) return;
    try {
      const r = f();
      if (isBody(r)) yield* r;
      else checkResult("Once.do", f, r);
    } finally {
      kernel.store(addr(), 1);
    }
  } finally {
    mutexes.unlock(addr() + ONCE_MUTEX, doSlow);
  }
}

export interface CondMembers {
  /**
   * Unlocks `l`, waits for signal or broadcast, and locks `l`. Test the condition in a loop, since another goroutine
   * may have changed it again.
   */
  wait(l: Locker): Yieldable<void>;
  /** Wakes the goroutine that has waited longest, if any. */
  signal(): void;
  /** Wakes all waiting goroutines. */
  broadcast(): void;
}

/** `sync.Cond` in the heap, without L. */
export const cond = /* @__PURE__ */ new OpaqueType<CondMembers>("sync.Cond", 56, 8, ({ heap, addrOf }) => {
  const conds = new Conds(lockEnvOf(heap));
  return {
    wait(l) {
      return waitForCond(conds, () => addrOf(this), l);
    },
    signal() {
      conds.wake(addrOf(this), false);
    },
    broadcast() {
      conds.wake(addrOf(this), true);
    },
  };
});

export type HeapMutex = Ref<typeof mutex>;
export type HeapRWMutex = Ref<typeof rwMutex>;
export type HeapWaitGroup = Ref<typeof waitGroup>;
export type HeapOnce = Ref<typeof once>;
export type HeapCond = Ref<typeof cond>;
