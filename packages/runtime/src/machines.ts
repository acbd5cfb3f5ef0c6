/**
 * The threads of a runtime, as one of them sees them: Go's Ms ("machines").
 *
 * A runtime begins on one thread, and GOMAXPROCS is only a number. The first `go` of a task while GOMAXPROCS is above 1
 * makes the threads' shared state (`begin`), and connects the scheduler to it. Workers start when a P is idle and a
 * task waits. So a program without tasks has one thread and pays nothing, whatever GOMAXPROCS is.
 *
 *     M 0       made the runtime; alone it starts workers, ends the program and gives the verdict on deadlocks
 *     M 1 ...   workers: worker.ts makes a runtime there that attaches to the memory
 *
 * With the option `collectorThread` the runtime begins with two threads. M 1 takes no tasks, as if goroutines had
 * locked it, and so it needs no P. It is asleep for the scheduler, and marks and sweeps in its idle time (idle.ts).
 */
import { FatalError } from "@gort/base";
import type { WorldThreads } from "@gort/gc";
import type { Addr } from "@gort/memory";
import { fatalReport } from "@gort/scheduler/internal";
import type { Threads } from "@gort/threads";
import {
  attachThreads,
  createThreads,
  NODE_KIND,
  NODE_READY,
  NODE_TASK,
  threadHost,
  waitersOf,
} from "@gort/threads/internal";
import { Commands, FIRST_COMMAND } from "./commands.ts";
import { mainModule } from "./modules.ts";
import type { Attachment, Parts } from "./parts.ts";
import { loadSettings, storeSettings } from "./process-settings.ts";
import { describeError } from "./remote-error.ts";
import {
  CALL_CLOSE,
  CALL_END,
  CALL_GC,
  CALL_HOST,
  CALL_SCAVENGE,
  CALL_START,
  HOST_HANDLES,
  HOST_HOPES,
  NODE_WHAT,
  SharedBlock,
  WHAT_CALLS,
} from "./shared-block.ts";
import { RuntimeLink, type WorkerLoop } from "./thread-link.ts";
import { numCPU } from "./version.ts";
import type { MainMessage, WorkerSettings } from "./worker-messages.ts";
import { Workers, type WorkerTimes } from "./workers.ts";

/** Frames of the stack that starts a thread, as profiles keep them. */
const START_DEPTH = 32;
/** How long the end of a program waits for the other threads, in ms: two slices. */
const END_WAIT_MS = 20;

/** What the threads have in common, once there may be several. */
interface Connected {
  readonly threads: Threads;
  readonly block: SharedBlock;
  /** Null on a worker. */
  readonly workers: Workers | null;
  readonly forCollector: WorldThreads;
}

function connected(parts: Parts, threads: Threads, block: SharedBlock, workers: Workers | null): Connected {
  const forCollector: WorldThreads = {
    id: threads.m,
    get pending() {
      return threads.pending;
    },
    get stopping() {
      return parts.stops.stopped;
    },
    poll: () => threads.poll(),
    command: (command, arg) => threads.command(command, arg),
    // A node, and not only a signal: it also calls the scheduler back if the thread sleeps.
    notify: (m) => block.call(threads, m, CALL_GC),
    block: (done) => threads.block(done),
  };
  return { threads, block, workers, forCollector };
}

export class Machines {
  readonly #parts: Parts;
  readonly #make: (() => unknown) | undefined;
  readonly #settings: () => WorkerSettings;
  #connected: Connected | null = null;
  #commands: Commands | null = null;
  #link: RuntimeLink | null = null;
  #maxThreads = 10_000;
  readonly #startStacks = new Map<number, readonly number[]>();
  /** The loss of a worker. */
  #dead: FatalError | null = null;
  /** On M 0: a program runs. */
  #inProgram = false;
  /** On M 0: the M that only collects; 0: none. */
  #collectorM = 0;

