/**
 * What the scheduler needs from the place it runs in: a clock, one timer, two task queues. Everything
 * goes through these interfaces, so that tests can put virtual time in their place.
 */

/** Time and the one timer that a sleeping scheduler keeps. All times are in milliseconds. */
export interface Clock {
  /** Monotonic time. */
  now(): number;
  /** Time since 1970; default `Date.now()`. */
  wall?(): number;
  /** Calls `fn` once after `ms`; a timer made with `ref` false does not keep the process alive. */
  setTimer?(fn: () => void, ms: number, ref: boolean): unknown;
  clearTimer?(handle: unknown): void;
}

/** The host's task queues. */
export interface TaskQueue {
  /** Runs `fn` after the host has seen to timers, I/O and rendering. */
  task(fn: () => void): void;
  /** Runs `fn` before the host does anything else. */
  microtask(fn: () => void): void;
}

interface TimerHandle {
  unref?(): void;
}

/** The process object, where there is one with Node's methods. */
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

/** setTimeout treats longer delays as 1 ms. */
const maxDelayMs = 0x7fffffff;

export const hostClock: Required<Clock> = {
  now: () => performance.now(),
  wall: () => Date.now(),
  setTimer(fn, ms, ref) {
    const t = setTimeout(fn, Math.min(Math.max(Math.ceil(ms), 0), maxDelayMs));
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
    // A message is a task of its own and, unlike setTimeout, is not held back to 4 ms when nested.
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
