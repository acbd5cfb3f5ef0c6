/**
 * The host as the scheduler needs it: a clock, one timer, two task queues. The scheduler uses these interfaces only, so
 * that tests can replace them by virtual time.
 */

/** Time, and the one timer of an idle scheduler. All times are in ms. */
export interface Clock {
  /** Monotonic time. */
  now(): number;
  /** Time since 1970; default `Date.now()`. */
  wall?(): number;
  /** Calls `fn` once after `ms`. A timer with `ref` false does not keep the process alive. */
  setTimer?(fn: () => void, ms: number, ref: boolean): unknown;
  clearTimer?(handle: unknown): void;
}

/** The host's task queues. */
export interface TaskQueue {
  /** Runs `fn` after the host has handled timers, I/O and rendering. */
  task(fn: () => void): void;
  /** Runs `fn` before the host does other work. */
  microtask(fn: () => void): void;
}

interface TimerHandle {
  unref?(): void;
}

/** The part of Node's process object that is used here. */
export interface NodeProcess {
  getBuiltinModule?(id: string): unknown;
  once(event: string, f: (...args: never[]) => void): unknown;
  on(event: string, f: (...args: never[]) => void): unknown;
  off(event: string, f: (...args: never[]) => void): unknown;
  listenerCount(event: string): number;
  exit?(code: number): never;
  stderr?: { write(text: string): unknown };
  emitWarning?(text: string): void;
}

export function nodeProcess(): NodeProcess | undefined {
  const p = (globalThis as unknown as { process?: NodeProcess & { versions?: { node?: string } } }).process;
  return p?.versions?.node === undefined ? undefined : p;
}

/** The longest delay of setTimeout, in ms. It treats longer ones as 1 ms. */
const MAX_DELAY_MS = 0x7fffffff;

export const hostClock: Required<Clock> = {
  now: () => performance.now(),
  wall: () => Date.now(),
  setTimer(fn, ms, ref) {
    const t = setTimeout(fn, Math.min(Math.max(Math.ceil(ms), 0), MAX_DELAY_MS));
    if (!ref) (t as TimerHandle).unref?.();
    return t;
  },
  clearTimer(handle) {
    clearTimeout(handle as ReturnType<typeof setTimeout>);
  },
};

function makeTask(): (fn: () => void) => void {
  if (typeof setImmediate === "function") return (fn) => void setImmediate(fn);
  if (typeof MessageChannel === "function") {
    // A message is a task of its own. Unlike nested calls of setTimeout, it is not delayed to 4 ms.
    const { port1, port2 } = new MessageChannel();
    const queue: (() => void)[] = [];
    (port1 as { onmessage?: unknown }).onmessage = () => queue.shift()?.();
    return (fn) => {
      queue.push(fn);
      port2.postMessage(0);
    };
  }
  return (fn) => void setTimeout(fn, 0);
}

export const hostTasks: TaskQueue = {
  task: makeTask(),
  microtask: (fn) => queueMicrotask(fn),
};
