/**
 * The threads of a memory: a table of 511 entries in the control block. A lock word names its holder by the number of
 * an entry, so a waiting thread can tell whether the holder still lives.
 *
 *     entry k    0  generation << 2 | state    4  the operating system's number of the thread; 0: unknown
 *
 *     free, ended -> registered   registerThread: a thread draws a number for a worker that it will start
 *     free, ended -> live         a thread attaches without a registered number
 *     registered -> live          a thread attaches with the number that was drawn for it
 *     registered, live -> ended   threadExited, called by a thread that learns of the end (a Worker's "exit" event);
 *                                 or the thread itself closes its last allocator or calls leave
 *     ended -> live               the same thread comes back, if no other thread has drawn its entry meanwhile;
 *                                 or a thread without a number draws one for a lock
 *
 * The number of a thread is generation << 9 | k. Each draw of an ended entry begins a new generation, so a number means
 * one thread for 2^21 lives of its entry. A late report of an end, or the remembered owner of an mcache, names a thread
 * that has ended. It never names the thread that has the entry after it.
 *
 * Linux needs no report: a live thread whose number is missing from /proc/self/task has ended. This works on a thread
 * that waits for a lock, which cannot run its event loop and so receives no report. It also frees the entries of
 * threads whose end was never reported, once all other entries are taken.
 */
import type { Kernel } from "./kernel.ts";
import { CONTROL, CONTROL_BASE, MAX_THREADS } from "./layout.ts";

/** The part of a LinearMemory that holds the table. */
interface ThreadMemory {
  readonly kernel: Kernel;
  readonly u32: Uint32Array;
}

const FREE = 0;
const REGISTERED = 1;
const LIVE = 2;
const ENDED = 3;

const TABLE = CONTROL_BASE + CONTROL.offsets.threads;
const CURSOR = CONTROL_BASE + CONTROL.offsets.threadCursor;

/** log2 of MAX_THREADS: the low bits of a number are the entry. */
const ENTRY_BITS = 9;
/** A lock word is a number shifted by one. It stays a positive integer of 31 bits, which V8 keeps unboxed. */
const GENERATIONS = 1 << 21;

interface Fs {
  readlinkSync(path: string): string;
  existsSync(path: string): boolean;
}

let fs: Fs | null | undefined;

function linuxFs(): Fs | null {
  if (fs === undefined) {
    const { process } = globalThis;
    fs = process?.platform === "linux" ? (process.getBuiltinModule?.("node:fs") ?? null) : null;
  }
  return fs;
}

let ownTask: number | undefined;

/** The operating system's number of this thread; 0 where there is no /proc. */
function osThread(): number {
  if (ownTask === undefined) {
    try {
      ownTask = Number(linuxFs()?.readlinkSync("/proc/thread-self").split("/").at(-1)) || 0;
    } catch {
      ownTask = 0;
    }
  }
  return ownTask;
}

const entryOf = (thread: number): number => TABLE + 8 * (thread & (MAX_THREADS - 1));
const stateOf = (thread: number, state: number): number => ((thread >>> ENTRY_BITS) << 2) | state;

/** Whether the operating system says that the entry's thread has ended. */
function taskGone(u32: Uint32Array, entry: number): boolean {
  const task = u32[(entry + 4) >>> 2];
  return task !== 0 && linuxFs()?.existsSync(`/proc/self/task/${task}`) === false;
}

/**
 * Draws a number and puts its entry into `state`. It takes an unused entry, else an ended entry, else an entry whose
 * thread has ended without a report.
 */
function draw(kernel: Kernel, u32: Uint32Array, state: number, task: number): number {
  for (const from of [FREE, ENDED, LIVE]) {
    for (let n = 1; n < MAX_THREADS; n++) {
      const k = 1 + ((kernel.add(CURSOR, 1) >>> 0) % (MAX_THREADS - 1));
      const entry = entryOf(k);
      const old = kernel.load(entry);
      if ((old & 3) !== from || (from === LIVE && !taskGone(u32, entry))) continue;
      const generation = from === FREE ? 0 : ((old >>> 2) + 1) % GENERATIONS;
      // Registered first, also for a live entry: a live entry must not name the task of the previous thread.
      if (kernel.cas(entry, old, (generation << 2) | REGISTERED) !== old) continue;
      u32[(entry + 4) >>> 2] = task;
      kernel.store(entry, (generation << 2) | state);
      return (generation << ENTRY_BITS) | k;
    }
  }
  throw new RangeError(
    `memory: more than ${MAX_THREADS - 1} threads are attached: threadExited frees their numbers`,
  );
}

/** Makes the entry ENDED, unless it already is, or belongs to another thread meanwhile. */
function end(kernel: Kernel, thread: number): void {
  for (const state of [LIVE, REGISTERED]) {
    const old = stateOf(thread, state);
    if (kernel.cas(entryOf(thread), old, stateOf(thread, ENDED)) === old) return;
  }
}

