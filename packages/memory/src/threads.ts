/**
 * The threads of a memory: a table of 511 entries in the control block, so that a lock word can name its holder and
 * whoever waits for it can tell whether that holder still lives.
 *
 *     entry k    0  generation << 2 | state    4  number that the operating system knows the thread by; 0: unknown
 *
 *     free, ended -> registered   registerThread: whoever starts a worker draws its number before it runs
 *     free, ended -> live         a thread attaches without one
 *     registered -> live          a thread attaches with the number that was drawn for it
 *     registered, live -> ended   threadExited, by whoever learns of the end (a Worker's "exit" event); or the thread
 *                                 itself, when it closes its last allocator or calls leave
 *     ended -> live the same thread comes back, and nobody has drawn its entry meanwhile; or it has no number and takes
 *     a lock, for which it draws one
 *
 * The number of a thread is generation << 9 | k. Each draw of an ended entry begins a generation, so a number means one
 * thread for 2^21 lives of its entry, and what is said or remembered about a thread that has ended (a report that comes
 * late, the owner of an mcache) is never taken for the thread that came after it.
 *
 * Linux tells without being told: a live thread whose number is gone from /proc/self/task has ended. That works where
 * it matters most, on a thread that waits for a lock and so can't run its event loop; and it gives back the entries of
 * threads that nobody watched, when no others are left.
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

/** log2 of MAX_THREADS: the low bits of a number. */
const ENTRY_BITS = 9;
/** A number shifted by one, a lock word, stays a positive integer of 31 bits: V8 keeps those unboxed. */
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

/** The operating system's number of this thread; 0: it has none that could be looked up. */
function osThread(): number {
  if (ownTask === undefined) {
    try {
      ownTask = Number(linuxFs()?.readlinkSync("/proc/thread-self").split("/").at(-1)) || 0;
    } catch {
      ownTask = 0; // no /proc
    }
  }
  return ownTask;
}

const entryOf = (thread: number): number => TABLE + 8 * (thread & (MAX_THREADS - 1));
const stateOf = (thread: number, state: number): number => ((thread >>> ENTRY_BITS) << 2) | state;

/** Whether the entry's thread has ended and can be told to have, without anybody's word. */
function taskGone(u32: Uint32Array, entry: number): boolean {
  const task = u32[(entry + 4) >>> 2];
  return task !== 0 && linuxFs()?.existsSync(`/proc/self/task/${task}`) === false;
}

