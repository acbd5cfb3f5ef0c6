/**
 * Simulates a machine of many processors that runs the code of this package: Ms with a clock each, on one JavaScript
 * thread. The operations of the code on the linear memory cost what they cost by the model below.
 *
 * Model. A cache line has the value that was written last, and an owner. An M that reads a line which another M has
 * written since, or that writes a line which it does not own alone, has the line moved: LINE ns, one move of a line
 * after the other. All other operations cost OP ns. An M that finds a lock held waits until it is released. Of the Ms
 * that are due, the one with the earliest clock goes first. It does one step: it takes a task, or runs one, or sleeps.
 *
 * What is left out. A step has its effect at its beginning, and Ms with a later clock see all of it. So thieves never
 * meet in one ring, and an M that waits for a lock never loses it to a later one. Threads do not spin before they
 * sleep. All lines are equally far away, as on one socket.
 */
import { type Addr, createLinearMemory, type LinearMemory } from "@gort/memory";
import { ROOT_THREADS } from "@gort/memory/internal";
import { attachThreads, createThreads, type ThreadHost, type Threads } from "../src/index.ts";
import { PREC_AT, SCHED_AT } from "../src/layout.ts";

/** Nanoseconds. */
export interface Costs {
  /** An atomic operation on a line that the processor has: kernel.ts of memory, measured. */
  readonly op: number;
  /** A line that another core has written: 50 to 100 on one socket. */
  readonly line: number;
  /** Atomics.notify with a waiter, for the waker. */
  readonly notify: number;
  /** From the notify until the callback of the woken thread runs. */
  readonly wake: number;
  /** A turn of the event loop. */
  readonly turn: number;
  /** Starting a goroutine and ending it. */
  readonly task: number;
}

export const COSTS: Costs = { op: 4, line: 80, notify: 2000, wake: 15_000, turn: 1000, task: 100 };

/** A task computes for `work` ns; before that, it puts the tasks of `spawns`, one each `gap` ns. */
export interface Task {
  readonly work: number;
  readonly gap?: number;
  readonly spawns: readonly Task[];
}

/** Tasks that come from outside at a time, to M 0. */
export interface Arrival {
  readonly at: number;
  readonly tasks: readonly Task[];
}

export interface Figures {
  /** From the first arrival to the end of the last task, and from the last arrival, ns. */
  readonly makespan: number;
  readonly last: number;
  /** Computing, in all Ms together, ns. */
  readonly work: number;
  readonly tasks: number;
  /** Successful steals, and the tasks that they moved. */
  readonly steals: number;
  readonly stolen: number;
  readonly wakes: number;
  /** Time that Ms waited for SCHED.lock, and times that it was taken. */
  readonly lockWait: number;
  readonly locked: number;
  /** Time for moves of lines of SCHED, and for those of rings, inboxes and so on. */
  readonly schedLines: number;
  readonly otherLines: number;
}

/** Length of a slice of the run loop. */
const SLICE = 2e6;
const RECORD_BYTES = 16;

interface Line {
  version: number;
  owner: number;
  shared: boolean;
  /** The last move. */
  from: number;
  until: number;
}

interface Event {
  readonly at: number;
  /** Events of one time come in the order in which they were made. */
  readonly order: number;
  readonly m: number;
  readonly run: () => void;
}

/** A binary heap. */
class Events {
  private readonly heap: Event[] = [];

  private before(a: number, b: number): boolean {
    const [x, y] = [this.heap[a], this.heap[b]];
    return x.at < y.at || (x.at === y.at && x.order < y.order);
  }

  private swap(a: number, b: number): void {
    const { heap } = this;
    [heap[a], heap[b]] = [heap[b], heap[a]];
  }

  push(event: Event): void {
    let k = this.heap.push(event) - 1;
    for (let up = (k - 1) >> 1; k > 0 && this.before(k, up); k = up, up = (k - 1) >> 1) this.swap(k, up);
  }

  pop(): Event | undefined {
    const { heap } = this;
    if (heap.length === 0) return undefined;
    this.swap(0, heap.length - 1);
    const event = heap.pop();
    for (let k = 0; ; ) {
      let least = k;
      for (const child of [2 * k + 1, 2 * k + 2]) {
        if (child < heap.length && this.before(child, least)) least = child;
      }
      if (least === k) return event;
      this.swap(k, least);
      k = least;
    }
  }
}

/** A processor with its M. */
class Processor {
  clock = 0;
  sliceStart = 0;
  threads!: Threads;
  /** Versions of the lines that it has. */
  readonly seen = new Map<number, number>();
}

