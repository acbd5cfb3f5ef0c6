/** What threads need of the host: sleeping, waking, time, and tasks of the event loop. Tests give their own. */
import { writeStderr } from "@gort/base";

export interface ThreadHost {
  /**
   * Looks at a word before a thread of a stop of the world sleeps. Such a sleep and its wake-up take 50 to 100 us, and
   * most stops of the collector in a small heap take less. A thread that spins as long as that loses at most as much
   * time again as the sleep costs.
   */
  readonly spins?: number;
  /**
   * Blocks while the word holds `value`, at most `ms` milliseconds, or until a notify. Returns at once, with false, if
   * this thread may not block.
   */
  wait(words: Int32Array, index: number, value: number, ms: number): boolean;
  /** Wakes all that wait for the word. */
  notify(words: Int32Array, index: number): void;
  /**
   * Calls back, as a task of the event loop, after a notify of the word. False if the word does not hold `value`:
   * there is no call then. It may call back without a notify.
   */
  waitAsync(words: Int32Array, index: number, value: number, callback: () => void): boolean;
  /** Calls back as a task of the event loop. */
  task(callback: () => void): void;
  /** Milliseconds. */
  now(): number;
  /** 30 random bits. */
  random(): number;
  /** Processors that the threads of this process can use at once. On one, no thread spins. */
  readonly cpus: number;
  /** A line for the standard error. */
  warn(line: string): void;
}

type WaitAsync = (
  words: Int32Array,
  index: number,
  value: number,
) => { async: true; value: Promise<string> } | { async: false; value: string };

/** 100 us of looks; none to speak of where there is one processor, which another thread could use. */
const SPINS = 30_000;
const SPINS_ALONE = 100;

/** How long a worker without waitAsync blocks between two turns of its event loop. Its own events are so much late. */
const BLOCK_MS = 4;
/** Time between two looks of a thread that has no waitAsync and may not block. */
const POLL_MS = 4;

interface Timer {
  unref?(): void;
}

function hostTask(): (callback: () => void) => void {
  const { setImmediate: immediate } = globalThis as { setImmediate?: (f: () => void) => void };
  if (immediate !== undefined) return (callback) => immediate(callback);
  const { port1, port2 } = new MessageChannel();
  const queue: (() => void)[] = [];
  (port1 as unknown as EventTarget).addEventListener("message", () => queue.shift()?.());
  port1.start();
  return (callback) => {
    queue.push(callback);
    port2.postMessage(0);
  };
}

/** waitAsync by Atomics.waitAsync. A reply "timed-out" cannot come. */
function waitAsyncBy(waitAsync: WaitAsync): ThreadHost["waitAsync"] {
  return (words, index, value, callback) => {
    const reply = waitAsync(words, index, value);
    if (reply.async) void reply.value.then(callback);
    return reply.async;
  };
}

/** waitAsync where the host has none: short waits, or none at all, with a turn of the event loop between. */
function waitAsyncByTurns(wait: ThreadHost["wait"], task: ThreadHost["task"]): ThreadHost["waitAsync"] {
  return (words, index, value, callback) => {
    if (Atomics.load(words, index) !== value) return false;
    const look = (): void => {
      const blocked = wait(words, index, value, BLOCK_MS);
      if (Atomics.load(words, index) !== value) callback();
      else if (blocked) task(look);
      else (setTimeout(look, POLL_MS) as Timer).unref?.();
    };
    task(look);
    return true;
  };
}

export interface ThreadHostOptions {
  /** False: the host has no Atomics.waitAsync. */
  readonly waitAsync?: boolean;
  /** False: the thread never blocks in an event-loop wait (M 0, whose event loop serves the program). */
  readonly mayBlock?: boolean;
  /** Default: what a browser tells, else 1. */
  readonly cpus?: number;
}

function browserCpus(): number {
  return (globalThis as { navigator?: { hardwareConcurrency?: number } }).navigator?.hardwareConcurrency ?? 1;
}

/** The host of this thread. */
export function threadHost(options: ThreadHostOptions = {}): ThreadHost {
  const task = hostTask();
  let refused = false;
  const wait: ThreadHost["wait"] = (words, index, value, ms) => {
    if (refused) return false;
    try {
      Atomics.wait(words as Int32Array<SharedArrayBuffer>, index, value, ms);
    } catch {
      // A browser's main thread may not block; a memory that is not shared has no other thread.
      refused = true;
    }
    return !refused;
  };
  const native = (Atomics as { waitAsync?: WaitAsync }).waitAsync;
  const idleWait: ThreadHost["wait"] = options.mayBlock === false ? () => false : wait;
  const cpus = options.cpus ?? browserCpus();
  return {
    spins: cpus > 1 ? SPINS : SPINS_ALONE,
    wait,
    notify: (words, index) => void Atomics.notify(words, index),
    waitAsync:
      native === undefined || options.waitAsync === false
        ? waitAsyncByTurns(idleWait, task)
        : waitAsyncBy(native),
    task,
    now: () => performance.now(),
    random: () => Math.floor(Math.random() * 2 ** 30),
    cpus,
    warn: (line) => writeStderr(`${line}\n`),
  };
}
