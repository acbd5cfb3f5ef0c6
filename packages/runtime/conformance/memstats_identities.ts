/**
 * memstats_identities.json against a runtime at work: every recorded relation in as many samples as Go's run took,
 * while goroutines allocate, free, root and collect; then the rings, GOGC=off, ReadGCStats and the relations to
 * runtime/metrics.
 *
 * Not counted: relations that are conjectures, or were seen violated; facts of Go's own layout (span structs of 160
 * bytes, stack spans of 32 KiB, the size of a fresh process's heap); that /sched/goroutines exceeds NumGoroutine (Go's
 * runtime has goroutines of its own at all times, this one while finalizers run); and what the record itself shows,
 * which the package of MemStats checks (fields, JSON).
 */
import { IDENTITIES } from "@gort/memstats/testing";
import { createRuntime, type MemStats, newMemStats, type Runtime } from "../src/index.ts";
import { newSample } from "../src/metrics.ts";

export interface Result {
  passed: number;
  total: number;
  failures: string[];
}

interface Vectors {
  checks: { name: string; relation: string; samples: number; violations: number }[];
  ring: Record<string, boolean>;
  gogc_off: Record<string, unknown>;
  metrics_relations: Record<string, boolean>;
  debug_ReadGCStats: Record<string, boolean>;
  before_any_gc: Record<string, unknown>;
}

type Check = (what: string, got: unknown, want: unknown) => void;

const GO_LAYOUT = new Set(["mspan_unit", "stack_32k"]);
/** Relations of a program without cgo, which the walker of the package does not have. */
const MORE: Record<string, (m: MemStats) => boolean> = {
  stack_sys_eq: (m) => m.StackSys === m.StackInuse,
};

export async function run(vectors: unknown): Promise<Result> {
  const v = vectors as Vectors;
  const result: Result = { passed: 0, total: 0, failures: [] };
  const expectEqual: Check = (what, got, want) => {
    result.total++;
    if (got === want) result.passed++;
    else result.failures.push(`${what}: got ${String(got)}, want ${String(want)}`);
  };
  const rt = createRuntime({
    maxMemory: 512 << 20,
    gogc: 100,
    godebug: "",
    gomaxprocs: 1,
    seed: 1,
    stderr: () => {},
  });
  try {
    beforeAnyGC(rt, v, expectEqual);
    await identities(rt, v, expectEqual);
    collector(rt, v, expectEqual);
    metricsRelations(rt, v, expectEqual);
  } finally {
    rt.close();
  }
  return result;
}

function beforeAnyGC(rt: Runtime, v: Vectors, expectEqual: Check): void {
  const m = rt.readMemStats() as unknown as Record<string, unknown>;
  for (const [name, want] of Object.entries(v.before_any_gc)) {
    if (name.startsWith("HeapSys")) continue;
    const got = m[name];
    expectEqual(`before any GC: ${name}`, typeof got === "bigint" ? Number(got) : got, want);
  }
}

/**
 * What the samples are taken under: allocations of all sizes with and without pointers, a list that grows and is
 * dropped, goroutines that root, and collections, forced or not.
 */
export function* load(rt: Runtime, seed: number): Generator<undefined, never> {
  const typ = rt.unsafe.newType(16, [1]);
  const wide = rt.unsafe.newType(640, [0]);
  let a = seed;
  const random = (n: number): number => {
    a = (Math.imul(a, 1664525) + 1013904223) >>> 0;
    return Math.floor((a / 4294967296) * n);
  };
  using list = rt.root(0 as never);
  for (;;) {
    for (let k = random(20); k > 0; k--) {
      const node = rt.unsafe.mallocTyped(typ);
      rt.unsafe.storePointer((node + 8) as never, list.ptr);
      list.ptr = node as never;
    }
    if (random(40) === 0) list.ptr = 0 as never;
    rt.unsafe.mallocNoscan(1 + random(3000));
    rt.unsafe.mallocNoscan(1 + random(15));
    rt.unsafe.mallocTyped(wide);
    if (random(50) === 0) rt.unsafe.mallocNoscan(32768 + random(400_000));
    if (random(10) === 0) {
      rt.go(function* () {
        using _kept = rt.root(rt.unsafe.mallocNoscan(100) as never);
        yield* rt.gosched();
      });
    }
    if (random(400) === 0) rt.gc();
    yield* rt.gosched();
  }
}

async function identities(rt: Runtime, v: Vectors, expectEqual: Check): Promise<void> {
  const wanted = v.checks.filter(
    (c) => c.violations === 0 && !/conjecture|not a promise/.test(c.relation) && !GO_LAYOUT.has(c.name),
  );
  const samples = Math.max(0, ...wanted.map((c) => c.samples));
  const violations = new Map(wanted.map((c) => [c.name, 0]));
  await rt.main(function* () {
    for (let i = 0; i < 4; i++) rt.go(load, rt, i + 1);
    let now = newMemStats();
    let previous: MemStats | undefined;
    let spare = newMemStats();
    for (let i = 0; i < samples; i++) {
      yield* rt.gosched();
      rt.readMemStats(now);
      // The wall clock has steps of a microsecond.
      const context = {
        gogc: 100,
        now: BigInt(Math.ceil((performance.timeOrigin + performance.now()) * 1e3)) * 1000n,
        ...(previous === undefined ? {} : { previous }),
      };
      for (const identity of IDENTITIES) {
        const n = violations.get(identity.name);
        if (n !== undefined && !identity.holds(now, context)) violations.set(identity.name, n + 1);
      }
      for (const [name, holds] of Object.entries(MORE)) {
        const n = violations.get(name);
        if (n !== undefined && !holds(now)) violations.set(name, n + 1);
      }
      [previous, now, spare] = [now, spare, now];
    }
  });
  for (const { name, relation } of wanted) {
    const known = name in MORE || IDENTITIES.some((i) => i.name === name);
    expectEqual(`${name}: ${relation}`, known ? violations.get(name) : "unknown relation", 0);
  }
}

