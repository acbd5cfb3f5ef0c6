/**
 * memstats_identities.json: the record's shape (field order, types, lengths), its JSON, and the recorded
 * relations, each held over as many samples as Go's run took, against a model of a working process.
 *
 * Not counted: relations marked as conjectures or seen violated (nothing requires them to hold or to fail);
 * two facts of Go's own layout on amd64 (a span struct of 160 bytes, a program without cgo having no
 * other stacks), which a runtime with other structs need not share; figures of a fresh Go process's memory
 * (HeapSys and the like); relations to GOMAXPROCS and NumGoroutine, which the runtime has to answer.
 */

import {
  gcStats,
  type MemStats,
  memStatsJSON,
  newMemStats,
  readMemStats,
  type StatsSource,
} from "../src/index.ts";
import { createMetrics, newSample } from "../src/metrics.ts";
import { IDENTITIES, modelMetrics, modelSource } from "../src/testing.ts";

export interface Result {
  passed: number;
  total: number;
  failures: string[];
}

interface Vectors {
  checks: { name: string; relation: string; samples: number; violations: number }[];
  ring: Record<string, boolean>;
  gogc_off: Record<string, unknown>;
  json_field_order: string[];
  by_size_entry_fields: string[];
  by_size_entry_example: Record<string, number>;
  lengths: Record<string, number>;
  field_types: string[];
  metrics_relations: Record<string, boolean>;
  debug_ReadGCStats: Record<string, boolean>;
  before_any_gc: Record<string, unknown>;
}

/** Facts of Go's structs, not of MemStats. */
const GO_LAYOUT = new Set(["mspan_unit", "stack_sys_eq"]);

/** The facts of `gogc_off`, `before_any_gc`, ... by name; what has no entry is not counted. */
const MAX_INT64 = 2 ** 63;

