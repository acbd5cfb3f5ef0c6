/**
 * CPU profiles.
 *
 * V8 interrupts the thread so many times a second and notes the stack. Each sample becomes one count and the time until
 * the next sample; samples in which nothing ran are left out. What runs in V8 itself shows as `v8.gc` and
 * `v8.program` (native code that no JavaScript called).
 *
 *   1. start    every thread's V8 begins to sample, and the log of label changes is opened
 *   2. running  whoever changes labels (do, setGoroutineLabels, a scheduler that switches goroutines) notes the time;
 *               V8's clock and process.hrtime are the same monotonic clock
 *   3. stop     the samples of all threads are merged, each with the labels that held at its time, and written
 *
 * Node's workers take part by themselves (workers.ts), any thread by a port. With more than one thread every sample
 * carries the label `thread`.
 *
 * Unlike Go: V8 samples time that passes, not time on a processor, so a thread that others keep from running is seen
 * as running; and only the innermost frame has the exact line (see inspect.ts).
 */
import { wrongNumber } from "@gort/base";
import { builtin, unixNanos } from "./host.ts";
import { frameOf, InspectorSession, isNoCode, type V8CPUProfile, type V8ProfileNode } from "./inspect.ts";
import { addLabelSource, type LabelChange, LabelLog, threadLabels } from "./label-log.ts";
import type { LabelSet } from "./labels.ts";
import type { PCTable } from "./pc-table.ts";
import { ProfileBuilder } from "./proto.ts";
import { WorkerSampler } from "./workers.ts";
import { gzip, type Sink, writeAll } from "./writer.ts";

/** Go's rate, samples a second. */
export const DEFAULT_CPU_PROFILE_RATE = 100;
/** The highest rate: Go's limit, and the resolution of V8's interval. */
const maxRate = 1_000_000;

/** A thread that can be profiled. */
export interface CPUThread {
  /** For the label `thread`. */
  readonly name: string;
  /** Node's number of the thread, once it is known: so that it is not sampled twice. */
  readonly threadId?: number | undefined;
  start(intervalUs: number): void | Promise<void>;
  /** The profile since start, or null if the thread is gone. */
  stop(): SampledThread | null | Promise<SampledThread | null>;
}

/** What a thread hands in: V8's profile, and which labels held when. */
export type SampledThread = V8CPUProfile & { labels?: readonly LabelChange[] };

/** This thread. */
class OwnThread implements CPUThread {
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

/** What is exchanged with another thread over a port. */
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

/** In a worker: profiles it when the other end of the port (`workerThread`) asks. The port doesn't keep it alive. */
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

interface Running {
  sink: Sink;
  hz: number;
  startedAt: bigint;
  labels: LabelLog;
  threads: CPUThread[];
  /** Node's workers, where they can be reached. */
  workers: WorkerSampler | null;
  /** When every other thread has begun; a failure shows at stop. */
  begun: Promise<PromiseSettledResult<void>[]>;
  /** Set once it is being ended. */
  ended?: Promise<void>;
}

export class CPUProfiler {
  private hz = 0;
  private running: Running | null = null;
  private readonly threads = new Set<CPUThread>();
  /** The set that was noted last. */
  private noted: LabelSet | null = null;
  private readonly logs = new Set<LabelLog>();

  constructor(
    private readonly table: PCTable,
    private readonly stderr: (text: string) => void,
    private readonly labelsNow: () => LabelSet | null,
    private readonly onActive: (active: boolean) => void = () => {},
    private readonly withWorkers = true,
  ) {
    addLabelSource(this);
  }

  /** Whether a profile is being taken. */
  get active(): boolean {
    return this.running !== null;
  }

  /** Adds a thread to the profiles that are started from now on; the result takes it away again. */
  addThread(thread: CPUThread): () => void {
    this.threads.add(thread);
    return () => this.threads.delete(thread);
  }

  /**
   * Samples a second of the profiles to come, 0: the default of 100. While one is being taken the rate can't change:
   * that is said on standard error, as in Go.
   */
  setRate(hz: number): void {
    if (typeof hz !== "number" || Number.isNaN(hz)) {
      throw wrongNumber("profiling", hz, "the CPU profile rate must be a number of samples a second");
    }
    if (this.running !== null) {
      if (hz > 0) this.stderr("runtime: cannot set cpu profile rate until previous profile has finished.\n");
      return;
    }
    this.hz = Math.min(maxRate, Math.max(0, Math.floor(hz)));
  }