class Simulation {
  private readonly mem: LinearMemory;
  private readonly costs: Costs;
  private readonly random: () => number;
  private readonly events = new Events();
  private readonly processors: Processor[] = [];
  private readonly lines = new Map<number, Line>();
  private readonly waiters = new Map<number, { m: number; callback: () => void }[]>();
  private readonly tasks = new Map<number, Task>();
  private readonly free: number[] = [];
  private order = 0;
  private sched = 0;
  /** The Ps by address of their head. */
  private readonly heads = new Map<number, number>();
  /** When the lock was taken last, and when it was or will be released. */
  private lockFrom = 0;
  private lockUntil = 0;
  private counts = false;
  private end = 0;
  private readonly sums = {
    work: 0,
    tasks: 0,
    steals: 0,
    stolen: 0,
    wakes: 0,
    lockWait: 0,
    locked: 0,
    schedLines: 0,
    otherLines: 0,
  };

  constructor(n: number, costs: Costs, random: () => number) {
    this.costs = costs;
    this.random = random;
    this.mem = createLinearMemory({ maxMemory: 64 << 20 });
    for (let m = 0; m < n; m++) {
      const processor = new Processor();
      this.processors.push(processor);
      const mem = this.memoryOf(processor, m);
      const host = this.hostOf(processor, m);
      processor.threads =
        m === 0
          ? createThreads(mem, n, host)
          : attachThreads(mem, this.processors[0].threads.registerM(), host);
    }
    this.sched = this.mem.root(ROOT_THREADS);
    for (let p = 0; p < n; p++) {
      const prec = this.mem.u32[(this.sched + SCHED_AT.ps + 4 * p) >>> 2];
      this.heads.set(prec + PREC_AT.head, prec);
    }
    for (const [m, { threads }] of this.processors.entries()) threads.sleep(() => this.slice(m));
  }

  run(arrivals: readonly Arrival[]): Figures {
    this.counts = true;
    for (const processor of this.processors) processor.clock = 0;
    for (const { at, tasks } of arrivals) {
      this.at(at, 0, () => {
        this.processors[0].threads.awake();
        this.put(0, tasks, 0);
        this.slice(0);
      });
    }
    for (let event = this.events.pop(); event !== undefined; event = this.events.pop()) {
      const processor = this.processors[event.m];
      processor.clock = Math.max(processor.clock, event.at);
      event.run();
    }
    if (this.tasks.size > 0) throw new Error(`${this.tasks.size} tasks have not run`);
    const [first, last] = [arrivals[0], arrivals[arrivals.length - 1]];
    return { ...this.sums, makespan: this.end - first.at, last: this.end - last.at };
  }

  private at(at: number, m: number, run: () => void): void {
    this.events.push({ at, order: this.order++, m, run });
  }

  // ---- what an M does

  /** The begin of a slice. */
  private slice(m: number): void {
    const { threads } = this.processors[m];
    threads.awake();
    if (threads.pending) threads.poll();
    if (!threads.acquireP()) {
      threads.sleep(() => this.slice(m));
      return;
    }
    this.processors[m].sliceStart = this.processors[m].clock;
    this.next(m);
  }

  /** Takes a task and runs it, and so on until the slice is over. */
  private next(m: number): void {
    const processor = this.processors[m];
    const { threads } = processor;
    if (threads.pending) threads.poll();
    const task = threads.takeTask();
    if (task === 0) {
      if (threads.pending) this.at(processor.clock, m, () => this.next(m));
      else threads.sleep(() => this.slice(m));
      return;
    }
    const { work, gap = 0, spawns } = this.tasks.get(task)!;
    this.tasks.delete(task);
    this.free.push(task);
    processor.clock += this.costs.task;
    this.spawn(m, spawns, 0, gap, () => {
      processor.clock += work;
      this.sums.work += work;
      this.sums.tasks++;
      this.end = Math.max(this.end, processor.clock);
      if (processor.clock - processor.sliceStart < SLICE) {
        this.at(processor.clock, m, () => this.next(m));
      } else {
        threads.releaseP();
        this.at(processor.clock + this.costs.turn, m, () => this.slice(m));
      }
    });
  }

  /** Puts the tasks from number k on, one a step, so that other Ms go on meanwhile. */
  private spawn(m: number, tasks: readonly Task[], k: number, gap: number, then: () => void): void {
    const processor = this.processors[m];
    if (k === tasks.length) {
      this.at(processor.clock, m, then);
      return;
    }
    processor.clock += gap;
    this.sums.work += gap;
    this.put(m, tasks, k, k + 1);
    this.at(processor.clock, m, () => this.spawn(m, tasks, k + 1, gap, then));
  }

  private put(m: number, tasks: readonly Task[], from: number, to = tasks.length): void {
    for (let k = from; k < to; k++) {
      const record = this.free.pop() ?? this.mem.persistentAlloc(RECORD_BYTES, 8, "otherSys");
      this.tasks.set(record, tasks[k]);
      this.processors[m].threads.putTask(record as Addr);
    }
  }

  // ---- costs

  private lineOf(addr: number): Line {
    const k = addr >>> 6;
    let line = this.lines.get(k);
    if (line === undefined) {
      line = { version: 0, owner: -1, shared: false, from: 0, until: 0 };
      this.lines.set(k, line);
    }
    return line;
  }

