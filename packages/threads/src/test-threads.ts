/**
 * Several Ms on one JavaScript thread, for tests: each has a `Threads` object over the same memory, and an event loop
 * that the test turns. Nothing runs at the same time, so a test sees the same each time. An M cannot block: a stop of
 * the world needs real threads, or the explorer (test/explore.ts).
 */
import type { Addr, LinearMemory } from "@gort/memory";
import type { ThreadHost } from "./host.ts";
import type { Threads } from "./runtime2.ts";
import { attachThreads, createThreads } from "./threads.ts";

export interface TestThreads {
  readonly mem: LinearMemory;
  /** By index of their M. */
  readonly ms: Threads[];
  /** Lines that were written to the standard error. */
  readonly warnings: string[];
  /** A zeroed record of `bytes` bytes: a node or a task. */
  record(bytes?: number): Addr;
  /** Attaches one more M. */
  attach(m?: number): Threads;
  /** Processors of the machine, at first 1: then no M spins. */
  cpus: number;
  /** What other threads do at each reading of the clock. Default: nothing. */
  meanwhile: () => void;
  /** Moves the time of all threads. On several processors each reading of the clock moves it by a microsecond. */
  advance(ms: number): void;
  /** Runs the callbacks of the event loops until there are none. Returns how many there were. */
  turn(): number;
}

interface Waiter {
  index: number;
  callback: () => void;
}

/** Makes n Ms and gomaxprocs Ps (default n). `random` gives 30 random bits. */
export function testThreads(
  mem: LinearMemory,
  n: number,
  gomaxprocs = n,
  random: () => number = () => 0,
): TestThreads {
  const queue: (() => void)[] = [];
  let waiters: Waiter[] = [];
  const warnings: string[] = [];
  let time = 0;
  const host: ThreadHost = {
    wait(words, index, value) {
      throw new Error(`testThreads: an M blocks while word ${index} is ${value}: ${words[index]}`);
    },
    notify(_, index) {
      const woken = waiters.filter((w) => w.index === index);
      waiters = waiters.filter((w) => w.index !== index);
      queue.push(...woken.map((w) => w.callback));
    },
    waitAsync(words, index, value, callback) {
      if (words[index] !== value) return false;
      waiters.push({ index, callback });
      return true;
    },
    task: (callback) => void queue.push(callback),
    now() {
      if (kit.cpus > 1) time += 0.001;
      kit.meanwhile();
      return time;
    },
    random,
    get cpus() {
      return kit.cpus;
    },
    warn: (line) => void warnings.push(line),
  };
  const ms: Threads[] = [];
  const attach = (m = ms[0].registerM()): Threads => {
    ms[m] = attachThreads(mem, m, host);
    return ms[m];
  };
  const kit: TestThreads = {
    mem,
    ms,
    warnings,
    cpus: 1,
    meanwhile: () => {},
    record: (bytes = 16) => mem.persistentAlloc(bytes, 8, "otherSys"),
    attach,
    advance(ms) {
      time += ms;
    },
    turn() {
      let turns = 0;
      for (let callback = queue.shift(); callback !== undefined; callback = queue.shift()) {
        callback();
        turns++;
      }
      return turns;
    },
  };
  ms.push(createThreads(mem, gomaxprocs, host));
  for (let m = 1; m < n; m++) attach();
  return kit;
}
