/**
 * Allocation scripts that real Go ran, with the differences in MemStats that they made. Each script runs on a
 * runtime of its own, as each ran in a process of its own.
 *
 * Compared exactly: Mallocs, Frees, TotalAlloc, HeapAlloc, HeapObjects, BySize, NumGC, NumForcedGC, both after
 * the script and after dropping all and two collections. HeapInuse is compared as the vectors' notes
 * allow it: at most Go's plus one span for each (class, noscan) pair that the script touched; our spans
 * have a few more slots than Go's because mark bits and pointer bitmaps stand outside of them.
 * Not compared: HeapSys, MSpanInuse (depend on the heap at start) and StackInuse (our main goroutine's stack
 * is V8's).
 */
import { createRuntime, type MemStats, newMemStats, type Runtime } from "../src/index.ts";

export interface Result {
  passed: number;
  total: number;
  failures: string[];
}

interface Op {
  op: "new" | "cycle" | "lcg" | "drop" | "gc" | "repeat";
  n?: number;
  size?: number;
  sizes?: number[];
  layout?: "noscan" | "allptr" | "ptr_first" | "ptr_last";
  garbage?: boolean;
  lo?: number;
  hi?: number;
  seed?: number;
  which?: "all" | "even" | "odd" | "first";
  k?: number;
  times?: number;
  ops?: Op[];
}

interface Figures {
  [name: string]: number | [number, number, number][];
}

interface Script {
  name: string;
  ops: Op[] | null;
  alloc: Figures;
  drop_gc2: Figures;
}

type Step =
  | { kind: "new"; size: number; typ: number; keep: boolean }
  | { kind: "drop"; index: number[] }
  | { kind: "gc" };

/** Flattens a script before the first reading, so that only its own objects are allocated between readings. */
class Plan {
  readonly steps: Step[] = [];
  readonly spans = new Map<string, number>();
  kept = 0;
  readonly #types = new Map<string, number>();
  readonly #rt: Runtime;

  constructor(rt: Runtime) {
    this.#rt = rt;
  }

  add(ops: Op[] | null): void {
    for (const o of ops ?? []) {
      switch (o.op) {
        case "new":
          for (let i = 0; i < o.n!; i++) this.#alloc(o.size!, o);
          break;
        case "cycle":
          for (let i = 0; i < o.n!; i++) this.#alloc(o.sizes![i % o.sizes!.length], o);
          break;
        case "lcg": {
          let x = BigInt(o.seed ?? 0);
          const range = o.hi! - o.lo! + 1;
          for (let i = 0; i < o.n!; i++) {
            x = (x * 1103515245n + 12345n) & 0x7fffffffn;
            this.#alloc(o.lo! + (Number(x >> 8n) % range), o);
          }
          break;
        }
        case "drop": {
          const index: number[] = [];
          for (let i = 0; i < this.kept; i++) {
            if (
              o.which === "all" ||
              (o.which === "even" && i % 2 === 0) ||
              (o.which === "odd" && i % 2 === 1) ||
              (o.which === "first" && i < (o.k ?? 0))
            ) {
              index.push(i);
            }
          }
          this.steps.push({ kind: "drop", index });
          break;
        }
        case "gc":
          this.steps.push({ kind: "gc" });
          break;
        case "repeat":
          for (let i = 0; i < o.times!; i++) this.add(o.ops!);
          break;
        default:
          throw new Error(`alloc_memstats: unknown op ${JSON.stringify(o)}`);
      }
    }
  }

  #alloc(bytes: number, o: Op): void {
    const layout = o.layout ?? "noscan";
    const size = layout === "noscan" ? bytes : Math.ceil(bytes / 8) * 8;
    this.steps.push({ kind: "new", size, typ: this.#type(size, layout), keep: o.garbage !== true });
    if (o.garbage !== true) this.kept++;
  }

  #type(size: number, layout: string): number {
    if (layout === "noscan") return 0;
    const key = `${size} ${layout}`;
    let t = this.#types.get(key);
    if (t === undefined) {
      const words = size / 8;
      const pointers =
        layout === "allptr"
          ? Array.from({ length: words }, (_, i) => i)
          : [layout === "ptr_first" ? 0 : words - 1];
      t = this.#rt.unsafe.newType(size, pointers);
      this.#types.set(key, t);
    }
    return t;
  }
}

