/**
 * Profiles that count stacks (goroutine, goroutineleak, threadcreate, and the user's own), and profiles of waits (block
 * and mutex), as pprof and as text.
 */
import {
  type BlockBucket,
  type BlockProfileRecorder,
  CYCLES_PER_SECOND,
  MutexProfileRecorder,
} from "./contention.ts";
import { type LabelSet, labelText } from "./labels.ts";
import type { PCTable } from "./pc-table.ts";
import { ProfileBuilder } from "./proto.ts";
import { stackLines, stackPCs, tabAlign } from "./text.ts";

/** A stack that counts once, as frame numbers, innermost first. */
export interface CountedStack {
  stack: ArrayLike<number>;
  labels: LabelSet | null;
}

/** A profile with one sample type NAME/count. */
export function countProfile(table: PCTable, name: string, stacks: Iterable<CountedStack>): Uint8Array {
  const builder = new ProfileBuilder(table, {
    sampleTypes: [{ type: name, unit: "count" }],
    periodType: { type: name, unit: "count" },
    period: 1,
  });
  for (const { count, stack, labels } of grouped(table, stacks)) {
    builder.add(stack, [count], labels === null ? undefined : Object.fromEntries(labels));
  }
  return builder.build();
}

interface StackGroup extends CountedStack {
  count: number;
  /** PCs and labels as the text form prints them. */
  key: string;
}

/** One group for all equal stacks with equal labels, most frequent first. */
function grouped(table: PCTable, stacks: Iterable<CountedStack>): StackGroup[] {
  const groups = new Map<string, StackGroup>();
  for (const { stack, labels } of stacks) {
    let key = stackPCs(table, stack);
    if (labels !== null && labels.size > 0) key += `\n# labels: ${labelText(labels)}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { count: 1, key, stack, labels });
    else group.count++;
  }
  return [...groups.values()].sort(
    (a, b) => b.count - a.count || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0),
  );
}

/** The same profile as text. */
export function countText(table: PCTable, name: string, stacks: Iterable<CountedStack>): string {
  let total = 0;
  let records = "";
  for (const { count, key, stack } of grouped(table, stacks)) {
    total += count;
    records += `${count} ${key}\n${stackLines(table, stack, false)}`;
  }
  return tabAlign(`${name} profile: total ${total}\n${records}`);
}

type EventRecorder = BlockProfileRecorder | MutexProfileRecorder;

/** The block or mutex profile as pprof. */
export function blockProfile(table: PCTable, recorder: EventRecorder): Uint8Array {
  const builder = new ProfileBuilder(table, {
    sampleTypes: [
      { type: "contentions", unit: "count" },
      { type: "delay", unit: "nanoseconds" },
    ],
    periodType: { type: "contentions", unit: "count" },
    period: 1,
  });
  recorder.forEach((r) => {
    builder.add(r.stack, [Math.trunc(r.count), Math.trunc((r.cycles * 1e9) / CYCLES_PER_SECOND)]);
  });
  return builder.build();
}

/** The block or mutex profile as text, longest waits first. */
export function blockText(table: PCTable, recorder: EventRecorder): string {
  const isMutex = recorder instanceof MutexProfileRecorder;
  let out = isMutex ? "--- mutex:\n" : "--- contention:\n";
  out += `cycles/second=${CYCLES_PER_SECOND}\n`;
  if (isMutex) out += `sampling period=${recorder.fraction}\n`;
  const records: BlockBucket[] = [];
  recorder.forEach((r) => {
    records.push({ ...r });
  });
  records.sort((a, b) => b.cycles - a.cycles);
  for (const r of records) {
    out += `${Math.trunc(r.cycles)} ${Math.trunc(r.count)} ${stackPCs(table, r.stack)}\n`;
    out += stackLines(table, r.stack, true);
  }
  return tabAlign(out);
}
