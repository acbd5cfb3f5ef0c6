/** Profiles of a small program, made for comparison with the facts recorded of Go's. */
import { Profile } from "pprof-format";
import { createProfiler, type Profiler } from "../src/index.ts";

/** Go's MemStats of a program that did nothing, for the text of heap profiles. */
const memStats = () => ({
  PauseNs: new Array(256).fill(0),
  PauseEnd: new Array(256).fill(0),
  DebugGC: false,
  GCCPUFraction: 0,
});

function sampled(rate: number): Profiler {
  const p = createProfiler({ memProfileRate: rate, memStats });
  const buckets: number[] = [];
  for (let i = 0; i < 5; i++) buckets.push(p.mem.alloc(8192));
  p.mem.free(buckets[0]!, 8192);
  return p;
}

/** A profile of this kind with something in it, decoded from its own bytes, or null if the package has none. */
export async function profileFor(
  name: string,
  want: { period: number },
): Promise<{ profile: Profile; topLevelFields: number[] } | null> {
  const p = sampled(want.period);
  const source = p.lookup(name);
  if (source === null) return null;
  const bytes = source.toPprof().encode();
  return { profile: Profile.decode(bytes), topLevelFields: fieldNumbers(bytes) };
}

/** The text of the same, or null. */
export function profileText(name: string, debug: number): string | null {
  const source = sampled(1).lookup(name);
  return source === null ? null : source.toText(debug);
}

/** The numbers of the fields at the top level of a protobuf message, in order, each once. */
function fieldNumbers(bytes: Uint8Array): number[] {
  const seen = new Set<number>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++]!;
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