  /** On a worker, the thread becomes an M, and returns when the world runs. */
  constructor(parts: Parts, make: (() => unknown) | undefined, settings: () => WorkerSettings) {
    this.#parts = parts;
    this.#make = make;
    this.#settings = settings;
    const { attachment, memory } = parts;
    if (attachment === null) return;
    const threads = attachThreads(memory, attachment.start.m, threadHost({ cpus: numCPU() }));
    attachment.attached(threads);
    this.#connected = connected(parts, threads, new SharedBlock(memory), null);
  }

  /** Null while the runtime has one thread. */
  get threads(): Threads | null {
    return this.#connected?.threads ?? null;
  }

  /** Questions to the other threads; null while the runtime has one thread. */
  get commands(): Commands | null {
    return this.#commands;
  }

  /** As the collector sees them; undefined while the runtime has one thread. */
  get collectorThreads(): WorldThreads | undefined {
    return this.#connected?.forCollector;
  }

  /** The program has its own `workers`, so tasks are found by their names. */
  get ownWorkers(): boolean {
    const { attachment } = this.#parts;
    return attachment === null ? this.#make !== undefined : attachment.start.settings.ownWorkers;
  }

  /** By number of an M: return addresses of the stack on this thread that has started it. */
  get startStacks(): ReadonlyMap<number, readonly number[]> {
    return this.#startStacks;
  }

  /** Times of the workers, on M 0; null while there are none. */
  get workerTimes(): WorkerTimes | null {
    return this.#connected?.workers?.times ?? null;
  }

  /** On M 0: posts a message to the worker of M m. */
  postTo(m: number, message: MainMessage): void {
    this.#connected?.workers?.post(m, message);
  }

  // ---- the number of threads

  /** See debug.setMaxThreads. */
  get maxThreads(): number {
    return this.#connected?.block.maxThreads ?? this.#maxThreads;
  }

