/**
 * The collector's state that all threads share, in one block of the linear memory.
 *
 *     ROOT_GC -> COLLECTOR   cycle     CYCLE         the running cycle, and whether one is wanted
 *                            pacer     PACER         the settings, and what the last cycles have shown
 *                            assist    ASSIST        what the background has marked ahead of the assists
 *                            sweep     SWEEP         the running sweep
 *                            roots     ROOTS         globals, and how far the scan of the roots has come
 *                            mark      -> MARK       marking (mark-state.ts)
 *                            threads   -> GCTHREAD   one for each thread (gc-threads.ts)
 *                            refBlocks -> blocks     root slots outside of the heap (ref-table.ts)
 *                            finBlocks -> blocks     entries of finalizers, cleanups and weak cells (mfinal.ts)
 *                            anyFinalizer            whether spans are searched for finalizers (mark-roots.ts)
 *     ROOT_GCSTATS -> GCSTATS                        figures that outlive a cycle (gc-stats.ts)
 *     GCCONTROL, of the allocator                    phase, write barrier, heapLive, trigger, goal, sweepgen
 *
 * The thread that makes the collector makes the block: the first constructor that needs it does. It is the *driver*: it
 * begins and ends every cycle. A thread that attaches later finds the block.
 *
 * ## Who may touch what
 * Every thread may read every word at any time. Words that belong together are consistent only while the world is
 * stopped. These threads write:
 *
 *     word                                    writer
 *     CYCLE, PACER                            the driver in a stop. Besides: any thread that sets the percentage, the
 *                                             limit, or (commit) the goal and the trigger. Two such writes at the same
 *                                             time leave one of the two results
 *     CYCLE.requested, asked, dead            any thread
 *     ASSIST                                  a thread that holds its lock
 *     SWEEP                                   the driver in a stop; drained, pending and ended: any thread, atomically
 *     ROOTS: globals                          a thread that holds COLLECTOR.lock
 *     ROOTS: cursors, sums                    the driver in a stop, then any thread, atomically
 *     lists of threads and blocks             any thread puts an entry at the head by CAS; no entry leaves
 *     weak cells                              a thread that holds COLLECTOR.lock; the sweep that clears one
 *     GCCONTROL: phase, barrier, sweepgen     the driver in a stop
 *     GCCONTROL: heapLive, pagesSwept         any thread, by an atomic addition in a heap that threads share
 *     GCSTATS                                 see gc-stats.ts
 *     GCTHREAD, GCWORK                        their thread; fields for other threads are named there
 *
 * A heap that one thread has alone takes no lock and needs no atomic operation for these words.
 *
 * `start`, `markStart` and `lastEnd` are times of the clock of the driver (`Clock.nanotime`). The facade gives all
 * threads clocks with the same origin.
 *
 * ## What is not here
 * - JavaScript values cannot lie in linear memory: callbacks, the world, functions of finalizers, errors, stacks as
 *   text, the records of allocfreetrace.
 * - These figures belong to one thread: the re-entrancy guard, notes of a sweep for its own thread, the length of a
 *   batch and the time of the next slice (mark-slices.ts), the watch for safepoints, the marking kernel of the thread.
 * - The debug switches are options of each thread's collector. What other threads need of them is here (`clobberfree`)
 *   and in MARK (`invalidptr`).
 */
import type { LinearMemory } from "@gort/memory";
import { defineStruct, lock, ROOT_GC, unlock } from "@gort/memory/internal";
import {
  ASSIST,
  AssistState,
  CYCLE,
  CycleState,
  PACER,
  PacerState,
  ROOTS,
  RootsState,
  SWEEP,
  SweepState,
} from "./state-views.ts";

