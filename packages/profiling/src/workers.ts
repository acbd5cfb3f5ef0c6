/**
 * CPU profiles of Node's worker threads.
 *
 * In Node, the main thread's inspector can talk to the inspector of every worker, also of workers that workers start. A
 * request to it interrupts the running JavaScript, and a wait in Atomics.wait. So a worker need not do or import
 * anything.
 *
 *   1. attach   open a session with each worker, and with each worker that starts later
 *   2. begin    V8 samples in the worker, and changes of labels are noted there (label-log.ts)
 *   3. end      fetch the samples and the changes of labels, and end the session
 *
 * Node holds a worker that ends meanwhile until its samples are fetched. Its labels are lost, because JavaScript cannot
 * run in it any more. Every worker must be released, also if the program exits while a profile is taken.
 *
 * Rejected: a channel on which workers listen. A worker that computes would answer only at its end, and a worker that
 * is terminated would never answer.
 */
import { builtin } from "./host.ts";
import type { V8CPUProfile } from "./inspect.ts";
import { BEGIN_LABELS, END_LABELS, type LabelChange } from "./label-log.ts";

/** How long `stop` waits for the samples of workers: they answer while JavaScript runs, but not from native code. */
const ANSWER_MS = 5000;

export interface WorkerProfile {
  threadId: number;
  name: string;
  profile: V8CPUProfile;
  labels: readonly LabelChange[];
}

/** A worker that is attached. */
interface Attached {
  threadId: number;
  name: string;
  /** Requests without an answer yet, by number. */
  pending: Map<number, (result: unknown) => void>;
  /** Resolves when the worker samples, or is gone. */
  begun: Promise<unknown>;
  /** Set by the request for its samples. */
  ended: Promise<void> | null;
}

interface Session {
  connect(): void;
  disconnect(): void;
  post(method: string, params: object, callback?: (error: Error | null) => void): void;
  on(event: string, listener: (message: { params: never }) => void): void;
}

export class WorkerSampler {
  private readonly session: Session;
  private readonly attached = new Map<string, Attached>();
  private readonly profiles: WorkerProfile[] = [];
  /** Names of workers whose samples could not be fetched. */
  readonly lost: string[] = [];
  private serial = 0;
  private readonly onExit = () => this.detachAll();

  /**
   * Begins to sample all workers of this process. Null outside of Node's main thread: workers cannot be reached
   * there.
   */
  static start(intervalUs: number): WorkerSampler | null {
    const inspector = builtin("node:inspector");
    if (inspector === undefined || builtin("node:worker_threads")?.isMainThread !== true) return null;
    const session = new inspector.Session() as unknown as Session;
    session.connect();
    const sampler = new WorkerSampler(session, intervalUs);
    let failed = false;
    session.post("NodeWorker.enable", { waitForDebuggerOnStart: false }, (error) => {
      failed = error !== null;
    });
    if (!failed) return sampler;
    sampler.close();
    return null;
  }

  private constructor(
    session: Session,
    private readonly intervalUs: number,
  ) {
    this.session = session;
    session.on("NodeWorker.attachedToWorker", ({ params }: { params: AttachedParams }) => {
      this.begin(params.sessionId, params.workerInfo);
    });
    session.on("NodeWorker.receivedMessageFromWorker", ({ params }: { params: MessageParams }) => {
      this.received(params.sessionId, params.message);
    });
    session.on("NodeWorker.detachedFromWorker", ({ params }: { params: { sessionId: string } }) => {
      this.gone(params.sessionId);
    });
    process.on("exit", this.onExit);
  }

  /** Resolves when all attached workers sample. */
  async begun(): Promise<void> {
    await Promise.all(Array.from(this.attached.values(), ({ begun }) => begun));
  }