  setMaxThreads(n: number): void {
    this.#maxThreads = n;
    if (this.#connected !== null) this.#connected.block.maxThreads = n;
    if ((this.threads?.count ?? 1) > n) throw exhausted(n);
  }

  // ---- more than one thread

  /**
   * The threads, to which a task may go. Null while GOMAXPROCS is 1, and in a program with a clock of its own, which
   * other threads do not have: then the task runs here.
   */
  forTasks(): Threads | null {
    const { threads } = this;
    const n = this.#parts.scheduler.gomaxprocs(0);
    return n === 1 || !this.#parts.hostTime ? null : (threads ?? this.#begin(n));
  }

  /** Starts the thread of the option collectorThread. */
  startCollector(): void {
    const threads = this.#begin(this.#parts.scheduler.gomaxprocs(0));
    this.#collectorM = threads.registerM();
    this.#startM(this.#connected!, this.#collectorM);
  }

  #begin(n: number): Threads {
    const { memory, allocator } = this.#parts;
    allocator.share();
    const threads = createThreads(memory, n, threadHost({ cpus: numCPU() }));
    const block = new SharedBlock(memory);
    block.addM(0);
    block.maxThreads = this.#maxThreads;
    const { settings } = this.#parts;
    storeSettings(memory, block.settings, this.#parts);
    const workers = new Workers({
      memory,
      threads,
      make: this.#make,
      mainModule: mainModule(),
      stderr: settings.stderr,
      settings: this.#settings,
      collects: (m) => m === this.#collectorM,
      crashed: (error, report, program) => {
        // The first crash has ended the program.
        if (program === block.program) this.#parts.scheduler.crashFrom(error, report);
      },
      failed: (error, m) => {
        // The program ends. Without this, each task would try again.
        threads.startM = null;
        // The collector's own thread starts before a program does, which is then refused.
        if (m === this.#collectorM) this.#dead = error;
        this.#fail(error, 0);
      },
      lost: (error, goroutines) => {
        this.#dead = error;
        this.#fail(error, goroutines);
      },
      exited: (m, thread) => {
        this.#startStacks.delete(m);
        this.#parts.schedStats.ended(m);
        // Goroutines of a program that has ended do not matter.
        const goroutines = block.hasEnded(m) ? threads.figure(m, "goroutines") : 0;
        block.setGone(m);
        block.clearHost(m, HOST_HANDLES | HOST_HOPES);
        this.#takeOver(thread, block.collector(m));
        return goroutines;
      },
    });
    this.#connect(connected(this.#parts, threads, block, workers), null);
    // From now on other threads read them.
    this.#parts.publisher.start();
    return threads;
  }

  /** On a worker, when all parts exist: the thread takes tasks from now on. */
  attach({ loop, start }: Attachment): void {
    const connected = this.#connected!;
    const { scheduler, memory, collector } = this.#parts;
    // Before the thread sleeps: then no thread wakes it for a task.
    if (start.collects) connected.threads.setLocked(true);
    scheduler.gomaxprocs(connected.threads.gomaxprocs);
    loadSettings(memory, connected.block.settings, this.#parts);
    this.#connect(connected, loop);
    collector.threads.polled();
  }

  #connect(connected: Connected, loop: WorkerLoop | null): void {
    this.#connected = connected;
    const { threads, block } = connected;
    const { scheduler, tasks, allocator, memory, schedStats, stops, collector } = this.#parts;
    block.setCollector(threads.m, collector.id);
    const waiters = waitersOf(memory, threads);
    threads.onNode = (node) => {
      // Most nodes are goroutines that wait for a channel or a lock.
      if (memory.u32[(node + NODE_KIND) >>> 2] === NODE_READY) waiters.deliver(node);
      else this.#deliver(connected, node);
    };
    threads.onStop = () => collector.threads.prepareStop();
    // A node wakes the scheduler, which looks whether the program is dead.
    threads.onAllIdle = () => block.call(threads, 0, CALL_HOST);
    threads.startM = (m) => this.#startM(connected, m);
    allocator.scavenger.elsewhere = () => {
      if (threads.m !== 0 && !block.keepsPages) block.call(threads, 0, CALL_SCAVENGE);
    };
    const note = (): void => link.noteCount(-1);
    tasks.share(threads, block, this.ownWorkers, note);
    const { profiler, roots, profiles } = this.#parts;
    const commands = new Commands({ threads, block, allocator, stops, scheduler, profiler, roots, profiles });
    this.#commands = commands;
    threads.onCommand = (command, arg) => {
      if (command < FIRST_COMMAND) collector.threads.command(command, arg);
      else commands.answer(command, arg);
    };
    const link = new RuntimeLink({ threads, block, scheduler, schedStats, tasks, commands, loop });
    this.#link = link;
    scheduler.attachLink(link);
  }

  #deliver(connected: Connected, node: Addr): void {
    const { threads, block, workers } = connected;
    const { memory, tasks, scheduler, collector, scavenger } = this.#parts;
    if (memory.u32[(node + NODE_KIND) >>> 2] === NODE_TASK) {
      tasks.run(node);
    } else if (memory.u32[(node + NODE_WHAT) >>> 2] === WHAT_CALLS) {
      const calls = block.take(threads.m);
      if ((calls & CALL_START) !== 0 && workers !== null)
        block.takeStarts((m) => this.#startWorker(connected, m));
      if ((calls & CALL_GC) !== 0) collector.threads.polled();
      if ((calls & CALL_SCAVENGE) !== 0 && !scavenger.called()) block.setKeepsPages();
      if ((calls & CALL_END) !== 0) {
        scheduler.endProgram(() => {
          tasks.endProgram();
          this.#link?.noteCount(0);
          block.setEnded(threads.m);
        });
      }
      if ((calls & CALL_CLOSE) !== 0) this.#parts.attachment?.ended();
    } else {
      tasks.deliver(node);
    }
  }

  #startM(connected: Connected, m: number): void {
    const { threads, block, workers } = connected;
    block.addM(m);
    this.#noteStack(m);
    if (workers !== null) {
      this.#startWorker(connected, m);
    } else {
      block.wantStart(m);
      block.call(threads, 0, CALL_START);
    }
  }

  #noteStack(m: number): void {
    const { profiler } = this.#parts;
    const pcs = new Array<number>(START_DEPTH).fill(0);
    this.#startStacks.set(m, pcs.slice(0, profiler.callers(1, pcs)));
  }