/** One block a memory, found through ROOT_GC. */
const COLLECTOR = defineStruct("collector", {
  cycle: CYCLE,
  pacer: PACER,
  assist: ASSIST,
  sweep: SWEEP,
  roots: ROOTS,
  mark: "u32",
  /** The driver's GCTHREAD, and the head of the list of all of them. */
  driver: "u32",
  threads: "u32",
  /** The last number given to a thread's collector, and to a function of the finalizers. */
  lastThread: "u32",
  lastFn: "u32",
  refBlocks: "u32",
  finBlocks: "u32",
  /** 1: a finalizer was set. Any thread stores 1; it never becomes 0 again. */
  anyFinalizer: "u32",
  /** See above. */
  lock: "u32",
});
const COLLECTOR_AT = COLLECTOR.offsets;

/** Returns the block that another thread has made, or makes it. */
function collectorBlock(mem: LinearMemory): number {
  const found = mem.root(ROOT_GC);
  if (found !== 0) return found;
  const block = mem.reserveControl(COLLECTOR.size);
  mem.setRoot(ROOT_GC, block);
  return block;
}

/** Parts of the state that have a block of their own. */
export type StateBlock = "mark" | "driver";

/** Address of such a block: another thread has made it, or `make` returns it. */
export function stateBlock(mem: LinearMemory, name: StateBlock, make: () => number): number {
  const at = (collectorBlock(mem) + COLLECTOR_AT[name]) >>> 2;
  const found = mem.u32[at];
  if (found !== 0) return found;
  const made = make();
  mem.u32[at] = made;
  return made;
}

/** Words of the block that the parts of the collector use by address. */
export type StateWord = "threads" | "lastThread" | "lastFn" | "refBlocks" | "finBlocks" | "anyFinalizer";

/** Address of such a word. */
export function stateWord(mem: LinearMemory, name: StateWord): number {
  return collectorBlock(mem) + COLLECTOR_AT[name];
}

/** Puts an entry, whose first word links it, at the head of a list that starts at a word. Any thread may do so. */
export function pushEntry(mem: LinearMemory, word: number, entry: number): void {
  const { kernel, u32 } = mem;
  for (;;) {
    const head = kernel.load(word);
    u32[entry >>> 2] = head;
    if (kernel.cas(word, head, entry) === head) return;
  }
}

/** Runs f while this thread holds COLLECTOR.lock. */
export function withStateLock<R>(mem: LinearMemory, f: () => R): R {
  const addr = collectorBlock(mem) + COLLECTOR_AT.lock;
  lock(mem, addr);
  try {
    return f();
  } finally {
    unlock(mem, addr);
  }
}

/** The state of the collector of a memory, as one thread sees it. */
export class GCState {
  readonly cycle: CycleState;
  readonly pacer: PacerState;
  readonly assist: AssistState;
  readonly sweep: SweepState;
  readonly roots: RootsState;
  /** Address of CYCLE. */
  readonly cycleBase: number;

  /** Finds the state that another thread has made, or makes it. */
  constructor(mem: LinearMemory) {
    const block = collectorBlock(mem);
    this.cycleBase = block + COLLECTOR_AT.cycle;
    this.cycle = new CycleState(mem, block + COLLECTOR_AT.cycle);
    this.pacer = new PacerState(mem, block + COLLECTOR_AT.pacer);
    this.assist = new AssistState(mem, block + COLLECTOR_AT.assist);
    this.sweep = new SweepState(mem, block + COLLECTOR_AT.sweep);
    this.roots = new RootsState(mem, block + COLLECTOR_AT.roots);
  }

  /**
   * The state of a new collector. If another collector has worked on the memory, the new one takes nothing over from
   * it: neither its running cycle nor its globals, ref slots and queued finalizers.
   */
  static create(mem: LinearMemory): GCState {
    const block = collectorBlock(mem);
    mem.u32.fill(0, block >>> 2, (block + COLLECTOR.size) >>> 2);
    return new GCState(mem);
  }

  /** The state of the collector that works on the memory, or null if there is none. */
  static attach(mem: LinearMemory): GCState | null {
    return mem.root(ROOT_GC) === 0 ? null : new GCState(mem);
  }
}
