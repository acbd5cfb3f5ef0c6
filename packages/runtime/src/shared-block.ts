/**
 * What the facade shares between the threads of a runtime, in linear memory. Threads find it through ROOT_RUNTIME. It
 * is made when the runtime first needs a second thread.
 *
 *     ROOT_RUNTIME -> RUNTIME   goidBase    goroutines of the threads have greater numbers
 *                               texts       the list of texts (texts.ts)
 *                               program     number of the running program: tasks of earlier ones are dropped
 *                               queued      tasks that no thread has taken yet
 *                               maxThreads  the limit of debug.setMaxThreads
 *                               pool        free records of tasks (task-records.ts)
 *                               settings    settings that all threads have (process-settings.ts)
 *                               keepsPages  1: M 0 cannot return pages to the operating system
 *                               starts[8]   bit m: another thread wants M 0 to start M m
 *                               ms[m] -> CALLS   one for each M that has been registered
 *
 *     CALLS   0   next  kind  what      a node (runtime2.ts of threads): one post of it means any number of calls
 *             12  pending               1: the node is in the M's inbox, or on its way there
 *             16  calls                 bits of the calls that the M has not served yet
 *             20  host                  HOST_ bits, written by the M's own thread
 *             24  ended                 program: the goroutines of all programs before it have ended on this M; or GONE
 *             28  reply                 what the M has answered to a command (commands.ts); 0: nothing
 *             32  collector             id of the M's collector; 0 on M 0, and until it has attached
 *
 * A call is a bit. The caller sets the bit, then posts the node unless it is pending. The M clears `pending`, then
 * takes all bits. So a call that comes between these two posts the node again, and none is lost.
 */
import type { Addr, LinearMemory } from "@gort/memory";
import { defineStruct, ROOT_RUNTIME, u32s } from "@gort/memory/internal";
import type { Threads } from "@gort/threads";
import { NODE_CALL, NODE_KIND } from "@gort/threads/internal";
import { SETTINGS } from "./process-settings.ts";
import { TASK_POOL } from "./task-records.ts";

const MAX_MS = 256;

const RUNTIME = defineStruct("runtime", {
  goidBase: "f64",
  texts: "u32",
  program: "u32",
  queued: "u32",
  maxThreads: "u32",
  keepsPages: "u32",
  pool: TASK_POOL,
  settings: SETTINGS,
  starts: u32s(MAX_MS / 32),
  ms: u32s(MAX_MS),
});
const RUNTIME_AT = RUNTIME.offsets;

const CALLS = defineStruct("calls", {
  next: "u32",
  kind: "u32",
  /** WHAT_CALLS: tells it from other nodes of the kind. */
  what: "u32",
  pending: "u32",
  calls: "u32",
  host: "u32",
  ended: "u32",
  reply: "u32",
  collector: "u32",
});
const CALLS_AT = CALLS.offsets;

/** Offset of the word of a NODE_CALL that says which part of the facade it is for. */
export const NODE_WHAT = CALLS_AT.what;
export const WHAT_CALLS = 1;
/** A goroutine has ended for which this M waits (tasks.ts). */
export const WHAT_ENDED = 2;

/** To M 0: start the Ms of `starts`. */
export const CALL_START = 1;
/** To M 0: nothing is left that could wake a goroutine of a worker. */
export const CALL_HOST = 2;
/** To a worker: its runtime is closed. */
export const CALL_CLOSE = 4;
/** To a worker: the program has ended. */
export const CALL_END = 8;
/** The collector of another thread has something for this one. */
export const CALL_GC = 16;

/** To M 0: return pages to the operating system. */
export const CALL_SCAVENGE = 32;

/** The M's event loop may hold handles of the host. It is set when the M falls asleep, and cleared once the M knows. */
export const HOST_HANDLES = 1;
/** A goroutine of the M sleeps or waits for a promise, or host code awaits an op. */
export const HOST_HOPES = 2;

