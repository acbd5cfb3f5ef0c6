/** Profiles of a small program, made for comparison with the facts recorded of Go's. */
import { gunzipSync } from "node:zlib";
import { Profile } from "pprof-format";
import {
  cpuProfileToPprof,
  createProfiler,
  type NamedProfile,
  type Profiler,
  type StackSource,
} from "../src/index.ts";

/** Go's MemStats of a program that did nothing, for the text of heap profiles. */
const memStats = () => ({
  PauseNs: new Array(256).fill(0),
  PauseEnd: new Array(256).fill(0),
  DebugGC: false,
  GCCPUFraction: 0,
});

/** Profiles that only exist for programs with a scheduler or as the user's own; others are built in. */
const builtins = ["allocs", "block", "goroutine", "goroutineleak", "heap", "mutex", "threadcreate"];

/** A profiler with something in every profile. */
function sampled(rate: number, labelKeys: readonly string[]): Profiler {
  const labels = new Map(labelKeys.map((key) => [key, "a value"]));
  const p: Profiler = createProfiler({
    memProfileRate: rate,
    memStats,
    goroutines: oneStack(() => p, labels),
    leakedGoroutines: oneStack(() => p, labels),
    threads: oneStack(() => p, null),
  });
  const buckets: number[] = [];
  for (let i = 0; i < 5; i++) buckets.push(p.mem.alloc(8192));
  p.mem.free(buckets[0], 8192);
  p.setBlockProfileRate(1);
  p.block.record(1000);
  p.setMutexProfileFraction(1);
  p.mutex.record(1000);
  return p;
}

function oneStack(p: () => Profiler, labels: ReadonlyMap<string, string> | null): StackSource {
  return {
    forEach: (visit) => {
      const pcs = new Array<number>(8).fill(0);
      visit(pcs.slice(0, p().callers(1, pcs)), labels);
    },
  };
}

function find(name: string, rate: number, labelKeys: readonly string[]): NamedProfile | null {
  const p = sampled(rate, labelKeys);
  if (!builtins.includes(name)) p.newProfile(name).add({});
  return p.lookup(name);
}

/** A profile of this kind with something in it, decoded from its own bytes, or null if the package has none. */
export async function profileFor(
  name: string,
  want: { period: number; label_keys: readonly string[] | null },
): Promise<{ profile: Profile; topLevelFields: number[] } | null> {
  const keys = want.label_keys ?? [];
  const bytes =
    name === "cpu" ? cpu(want.period, keys) : gunzip(await find(name, want.period, keys)?.encode());
  if (bytes === null) return null;
  return { profile: Profile.decode(bytes), topLevelFields: fieldNumbers(bytes) };
}

/** A CPU profile of one function that ran for two samples. */
function cpu(period: number, labelKeys: readonly string[]): Uint8Array {
  const labels = new Map(labelKeys.map((key) => [key, "a value"]));
  const frame = { functionName: "burn", url: "file:///main.js", lineNumber: 3, columnNumber: 0 };
  const root = { functionName: "(root)", url: "", lineNumber: -1, columnNumber: -1 };
  const nodes = [
    { id: 1, callFrame: root, children: [2] },
    { id: 2, callFrame: frame, positionTicks: [{ line: 5, ticks: 2 }] },
  ];
  const profile = { nodes, startTime: 1000, endTime: 21_000, samples: [2, 2], timeDeltas: [0, 10_000] };
  const { table } = createProfiler();
  return cpuProfileToPprof(table, [{ name: "main", profile, labels: { at: () => labels } }], {
    hz: 1e9 / period,
  });
}

/** The text of the same, or null. */
export function profileText(name: string, debug: number): string | null {
  return name === "cpu" ? null : (find(name, 1, [])?.toText(debug) ?? null);
}

function gunzip(bytes: Uint8Array | undefined): Uint8Array | null {
  return bytes === undefined ? null : gunzipSync(bytes);
}

/** The numbers of the fields at the top level of a protobuf message, in order, each once. */
function fieldNumbers(bytes: Uint8Array): number[] {
  const seen = new Set<number>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    seen.add(tag >>> 3);
    if ((tag & 7) === 2) {
      const length = varint();
      at += length;
    } else varint();
  }
  return [...seen].sort((a, b) => a - b);
}
