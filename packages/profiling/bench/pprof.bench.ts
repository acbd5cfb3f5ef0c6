/**
 * Profiles of 100,000 samples of 20 frames, as a program of some thousand places makes them: writing the profile,
 * reading it, iterating over its samples, its `-top`, and writing it again. Prints milliseconds, the best of several
 * rounds. The goal for writing is 300 ms.
 *
 *     pnpm build && node bench/pprof.bench.ts [rounds]      (Node 22.18 or later)
 */
import { createProfiler } from "@gort/profiling";
import { ProfileBuilder } from "@gort/profiling/internal";
import { decodeProfile, encodeProfile, topText, treeText } from "@gort/profiling/pprof";

const rounds = Number(process.argv[2] ?? 5);
const SAMPLES = 100_000;
const DEPTH = 20;
/** Callees of each place: 3 callees at 20 levels make more stacks than there are samples. */
const FANOUT = 3;

const { table } = createProfiler();
let seed = 1;
const random = (n: number): number => {
  seed = (Math.imul(seed, 48271) >>> 0) % 2147483647;
  return seed % n;
};
/** Frames by depth, outermost last. */
const places = Array.from({ length: DEPTH }, (_, depth) =>
  Array.from({ length: Math.min(FANOUT ** (DEPTH - 1 - depth), 200) }, (_, i) =>
    table.synthetic(`main.f${depth}_${i}`, `/src/file${depth}.ts`, i + 1),
  ),
);
const stacks = Array.from({ length: SAMPLES }, () =>
  Uint32Array.from(places, (list) => list[random(list.length)]),
);

async function write(): Promise<Uint8Array> {
  const builder = new ProfileBuilder(table, {
    sampleTypes: [
      { type: "contentions", unit: "count" },
      { type: "delay", unit: "nanoseconds" },
    ],
    periodType: { type: "contentions", unit: "count" },
    period: 1,
  });
  for (const [i, stack] of stacks.entries()) builder.add(stack, [1, 1000 + i]);
  return builder.build();
}

const best = new Map<string, number>();
async function time<T>(what: string, f: () => T | Promise<T>): Promise<T> {
  const from = performance.now();
  const result = await f();
  const ms = performance.now() - from;
  best.set(what, Math.min(ms, best.get(what) ?? Number.POSITIVE_INFINITY));
  return result;
}

for (let round = 0; round < rounds; round++) {
  const bytes = await time("write", write);
  const profile = await time("read", () => decodeProfile(bytes));
  let frames = 0;
  await time("go through the samples", () => {
    for (const s of profile.samples) frames += s.locations.length;
  });
  if (frames !== SAMPLES * DEPTH) throw new Error(`${frames} frames`);
  if (!(await time("top", () => topText(profile))).includes("main.f0_0")) throw new Error("no top");
  await time("tree", () => treeText(profile, { nodeCount: 80 }));
  if ((await time("write again, gzip and all", () => encodeProfile(profile))).length === 0)
    throw new Error("empty");
}
for (const [what, ms] of best) console.log(`${what.padEnd(28)} ${ms.toFixed(0).padStart(5)} ms`);