  private touch(processor: Processor, m: number, addr: number, writes: boolean): void {
    if (!this.counts) return;
    const line = this.lineOf(addr);
    const has = processor.seen.get(addr >>> 6) === line.version;
    if (has && (!writes || (line.owner === m && !line.shared))) {
      processor.clock += this.costs.op;
    } else {
      const before = processor.clock;
      // A move that begins later on the clocks of the machine is not in the way.
      if (before >= line.from && before < line.until) processor.clock = line.until;
      const from = processor.clock;
      processor.clock += this.costs.line;
      if (writes && from >= line.from) Object.assign(line, { from, until: processor.clock });
      const inSched = addr >= this.sched && addr < this.sched + SCHED_AT.ms;
      this.sums[inSched ? "schedLines" : "otherLines"] += processor.clock - before;
    }
    if (writes) {
      line.version++;
      line.owner = m;
      line.shared = false;
    } else if (line.owner !== m) {
      line.shared = true;
    }
    processor.seen.set(addr >>> 6, line.version);
  }

  private memoryOf(processor: Processor, m: number): LinearMemory {
    const { mem, costs } = this;
    const { kernel } = mem;
    const reads = (addr: number): void => this.touch(processor, m, addr, false);
    const writes = (addr: number): void => this.touch(processor, m, addr, true);
    const update =
      (f: (addr: number, value: number) => number) =>
      (addr: number, value: number): number => {
        writes(addr);
        return f(addr, value);
      };
    const cas = (addr: number, expected: number, value: number): number => {
      writes(addr);
      const old = kernel.cas(addr, expected, value);
      const prec = this.heads.get(addr);
      if (prec !== undefined && old === expected && mem.u32[(prec + PREC_AT.m) >>> 2] !== m + 1) {
        // The thief has read the slots.
        this.sums.steals++;
        this.sums.stolen += value - expected;
        processor.clock += Math.ceil((value - expected) / 16) * costs.line;
      }
      return old;
    };
    return Object.create(mem, {
      kernel: {
        value: {
          ...kernel,
          load(addr: number) {
            reads(addr);
            return kernel.load(addr);
          },
          store(addr: number, value: number) {
            writes(addr);
            kernel.store(addr, value);
          },
          add: update(kernel.add),
          and: update(kernel.and),
          or: update(kernel.or),
          xchg: update(kernel.xchg),
          cas,
        },
      },
      lockOps: {
        value: {
          ...mem.lockOps,
          acquire: (addr: number, expected: number, word: number) => {
            this.waitForLock(processor);
            writes(addr);
            return kernel.cas(addr, expected, word);
          },
          release: (addr: number, word: number, value: number) => {
            writes(addr);
            this.lockUntil = processor.clock;
            return kernel.cas(addr, word, value);
          },
        },
      },
      root: { value: mem.root.bind(mem) },
      setRoot: { value: mem.setRoot.bind(mem) },
      persistentAlloc: { value: mem.persistentAlloc.bind(mem) },
      registerThread: { value: mem.registerThread.bind(mem) },
      rankLocks: { value: mem.rankLocks.bind(mem) },
    }) as LinearMemory;
  }

  private waitForLock(processor: Processor): void {
    if (!this.counts) return;
    this.sums.locked++;
    if (processor.clock >= this.lockFrom && processor.clock < this.lockUntil) {
      this.sums.lockWait += this.lockUntil - processor.clock;
      processor.clock = this.lockUntil;
    }
    this.lockFrom = processor.clock;
  }

  private hostOf(processor: Processor, m: number): ThreadHost {
    const { costs } = this;
    return {
      wait(_, index) {
        throw new Error(`M ${m} blocks on word ${index}`);
      },
      notify: (_, index) => {
        const waiters = this.waiters.get(index);
        if (waiters === undefined) return;
        this.waiters.delete(index);
        if (this.counts) processor.clock += costs.notify;
        for (const w of waiters) {
          this.sums.wakes++;
          this.at(processor.clock + costs.wake, w.m, w.callback);
        }
      },
      waitAsync: (words, index, value, callback) => {
        if (words[index] !== value) return false;
        this.waiters.set(index, [...(this.waiters.get(index) ?? []), { m, callback }]);
        return true;
      },
      task: (callback) => this.at(processor.clock + costs.turn, m, callback),
      now: () => processor.clock / 1e6,
      random: this.random,
      cpus: 1,
      warn(line) {
        throw new Error(line);
      },
    };
  }
}

/** Runs tasks on a simulated machine of n processors. `random` gives 30 random bits. */
export function simulate(
  n: number,
  arrivals: readonly Arrival[],
  random: () => number,
  costs: Costs = COSTS,
): Figures {
  return new Simulation(n, costs, random).run(arrivals);
}
