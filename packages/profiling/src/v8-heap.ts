/**
 * V8's own heap as a profile: the JavaScript objects that are alive, by the code that allocated them. V8 samples its
 * allocations as Go does, and reports sizes that are scaled already.
 */
import { wrongNumber } from "@gort/base";
import { frameOf, InspectorSession, isNoCode, type V8HeapNode } from "./inspect.ts";
import type { PCTable } from "./pc-table.ts";
import { ProfileBuilder } from "./proto.ts";

export interface V8HeapProfileOptions {
  /** Mean bytes between two samples; default 512 KiB. */
  intervalBytes?: number;
}

export class V8HeapProfiler {
  private session: InspectorSession | null = null;
  private interval = 0;

  constructor(private readonly table: PCTable) {}

  get active(): boolean {
    return this.session !== null;
  }

  /** Begins to sample; does nothing if it has begun. The profile shows only objects that are allocated from now on. */
  start(options: V8HeapProfileOptions = {}): void {
    if (this.session !== null) return;
    const interval = options.intervalBytes ?? 512 * 1024;
    if (!(interval >= 1) || !Number.isFinite(interval)) {
      throw wrongNumber("profiling", interval, "intervalBytes must be a number, 1 or more");
    }
    const session = new InspectorSession();
    session.post("HeapProfiler.enable");
    session.post("HeapProfiler.startSampling", { samplingInterval: interval });
    this.session = session;
    this.interval = Math.floor(interval);
  }

  /** Ends the sampling, and forgets the samples. */
  stop(): void {
    this.session?.post("HeapProfiler.stopSampling");
    this.session?.close();
    this.session = null;
  }

  /** The sampled objects that are alive, as a profile. */
  toBytes(): Uint8Array {
    const { session, table } = this;
    const builder = new ProfileBuilder(table, {
      sampleTypes: [{ type: "inuse_space", unit: "bytes" }],
      periodType: { type: "space", unit: "bytes" },
      period: this.interval,
    });
    if (session !== null) {
      const { profile } = session.post<{ profile: { head: V8HeapNode } }>("HeapProfiler.getSamplingProfile");
      // Not recursive: a stack of the profile may be deeper than the stack of this thread allows.
      const todo: { node: V8HeapNode; outer: readonly number[] }[] = [{ node: profile.head, outer: [] }];
      for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
        const { node, outer } = at;
        const stack = isNoCode(node.callFrame) ? outer : [frameOf(table, node.callFrame, 0), ...outer];
        if (node.selfSize > 0) builder.add(stack, [Math.round(node.selfSize)]);
        for (const child of node.children) todo.push({ node: child, outer: stack });
      }
    }
    return builder.build();
  }
}