function execute(script: Script): { alloc: Figures; final: Figures; pairs: number } {
  const rt = createRuntime({ gogc: "off", gomaxprocs: 1, maxMemory: 1 << 30, stderr: () => {}, godebug: "" });
  try {
    const plan = new Plan(rt);
    plan.add(script.ops);
    const keep: number[] = new Array<number>(plan.kept).fill(0);
    for (let i = 0; i < keep.length; i++) keep[i] = rt.unsafe.newRoot(0);
    const [before, after, final] = [newMemStats(), newMemStats(), newMemStats()];
    rt.gc();
    rt.gc();
    rt.readMemStats(before);
    rt.gc();
    rt.readMemStats(before);
    let n = 0;
    for (const s of plan.steps) {
      if (s.kind === "new") {
        const p = rt.unsafe.mallocgc(s.size, s.typ);
        if (s.keep) rt.unsafe.setRoot(keep[n++], p);
      } else if (s.kind === "drop") {
        for (const i of s.index) rt.unsafe.setRoot(keep[i], 0);
      } else {
        rt.gc();
      }
    }
    rt.readMemStats(after);
    for (const slot of keep) rt.unsafe.setRoot(slot, 0);
    rt.gc();
    rt.gc();
    rt.readMemStats(final);
    const touched = new Set(
      plan.steps.flatMap((s) => (s.kind === "new" ? [`${s.size} ${s.typ === 0}`] : [])),
    );
    return { alloc: delta(before, after), final: delta(before, final), pairs: touched.size };
  } finally {
    rt.close();
  }
}

const fields = [
  "Mallocs",
  "Frees",
  "TotalAlloc",
  "HeapAlloc",
  "HeapObjects",
  "HeapInuse",
  "NumGC",
  "NumForcedGC",
] as const;

function delta(a: MemStats, b: MemStats): Figures {
  const f: Figures = {};
  for (const name of fields) f[name] = Number(b[name]) - Number(a[name]);
  const by: [number, number, number][] = [];
  for (let i = 0; i < a.BySize.length; i++) {
    const mallocs = b.BySize[i].Mallocs - a.BySize[i].Mallocs;
    const frees = b.BySize[i].Frees - a.BySize[i].Frees;
    if (mallocs !== 0 || frees !== 0) by.push([a.BySize[i].Size, mallocs, frees]);
  }
  f.BySize = by;
  return f;
}

/** Largest span of a size class: what one span more a class can come to. */
const maxSpanBytes = 10 * 8192;

export function run(vectors: unknown): Result {
  const { scripts } = vectors as { scripts: Script[] };
  const result: Result = { passed: 0, total: 0, failures: [] };
  for (const script of scripts) {
    const got = execute(script);
    const wrong: string[] = [];
    for (const [when, want, have] of [
      ["alloc", script.alloc, got.alloc],
      ["drop_gc2", script.drop_gc2, got.final],
    ] as const) {
      for (const name of [...fields, "BySize"] as const) {
        if (want[name] === undefined) continue;
        const ok =
          name === "HeapInuse"
            ? (have[name] as number) <= (want[name] as number) + got.pairs * maxSpanBytes
            : JSON.stringify(have[name]) === JSON.stringify(want[name]);
        if (!ok)
          wrong.push(
            `${when}.${name}: got ${JSON.stringify(have[name])}, Go has ${JSON.stringify(want[name])}`,
          );
      }
    }
    result.total++;
    if (wrong.length === 0) result.passed++;
    else result.failures.push(`${script.name}: ${wrong.join("; ")}`);
  }
  return result;
}