export function run(vectors: unknown): Result {
  const v = vectors as Vectors;
  const result: Result = { passed: 0, total: 0, failures: [] };
  const expectEqual = (what: string, got: unknown, want: unknown): void => {
    result.total++;
    if (JSON.stringify(got) === JSON.stringify(want)) result.passed++;
    else result.failures.push(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
  };

  shape(v, expectEqual);
  identities(v, expectEqual);
  collector(v, expectEqual);
  metricsRelations(v, expectEqual);
  return result;
}

type Check = (what: string, got: unknown, want: unknown) => void;

function jsonKeys(text: string): string[] {
  return Object.keys(JSON.parse(text) as object);
}

function typeOf(m: MemStats, name: string): string {
  const value = m[name as keyof MemStats] as unknown;
  if (value instanceof Float64Array || value instanceof BigUint64Array) return `[${value.length}]uint64`;
  if (Array.isArray(value)) {
    return `[${value.length}]struct { Size uint32; Mallocs uint64; Frees uint64 }`;
  }
  return typeof value === "boolean" ? "bool" : typeof value === "bigint" ? "uint64" : "number";
}

function shape(v: Vectors, expectEqual: Check): void {
  const m = newMemStats();
  expectEqual("fields", Object.keys(m), v.json_field_order);
  expectEqual("JSON.stringify's members", jsonKeys(JSON.stringify(m)), v.json_field_order);
  expectEqual("JSON members", jsonKeys(memStatsJSON(m)), v.json_field_order);
  expectEqual("indented JSON members", jsonKeys(memStatsJSON(m, "\t")), v.json_field_order);
  expectEqual("BySize entry", Object.keys(m.BySize[0]), v.by_size_entry_fields);

  Object.assign(m.BySize[1], v.by_size_entry_example);
  const example = JSON.stringify(v.by_size_entry_example);
  expectEqual("BySize entry in JSON", memStatsJSON(m).includes(`,${example},`), true);

  for (const line of v.field_types) {
    const at = line.indexOf(" ");
    const name = line.slice(0, at);
    const go = line.slice(at + 1);
    const ours = typeOf(m, name);
    // Scalars of any Go number type are a JavaScript number.
    const want = ours === "number" && /^(uint32|uint64|float64)$/.test(go) ? "number" : go;
    expectEqual(`type of ${name}`, ours, want);
  }

  const model = modelSource(1);
  model.step();
  const filled = readMemStats(model);
  const lengths: Record<string, number> = {
    BySize: filled.BySize.length,
    PauseEnd: filled.PauseEnd.length,
    PauseNs: filled.PauseNs.length,
    "BySize[60].Size": filled.BySize[60].Size,
  };
  for (const [name, want] of Object.entries(v.lengths)) {
    expectEqual(`length ${name}`, lengths[name], want);
  }
}

function identities(v: Vectors, expectEqual: Check): void {
  const wanted = v.checks.filter(
    (c) => c.violations === 0 && !/conjecture|not a promise/.test(c.relation) && !GO_LAYOUT.has(c.name),
  );
  const violations = new Map(wanted.map((c) => [c.name, 0]));
  const source = modelSource(20);
  // Two records in turn: each snapshot is compared with the one before it.
  let now = newMemStats();
  let previous: MemStats | undefined;
  let spare = newMemStats();
  const samples = Math.max(0, ...wanted.map((c) => c.samples));
  for (let i = 0; i < samples; i++) {
    source.step();
    if (i % 16 === 15) source.collect(i % 32 === 31);
    readMemStats(source, now);
    const context = { gogc: 100, now: source.now, ...(previous === undefined ? {} : { previous }) };
    for (const identity of IDENTITIES) {
      const count = violations.get(identity.name);
      if (count !== undefined && !identity.holds(now, context)) violations.set(identity.name, count + 1);
    }
    [previous, now, spare] = [now, spare, now];
  }
  for (const check of wanted) {
    const known = IDENTITIES.some((i) => i.name === check.name);
    expectEqual(
      `${check.name}: ${check.relation}`,
      known ? violations.get(check.name) : "unknown relation",
      0,
    );
  }
}

function collector(v: Vectors, expectEqual: Check): void {
  const source = modelSource(30);
  for (let i = 0; i < 601; i++) source.collect(false);
  const m = readMemStats(source);
  const facts: Record<string, unknown> = {
    num_gc_over_600: m.NumGC > 600,
    last_entry_index_rule: m.LastGC === m.PauseEnd[(m.NumGC + 255) % 256] && m.LastGC === source.now,
  };
  for (const [name, want] of Object.entries(v.ring)) {
    if (name in facts) expectEqual(`ring ${name}`, facts[name], want);
  }

  // GOGC=off: the goal is the memory limit's, more than a number holds exactly.
  const off: StatsSource = {
    fill(raw) {
      raw.nextGC = MAX_INT64 * 0.97;
    },
  };
  const without = readMemStats(off);
  const offFacts: Record<string, unknown> = {
    EnableGC: without.EnableGC,
    NextGC_is_max_uint64: without.NextGC === 2 ** 64,
    "NextGC_over_0.96_of_MaxInt64": without.NextGC > 0.96 * MAX_INT64,
    NextGC_under_MaxInt64: without.NextGC < MAX_INT64,
  };
  for (const [name, want] of Object.entries(v.gogc_off)) {
    if (name in offFacts) expectEqual(`gogc_off ${name}`, offFacts[name], want);
  }

  const fresh = JSON.parse(memStatsJSON(readMemStats(modelSource(40)))) as Record<string, unknown>;
  for (const [name, want] of Object.entries(v.before_any_gc)) {
    if (name.startsWith("HeapSys")) continue;
    expectEqual(`before any GC: ${name}`, fresh[name], want);
  }

  const s = gcStats(m, 21);
  const few = modelSource(31);
  few.collect(true);
  few.collect(true);
  const fewStats = gcStats(readMemStats(few));
  const statFacts: Record<string, unknown> = {
    PauseEnd0_equals_LastGC: s.PauseEnd[0] === s.LastGC,
    Pause_most_recent_first: s.Pause.every((p, i) => p === m.PauseNs[(m.NumGC - 1 - i) % 256]),
    len_PauseEnd_same: s.PauseEnd.length === s.Pause.length,
    len_Pause_is_min_NumGC_256: s.Pause.length === 256 && fewStats.Pause.length === 2,
    quantiles_ascending: s.PauseQuantiles.every((q, i) => i === 0 || q >= s.PauseQuantiles[i - 1]),
  };
  for (const [name, want] of Object.entries(v.debug_ReadGCStats)) {
    if (name in statFacts) expectEqual(`ReadGCStats ${name}`, statFacts[name], want);
  }
}

/** Each recorded relation between runtime/metrics and MemStats, for one snapshot of a working process. */
function metricsRelations(v: Vectors, expectEqual: Check): void {
  const source = modelSource(50);
  const more = modelMetrics(50);
  for (let i = 0; i < 200; i++) source.step();
  source.collect(true);
  const m = readMemStats(source);
  const metrics = createMetrics(source, more);
  const get = (name: string): number => {
    const sample = newSample(name);
    metrics.read([sample]);
    return sample.Value.uint64();
  };
  const tiny = get("/gc/heap/tiny/allocs:objects");
  const memory = (name: string): number => get(`/memory/classes/${name}:bytes`);
  const goroutines = (name: string): number => get(`/sched/goroutines/${name}:goroutines`);
  const holds: Record<string, () => boolean> = {
    "/gc/cycles/automatic + forced == total": () =>
      get("/gc/cycles/automatic:gc-cycles") + get("/gc/cycles/forced:gc-cycles") ===
      get("/gc/cycles/total:gc-cycles"),
    "/gc/cycles/forced == NumForcedGC": () => get("/gc/cycles/forced:gc-cycles") === m.NumForcedGC,
    "/gc/cycles/total == NumGC": () => get("/gc/cycles/total:gc-cycles") === m.NumGC,
    "/gc/gogc:percent == 100": () => get("/gc/gogc:percent") === 100,
    "/gc/gogc:percent == math.MaxUint64 after SetGCPercent(-1)": () => {
      more.gogc = -1;
      const off = get("/gc/gogc:percent");
      more.gogc = 100;
      return off === Number(2n ** 64n - 1n);
    },
    "/gc/gomemlimit:bytes == math.MaxInt64": () => get("/gc/gomemlimit:bytes") === Number(2n ** 63n - 1n),
    "/gc/heap/allocs:bytes == TotalAlloc": () => get("/gc/heap/allocs:bytes") === m.TotalAlloc,
    "/gc/heap/allocs:objects == Mallocs - tiny": () => get("/gc/heap/allocs:objects") === m.Mallocs - tiny,
    "/gc/heap/frees:bytes == TotalAlloc - HeapAlloc": () =>
      get("/gc/heap/frees:bytes") === m.TotalAlloc - m.HeapAlloc,
    "/gc/heap/frees:objects == Frees - tiny": () => get("/gc/heap/frees:objects") === m.Frees - tiny,
    "/gc/heap/goal:bytes == NextGC": () => get("/gc/heap/goal:bytes") === m.NextGC,
    "/gc/heap/objects:objects == HeapObjects": () => get("/gc/heap/objects:objects") === m.HeapObjects,
    "/gc/scan/total == globals + heap + stack": () =>
      get("/gc/scan/total:bytes") ===
      get("/gc/scan/globals:bytes") + get("/gc/scan/heap:bytes") + get("/gc/scan/stack:bytes"),
    "/memory/classes/heap/free == HeapIdle - HeapReleased": () =>
      memory("heap/free") === m.HeapIdle - m.HeapReleased,
    "/memory/classes/heap/objects == HeapAlloc": () => memory("heap/objects") === m.HeapAlloc,
    "/memory/classes/heap/released == HeapReleased": () => memory("heap/released") === m.HeapReleased,
    "/memory/classes/heap/stacks == StackInuse": () => memory("heap/stacks") === m.StackInuse,
    "/memory/classes/heap/unused == HeapInuse - HeapAlloc": () =>
      memory("heap/unused") === m.HeapInuse - m.HeapAlloc,
    "/memory/classes/metadata/mcache/free == MCacheSys - MCacheInuse": () =>
      memory("metadata/mcache/free") === m.MCacheSys - m.MCacheInuse,
    "/memory/classes/metadata/mcache/inuse == MCacheInuse": () =>
      memory("metadata/mcache/inuse") === m.MCacheInuse,
    "/memory/classes/metadata/mspan/free == MSpanSys - MSpanInuse": () =>
      memory("metadata/mspan/free") === m.MSpanSys - m.MSpanInuse,
    "/memory/classes/metadata/mspan/inuse == MSpanInuse": () =>
      memory("metadata/mspan/inuse") === m.MSpanInuse,
    "/memory/classes/metadata/other == GCSys": () => memory("metadata/other") === m.GCSys,
    "/memory/classes/os-stacks == StackSys - StackInuse": () =>
      memory("os-stacks") === m.StackSys - m.StackInuse,
    "/memory/classes/other == OtherSys": () => memory("other") === m.OtherSys,
    "/memory/classes/profiling/buckets == BuckHashSys": () => memory("profiling/buckets") === m.BuckHashSys,
    "/memory/classes/total == Sys": () => memory("total") === m.Sys,
    "/sched/goroutines == sum of running, runnable, waiting, not-in-go": () =>
      get("/sched/goroutines:goroutines") ===
      goroutines("running") + goroutines("runnable") + goroutines("waiting") + goroutines("not-in-go"),
  };
  for (const [relation, want] of Object.entries(v.metrics_relations)) {
    const check = holds[relation];
    if (check !== undefined) expectEqual(relation, check(), want);
  }
}
