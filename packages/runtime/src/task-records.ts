/**
 * Tasks in linear memory: goroutines of tasks from their `go` to their end. A record lies in a queue of threads until a
 * thread takes it. Then it belongs to the goroutine, and says where those are to be told that wait for its end.
 *
 *     TASK    0  next     4  kind            a node of threads (runtime2.ts)
 *             8  fn                          number of the text that names the function (texts.ts)
 *            12  args                        block of the arguments, 0 once they are taken
 *            16  goid    24  parentGoid
 *            32  site                        number of the text of the place of the `go` call, 0: unknown
 *            36  program                     number of the program that has started it
 *            40  lock                        guards goid and waiters
 *            44  waiters                     WAITERs that nothing has told yet, linked by their first word
 *            48  free                        next free record
 *            52  labels                      block with names and values in turn, as `args`; 0: no labels
 *
 *     WAITER  0  next     4  kind   8  what  a node, which is posted to its M when the goroutine ends
 *            12  m       24  waitsFor        goid of that goroutine
 *
 * Records are never used for anything else. A free one and a WAITER have goid 0, and no two goroutines have one goid.
 * So a handle that keeps the address of a record and the goid can always tell whether the goroutine lives.
 *
 * Free records lie in lists of the threads, and in a list of the memory, which a thread takes and gives back by
 * batches.
 */
import { outOfMemory } from "@gort/base";
import type { Addr, LinearMemory } from "@gort/memory";
import { defineStruct, lock, unlock } from "@gort/memory/internal";

/** A cache line of its own: another thread writes the record next to it. */
const TASK = defineStruct("task", {
  next: "u32",
  kind: "u32",
  fn: "u32",
  args: "u32",
  goid: "f64",
  parentGoid: "f64",
  site: "u32",
  program: "u32",
  lock: "u32",
  waiters: "u32",
  free: "u32",
  labels: "u32",
  fill: "f64",
});
export const TASK_AT = TASK.offsets;
/** A WAITER lies in a record of the same pool. It leaves goid alone, which is 0. */
export const WAITER_AT = { what: TASK_AT.fn, m: TASK_AT.args, waitsFor: TASK_AT.parentGoid };

/** The list of free records of a memory. */
export const TASK_POOL = defineStruct("taskPool", {
  lock: "u32",
  free: "u32",
});
const POOL_AT = TASK_POOL.offsets;

/**
 * Records that a thread takes or gives back at once: 2 KiB. A thread that only makes tasks, or only runs them, takes
 * the lock once in so many.
 */
const BATCH = 32;

export class TaskPool {
  readonly #mem: LinearMemory;
  readonly #pool: number;
  #free = 0;
  #count = 0;

  /** @param pool address of the memory's TASK_POOL */
  constructor(mem: LinearMemory, pool: number) {
    this.#mem = mem;
    this.#pool = pool;
  }

  alloc(): Addr {
    if (this.#free === 0) this.#refill();
    const task = this.#free;
    this.#free = this.#mem.u32[(task + TASK_AT.free) >>> 2];
    this.#count--;
    return task as Addr;
  }

  free(task: number): void {
    this.#mem.u32[(task + TASK_AT.free) >>> 2] = this.#free;
    this.#free = task;
    if (++this.#count >= 2 * BATCH) this.#give(BATCH);
  }

  #refill(): void {
    const { u32 } = this.#mem;
    const head = (this.#pool + POOL_AT.free) >>> 2;
    lock(this.#mem, this.#pool + POOL_AT.lock);
    while (this.#count < BATCH && u32[head] !== 0) {
      const task = u32[head];
      u32[head] = u32[(task + TASK_AT.free) >>> 2];
      this.#push(task);
    }
    unlock(this.#mem, this.#pool + POOL_AT.lock);
    if (this.#count > 0) return;
    const made = this.#mem.persistentAlloc(BATCH * TASK.size, TASK.size, "otherSys");
    if (made === 0) outOfMemory(`runtime: no memory for ${BATCH} tasks`);
    for (let i = 0; i < BATCH; i++) this.#push(made + i * TASK.size);
  }

  #push(task: number): void {
    this.#mem.u32[(task + TASK_AT.free) >>> 2] = this.#free;
    this.#free = task;
    this.#count++;
  }

  /** Gives n records to the other threads. */
  #give(n: number): void {
    const { u32 } = this.#mem;
    const head = (this.#pool + POOL_AT.free) >>> 2;
    lock(this.#mem, this.#pool + POOL_AT.lock);
    for (; n > 0; n--) {
      const task = this.#free;
      this.#free = u32[(task + TASK_AT.free) >>> 2];
      this.#count--;
      u32[(task + TASK_AT.free) >>> 2] = u32[head];
      u32[head] = task;
    }
    unlock(this.#mem, this.#pool + POOL_AT.lock);
  }

  /** This thread ends. */
  close(): void {
    this.#give(this.#count);
  }
}
