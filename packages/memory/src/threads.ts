/**
 * The threads of a memory: a table of 511 entries in the control block, so that a lock word can name its holder and
 * whoever waits for it can tell whether that holder still lives.
 *
 *     entry of thread k    0  state    4  number that the operating system knows the thread by; 0: unknown
 *
 *     free -> registered   registerThread: whoever starts a worker draws its number before it runs
 *     free, registered -> live     a thread attaches
 *     registered, live -> exited   threadExited, by whoever learns of the end (a Worker's "exit" event)
 *     exited -> registered, live   the number is drawn again, after all others were
 *
 * Linux tells without being told: a live thread whose number is gone from /proc/self/task has ended. That works where
 * it matters most, on a thread that waits for a lock and so can't run its event loop.
 */
import type { Kernel } from "./kernel.ts";
import { CONTROL, CONTROL_BASE, MAX_THREADS } from "./layout.ts";
import type { LinearMemory } from "./linear-memory.ts";

const FREE = 0;
const REGISTERED = 1;
const LIVE = 2;
const EXITED = 3;

const TABLE = CONTROL_BASE + CONTROL.offsets.threads;
const CURSOR = CONTROL_BASE + CONTROL.offsets.threadCursor;

/** One number a thread and memory, however often the thread attaches. */
const mine = new WeakMap<ArrayBufferLike, number>();

interface Fs {
  readlinkSync(path: string): string;
  existsSync(path: string): boolean;
}

let fs: Fs | null | undefined;

function linuxFs(): Fs | null {
  if (fs === undefined) {
    const { process } = globalThis;
    fs =
      process?.platform === "linux"
        ? ((process.getBuiltinModule?.("node:fs") as Fs | undefined) ?? null)
        : null;
  }
  return fs;
}

function osThread(): number {
  try {
    return Number(linuxFs()?.readlinkSync("/proc/thread-self").split("/").at(-1)) || 0;
  } catch {
    return 0; // no /proc
  }
}

const entry = (id: number): number => TABLE + 8 * id;

/** Draws a number in the given state: a free one, or else one whose thread has ended. */
function draw(kernel: Kernel, state: number): number {
  for (const from of [FREE, EXITED]) {
    for (let k = 1; k < MAX_THREADS; k++) {
      const id = 1 + ((kernel.add(CURSOR, 1) >>> 0) % (MAX_THREADS - 1));
      if (kernel.cas(entry(id), from, state) === from) return id;
    }
  }
  throw new RangeError(
    `memory: more than ${MAX_THREADS - 1} threads are attached: threadExited frees their numbers`,
  );
}

/** The number of this thread, which is live from now on. wanted: one that was registered for it, or 0. */
export function enterThread(
  kernel: Kernel,
  buffer: ArrayBufferLike,
  u32: Uint32Array,
  wanted: number,
): number {
  const known = mine.get(buffer);
  if (known !== undefined && kernel.load(entry(known)) === LIVE) return known;
  if (wanted !== 0 && (!isThread(wanted) || kernel.cas(entry(wanted), REGISTERED, LIVE) !== REGISTERED)) {
    throw new RangeError(
      `memory: thread must be a number from registerThread that nobody uses (got ${wanted})`,
    );
  }
  const id = wanted || draw(kernel, LIVE);
  u32[(entry(id) + 4) >>> 2] = osThread();
  mine.set(buffer, id);
  return id;
}

export function isThread(id: number): boolean {
  return Number.isInteger(id) && id > 0 && id < MAX_THREADS;
}

/** A number for a thread that is going to attach. */
export function drawThread(mem: LinearMemory): number {
  const id = draw(mem.kernel, REGISTERED);
  mem.u32[(entry(id) + 4) >>> 2] = 0;
  return id;
}

/** Notes that the thread has ended. */
export function markExited(mem: LinearMemory, id: number): void {
  mem.kernel.store(entry(id), EXITED);
}

/** Whether no thread of this number lives: it has ended, or never was. */
export function threadGone(mem: LinearMemory, id: number): boolean {
  const state = mem.kernel.load(entry(id));
  if (state !== REGISTERED && state !== LIVE) return true;
  const task = mem.u32[(entry(id) + 4) >>> 2] as number;
  return task !== 0 && linuxFs()?.existsSync(`/proc/self/task/${task}`) === false;
}