  /** Begins a profile, which `stop` will write to `sink`. Throws if one is being taken. */
  start(sink: Sink): void {
    if (this.running !== null) throw new Error("cpu profiling already in use");
    if (sink === null || (typeof sink !== "object" && typeof sink !== "function")) {
      throw new TypeError(
        `profiling: a CPU profile needs a stream or a function to be written to (got ${String(sink)})`,
      );
    }
    const hz = this.hz || DEFAULT_CPU_PROFILE_RATE;
    const intervalUs = Math.max(1, Math.round(1e6 / hz));
    const own = new OwnThread();
    own.start(intervalUs);
    const others = [...this.threads];
    const begun = Promise.allSettled(others.map(async (thread) => thread.start(intervalUs)));
    const workers = this.withWorkers ? WorkerSampler.start(intervalUs) : null;
    const labels = this.openLog();
    this.running = { sink, hz, startedAt: unixNanos(), labels, threads: [own, ...others], workers, begun };
  }

  /** When all threads that take part sample; rejects if one fails to. Without a profile, at once. */
  async begun(): Promise<void> {
    const run = this.running;
    if (run === null) return;
    const [begun] = await Promise.all([run.begun, run.workers?.begun()]);
    const failed = begun.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  /** @internal Logs changes of labels from now on, for the profile of this thread. */
  openLog(): LabelLog {
    const log = new LabelLog();
    const now = this.labelsNow();
    if (now !== null && now.size > 0) log.add(now, 0);
    this.noted = now;
    this.logs.add(log);
    if (this.logs.size === 1) this.onActive(true);
    return log;
  }

  /** @internal */
  closeLog(log: LabelLog): void {
    if (this.logs.delete(log) && this.logs.size === 0) this.onActive(false);
  }

  /**
   * Notes that other labels hold from now on; may be called as often as goroutines are switched, since the same set
   * again takes nothing. Costs one comparison while no profile is being taken.
   */
  noteLabels(labels: LabelSet | null): void {
    if (this.logs.size === 0 || labels === this.noted) return;
    this.noted = labels;
    for (const log of this.logs) log.add(labels);
  }

  /** Ends the profile and writes it. Does nothing if none is being taken. */
  stop(): Promise<void> {
    const run = this.running;
    if (run === null) return Promise.resolve();
    run.ended ??= this.end(run);
    return run.ended;
  }

  private async end(run: Running): Promise<void> {
    const profiles: ThreadProfile[] = [];
    let failed: PromiseRejectedResult | undefined;
    try {
      // This thread first: what follows is no part of the program.
      const [own, ...others] = run.threads;
      const [stopped] = await Promise.allSettled([(async () => own.stop())()]);
      if (stopped.status === "rejected") failed = stopped;
      else profiles.push({ name: own.name, profile: stopped.value!, labels: run.labels });
      const begun = await run.begun;
      // Every thread is stopped, also when another fails.
      const [ended, workers] = await Promise.all([
        Promise.allSettled(others.map(async (thread) => thread.stop())),
        run.workers?.stop() ?? [],
      ]);
      const answered = new Set<number | undefined>();
      for (const [i, result] of ended.entries()) {
        const { name, threadId } = others[i];
        if (result.status === "rejected") failed ??= result;
        else if (result.value !== null) {
          answered.add(threadId);
          profiles.push(threadProfile(name, result.value));
        }
      }
      failed = begun.find((result) => result.status === "rejected") ?? failed;
      for (const worker of workers.sort((a, b) => a.threadId - b.threadId)) {
        if (answered.has(worker.threadId)) continue;
        const given = others.find(({ threadId }) => threadId === worker.threadId);
        profiles.push(
          threadProfile(given?.name ?? worker.name, { ...worker.profile, labels: worker.labels }),
        );
      }
      for (const name of run.workers?.lost ?? []) {
        this.stderr(`profiling: ${name} did not hand in its samples: they are missing in the CPU profile\n`);
      }
    } finally {
      this.running = null;
      this.closeLog(run.labels);
    }
    if (failed !== undefined) throw failed.reason;
    const profile = cpuProfileToPprof(this.table, profiles, { hz: run.hz, timeNanos: run.startedAt });
    await writeAll(run.sink, await gzip(profile));
  }
}

function threadProfile(name: string, { labels, ...profile }: SampledThread): ThreadProfile {
  return { name, profile, ...(labels === undefined ? {} : { labels: LabelLog.of(labels) }) };
}

export interface ThreadProfile {
  name: string;
  profile: V8CPUProfile;
  /** The labels at a time, in microseconds of V8's clock, asked in rising order. */
  labels?: { at(us: number): LabelSet | null } | null;
}

/** V8's CPU profiles as one pprof: samples/count and cpu/nanoseconds. */
export function cpuProfileToPprof(
  table: PCTable,
  threads: readonly ThreadProfile[],
  options: { hz: number; timeNanos?: bigint },
): Uint8Array {
  let start = Number.POSITIVE_INFINITY;
  let end = 0;
  for (const { profile } of threads) {
    start = Math.min(start, profile.startTime);
    end = Math.max(end, profile.endTime);
  }
  const builder = new ProfileBuilder(table, {
    sampleTypes: [
      { type: "samples", unit: "count" },
      { type: "cpu", unit: "nanoseconds" },
    ],
    periodType: { type: "cpu", unit: "nanoseconds" },
    period: Math.round(1e9 / options.hz),
    durationNanos: BigInt(Math.max(1, Math.round((end - start) * 1000) || 1)),
    ...(options.timeNanos === undefined ? {} : { timeNanos: options.timeNanos }),
  });
  for (const thread of threads) addThread(builder, table, thread, threads.length > 1);
  return builder.build();
}

function addThread(
  builder: ProfileBuilder,
  table: PCTable,
  thread: ThreadProfile,
  nameThread: boolean,
): void {
  const { nodes, samples = [], timeDeltas = [], startTime, endTime } = thread.profile;
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parent = new Map<number, number>();
  for (const node of nodes) for (const child of node.children ?? []) parent.set(child, node.id);
  const outer = new Map<number, readonly number[]>();
  /** The frames around a node's own, innermost first. */
  const outerFrames = (id: number): readonly number[] => {
    const known = outer.get(id);
    if (known !== undefined) return known;
    const up = parent.get(id);
    const node = up === undefined ? undefined : byId.get(up);
    const frame = node === undefined || isNoCode(node.callFrame) ? 0 : frameOf(table, node.callFrame, 0);
    // A goroutine's stack ends where the run loop resumes it.
    const frames = frame === 0 || table.isBase(frame) ? [] : [frame, ...outerFrames(up!)];
    outer.set(id, frames);
    return frames;
  };

  // Samples of one node, line and set of labels are one sample of the profile.
  interface Group {
    count: number;
    us: number;
    id: number;
    line: number;
    labels: LabelSet | null;
  }
  const groups = new Map<string, Group>();
  const lines = new Map<number, Iterator<number>>();
  const labelIds = new Map<LabelSet | null, number>();
  let now = startTime;
  for (let i = 0; i < samples.length; i++) {
    now += timeDeltas[i] ?? 0;
    const id = samples[i];
    const node = byId.get(id);
    const labels = thread.labels?.at(now) ?? null;
    if (node === undefined || isNoCode(node.callFrame)) continue;
    // V8 counts the lines of a node's samples without saying which sample had which.
    let line = lines.get(id);
    if (line === undefined) lines.set(id, (line = eachLine(ownLines(table, node))));
    const at = line.next().value ?? 0;
    let labelId = labelIds.get(labels);
    if (labelId === undefined) labelIds.set(labels, (labelId = labelIds.size));
    const key = `${id}:${at}:${labelId}`;
    let group = groups.get(key);
    if (group === undefined) groups.set(key, (group = { count: 0, us: 0, id, line: at, labels }));
    group.count++;
    group.us += Math.max(0, timeDeltas[i + 1] ?? endTime - now);
  }
  for (const { count, us, id, line, labels } of groups.values()) {
    const sampleLabels: Record<string, string> = Object.fromEntries(labels ?? []);
    if (nameThread) sampleLabels.thread = thread.name;
    builder.add(
      [frameOf(table, byId.get(id)!.callFrame, line), ...outerFrames(id)],
      [count, Math.round(us * 1000)],
      sampleLabels,
    );
  }
}

/**
 * The lines of a node's samples. V8 also counts lines of code that it has inlined there (built-in functions, and
 * functions that were inlined before the profile began), which are lines of another function or another file: such
 * samples stand on the function's own line, 0.
 */
function ownLines(table: PCTable, node: V8ProfileNode): { line: number; ticks: number }[] {
  const { url, lineNumber, columnNumber } = node.callFrame;
  return (node.positionTicks ?? []).map(({ line, ticks }) => {
    const own = url === "" || table.isLineOf(url, lineNumber + 1, columnNumber + 1, line);
    return { line: own ? line : 0, ticks };
  });
}

function* eachLine(ticks: readonly { line: number; ticks: number }[]): Generator<number, number> {
  for (const { line, ticks: n } of ticks) for (let i = 0; i < n; i++) yield line;
  return ticks.at(-1)?.line ?? 0;
}
