/**
 * Profiles that count stacks: goroutine, goroutineleak, threadcreate, and users' own; and those of waiting: block and
 * mutex. As pprof and as text.
 */
import type { Profile } from "pprof-format";
import type { BucketTable } from "./bucket.ts";
import { type LabelSet, labelText } from "./labels.ts";
import {
  type BlockBucket,
  type BlockProfileRecorder,
  cyclesPerSecond,
  MutexProfileRecorder,
} from "./mblock.ts";
import type { PCTable } from "./pctab.ts";
import { ProfileBuilder } from "./proto.ts";
import { stackLines, stackPCs, tabAlign } from "./text.ts";

/** One thing that is counted: its stack as frame numbers, innermost first. */
export interface CountedStack {
  stack: ArrayLike<number>;
  labels: LabelSet | null;
}

/** A profile with one sample type NAME/count. */
export function countProfile(table: PCTable, name: string, stacks: Iterable<CountedStack>): Profile {
  const builder = new ProfileBuilder(table, {
    sampleTypes: [{ type: name, unit: "count" }],
    periodType: { type: name, unit: "count" },
    period: 1,
  });
  for (const { stack, labels } of stacks) {
    builder.add(stack, [1], labels === null ? undefined : Object.fromEntries(labels));
  }
  return builder.build();
}

/** The same as text: equal stacks are grouped, most frequent first. */
export function countText(table: PCTable, name: string, stacks: Iterable<CountedStack>): string {
  const groups = new Map<string, { count: number; stack: ArrayLike<number> }>();
  let total = 0;
  for (const { stack, labels } of stacks) {
    total++;
    let key = stackPCs(table, stack);
    if (labels !== null && labels.size > 0) key += `\n# labels: ${labelText(labels)}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { count: 1, stack });
    else group.count++;
  }
  const sorted = [...groups].sort(([a, x], [b, y]) => y.count - x.count || (a < b ? -1 : a > b ? 1 : 0));
  let out = `${name} profile: total ${total}\n`;
  for (const [key, { count, stack }] of sorted) out += `${count} ${key}\n${stackLines(table, stack, false)}`;
  return tabAlign(out);
}

type EventRecorder = BlockProfileRecorder | MutexProfileRecorder;

/** The block or mutex profile as pprof. */
export function blockProfile(table: PCTable, buckets: BucketTable, recorder: EventRecorder): Profile {
  const builder = new ProfileBuilder(table, {
    sampleTypes: [
      { type: "contentions", unit: "count" },
      { type: "delay", unit: "nanoseconds" },
    ],
    periodType: { type: "contentions", unit: "count" },
    period: 1,
  });
  recorder.forEach((r) => {
    builder.add(buckets.stackOf(r.bucket), [
      Math.trunc(r.count),
      Math.trunc((r.cycles * 1e9) / cyclesPerSecond),
    ]);
  });
  return builder.build();
}

/** The same as text: longest first. */
export function blockText(table: PCTable, buckets: BucketTable, recorder: EventRecorder): string {
  const isMutex = recorder instanceof MutexProfileRecorder;
  let out = isMutex ? "--- mutex:\n" : "--- contention:\n";
  out += `cycles/second=${cyclesPerSecond}\n`;
  if (isMutex) out += `sampling period=${recorder.fraction}\n`;
  const records: BlockBucket[] = [];
  recorder.forEach((r) => {
    records.push({ ...r });
  });
  records.sort((a, b) => b.cycles - a.cycles);
  for (const r of records) {
    const stack = buckets.stackOf(r.bucket);
    out += `${Math.trunc(r.cycles)} ${Math.trunc(r.count)} ${stackPCs(table, stack)}\n${stackLines(table, stack, true)}`;
  }
  return tabAlign(out);
}
