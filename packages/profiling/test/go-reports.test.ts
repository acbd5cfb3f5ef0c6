// Our text reports against those of Go's own tool, on profiles of every shape that the format allows.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  diffProfiles,
  encodeProfile,
  type PprofData,
  type PprofFunction,
  type PprofLocation,
  type PprofMapping,
  type PprofSample,
  topText,
  tracesText,
  treeText,
} from "../src/pprof/index.ts";
import { findGo, pprof } from "./support/go.ts";

const go = findGo();
if (go === null)
  console.log("go tool pprof: no Go toolchain (GO, or go in PATH); its reports are not compared");

/** A generator of numbers in [0, n), the same for each seed. */
function numbers(seed: number): (n: number) => number {
  let x = seed * 2654435761 + 1;
  return (n) => {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    return (x >>> 8) % n;
  };
}

const kinds = [
  { type: "samples", unit: "count" },
  { type: "cpu", unit: "nanoseconds" },
  { type: "inuse_space", unit: "bytes" },
  { type: "delay", unit: "microseconds" },
  { type: "power", unit: "milliGCU" },
  { type: "things", unit: "widgets" },
];

/** Values as profiles have them: small, large, round, and such that percentages and sizes are ties of two digits. */
function amount(next: (n: number) => number): number {
  const scale = [1, 8, 64, 128, 1000, 1024, 131072, 1e6, 125e6, 1e9][next(10)];
  return (1 + next(40)) * scale;
}

function profileOf(seed: number): PprofData {
  const next = numbers(seed);
  const mappings: PprofMapping[] = ["/usr/bin/prog", "/lib/x86_64/libc-2.31.so", "", "[vdso]"].map(
    (file, i) => ({
      start: 0x10000 * (i + 1),
      limit: 0x10000 * (i + 2),
      offset: 0,
      file,
      buildId: i === 0 && next(2) === 0 ? "abc123" : "",
      hasFunctions: true,
      hasFilenames: true,
      hasLineNumbers: true,
      hasInlineFrames: true,
    }),
  );
  const functions: PprofFunction[] = Array.from({ length: 60 + 60 * next(2) }, (_, i) => ({
    // Some functions share a name, and some have none.
    name: i % 17 === 5 ? "" : `pkg${i % 3}.F${i % 50}`,
    systemName: "",
    file: i % 4 === 0 ? "" : `/src/f${i % 9}.go`,
    // Go's tool does not define the order of nodes with the same name.
    startLine: i % 17 === 5 ? 0 : i % 5,
  }));
  const locations: PprofLocation[] = Array.from({ length: 150 }, (_, i) => ({
    mapping: i % 11 === 0 ? null : mappings[i % 7 === 0 ? 1 + (i % 3) : 0],
    address: 0x10000 + 16 * i,
    lines: Array.from({ length: [1, 1, 1, 2, 3, 0][next(6)] }, () => ({
      function: functions[next(functions.length)],
      line: 1 + next(30),
      column: 0,
    })),
    isFolded: false,
  }));
  const types = [kinds[next(3)], kinds[1 + next(5)]].map((t) => ({ ...t }));
  if (types[0].type === types[1].type) types.shift();
  const seen = new Set<string>();
  const samples: PprofSample[] = [];
  for (let i = 0; i < 80; i++) {
    // Skewed, so that some functions and edges are too small to be shown.
    const stack = Array.from({ length: 1 + next(9) }, () => locations[Math.min(next(150), next(150))]);
    const key = stack.map((l) => l.address).join();
    if (seen.has(key)) continue;
    seen.add(key);
    const labels = next(3) === 0 ? [{ key: "name", str: `v${next(4)}` }] : [];
    const sized = next(3) === 0 ? [{ key: ["bytes", "request", "rate"][next(3)], num: amount(next) }] : [];
    samples.push({
      locations: stack,
      values: types.map(() => (next(12) === 0 ? 0 : amount(next))),
      labels: [...labels, ...sized],
    });
  }
  return {
    sampleTypes: types,
    defaultSampleType: "",
    samples: samples.filter((s) => s.values.some((v) => v !== 0)),
    mappings,
    periodType: { type: "cpu", unit: "nanoseconds" },
    period: 1e7,
    timeNanos: next(2) === 0 ? 0n : 1_700_000_000_000_000_000n + BigInt(next(1000)) * 1_000_000_000n,
    durationNanos: next(2) === 0 ? 0n : BigInt(1 + next(100)) * 125_000_000n,
    comments: next(2) === 0 ? [] : ["a comment", "#hidden"],
    dropFrames: "",
    keepFrames: "",
    docUrl: next(3) === 0 ? "https://example.com/doc" : "",
  };
}

// These tests compare our texts with those of Go's own tool, so they skip without Go.
describe.skipIf(go === null)("text reports", () => {
  const dir = mkdtempSync(join(tmpdir(), "gort-reports-"));
  afterAll(() => rmSync(dir, { recursive: true }));
  const write = async (seed: number): Promise<[PprofData, string]> => {
    const profile = profileOf(seed);
    const file = join(dir, `${seed}.pprof`);
    writeFileSync(file, await encodeProfile(profile));
    return [profile, file];
  };
  const seeds = Array.from({ length: 12 }, (_, i) => i + 1);

  it.each(seeds)("are those of go tool pprof, of generated profile %d", async (seed) => {
    const [profile, file] = await write(seed);
    expect(topText(profile)).toBe(pprof(go!, "-symbolize=none", "-top", file));
    expect(treeText(profile)).toBe(pprof(go!, "-symbolize=none", "-tree", file));
    expect(tracesText(profile)).toBe(pprof(go!, "-symbolize=none", "-traces", file));
    const { type } = profile.sampleTypes[0];
    const first = ["-symbolize=none", `-sample_index=${type}`, "-cum", "-nodecount=12"];
    expect(topText(profile, { sampleType: type, cum: true, nodeCount: 12 })).toBe(
      pprof(go!, ...first, "-top", file),
    );
    expect(treeText(profile, { sampleType: type, cum: true, nodeCount: 12 })).toBe(
      pprof(go!, ...first, "-tree", file),
    );
  });

  it.each(seeds.slice(0, 6))("are those of go tool pprof -base, of generated profile %d", async (seed) => {
    const [base, baseFile] = await write(seed);
    // The same profile later: some samples larger, some smaller, some gone.
    const next = numbers(seed + 100);
    const grown: PprofData = {
      ...base,
      samples: [...base.samples]
        .filter(() => next(4) > 0)
        .map((s) => ({ ...s, values: s.values.map((v) => v + (next(2) === 0 ? amount(next) : 0)) })),
    };
    const file = join(dir, `${seed}-grown.pprof`);
    writeFileSync(file, await encodeProfile(grown));
    const diff = diffProfiles(grown, base);
    expect(topText(diff)).toBe(pprof(go!, "-symbolize=none", "-top", `-base=${baseFile}`, file));
  });
});
