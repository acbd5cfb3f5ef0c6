import fc from "fast-check";
import type { PprofData, PprofFunction, PprofLocation, PprofSample } from "../../src/pprof/index.ts";

/** A profile that can be compared: the samples of a decoded profile are read at each iteration. */
export const plain = (p: PprofData) => ({ ...p, samples: [...p.samples] });

export type Stack = [frames: string[], values: number[], labels?: Record<string, string | number>];

/** A profile from stacks, innermost first; a frame is "name" or "name@line". */
export function profileOf(
  stacks: Stack[],
  more: Partial<Omit<PprofData, "samples">> = {},
): PprofData & { samples: PprofSample[] } {
  const mapping = {
    start: 0x400000,
    limit: 0x500000,
    offset: 0,
    file: "/app/main.js",
    buildId: "",
    hasFunctions: true,
    hasFilenames: true,
    hasLineNumbers: true,
    hasInlineFrames: true,
  };
  const functions = new Map<string, PprofFunction>();
  const locations = new Map<string, PprofLocation>();
  const location = (frame: string) => {
    const [name, line = "1"] = frame.split("@") as [string, string?];
    let fn = functions.get(name);
    if (fn === undefined) {
      functions.set(name, (fn = { name, systemName: name, file: `/app/${name}.ts`, startLine: 1 }));
    }
    let l = locations.get(frame);
    if (l === undefined) {
      const address = 0x400000 + 16 * locations.size;
      l = { mapping, address, lines: [{ function: fn, line: Number(line), column: 0 }], isFolded: false };
      locations.set(frame, l);
    }
    return l;
  };
  return {
    sampleTypes: [
      { type: "alloc_objects", unit: "count" },
      { type: "alloc_space", unit: "bytes" },
    ],
    defaultSampleType: "",
    samples: stacks.map(([frames, values, labels = {}]) => ({
      locations: frames.map(location),
      values,
      labels: Object.entries(labels).map(([key, v]) =>
        typeof v === "string" ? { key, str: v } : { key, num: v },
      ),
    })),
    mappings: [mapping],
    periodType: { type: "space", unit: "bytes" },
    period: 524288,
    timeNanos: 1_700_000_000_000_000_000n,
    durationNanos: 0n,
    comments: [],
    dropFrames: "",
    keepFrames: "",
    docUrl: "",
    ...more,
  };
}

export const arbitraryProfile = fc
  .array(
    fc.tuple(
      fc.array(
        fc.integer({ min: 0, max: 11 }).map((n) => `main.f${n}@${n * 7 + 1}`),
        { minLength: 1, maxLength: 8 },
      ),
      fc.tuple(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 0, max: 2 ** 32 })),
      fc.constantFrom<Record<string, string | number>>(
        {},
        { bytes: 48 },
        { job: "a b" },
        { job: "x", bytes: 4096 },
      ),
    ),
    { minLength: 1, maxLength: 30 },
  )
  .map((stacks) => profileOf(stacks as Stack[]));