function collector(rt: Runtime, v: Vectors, expectEqual: Check): void {
  while (rt.readMemStats().NumGC <= 600) rt.gc();
  const m = rt.readMemStats();
  const ring: Record<string, unknown> = {
    num_gc_over_600: m.NumGC > 600,
    last_entry_index_rule: m.LastGC === m.PauseEnd[(m.NumGC + 255) % 256],
  };
  for (const [name, want] of Object.entries(v.ring)) {
    if (name in ring) expectEqual(`ring ${name}`, ring[name], want);
  }

  const s = rt.readGCStats(21);
  const facts: Record<string, unknown> = {
    PauseEnd0_equals_LastGC: s.PauseEnd[0] === s.LastGC,
    Pause_most_recent_first: s.Pause.every((p, i) => p === m.PauseNs[(m.NumGC - 1 - i) % 256]),
    len_PauseEnd_same: s.PauseEnd.length === s.Pause.length,
    len_Pause_is_min_NumGC_256: s.Pause.length === Math.min(m.NumGC, 256),
    quantiles_ascending: s.PauseQuantiles.every((q, i) => i === 0 || q >= s.PauseQuantiles[i - 1]),
  };
  for (const [name, want] of Object.entries(v.debug_ReadGCStats)) {
    if (name in facts) expectEqual(`ReadGCStats ${name}`, facts[name], want);
  }

  const before = rt.collector.setGCPercent(-1);
  const off = rt.readMemStats();
  rt.collector.setGCPercent(before);
  const offFacts: Record<string, unknown> = {
    EnableGC: off.EnableGC,
    NextGC_is_max_uint64: off.NextGC === 2 ** 64,
    "NextGC_over_0.96_of_MaxInt64": off.NextGC > 0.96 * 2 ** 63,
    NextGC_under_MaxInt64: off.NextGC < 2 ** 63,
    old_percent: before,
  };
  for (const [name, want] of Object.entries(v.gogc_off)) {
    if (name in offFacts) expectEqual(`gogc_off ${name}`, offFacts[name], want);
  }
}

/** The sides of `a == b + c` as recorded are names of metrics, fields, and differences of fields. */
function metricsRelations(rt: Runtime, v: Vectors, expectEqual: Check): void {
  const m = rt.readMemStats();
  const names = new Map(rt.metrics.all().map((d) => [d.Name, newSample(d.Name)]));
  const read = (): void => rt.metrics.read([...names.values()]);
  read();
  /** The metric whose name begins so: the record leaves units out. */
  const metric = (prefix: string): number => {
    const sample = names.get(prefix) ?? [...names].find(([n]) => n.startsWith(`${prefix}:`))?.[1];
    if (sample === undefined) throw new RangeError(`no metric ${prefix}`);
    return sample.Value.uint64();
  };
  const tiny = metric("/gc/heap/tiny/allocs:objects");
  const term = (text: string, family: string): number => {
    const t = text.trim();
    if (t.startsWith("/")) return metric(t);
    if (t === "tiny") return tiny;
    if (t === "math.MaxInt64") return 2 ** 63;
    if (t === "GOMAXPROCS(0)") return rt.gomaxprocs(0);
    if (/^\d+$/.test(t)) return Number(t);
    if (t in m) return m[t as "Alloc"];
    return metric(`${family}/${t}`);
  };
  for (const [relation, want] of Object.entries(v.metrics_relations)) {
    const match = /^(\/\S+)( \+ \S+)? == ([^()]*(?:\(0\))?)$/.exec(relation);
    if (match === null) continue;
    const [, first, plus = "", right] = match;
    const family = first.replace(/\/[^/]*$/, "");
    const sum = (text: string, under: string): number =>
      text
        .replace(/^sum of /, "")
        .split(/(?:,| \+ )/)
        .filter((t) => t.trim() !== "")
        .map((t) =>
          t
            .split(" - ")
            .map((u) => term(u, under))
            .reduce((a, b) => a - b),
        )
        .reduce((a, b) => a + b, 0);
    const left = term(first, family) + sum(plus.replace(/^ \+ /, ""), family);
    const under = right.startsWith("sum of ") ? first : family;
    expectEqual(relation, left === sum(right, under), want);
  }
  const before = rt.collector.setGCPercent(-1);
  read();
  const off = "/gc/gogc:percent == math.MaxUint64 after SetGCPercent(-1)";
  if (off in v.metrics_relations) expectEqual(off, metric("/gc/gogc:percent") === 2 ** 64, true);
  rt.collector.setGCPercent(before);
}
