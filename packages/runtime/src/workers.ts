/**
 * The workers of a runtime, on M 0, the only thread that starts them: a worker ends with the thread that has made it.
 *
 *     starting   `start`: the host makes the worker, and gets the first message
 *     running    the worker has answered `ready`
 *     ended      it has left, or it is lost: then its goroutines are lost too, and the program ends with a FatalError
 *
 * Neither a worker nor its port keeps the process alive. What holds M 0's event loop while others work is in
 * thread-link.ts.
 */
import { FatalError } from "@gort/base";
import type { LinearMemory } from "@gort/memory";
import type { Threads } from "@gort/threads";
import { errorOf } from "./remote-error.ts";
import { clockOrigin } from "./thread-clock.ts";
import { version } from "./version.ts";
import {
  checkWorker,
  defaultWorker,
  type HostPort,
  type HostWorker,
  type WatchedWorker,
  type WorkerEnd,
  watchWorker,
} from "./worker-host.ts";
import {
  type MainMessage,
  type StartMessage,
  startKey,
  type WorkerMessage,
  type WorkerSettings,
} from "./worker-messages.ts";

/** How long a worker may go on after `close` before the host ends it, in ms: the time of a few slices. */
const CLOSE_GRACE_MS = 200;
/** When a worker that does not answer is named, in ms. A worker starts in some 50 ms. */
const ANSWER_MS = 10_000;

export interface WorkersOptions {
  readonly memory: LinearMemory;
  readonly threads: Threads;
  /** The option `workers`; undefined for the default. */
  readonly make: (() => unknown) | undefined;
  readonly mainModule: string | null;
  readonly stderr: (text: string) => void;
  settings(): WorkerSettings;
  /** Whether M m only collects: see RuntimeOptions.collectorThread. */
  collects(m: number): boolean;
  /** A goroutine on a worker has panicked. `report` is its crash report. */
  crashed(error: Error, report: string, program: number): void;
  /** The worker of M m cannot start. */
  failed(error: FatalError, m: number): void;
  /** A worker has ended without leaving, and so many goroutines with it. */
  lost(error: FatalError, goroutines: number): void;
  /** The thread of M m has ended: what it held is to be taken over. Returns how many goroutines have ended with it. */
  exited(m: number, thread: number): number;
}

/** Times of all workers together, since each was started, in ms. */
export interface WorkerTimes {
  /** Workers that have not ended. */
  readonly running: number;
  /** From the start to the end, or to now. */
  readonly ms: number;
  /** In which the event loop was idle; NaN where the host does not report it. */
  readonly idleMs: number;
}

interface Started {
  readonly m: number;
  readonly thread: number;
  readonly worker: WatchedWorker;
  readonly port: HostPort;
  /** Reading of performance.now. */
  readonly startedAt: number;
  /** For how long its event loop was idle, when it was asked last. */
  idleMs: number;
  ready: boolean;
  /** The worker's own account of why it cannot run. */
  failure: Error | null;
  timer: ReturnType<typeof setTimeout> | null;
}

export class Workers {
  readonly #options: WorkersOptions;
  readonly #live = new Map<number, Started>();
  /** Times of the workers that have ended. */
  #endedMs = 0;
  #endedIdleMs = 0;
  #closed = false;

  constructor(options: WorkersOptions) {
    this.#options = options;
  }