  /** Ends the sampling. Resolves to the profiles of all workers that answered in time. */
  async stop(waitMs = ANSWER_MS): Promise<WorkerProfile[]> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, waitMs);
    });
    try {
      const ends = Array.from(this.attached, ([id, worker]) => this.end(id, worker));
      await Promise.race([Promise.all(ends), late]);
    } finally {
      clearTimeout(timer);
      // A worker that started meanwhile was not asked, so it is not lost.
      for (const { name, ended } of this.attached.values()) if (ended !== null) this.lost.push(name);
      this.close();
    }
    return this.profiles;
  }

  private close(): void {
    this.detachAll();
    process.off("exit", this.onExit);
    this.session.disconnect();
  }

  private detachAll(): void {
    for (const id of [...this.attached.keys()]) this.detach(id);
    this.session.post("NodeWorker.disable", {}, () => {});
  }

  /** Releases a worker. If its session were only closed, Node would continue to hold it. */
  private detach(id: string): void {
    this.attached.delete(id);
    this.session.post("NodeWorker.detach", { sessionId: id }, () => {});
  }

  private begin(id: string, { workerId, title }: AttachedParams["workerInfo"]): void {
    // workerId counts Node's sessions. The title has the number of the thread, and the name if the program gave one.
    const [, threadId = workerId, given = ""] = /^\[worker (\d+)\] ?(.*)$/.exec(title) ?? [];
    const worker: Attached = {
      threadId: Number(threadId),
      name: `worker ${threadId}${given === "" || given === "WorkerThread" ? "" : ` ${given}`}`,
      pending: new Map(),
      begun: Promise.resolve(),
      ended: null,
    };
    this.attached.set(id, worker);
    void this.ask(id, worker, "NodeRuntime.notifyWhenWaitingForDisconnect", { enabled: true });
    const logs = this.evaluate(id, worker, BEGIN_LABELS);
    void this.ask(id, worker, "Profiler.enable");
    void this.ask(id, worker, "Profiler.setSamplingInterval", { interval: this.intervalUs });
    worker.begun = Promise.all([logs, this.ask(id, worker, "Profiler.start")]);
  }

  private end(id: string, worker: Attached): Promise<void> {
    worker.ended ??= this.fetch(id, worker);
    return worker.ended;
  }

  private async fetch(id: string, worker: Attached): Promise<void> {
    const [stopped, changes] = await Promise.all([
      this.ask<{ profile?: V8CPUProfile }>(id, worker, "Profiler.stop"),
      this.evaluate(id, worker, END_LABELS),
    ]);
    if (!this.attached.has(id)) return;
    const { threadId, name } = worker;
    if (stopped?.profile === undefined) this.lost.push(name);
    else {
      this.profiles.push({
        threadId,
        name,
        profile: stopped.profile,
        labels: Array.isArray(changes) ? (changes as LabelChange[]) : [],
      });
    }
    this.detach(id);
  }

  /**
   * The value of an expression in a worker. Undefined if JavaScript cannot run there, as in a worker that has ended.
   */
  private async evaluate(id: string, worker: Attached, expression: string): Promise<unknown> {
    const params = { expression, returnByValue: true };
    const answer = await this.ask<Evaluated>(id, worker, "Runtime.evaluate", params);
    return answer?.exceptionDetails === undefined ? answer?.result?.value : undefined;
  }

  /** Sends a request to a worker's inspector. Resolves to its answer; null for an error, or if the worker is gone. */
  private ask<T>(id: string, worker: Attached, method: string, params: object = {}): Promise<T | null> {
    return new Promise((resolve) => {
      const number = ++this.serial;
      worker.pending.set(number, resolve as (result: unknown) => void);
      const message = JSON.stringify({ id: number, method, params });
      this.session.post("NodeWorker.sendMessageToWorker", { sessionId: id, message }, (error) => {
        if (error !== null && worker.pending.delete(number)) resolve(null);
      });
    });
  }

  private received(id: string, text: string): void {
    const worker = this.attached.get(id);
    if (worker === undefined) return;
    const message = JSON.parse(text) as { id?: number; method?: string; result?: unknown };
    if (message.method === "NodeRuntime.waitingForDisconnect") void this.end(id, worker);
    const answer = message.id === undefined ? undefined : worker.pending.get(message.id);
    if (answer === undefined) return;
    worker.pending.delete(message.id!);
    answer(message.result ?? null);
  }

  /** A worker has ended, and Node did not hold it. */
  private gone(id: string): void {
    const worker = this.attached.get(id);
    if (worker === undefined) return;
    this.attached.delete(id);
    this.lost.push(worker.name);
    for (const answer of worker.pending.values()) answer(null);
    worker.pending.clear();
  }
}

interface AttachedParams {
  sessionId: string;
  workerInfo: { workerId: string; title: string };
}

interface MessageParams {
  sessionId: string;
  message: string;
}

interface Evaluated {
  result?: { value?: unknown };
  exceptionDetails?: unknown;
}
