/**
 * CPU profiles.
 *
 * V8 interrupts the thread at a fixed rate and notes the stack. Each sample becomes one count and the time until the
 * next sample. Samples in which nothing ran are left out. Time in V8 itself shows as `v8.gc` and `v8.program` (native
 * code that no JavaScript called).
 *
 *   1. start    V8 begins to sample in every thread, and the log of label changes is opened
 *   2. running  `do`, `setGoroutineLabels` and a scheduler that switches goroutines note each change of labels and its
 *               time; V8's clock and process.hrtime are the same monotonic clock
 *   3. stop     the samples of all threads are merged, each with the labels that held at its time, and written
 *
 * Node's workers take part by themselves (workers.ts). Every other thread takes part by a port (cpu-threads.ts). With
 * more than one thread, every sample carries the label `thread`.
 *
 * Unlike Go: V8 samples wall-clock time, not time on a processor. So a thread that waits for a processor is shown as
 * running. Only the innermost frame has its exact line (see inspect.ts).
 */
import { wrongNumber } from "@gort/base";
import { cpuProfileToPprof, type ThreadProfile } from "./cpu-pprof.ts";
import { type CPUThread, OwnThread, type SampledThread } from "./cpu-threads.ts";
import { unixNanos } from "./host.ts";
import { addLabelSource, LabelLog } from "./label-log.ts";
import type { LabelSet } from "./labels.ts";
import type { PCTable } from "./pc-table.ts";
import type { RemoteCPUProfile } from "./profiler-options.ts";
import { WorkerSampler } from "./workers.ts";
import { gzip, type Sink, writeAll } from "./writer.ts";

/** Go's rate, samples a second. */
export const DEFAULT_CPU_PROFILE_RATE = 100;
/** The highest rate: Go's limit, and the resolution of V8's interval. */
const MAX_RATE = 1_000_000;

/** A profile that another thread takes. */
interface RunningElsewhere {
  sink: Sink;
  /** Set by the first `stop`. */
  ended?: Promise<void>;
}

/** A profile that is being taken. */
interface Running {
  sink: Sink;
  hz: number;
  startedAt: bigint;
  labels: LabelLog;
  threads: CPUThread[];
  /** Node's workers; null where they cannot be reached. */
  workers: WorkerSampler | null;
  /** Resolves when every other thread has begun. `stop` reports a failure. */
  begun: Promise<PromiseSettledResult<void>[]>;
  /** Set by the first `stop`. */
  ended?: Promise<void>;
}

export class CPUProfiler {
  private hz = 0;
  private running: Running | null = null;
  private elsewhere: RunningElsewhere | null = null;
  private readonly threads = new Set<CPUThread>();
  /** The label set that was noted last. */
  private noted: LabelSet | null = null;
  private readonly logs = new Set<LabelLog>();

  constructor(
    private readonly table: PCTable,
    private readonly stderr: (text: string) => void,
    private readonly labelsNow: () => LabelSet | null,
    private readonly onActive: (active: boolean) => void = () => {},
    private readonly withWorkers = true,
    private readonly remote: RemoteCPUProfile | null = null,
  ) {
    addLabelSource(this);
  }

  /** Whether a profile is being taken. */
  get active(): boolean {
    return this.running !== null || this.elsewhere !== null;
  }

  /** Adds a thread to the profiles that are started from now on. The result removes it. */
  addThread(thread: CPUThread): () => void {
    this.threads.add(thread);
    return () => this.threads.delete(thread);
  }

  /**
   * Samples a second of the profiles to come; 0: the default of 100. While a profile is being taken the rate cannot
   * change: a call with a rate above 0 then prints Go's message to standard error.
   */
  setRate(hz: number): void {
    if (typeof hz !== "number" || Number.isNaN(hz)) {
      throw wrongNumber("profiling", hz, "the CPU profile rate must be a number of samples a second");
    }
    if (this.active) {
      if (hz > 0) this.stderr("runtime: cannot set cpu profile rate until previous profile has finished.\n");
      return;
    }
    this.hz = Math.min(MAX_RATE, Math.max(0, Math.floor(hz)));
  }

  /** Begins a profile, which `stop` writes to `sink`. Throws if one is being taken. `rate`: 0 for that of setRate. */
  start(sink: Sink, rate = 0): void {
    if (this.active) throw new Error("cpu profiling already in use");
    if (sink === null || (typeof sink !== "object" && typeof sink !== "function")) {
      throw new TypeError(
        `profiling: a CPU profile needs a stream or a function to be written to (got ${String(sink)})`,
      );
    }
    if (this.remote !== null) {
      this.remote.start(this.hz);
      this.elsewhere = { sink };
      return;
    }
    const hz = rate || this.hz || DEFAULT_CPU_PROFILE_RATE;
    const intervalUs = Math.max(1, Math.round(1e6 / hz));
    const own = new OwnThread();
    own.start(intervalUs);
    const others = [...this.threads];
    const begun = Promise.allSettled(others.map(async (thread) => thread.start(intervalUs)));
    const workers = this.withWorkers ? WorkerSampler.start(intervalUs) : null;
    const labels = this.openLog();
    this.running = { sink, hz, startedAt: unixNanos(), labels, threads: [own, ...others], workers, begun };
  }

  /**
   * Resolves when all threads of the profile sample. Rejects if a thread fails to. Without a profile, and if another
   * thread takes it, resolves at once.
   */
  async begun(): Promise<void> {
    const run = this.running;
    if (run === null) return;
    const [begun] = await Promise.all([run.begun, run.workers?.begun()]);
    const failed = begun.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  /** @internal Opens a log of the changes of labels in this thread. */
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
   * Notes that these labels hold from now on. Callers may call it at every switch of goroutines: the same set again
   * takes no memory, and without a profile the call costs one comparison.
   */
  noteLabels(labels: LabelSet | null): void {
    if (this.logs.size === 0 || labels === this.noted) return;
    this.noted = labels;
    for (const log of this.logs) log.add(labels);
  }

  /** Ends the profile and writes it. Does nothing without a profile. */
  stop(): Promise<void> {
    const { running: run, elsewhere } = this;
    if (elsewhere !== null) return (elsewhere.ended ??= this.endElsewhere(this.remote!, elsewhere.sink));
    if (run === null) return Promise.resolve();
    run.ended ??= this.end(run);
    return run.ended;
  }

  private async endElsewhere(remote: RemoteCPUProfile, sink: Sink): Promise<void> {
    let profile: Uint8Array;
    try {
      profile = await remote.stop();
    } finally {
      this.elsewhere = null;
    }
    await writeAll(sink, profile);
  }

  private async end(run: Running): Promise<void> {
    const profiles: ThreadProfile[] = [];
    let failed: PromiseRejectedResult | undefined;
    try {
      // This thread first: the code that follows is no part of the program.
      const [own, ...others] = run.threads;
      const [stopped] = await Promise.allSettled([(async () => own.stop())()]);
      if (stopped.status === "rejected") failed = stopped;
      else profiles.push({ name: own.name, profile: stopped.value!, labels: run.labels });
      const begun = await run.begun;
      // Stop every thread, even if another fails.
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