/** In `ended`: the thread of the M has ended. */
const GONE = -1;

export class SharedBlock {
  readonly #mem: LinearMemory;
  readonly #base: number;

  constructor(mem: LinearMemory) {
    this.#mem = mem;
    this.#base = mem.makeRoot(ROOT_RUNTIME, () => newBlock(mem));
  }

  // ---- goroutine numbers

  get goidBase(): number {
    return this.#mem.f64[(this.#base + RUNTIME_AT.goidBase) >>> 3];
  }

  set goidBase(goid: number) {
    this.#mem.f64[(this.#base + RUNTIME_AT.goidBase) >>> 3] = goid;
  }

  get maxThreads(): number {
    return this.#mem.u32[(this.#base + RUNTIME_AT.maxThreads) >>> 2];
  }

  set maxThreads(n: number) {
    this.#mem.u32[(this.#base + RUNTIME_AT.maxThreads) >>> 2] = Math.max(0, n);
  }

  /** Whether M 0 has found that it cannot return pages to the operating system: then no thread asks it again. */
  get keepsPages(): boolean {
    return this.#mem.u32[(this.#base + RUNTIME_AT.keepsPages) >>> 2] !== 0;
  }

  setKeepsPages(): void {
    this.#mem.u32[(this.#base + RUNTIME_AT.keepsPages) >>> 2] = 1;
  }

  // ---- tasks

  /** Address of the list of texts, and of the pool of tasks. */
  get texts(): number {
    return this.#base + RUNTIME_AT.texts;
  }

  get pool(): number {
    return this.#base + RUNTIME_AT.pool;
  }

  /** Address of the settings. */
  get settings(): number {
    return this.#base + RUNTIME_AT.settings;
  }

  get program(): number {
    return this.#mem.kernel.load(this.#base + RUNTIME_AT.program);
  }

  nextProgram(): void {
    this.#mem.kernel.add(this.#base + RUNTIME_AT.program, 1);
  }

  get queued(): number {
    return this.#mem.kernel.load(this.#base + RUNTIME_AT.queued);
  }

  addQueued(n: number): void {
    this.#mem.kernel.add(this.#base + RUNTIME_AT.queued, n);
  }

  // ---- starts

  wantStart(m: number): void {
    this.#mem.kernel.or(this.#base + RUNTIME_AT.starts + 4 * (m >>> 5), 1 << (m & 31));
  }

  /** Calls `start` with each M that another thread wants to start. */
  takeStarts(start: (m: number) => void): void {
    for (let k = 0; k < MAX_MS / 32; k++) {
      let bits = this.#mem.kernel.xchg(this.#base + RUNTIME_AT.starts + 4 * k, 0);
      for (; bits !== 0; bits &= bits - 1) start(32 * k + 31 - Math.clz32(bits & -bits));
    }
  }

  // ---- calls

