/**
 * Profiles against pprof_facts.json: sample types, periods, labels, the fields that are written, the heads of the text
 * forms, the scaling formula, and the constants.
 *
 * Not counted: profiles that this package does not have; `example` and the numbers of samples (they are of another
 * program); debug 2 of goroutine and goroutineleak (the scheduler prints it); heap_scaling_checked and
 * cpu_period_is_ns_per_sample (statements about the oracle's own files).
 */
import { DEFAULT_CPU_PROFILE_RATE } from "../src/cpuprof.ts";
import { DEFAULT_MAX_STACK_DEPTH } from "../src/extern.ts";
import { createProfiler, scaleHeapSample } from "../src/index.ts";
import { profileFor, profileText } from "./support.ts";

export interface Result {
  passed: number;
  total: number;
  failures: string[];
}

interface ProfileFacts {
  profile: string;
  sample_types: string[];
  period_type: string;
  period: number;
  default_sample_type: string;
  drop_frames: string;
  keep_frames: string;
  comments: string[] | null;
  has_time_nanos: boolean;
  has_duration_nanos: boolean;
  top_level_field_numbers: number[];
  label_keys: string[] | null;
  debug_1_head: string[] | null;
  debug_2_head: string[] | null;
}

interface Facts {
  profiles: ProfileFacts[];
  pprof_Profiles_names_sorted: string[];
  heap_scaling_examples: [count: number, size: number, rate: number, scaled: number, scaledBytes: number][];
  misc: Record<string, unknown>;
}

export async function run(vectors: unknown): Promise<Result> {
  const facts = vectors as Facts;
  const result: Result = { passed: 0, total: 0, failures: [] };
  const check = (what: string, got: unknown, want: unknown): void => {
    result.total++;
    if (JSON.stringify(got) === JSON.stringify(want)) result.passed++;
    else result.failures.push(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
  };

  for (const [count, size, rate, scaled, bytes] of facts.heap_scaling_examples) {
    check(`scale ${count} x ${size} at ${rate}`, scaleHeapSample(count, count * size, rate), {
      count: scaled,
      bytes,
    });
  }

  for (const want of facts.profiles) await checkProfile(want, check);
  checkNames(facts, check);
  await checkMisc(facts.misc, check);
  return result;
}

type Check = (what: string, got: unknown, want: unknown) => void;

/** The fields and the text of one profile. */
async function checkProfile(want: Facts["profiles"][number], check: Check): Promise<void> {
  const made = await profileFor(want.profile, want);
  if (made === null) return;
  const name = want.profile;
  const { profile, topLevelFields } = made;
  const str = (i: number | bigint) => profile.stringTable.strings[Number(i)] ?? "";
  const kind = (t: { type: number | bigint; unit: number | bigint }) => `${str(t.type)}/${str(t.unit)}`;
  check(`${name} sample types`, profile.sampleType.map(kind), want.sample_types);
  check(`${name} period type`, kind(profile.periodType!), want.period_type);
  check(`${name} period`, Number(profile.period), want.period);
  check(`${name} default sample type`, str(profile.defaultSampleType), want.default_sample_type);
  check(`${name} drop frames`, str(profile.dropFrames), want.drop_frames);
  check(`${name} keep frames`, str(profile.keepFrames), want.keep_frames);
  check(`${name} comments`, profile.comment.map(str), want.comments ?? []);
  check(`${name} time`, Number(profile.timeNanos) > 0, want.has_time_nanos);
  check(`${name} duration`, Number(profile.durationNanos) > 0, want.has_duration_nanos);
  check(`${name} fields`, topLevelFields, want.top_level_field_numbers);
  const keys = new Set<string>();
  for (const s of profile.sample) for (const l of s.label) keys.add(str(l.key));
  check(`${name} label keys`, [...keys].sort(), [...(want.label_keys ?? [])].sort());
  for (const s of profile.sample) {
    const leaf = s.locationId[0];
    const line = profile.location.find((l) => l.id === leaf)?.line[0];
    const fn = profile.function.find((f) => f.id === line?.functionId);
    if (fn !== undefined) check(`${name}: system name`, str(fn.systemName), str(fn.name));
  }
  for (const debug of [1, 2] as const) {
    const head = debug === 1 ? want.debug_1_head : want.debug_2_head;
    if (head === null || (debug === 2 && name.startsWith("goroutine"))) continue;
    const text = profileText(name, debug);
    if (text === null) continue;
    // The records are those of our own program. So the test compares the kinds of line only.
    const got = kindsOf(text);
    for (const line of kindsOf(head.join("\n")))
      check(`${name} debug=${debug} has`, got.includes(line) ? line : "", line);
  }
}

/** Our profiles are in Go's order. */
function checkNames(facts: Facts, check: Check): void {
  const ours = createProfiler()
    .profiles()
    .map((p) => p.name());
  check(
    "names sorted",
    ours,
    facts.pprof_Profiles_names_sorted.filter((name) => ours.includes(name)),
  );
}

/** Errors and constants. */
async function checkMisc(misc: Facts["misc"], check: Check): Promise<void> {
  if ("StartCPUProfile_twice_error" in misc) {
    const p = createProfiler();
    p.startCPUProfile(() => {});
    let message = "";
    try {
      p.startCPUProfile(() => {});
    } catch (error) {
      message = (error as Error).message;
    }
    await p.stopCPUProfile();
    check("StartCPUProfile twice", message, misc.StartCPUProfile_twice_error);
  }
  if ("default_cpu_rate_hz" in misc)
    check("default CPU rate", DEFAULT_CPU_PROFILE_RATE, misc.default_cpu_rate_hz);
  const depth = misc["max_stack_depth_default (profstackdepth)"];
  if (depth !== undefined) check("stack depth", DEFAULT_MAX_STACK_DEPTH, depth);
  if ("Lookup_unknown_is_nil" in misc) {
    check(
      "Lookup of an unknown name",
      createProfiler().lookup("no such profile") === null,
      misc.Lookup_unknown_is_nil,
    );
  }
  if ("default_MemProfileRate" in misc) {
    check("default MemProfileRate", createProfiler().memProfileRate, misc.default_MemProfileRate);
  }
}

/** Each line of a text profile with its numbers, names and places replaced, and the columns' tabs made one. */
function kindsOf(text: string): string[] {
  return text.split("\n").map((line) =>
    line
      .replace(/^(--- )(\w+)/, "$1$2")
      .replace(/0xADDR|0xOFF|0x[0-9a-f]+/g, "0x")
      .replace(/^#\t0x\t\S+\+0x\t+\S+:\d+$/, "#\t0x\tfunc+0x\tfile:line")
      .replace(/\[[\d N]*\](?!.*@)/, "[N]")
      .replace(/(0x )+0x$/, "0x")
      .replace(/\b(CYCLES|N)\b/g, "0")
      .replace(/\d+(\.\d+(e-?\d+)?)?/g, "0"),
  );
}
