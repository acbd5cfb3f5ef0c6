/**
 * The profiles of a profiler by name: those that exist from the start, V8's heap and the event loop, and the user's.
 */
import { Profile } from "pprof-format";
import type { BlockProfileRecorder, MutexProfileRecorder } from "./contention.ts";
import { blockProfile, blockText, type CountedStack, countProfile, countText } from "./count-profile.ts";
import type { EventLoopProfiler } from "./event-loop.ts";
import type { MemProfileRecorder } from "./mprof.ts";
import type { PCTable } from "./pc-table.ts";
import { CustomProfile, NamedProfile, type ProfileSource } from "./profile.ts";
import type { ProfileStacks } from "./profile-stacks.ts";
import type { ProfilerOptions, StackSource } from "./profiler-options.ts";
import { heapProfile } from "./protomem.ts";
import { heapText } from "./text.ts";
import type { V8HeapProfiler } from "./v8-heap.ts";

/** The parts of a profiler from which the profiles are written. */
export interface ProfileParts {
  table: PCTable;
  stacks: ProfileStacks;
  mem: MemProfileRecorder;
  block: BlockProfileRecorder;
  mutex: MutexProfileRecorder;
  /** Runs a function that reads the profiles of all threads. */
  readAll: <T>(read: () => T) => T;
}

export class NamedProfiles {
  private readonly named = new Map<string, NamedProfile>();

  constructor(
    private readonly parts: ProfileParts,
    options: ProfilerOptions,
  ) {
    this.addHeap("heap", options);
    this.addHeap("allocs", options);
    this.addEvents("block", parts.block);
    this.addEvents("mutex", parts.mutex);
    this.addStacks("goroutine", options.goroutines);
    this.addStacks("goroutineleak", options.leakedGoroutines);
    this.addStacks("threadcreate", options.threads);
  }

  /** The profile of this name, or null. */
  lookup(name: string): NamedProfile | null {
    return this.named.get(name) ?? null;
  }

  /** All profiles, sorted by name. */
  all(): NamedProfile[] {
    return [...this.named.values()].sort((a, b) => (a.name() < b.name() ? -1 : a.name() > b.name() ? 1 : 0));
  }

  private addHeap(name: "heap" | "allocs", { memStats }: ProfilerOptions): void {
    const { table, mem, readAll } = this.parts;
    this.add({
      name,
      count: () =>
        readAll(() => {
          let n = 0;
          mem.forEach(true, () => n++);
          return n;
        }),
      toBytes: () => readAll(() => heapProfile(table, mem, name)),
      toText: () => readAll(() => heapText(table, mem, memStats?.())),
    });
  }

  private addEvents(name: "block" | "mutex", recorder: BlockProfileRecorder | MutexProfileRecorder): void {
    const { table, readAll } = this.parts;
    this.add({
      name,
      count: () => readAll(() => recorder.count),
      toBytes: () => readAll(() => blockProfile(table, recorder)),
      toText: () => readAll(() => blockText(table, recorder)),
    });
  }

  private addStacks(name: string, source: StackSource | undefined): void {
    if (source === undefined) return;
    const { table, stacks } = this.parts;
    this.add({
      name,
      count: () => stacks.countOf(source),
      toBytes: () => countProfile(table, name, stacks.stacksOf(source)),
      toText: (debug) =>
        debug >= 2 && source.dump !== undefined
          ? source.dump()
          : countText(table, name, stacks.stacksOf(source)),
      ...(source.prepare === undefined ? {} : { prepare: () => source.prepare!() }),
    });
  }

  /** Adds the profile `v8heap`, if it is not there. */
  addV8Heap(v8heap: V8HeapProfiler): void {
    this.addMeasured("v8heap", () => Profile.decode(v8heap.toBytes()).sample.length, v8heap);
  }

  removeV8Heap(): void {
    this.named.delete("v8heap");
  }

  /** Adds the profile `eventloop`, if it is not there. */
  addEventLoop(eventLoop: EventLoopProfiler): void {
    this.addMeasured("eventloop", () => eventLoop.count, eventLoop);
  }

  /** Go has no such profile, and so no text form for it. */
  private addMeasured(name: string, count: () => number, from: { toBytes(): Uint8Array }): void {
    if (this.named.has(name)) return;
    this.add({
      name,
      count,
      toBytes: () => from.toBytes(),
      toText: () => {
        throw new Error(`profiling: ${name} has no text form`);
      },
    });
  }

  /** Makes a profile of the user's own; its name must not be in use. */
  addCustom(name: string): CustomProfile {
    if (typeof name !== "string" || name === "") throw new Error("pprof: NewProfile with empty name");
    if (this.named.has(name)) throw new Error(`pprof: NewProfile name already in use: ${name}`);
    const { table, stacks } = this.parts;
    const host = {
      depth: stacks.depth,
      addFrame: table.synthetic("runtime/pprof.(*Profile).Add", "<runtime>", 0),
      capture: stacks.capture.bind(stacks),
    };
    const profile = new CustomProfile(host, (entries) => {
      const counted = () => Array.from(entries.values(), (stack): CountedStack => ({ stack, labels: null }));
      return {
        name,
        count: () => entries.size,
        toBytes: () => countProfile(table, name, counted()),
        toText: () => countText(table, name, counted()),
      };
    });
    this.named.set(name, profile);
    return profile;
  }

  private add(source: ProfileSource): void {
    this.named.set(source.name, new NamedProfile(source));
  }
}
