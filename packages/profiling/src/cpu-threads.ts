/**
 * Threads that take part in a CPU profile: this thread, and threads that answer over a port. workers.ts has Node's
 * workers, which take part without a port.
 */
import { builtin } from "./host.ts";
import { InspectorSession, type V8CPUProfile } from "./inspect.ts";
import { type LabelChange, threadLabels } from "./label-log.ts";

/** A thread that can be profiled. */
export interface CPUThread {
  /** The value of the label `thread`. */
  readonly name: string;
  /** Node's number of the thread, once it is known, so that the thread is not sampled twice. */
  readonly threadId?: number | undefined;
  start(intervalUs: number): void | Promise<void>;
  /** The profile since start, or null if the thread is gone. */
  stop(): SampledThread | null | Promise<SampledThread | null>;
}

/** The result of a thread: V8's profile, and the changes of labels in that time. */
export type SampledThread = V8CPUProfile & { labels?: readonly LabelChange[] };

/** This thread. */
export class OwnThread implements CPUThread {
  readonly name = "main";
  private session: InspectorSession | undefined;

  start(intervalUs: number): void {
    const session = new InspectorSession();
    try {
      session.post("Profiler.enable");
      session.post("Profiler.setSamplingInterval", { interval: intervalUs });
      session.post("Profiler.start");
    } catch (error) {
      session.close();
      throw error;
    }
    this.session = session;
  }

  stop(): V8CPUProfile {
    const session = this.session!;
    this.session = undefined;
    try {
      return session.post<{ profile: V8CPUProfile }>("Profiler.stop").profile;
    } finally {
      session.close();
    }
  }
}

/** The messages over a port. */
type Request = { op: "start"; intervalUs: number } | { op: "stop" };
type Answer = { profile: SampledThread | null; threadId: number | undefined } | { error: string };

/** The part of a MessagePort that is used: Node's, or a browser's after `start()`. */
export interface ProfilePort {
  postMessage(message: unknown): void;
  on(event: "message", listener: (message: unknown) => void): unknown;
  once(event: "message" | "close", listener: (message?: unknown) => void): unknown;
  off(event: "message" | "close", listener: (message?: unknown) => void): unknown;
  ref?(): void;
  unref?(): void;
}

/**
 * In a worker: profiles it when the other end of the port (`workerThread`) asks. The port does not keep the worker
 * alive.
 */
export function serveCPUProfile(port: ProfilePort): void {
  const thread = new OwnThread();
  const threadId = builtin("node:worker_threads")?.threadId;
  let running = false;
  port.on("message", (message) => {
    const request = message as Request;
    let answer: Answer;
    try {
      if (request.op === "start") {
        thread.start(request.intervalUs);
        threadLabels().begin();
        running = true;
        answer = { profile: null, threadId };
      } else {
        const profile = running ? { ...thread.stop(), labels: threadLabels().end() } : null;
        answer = { profile, threadId };
        running = false;
      }
    } catch (error) {
      answer = { error: error instanceof Error ? error.message : String(error) };
    }
    port.postMessage(answer);
  });
  port.unref?.();
}

/** A worker that calls `serveCPUProfile` on the other end of `port`, for `CPUProfiler.addThread`. */
export function workerThread(name: string, port: ProfilePort): CPUThread {
  let gone = false;
  let threadId: number | undefined;
  port.once("close", () => {
    gone = true;
  });
  port.unref?.();
  const ask = (request: Request): Promise<SampledThread | null> =>
    new Promise((resolve, reject) => {
      if (gone) return resolve(null);
      const done = () => {
        port.off("message", onMessage);
        port.off("close", onClose);
        port.unref?.();
      };
      const onMessage = (message?: unknown) => {
        done();
        const answer = message as Answer;
        if ("error" in answer) return reject(new Error(answer.error));
        threadId = answer.threadId;
        resolve(answer.profile);
      };
      const onClose = () => {
        done();
        resolve(null);
      };
      port.ref?.();
      port.once("message", onMessage);
      port.once("close", onClose);
      port.postMessage(request);
    });
  return {
    name,
    get threadId() {
      return threadId;
    },
    start: async (intervalUs) => void (await ask({ op: "start", intervalUs })),
    stop: () => ask({ op: "stop" }),
  };
}