/** Draws a number in the given state: an unused entry, one whose thread has ended, or one whose end nobody has told. */
function draw(kernel: Kernel, u32: Uint32Array, state: number, task: number): number {
  for (const from of [FREE, ENDED, LIVE]) {
    for (let n = 1; n < MAX_THREADS; n++) {
      const k = 1 + ((kernel.add(CURSOR, 1) >>> 0) % (MAX_THREADS - 1));
      const entry = entryOf(k);
      const old = kernel.load(entry);
      if ((old & 3) !== from || (from === LIVE && !taskGone(u32, entry))) continue;
      const generation = from === FREE ? 0 : ((old >>> 2) + 1) % GENERATIONS;
      // Registered first in any case: an entry that is live must not name the task of the thread before it.
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

/** The entry becomes ENDED, unless it has or is another thread's by now. */
function end(kernel: Kernel, thread: number): void {
  for (const state of [LIVE, REGISTERED]) {
    const old = stateOf(thread, state);
    if (kernel.cas(entryOf(thread), old, stateOf(thread, ENDED)) === old) return;
  }
}

/** This thread among those of a memory: one object a thread and memory, however often the thread attaches. */
export class Member {
  /** Its number, 0 while it has none. */
  thread = 0;
  /** What it puts into a lock word; 0: it must draw a number first. */
  lockWord = 0;
  /** The last number it had. */
  private last = 0;
  /** The last one that was drawn for a lock. */
  private lent = 0;
  /** Allocators on this thread. */
  private users = 0;
  /** Locks held by a number that was drawn for them. */
  private borrowed = 0;
  private readonly kernel: Kernel;
  private readonly u32: Uint32Array;

  constructor(kernel: Kernel, u32: Uint32Array) {
    this.kernel = kernel;
    this.u32 = u32;
  }

  /** Takes a number, if it has none: `wanted`, which was registered for it, or 0 for any. */
  enter(wanted: number): void {
    if (this.lockWord !== 0 && this.current()) return;
    this.thread = this.borrowed > 0 ? this.thread : this.draw(wanted);
    this.lockWord = this.thread << 1;
    this.borrowed = 0;
  }

  /** Whether the number is still this thread's: false after somebody said that it had ended. */
  private current(): boolean {
    return this.kernel.load(entryOf(this.thread)) === stateOf(this.thread, LIVE);
  }

  private draw(wanted: number): number {
    const { kernel, u32, last } = this;
    const task = osThread();
    if (wanted !== 0) {
      const old = stateOf(wanted, REGISTERED);
      if (!isThread(wanted) || kernel.cas(entryOf(wanted), old, stateOf(wanted, LIVE)) !== old) {
        throw new RangeError(
          `memory: thread must be a number from registerThread that nobody uses (got ${wanted})`,
        );
      }
      u32[(entryOf(wanted) + 4) >>> 2] = task;
      return (this.last = wanted);
    }
    // The number by which whoever started the thread knows it, if that can still be had.
    if (last !== 0) {
      const old = stateOf(last, ENDED);
      if (kernel.cas(entryOf(last), old, stateOf(last, LIVE)) === old) return last;
    }
    return (this.last = draw(kernel, u32, LIVE, task));
  }

  /** An allocator begins to work on this thread. */
  join(): void {
    this.enter(0);
    this.users++;
  }

  /** An allocator is done. The last one gives the number back. */
  part(): void {
    this.users--;
    this.leave();
  }

  /** Gives the number back unless an allocator has use for it. */
  leave(): void {
    if (this.users > 0 || this.lockWord === 0) return;
    this.lockWord = 0;
    this.giveBack();
  }

  private giveBack(): void {
    end(this.kernel, this.thread);
    this.thread = 0;
  }

  /** A thread without a number is about to wait for a lock: the word to put into it. */
  borrow(): number {
    if (this.borrowed === 0) this.thread = this.lent = this.drawLent();
    this.borrowed++;
    return this.thread << 1;
  }

  /**
   * A number that was never used before: who finds that a holder has ended and its number still in the lock must not
   * have met two loans of one number. The entry is that of the last loan, if it can be had.
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

  /** A lock that was taken with a borrowed number is free again, or could not be had. */
  returnBorrowed(): void {
    if (this.borrowed > 0 && --this.borrowed === 0) this.giveBack();
  }
}

const members = new WeakMap<ArrayBufferLike, Member>();

/** This thread's member of the memory, which may have no number. */
export function memberOf(kernel: Kernel, buffer: ArrayBufferLike, u32: Uint32Array): Member {
  let member = members.get(buffer);
  if (member === undefined) {
    member = new Member(kernel, u32);
    members.set(buffer, member);
  }
  return member;
}

/** This thread's member of the memory, with a number. wanted: one that was registered for it, or 0. */
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

export function isThread(id: number): boolean {
  return Number.isInteger(id) && id > 0 && id < GENERATIONS << ENTRY_BITS && (id & (MAX_THREADS - 1)) !== 0;
}

/** A number for a thread that is going to attach. */
export function drawThread(mem: ThreadMemory): number {
  return draw(mem.kernel, mem.u32, REGISTERED, 0);
}

/** Notes that the thread has ended. */
export function markExited(mem: ThreadMemory, thread: number): void {
  end(mem.kernel, thread);
}

/** Whether no thread of this number lives: it has ended, or never was. */
export function threadGone(mem: ThreadMemory, thread: number): boolean {
  const entry = entryOf(thread);
  const word = mem.kernel.load(entry);
  if (word !== stateOf(thread, REGISTERED) && word !== stateOf(thread, LIVE)) return true;
  return taskGone(mem.u32, entry);
}