  /**
   * Makes the record of M m, or clears that of an M of the same index that has ended. On the thread that registers m.
   */
  addM(m: number): void {
    const { u32 } = this.#mem;
    let at = this.#calls(m);
    if (at === 0) {
      at = this.#mem.persistentAlloc(CALLS.size, 8, "otherSys");
      if (at === 0) throw new RangeError(`runtime: no memory for M ${m}`);
      u32[(this.#base + RUNTIME_AT.ms + 4 * m) >>> 2] = at;
    }
    u32.fill(0, at >>> 2, (at + CALLS.size) >>> 2);
    u32[(at + NODE_KIND) >>> 2] = NODE_CALL;
    u32[(at + NODE_WHAT) >>> 2] = WHAT_CALLS;
    this.setEnded(m);
  }

  #calls(m: number): number {
    return this.#mem.u32[(this.#base + RUNTIME_AT.ms + 4 * m) >>> 2];
  }

  /** Calls M m, from any thread. */
  call(threads: Threads, m: number, call: number): void {
    const { kernel } = this.#mem;
    const at = this.#calls(m);
    kernel.or(at + CALLS_AT.calls, call);
    if (kernel.cas(at + CALLS_AT.pending, 0, 1) === 0) threads.post(m, at as Addr);
  }

  /** This thread, M m, has got its node: returns the bits of the calls. */
  take(m: number): number {
    const { kernel } = this.#mem;
    const at = this.#calls(m);
    kernel.store(at + CALLS_AT.pending, 0);
    return kernel.xchg(at + CALLS_AT.calls, 0);
  }

  /** M m has ended the goroutines of programs before the current one, or it has not run any. */
  setEnded(m: number): void {
    this.#mem.kernel.store(this.#calls(m) + CALLS_AT.ended, this.program);
  }

  /** The thread of M m has ended. */
  setGone(m: number): void {
    this.#mem.kernel.store(this.#calls(m) + CALLS_AT.ended, GONE);
  }

  /** Ms that still run a goroutine of an ended program. */
  get late(): number {
    let n = 0;
    for (let m = 1; m < MAX_MS; m++) if (this.#calls(m) !== 0 && !this.hasEnded(m)) n++;
    return n;
  }

  /** Visits the Ms that live and run no goroutine of an ended program. */
  forEachCurrent(visit: (m: number) => void): void {
    for (let m = 0; m < MAX_MS; m++) if (this.#calls(m) !== 0 && this.programOf(m) === this.program) visit(m);
  }

  /** The number of the program whose goroutines M m runs. The current program may be a later one. */
  programOf(m: number): number {
    return this.#mem.kernel.load(this.#calls(m) + CALLS_AT.ended);
  }

  /** Whether M m runs no goroutine of an ended program. */
  hasEnded(m: number): boolean {
    const ended = this.programOf(m);
    return ended === GONE || ended === this.program;
  }

  collector(m: number): number {
    return this.#mem.u32[(this.#calls(m) + CALLS_AT.collector) >>> 2];
  }

  setCollector(m: number, id: number): void {
    this.#mem.u32[(this.#calls(m) + CALLS_AT.collector) >>> 2] = id;
  }

  // ---- replies to commands

  setReply(m: number, reply: number): void {
    this.#mem.u32[(this.#calls(m) + CALLS_AT.reply) >>> 2] = reply;
  }

  /** Calls `take` with each reply, in the order of the Ms. */
  takeReplies(take: (reply: number) => void): void {
    const { u32 } = this.#mem;
    for (let m = 0; m < MAX_MS; m++) {
      const at = this.#calls(m);
      const reply = at === 0 ? 0 : u32[(at + CALLS_AT.reply) >>> 2];
      if (reply === 0) continue;
      u32[(at + CALLS_AT.reply) >>> 2] = 0;
      take(reply);
    }
  }

  // ---- the host's side of each M

  host(m: number): number {
    return this.#mem.kernel.load(this.#calls(m) + CALLS_AT.host);
  }

  setHost(m: number, bits: number): void {
    this.#mem.kernel.or(this.#calls(m) + CALLS_AT.host, bits);
  }

  clearHost(m: number, bits: number): void {
    this.#mem.kernel.and(this.#calls(m) + CALLS_AT.host, ~bits);
  }

  /** The bits of all Ms but M m. */
  hostOfOthers(m: number): number {
    let bits = 0;
    for (let k = 0; k < MAX_MS; k++) if (k !== m && this.#calls(k) !== 0) bits |= this.host(k);
    return bits;
  }
}

function newBlock(mem: LinearMemory): number {
  const base = mem.persistentAlloc(RUNTIME.size, 64, "otherSys");
  if (base === 0) throw new RangeError("runtime: no memory for the threads' shared block");
  return base;
}

/** Tasks that no thread has taken, for a reader of statistics. 0 while the runtime has one thread. */
export function queuedTasks(mem: LinearMemory): number {
  const base = mem.root(ROOT_RUNTIME);
  return base === 0 ? 0 : mem.u32[(base + RUNTIME_AT.queued) >>> 2];
}
