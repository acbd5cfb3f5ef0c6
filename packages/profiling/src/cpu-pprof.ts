/** V8's CPU profiles as one pprof profile. */
import { frameOf, isNoCode, type V8CPUProfile, type V8ProfileNode } from "./inspect.ts";
import type { LabelSet } from "./labels.ts";
import type { PCTable } from "./pc-table.ts";
import { ProfileBuilder } from "./proto.ts";

export interface ThreadProfile {
  name: string;
  profile: V8CPUProfile;
  /** The labels at a time, in microseconds of V8's clock. The times of successive calls must rise. */
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
  const tree = new CallTree(table, thread.profile.nodes);
  for (const { count, us, node, line, labels } of groupSamples(table, thread, tree)) {
    const sampleLabels: Record<string, string> = Object.fromEntries(labels ?? []);
    if (nameThread) sampleLabels.thread = thread.name;
    builder.add(
      [frameOf(table, node.callFrame, line), ...tree.outerFrames(node.id)],
      [count, Math.round(us * 1000)],
      sampleLabels,
    );
  }
}

/** V8's nodes, and the frames around each. */
class CallTree {
  readonly byId: ReadonlyMap<number, V8ProfileNode>;
  private readonly parent = new Map<number, number>();
  private readonly outer = new Map<number, readonly number[]>();

  constructor(
    private readonly table: PCTable,
    nodes: readonly V8ProfileNode[],
  ) {
    this.byId = new Map(nodes.map((node) => [node.id, node]));
    for (const node of nodes) for (const child of node.children ?? []) this.parent.set(child, node.id);
  }

  /** The frames around a node's own, innermost first. A goroutine's stack ends where the run loop resumes it. */
  outerFrames(id: number): readonly number[] {
    const known = this.outer.get(id);
    if (known !== undefined) return known;
    const { table } = this;
    const up = this.parent.get(id);
    const node = up === undefined ? undefined : this.byId.get(up);
    const frame = node === undefined || isNoCode(node.callFrame) ? 0 : frameOf(table, node.callFrame, 0);
    const frames = frame === 0 || table.isBase(frame) ? [] : [frame, ...this.outerFrames(up!)];
    this.outer.set(id, frames);
    return frames;
  }
}

/** Samples of one node, line and set of labels: one sample of the profile. */
interface SampleGroup {
  count: number;
  us: number;
  node: V8ProfileNode;
  line: number;
  labels: LabelSet | null;
}

/** Groups the samples of a thread. A sample's time is that until the next one. */
function groupSamples(table: PCTable, thread: ThreadProfile, tree: CallTree): Iterable<SampleGroup> {
  const { samples = [], timeDeltas = [], startTime, endTime } = thread.profile;
  const groups = new Map<string, SampleGroup>();
  const lines = new Map<number, Iterator<number>>();
  const labelIds = new Map<LabelSet | null, number>();
  let now = startTime;
  for (let i = 0; i < samples.length; i++) {
    now += timeDeltas[i] ?? 0;
    const id = samples[i];
    const node = tree.byId.get(id);
    const labels = thread.labels?.at(now) ?? null;
    if (node === undefined || isNoCode(node.callFrame)) continue;
    // V8 counts the lines of a node's samples, but does not say which sample had which line.
    let line = lines.get(id);
    if (line === undefined) lines.set(id, (line = eachLine(ownLines(table, node))));
    const at = line.next().value ?? 0;
    let labelId = labelIds.get(labels);
    if (labelId === undefined) labelIds.set(labels, (labelId = labelIds.size));
    const key = `${id}:${at}:${labelId}`;
    let group = groups.get(key);
    if (group === undefined) groups.set(key, (group = { count: 0, us: 0, node, line: at, labels }));
    group.count++;
    group.us += Math.max(0, timeDeltas[i + 1] ?? endTime - now);
  }
  return groups.values();
}

/**
 * The lines of a node's samples. V8 also counts lines of code that it has inlined there: built-in functions, and
 * functions that were inlined before the profile began. Those are lines of another function or another file. Such
 * samples stand on the function's own line, 0.
 */
function ownLines(table: PCTable, node: V8ProfileNode): { line: number; ticks: number }[] {
  const { url, lineNumber, columnNumber } = node.callFrame;
  return (node.positionTicks ?? []).map(({ line, ticks }) => {
    const own = url === "" || table.isLineOf(url, lineNumber + 1, columnNumber + 1, line);
    return { line: own ? line : 0, ticks };
  });
}

/** Each line as often as it has ticks. */
function* eachLine(ticks: readonly { line: number; ticks: number }[]): Generator<number, number> {
  for (const { line, ticks: n } of ticks) for (let i = 0; i < n; i++) yield line;
  return ticks.at(-1)?.line ?? 0;
}