/** This thread as a member of a memory: one object per thread and memory, however often the thread attaches. */
export class Member {
  /** Its number, 0 while it has none. */
  thread = 0;
  /** The word that a lock of this thread holds; 0: the thread must draw a number first. */
  lockWord = 0;
  /** The last number it had. */
  private last = 0;
  /** The last number that it drew for a lock. */
  private lent = 0;
  /** Allocators on this thread. */
  private users = 0;
  /** Locks that it holds by a number drawn for them. */
  private borrowed = 0;
  private readonly kernel: Kernel;
  private readonly u32: Uint32Array;

  constructor(kernel: Kernel, u32: Uint32Array) {
    this.kernel = kernel;
    this.u32 = u32;
  }

  /** Takes a number, unless it has one: `wanted`, the number registered for this thread, or 0 for any number. */
  enter(wanted: number): void {
    if (this.lockWord !== 0 && this.current()) return;
    this.thread = this.borrowed > 0 ? this.thread : this.draw(wanted);
    this.lockWord = this.thread << 1;
    this.borrowed = 0;
  }

  /** Whether the number still belongs to this thread: false after a report that the thread has ended. */
  private current(): boolean {
    return this.kernel.load(entryOf(this.thread)) === stateOf(this.thread, LIVE);
  }

  private draw(wanted: number): number {
    const { kernel, u32, last } = this;
    const task = osThread();
    if (wanted !== 0) {
      const old = stateOf(wanted, REGISTERED);
      if (!isThread(wanted) || kernel.cas(entryOf(wanted), old, stateOf(wanted, LIVE)) !== old) {
        throw new RangeError(`memory: thread must be an unused number from registerThread (got ${wanted})`);
      }
      u32[(entryOf(wanted) + 4) >>> 2] = task;
      return (this.last = wanted);
    }
    // Its last number if it is still free: other threads know this thread by it.
    if (last !== 0) {
      const old = stateOf(last, ENDED);
      if (kernel.cas(entryOf(last), old, stateOf(last, LIVE)) === old) return last;
    }
    return (this.last = draw(kernel, u32, LIVE, task));
  }

  /** Called when an allocator begins to work on this thread. */
  join(): void {
    this.enter(0);
    this.users++;
  }

  /** Called when an allocator closes. The last allocator gives the number back. */
  part(): void {
    this.users--;
    this.leave();
  }

  /** Gives the number back, unless an allocator uses it. */
  leave(): void {
    if (this.users > 0 || this.lockWord === 0) return;
    this.lockWord = 0;
    this.giveBack();
  }

  private giveBack(): void {
    end(this.kernel, this.thread);
    this.thread = 0;
  }

  /** For a thread without a number: draws a number for a lock, and returns the word of that lock. */
  borrow(): number {
    if (this.borrowed === 0) this.thread = this.lent = this.drawLent();
    this.borrowed++;
    return this.thread << 1;
  }

  /**
   * A number that no earlier loan had, for 2^21 loans of its entry (ABA). So a waiting thread that sees a dead holder's
   * number in a lock may conclude that the lock has stayed with that holder. The entry is that of the last loan, if it
   * is still free.
   */
  private drawLent(): number {
    const { kernel, lent } = this;
    if (lent !== 0) {
      const next = ((lent >>> ENTRY_BITS) + 1) % GENERATIONS;
      const old = stateOf(lent, ENDED);
      if (kernel.cas(entryOf(lent), old, (next << 2) | LIVE) === old) {
        return (next << ENTRY_BITS) | (lent & (MAX_THREADS - 1));
      }
    }
    return draw(kernel, this.u32, LIVE, osThread());
  }

  /** Ends the use of a borrowed number by one lock: the lock is free again, or the thread failed to take it. */
  returnBorrowed(): void {
    if (this.borrowed > 0 && --this.borrowed === 0) this.giveBack();
  }
}

const members = new WeakMap<ArrayBufferLike, Member>();

/** This thread's member of the memory. It may have no number. */
export function memberOf(kernel: Kernel, buffer: ArrayBufferLike, u32: Uint32Array): Member {
  let member = members.get(buffer);
  if (member === undefined) {
    member = new Member(kernel, u32);
    members.set(buffer, member);
  }
  return member;
}

/** This thread's member of the memory, with a number. wanted: the number registered for the thread, or 0 for any. */
export function enterThread(
  kernel: Kernel,
  buffer: ArrayBufferLike,
  u32: Uint32Array,
  wanted: number,
): Member {
  const member = memberOf(kernel, buffer, u32);
  member.enter(wanted);
  return member;
}

/** Whether id has the form of a thread number. */
export function isThread(id: number): boolean {
  return Number.isInteger(id) && id > 0 && id < GENERATIONS << ENTRY_BITS && (id & (MAX_THREADS - 1)) !== 0;
}

/** Draws a number for a thread that is going to attach. */
export function drawThread(mem: ThreadMemory): number {
  return draw(mem.kernel, mem.u32, REGISTERED, 0);
}

/** Notes in the table that the thread has ended. */
export function markExited(mem: ThreadMemory, thread: number): void {
  end(mem.kernel, thread);
}

/** Whether no thread of this number lives: it has ended, or never existed. */
export function threadGone(mem: ThreadMemory, thread: number): boolean {
  const entry = entryOf(thread);
  const word = mem.kernel.load(entry);
  if (word !== stateOf(thread, REGISTERED) && word !== stateOf(thread, LIVE)) return true;
  return taskGone(mem.u32, entry);
}