  #startWorker({ threads, block, workers }: Connected, m: number): void {
    const max = block.maxThreads;
    if (threads.count > max) {
      block.setGone(m);
      threads.died(m, threads.threadOf(m));
      // As in `failed`: without this, each look for a thread would try again.
      threads.startM = null;
      this.#fail(exhausted(max), 0);
    } else {
      // A program may have ended since a worker has asked for M m. Later ends are told to M m itself.
      block.setEnded(m);
      workers!.start(m);
    }
  }

  /**
   * Ends the program, with which a worker has lost so many goroutines. Where no program runs and no goroutine is lost,
   * the next program is refused, and that is all. This may be called in the middle of `poll`, so the program ends
   * later.
   */
  #fail(error: FatalError, lost: number): void {
    queueMicrotask(() => {
      const { closed, scheduler } = this.#parts;
      const concerned = this.#inProgram || lost > 0 || scheduler.numGoroutine() > 0;
      if (!closed && concerned) scheduler.crashFrom(error, fatalReport(scheduler, null, error, true));
    });
  }

  /** The thread has ended: takes over what it held in the heap. */
  #takeOver(thread: number, collectorId: number): void {
    const { allocator, collector } = this.#parts;
    try {
      allocator.threadExited(thread);
      if (collectorId !== 0) collector.threads.lost(collectorId);
    } catch (e) {
      // It has died under a lock.
      if (!(e instanceof FatalError)) throw e;
      this.#dead = e;
      this.#fail(e, 0);
    }
  }

  /** On a worker: a goroutine has crashed. The program ends on M 0. */
  crashed(error: unknown, report: string): void {
    const { threads, block } = this.#connected!;
    const { send } = this.#parts.attachment!;
    send({ crash: describeError(error), report, program: block.programOf(threads.m) });
  }

  /**
   * A program begins. Throws if a worker was lost: with it goroutines, and perhaps the state of the heap; or if the
   * collector's own thread cannot start.
   */
  beginProgram(): void {
    if (this.#dead !== null) throw this.#dead;
    this.#inProgram = true;
  }

  // ---- the end

  /**
   * The program has ended on M 0: ends the goroutines of the workers, too. They end at their next safepoints. A worker
   * that does not come to one within END_WAIT_MS is left alone: its goroutine goes on computing, and then ends.
   */
  endProgram(): void {
    this.#inProgram = false;
    const connected = this.#connected;
    if (connected === null) return;
    const { threads, block, workers } = connected;
    const { tasks, now } = this.#parts;
    block.nextProgram();
    block.setEnded(threads.m);
    tasks.endProgram();
    for (let task = threads.takeAnyTask(); task !== 0; task = threads.takeAnyTask()) {
      tasks.drop(task);
      block.addQueued(-1);
    }
    // Also to a worker that is starting: it would count as late for ever.
    for (const m of workers!.live) block.call(threads, m, CALL_END);
    const ms = workers!.running;
    const deadline = now() + END_WAIT_MS;
    while (ms.some((m) => !block.hasEnded(m)) && now() < deadline) threads.poll();
    // These polls may have taken the node that would make the scheduler look whether other threads hold the process.
    block.call(threads, 0, CALL_HOST);
  }

  close(): void {
    const connected = this.#connected;
    if (connected === null) return;
    const { threads, block, workers } = connected;
    if (workers === null) {
      this.#parts.tasks.close();
      this.#parts.collector.threads.close();
      threads.leave();
      return;
    }
    for (const m of workers.running) block.call(threads, m, CALL_CLOSE);
    workers.close();
  }
}

function exhausted(max: number): FatalError {
  const detail = `runtime: program exceeds ${max}-thread limit`;
  return new FatalError("throw", "ERR_GORT_THREADS", "thread exhaustion", detail);
}