  /** The Ms of the workers that have not ended. */
  get live(): number[] {
    return [...this.#live.keys()];
  }

  /** The Ms of the workers that have answered and have not ended. */
  get running(): number[] {
    return [...this.#live.values()].filter(({ ready }) => ready).map(({ m }) => m);
  }

  /** Posts a message to the worker of M m, if it has not ended. */
  post(m: number, message: MainMessage): void {
    this.#live.get(m)?.port.postMessage(message);
  }

  get times(): WorkerTimes {
    const now = performance.now();
    let ms = this.#endedMs;
    let idleMs = this.#endedIdleMs;
    for (const started of this.#live.values()) {
      ms += now - started.startedAt;
      idleMs += idleOf(started);
    }
    return { running: this.#live.size, ms, idleMs };
  }

  /** Starts a worker as M m, which is registered. */
  start(m: number): void {
    const { threads, make } = this.#options;
    const thread = threads.threadOf(m);
    let worker: HostWorker;
    try {
      if (this.#closed) throw new TypeError("runtime: start of a worker after close");
      worker = make === undefined ? defaultWorker(m) : checkWorker(make());
    } catch (e) {
      this.#gone(m, thread);
      this.#options.failed(cannotStart(m, e), m);
      return;
    }
    const { port1, port2 } = new MessageChannel();
    const port = port1 as unknown as HostPort;
    const started: Started = {
      m,
      thread,
      worker: watchWorker(worker, (end) => this.#ended(started, end)),
      port,
      startedAt: performance.now(),
      idleMs: 0,
      ready: false,
      failure: null,
      timer: null,
    };
    this.#live.set(m, started);
    port.onmessage = ({ data }) => this.#receive(started, data as WorkerMessage);
    port.unref?.();
    started.timer = setTimeout(() => this.#silent(m), ANSWER_MS);
    (started.timer as { unref?(): void }).unref?.();
    worker.postMessage(this.#startMessage(m, thread, port2), [port2 as never]);
  }

  #startMessage(m: number, thread: number, port2: unknown): StartMessage {
    const { memory, mainModule, settings, collects } = this.#options;
    return {
      [startKey]: {
        version: version(),
        memory: memory.memory ?? memory.buffer,
        m,
        thread,
        port: port2 as HostPort,
        clockOrigin: clockOrigin(),
        mainModule,
        collects: collects(m),
        settings: settings(),
      },
    };
  }

  #receive(started: Started, message: WorkerMessage): void {
    const { crashed, stderr } = this.#options;
    if ("ready" in message) {
      started.ready = true;
      clearTimeout(started.timer ?? undefined);
    } else if ("failed" in message) {
      started.failure = errorOf(message.failed);
      started.worker.terminate();
    } else if ("holds" in message) {
      started.worker.holds(message.holds);
    } else if ("crash" in message) {
      if (!this.#closed) crashed(errorOf(message.crash), message.report, message.program);
    } else if ("stderr" in message) {
      stderr(message.stderr);
    }
  }

  #silent(m: number): void {
    this.#options.stderr(
      `runtime: worker ${m} has not answered for ${ANSWER_MS / 1000} s: ` +
        'does its module import "@gort/runtime/worker"?\n',
    );
  }

  /** The host says that the worker has ended. */
  #ended(started: Started, end: WorkerEnd): void {
    const { m, thread, port, ready, failure, timer } = started;
    if (this.#live.get(m) !== started) return;
    this.#live.delete(m);
    this.#endedMs += performance.now() - started.startedAt;
    this.#endedIdleMs += started.idleMs;
    clearTimeout(timer ?? undefined);
    port.close();
    const { lost, goroutines } = this.#gone(m, thread);
    if (this.#closed) return;
    if (failure !== null || (!ready && !lost))
      this.#options.failed(cannotStart(m, failure ?? end.error ?? `it ${endText(end)}`), m);
    else if (lost) this.#options.lost(workerLost(m, end), goroutines);
  }

  /** Takes the M off the threads. Returns whether it had run, and the goroutines that it had then. */
  #gone(m: number, thread: number): { lost: boolean; goroutines: number } {
    const lost = this.#options.threads.died(m, thread);
    return { lost, goroutines: this.#options.exited(m, thread) };
  }

  /** Ends the workers: at once if they have left by themselves, else after a grace. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#live.size === 0) return;
    const timer = setTimeout(() => {
      for (const { worker } of this.#live.values()) worker.terminate();
    }, CLOSE_GRACE_MS);
    (timer as { unref?(): void }).unref?.();
  }
}

/** For how long the worker's event loop was idle, in ms. The host forgets it when the worker ends. */
function idleOf(started: Started): number {
  const { idle } = started.worker.host.performance?.eventLoopUtilization() ?? { idle: Number.NaN };
  started.idleMs = Number.isNaN(idle) ? idle : Math.max(started.idleMs, idle);
  return started.idleMs;
}

/** How it has ended, for a message; and why, if an error says so. */
function endText({ code, error }: WorkerEnd): string {
  if (error !== null) return `has ended by an uncaught ${whyText(error)}`;
  return code === undefined ? "has ended" : `has ended with code ${code}`;
}

function whyText(why: unknown): string {
  return why instanceof Error ? `${why.name}: ${why.message}` : String(why);
}

function withCause(error: FatalError, cause: unknown): FatalError {
  if (!(cause instanceof Error)) return error;
  return Object.defineProperty(error, "cause", { value: cause, configurable: true, writable: true });
}

function cannotStart(m: number, why: unknown): FatalError {
  const error = new FatalError("fatal", "ERR_GORT_WORKER_START", `cannot start worker ${m}: ${whyText(why)}`);
  error.hint =
    "A bundled program needs createRuntime({ workers: () => new Worker(...) }) with a module that imports " +
    '"@gort/runtime/worker" and the modules of its tasks.';
  return withCause(error, why);
}

function workerLost(m: number, end: WorkerEnd): FatalError {
  const error = new FatalError("fatal", "ERR_GORT_WORKER_LOST", `worker ${m} ${endText(end)}`);
  return withCause(error, end.error);
}
