/**
 * Small programs around documented functions of package runtime, with what real Go's made of the same parameters.
 *
 * Covered are those whose result does not depend on Go's compiler, environment or operating system threads.
 * Not counted: version, goroot_* (name another tool chain); gomaxprocs_env_bad, setcpuprofilerate, goexit_main
 * (need a process and its standard error: the command line's tests run them); finalizer_misc's stack text,
 * caller_skip (Go's names); stack, lockosthread* (the packages' own tests); sleepers (a goroutine here has no stack
 * of 2048 bytes); pool figures that depend on when collections end.
 */
import {
  BlockProfileRecord,
  createRuntime,
  defaultCase,
  MemProfileRecord,
  type MemStats,
  type Runtime,
  type RuntimeOptions,
  recvCase,
  StackRecord,
  sendCase,
} from "../src/index.ts";

export interface Result {
  passed: number;
  total: number;
  failures: string[];
}

type Params = Record<string, number> & { MaxProcs: number[] };
type Figures = Record<string, unknown>;
type Program = (rt: Runtime, p: Params) => Generator<undefined, Figures>;

/** Lets finalizers run: they have a goroutine of their own, which on a busy machine may have its turn late. */
function* settle(rt: Runtime): Generator<undefined, void> {
  let tries = 0;
  do yield* rt.sleep(1);
  while (rt.collector.finalizers.queued > 0 && ++tries < 100);
}

/** An object with a pointer and a number; raw, so that nothing but the test roots it. */
class Fins {
  readonly #rt: Runtime;
  readonly #typ: number;
  constructor(rt: Runtime) {
    this.#rt = rt;
    this.#typ = rt.unsafe.newType(80, [0]);
  }
  make(id: number, next = 0): number {
    const p = this.#rt.unsafe.mallocTyped(this.#typ);
    this.#rt.unsafe.storePointer(p, next as never);
    this.#rt.memory.u32[(p + 8) >>> 2] = id;
    return p;
  }
  id(p: number): number {
    return this.#rt.memory.u32[(p + 8) >>> 2];
  }
  next(p: number): number {
    return this.#rt.memory.u32[p >>> 2];
  }
  link(p: number, next: number): void {
    this.#rt.unsafe.storePointer(p as never, next as never);
  }
  setFinalizer(p: number, f: (p: number) => void): void {
    this.#rt.collector.finalizers.setFinalizer(p as never, f);
  }
  addCleanup(p: number, f: (n: number) => void, n: number): { stop(): void } {
    return this.#rt.collector.finalizers.addCleanup(p as never, f, n);
  }
}

const difference = (a: MemStats, b: MemStats, name: keyof MemStats): number =>
  Number(b[name]) - Number(a[name]);

function* pool(rt: Runtime, p: Params, mode: "none" | "channel" | "list"): Generator<undefined, Figures> {
  const generator = (seed: number) => {
    let x = BigInt(seed);
    return (n: number): number => {
      x = (x * 1103515245n + 12345n) & 0x7fffffffn;
      return Number(x >> 8n) % n;
    };
  };
  const random = generator(p.PoolSeed);
  const randomSlot = generator(p.PoolSeed + 1);
  type Buffer = { slot: number; size: number };
  let makes = 0;
  const make = (): Buffer => {
    makes++;
    const size = random(p.PoolSpan) + p.PoolMin;
    return { slot: rt.unsafe.newRoot(rt.unsafe.mallocgc(size)), size };
  };
  const drop = (b: Buffer): void => rt.unsafe.freeRoot(b.slot);
  const channel = rt.makeChan<Buffer>(p.PoolChan);
  const [getc, givec] = [rt.makeChan<Buffer>(), rt.makeChan<Buffer>()];
  if (mode === "list") {
    rt.go(function* () {
      const idle: Buffer[] = [];
      for (;;) {
        if (idle.length === 0) idle.unshift(make());
        const { index, value } = yield* rt.select([recvCase(givec), sendCase(getc, idle[0])]);
        if (index === 0) idle.unshift(value as Buffer);
        else idle.shift();
      }
    });
  }
  const slots: (Buffer | undefined)[] = new Array<Buffer | undefined>(p.Pool).fill(undefined);
  const inPool: number[] = [];
  let below = 0;
  const m = rt.readMemStats();
  for (let i = 0; i < p.PoolIters; i++) {
    let b: Buffer;
    if (mode === "none") b = make();
    else if (mode === "list") b = (yield* getc.recv())!;
    else {
      const { index, value } = yield* rt.select([recvCase(channel), defaultCase]);
      b = index === 0 ? (value as Buffer) : make();
    }
    const at = randomSlot(p.Pool);
    const old = slots[at];
    if (old !== undefined) {
      if (mode === "none") drop(old);
      else if (mode === "list") yield* givec.send(old);
      else {
        const { index } = yield* rt.select([sendCase(channel, old), defaultCase]);
        if (index === 1) drop(old);
      }
    }
    slots[at] = b;
    yield* rt.gosched();
    const bytes = slots.reduce((n, s) => n + (s?.size ?? 0), 0);
    rt.readMemStats(m);
    if (m.HeapAlloc < bytes) below++;
    if (i % 20 === 19) inPool.push(bytes);
  }
  return { makes, bytes_in_pool_every_20: inPool, HeapAlloc_below_pool_bytes_times: below };
}

const programs: Record<string, { options?: RuntimeOptions; run: Program; ignore?: string[] }> = {
  numcpu: {
    *run(rt) {
      const n = rt.numCPU();
      rt.gomaxprocs(n + 3);
      return { at_least_1: n >= 1, unchanged_by_GOMAXPROCS: rt.numCPU() === n };
    },
  },
  gomaxprocs: {
    options: { gomaxprocs: 2 },
    *run(rt, p) {
      const calls = p.MaxProcs.map((n) => [n, rt.gomaxprocs(n)]);
      return { argument_and_result: calls, start: 2, final: rt.gomaxprocs(0) };
    },
  },
  gc_counts: {
    options: { gogc: "off" },
    *run(rt) {
      rt.gc();
      const a = rt.readMemStats();
      for (let i = 0; i < 1000; i++) rt.unsafe.mallocgc(2048);
      rt.gc();
      const b = rt.readMemStats();
      return {
        NumGC: b.NumGC - a.NumGC,
        NumForcedGC: b.NumForcedGC - a.NumForcedGC,
        freed_all: b.Frees - a.Frees >= 1000,
        HeapAlloc_not_grown: b.HeapAlloc <= a.HeapAlloc + 4096,
      };
    },
  },
  finalizer_chain: {
    *run(rt, p) {
      const fins = new Fins(rt);
      const ran: number[] = [];
      let head = 0;
      for (let i = p.Chain; i >= 1; i--) {
        head = fins.make(i, head);
        fins.setFinalizer(head, (o) => ran.push(fins.id(o)));
      }
      const after: number[][] = [];
      for (let i = 0; i <= p.Chain; i++) {
        rt.gc();
        yield* settle(rt);
        after.push([...ran]);
      }
      return { finalized_after_each_gc: after };
    },
  },
  finalizer_cycle: {
    *run(rt, p) {
      const fins = new Fins(rt);
      let [ran, ranOne, ranSelf] = [0, 0, 0];
      const first = fins.make(1);
      let last = first;
      for (let i = 2; i <= p.Cycle; i++) last = fins.make(i, last);
      fins.link(first, last);
      for (let o = first, n = 0; n < p.Cycle; o = fins.next(o), n++) fins.setFinalizer(o, () => ran++);
      const a = fins.make(0);
      const b = fins.make(0, a);
      fins.link(a, b);
      fins.setFinalizer(a, () => ranOne++);
      const c = fins.make(0);
      fins.link(c, c);
      fins.setFinalizer(c, () => ranSelf++);
      for (let i = 0; i < 4; i++) {
        rt.gc();
        yield* settle(rt);
      }
      return {
        ring_with_a_finalizer_each: ran,
        ring_of_two_with_one_finalizer: ranOne,
        object_pointing_to_itself: ranSelf,
        gcs: 4,
      };
    },
  },
  finalizer_resurrect: {
    *run(rt) {
      const fins = new Fins(rt);
      const saved = rt.unsafe.newRoot(0);
      let runs = 0;
      fins.setFinalizer(fins.make(7), (o) => {
        runs++;
        rt.unsafe.setRoot(saved, o);
      });
      const r: Figures = {};
      rt.gc();
      yield* settle(rt);
      r.after_first_gc = runs;
      r.resurrected_id = fins.id(rt.memory.u32[saved >>> 2]);
      rt.gc();
      yield* settle(rt);
      r.while_reachable_again = runs;
      rt.unsafe.setRoot(saved, 0);
      rt.gc();
      yield* settle(rt);
      r.after_dropping_again_without_a_new_finalizer = runs;
      let again = 0;
      const f = (o: number): void => {
        again++;
        fins.setFinalizer(o, f);
      };
      fins.setFinalizer(fins.make(8), f);
      for (let i = 0; i < 3; i++) {
        rt.gc();
        yield* settle(rt);
      }
      r.finalizer_that_sets_itself_again_runs_in_3_gcs = again;
      return r;
    },
  },
  cleanup: {
    *run(rt) {
      const fins = new Fins(rt);
      let got: number[] = [];
      const note = (n: number): void => void got.push(n);
      const a = fins.make(0);
      const b = fins.make(0, a);
      fins.link(a, b);
      fins.addCleanup(a, note, 1);
      fins.addCleanup(a, note, 2);
      fins.addCleanup(b, note, 3);
      const stopped = fins.addCleanup(b, note, 4);
      stopped.stop();
      stopped.stop();
      rt.gc();
      yield* settle(rt);
      const r: Figures = { ran_after_1_gc_cycle_of_two_objects: got.sort((x, y) => x - y) };
      const o = fins.make(0);
      fins.setFinalizer(o, () => got.push(10));
      fins.addCleanup(o, note, 11);
      const after: (number[] | null)[] = [];
      for (let i = 0; i < 3; i++) {
        got = [];
        rt.gc();
        yield* settle(rt);
        after.push(got.length === 0 ? null : got);
      }
      r.finalizer_10_and_cleanup_11_on_one_object_by_gc = after;
      return r;
    },
  },
  readmemstats_small: {
    options: { gogc: "off", gomaxprocs: 1 },
    *run(rt, p) {
      const roots = Array.from({ length: p.Small }, () => rt.unsafe.newRoot(0));
      rt.gc();
      const a = rt.readMemStats();
      for (const slot of roots) rt.unsafe.setRoot(slot, rt.unsafe.mallocgc(p.SmallSize));
      const b = rt.readMemStats();
      for (const slot of roots) rt.unsafe.setRoot(slot, 0);
      rt.gc();
      const c = rt.readMemStats();
      return {
        count: p.Small,
        size: p.SmallSize,
        Mallocs: difference(a, b, "Mallocs"),
        TotalAlloc: difference(a, b, "TotalAlloc"),
        HeapAlloc: difference(a, b, "HeapAlloc"),
        HeapObjects: difference(a, b, "HeapObjects"),
        Frees_before_gc: difference(a, b, "Frees"),
        Frees_after_gc: difference(a, c, "Frees"),
        HeapAlloc_after_gc: difference(a, c, "HeapAlloc"),
        HeapObjects_after_gc: difference(a, c, "HeapObjects"),
      };
    },
  },
  memprofile: {
    options: { godebug: "memprofilerate=1" },
    // The leaf in Go is its own allocation function; the record before a collection counts Go's start-up too.
    ignore: ["site.Stack_leaf", "site_records_before_gc"],
    *run(rt, p) {
      const keep = Math.floor(p.ProfCount / 4);
      const kept: number[] = [];
      function profAlloc(n: number, size: number): void {
        for (let i = 0; i < n; i++) {
          const at = rt.unsafe.mallocgc(size);
          if (i < keep) kept.push(rt.unsafe.newRoot(at));
        }
      }
      profAlloc(p.ProfCount, p.ProfSize);
      rt.gc();
      rt.gc();
      const { n, ok } = rt.memProfile(null, true);
      const short = Array.from({ length: n - 1 }, () => new MemProfileRecord());
      const second = rt.memProfile(short, true);
      const records = Array.from({ length: n }, () => new MemProfileRecord());
      rt.memProfile(records, true);
      const site = records.find((r) =>
        [...rt.callersFrames(r.stack())].some((f) => f.Function.includes("profAlloc")),
      );
      return {
        rate: rt.memProfileRate,
        nil_ok: ok,
        n_over_0: n > 0,
        short_ok: second.ok,
        short_n_at_least_n: second.n >= n,
        short_slice_untouched: short.every((r) => r.AllocObjects === 0 && r.AllocBytes === 0),
        inuseZero_true_gives_at_least_as_many: n >= rt.memProfile(null, false).n,
        site: site && {
          AllocObjects: site.AllocObjects,
          FreeObjects: site.FreeObjects,
          AllocBytes: site.AllocBytes,
          FreeBytes: site.FreeBytes,
          InUseObjects: site.inUseObjects(),
          InUseBytes: site.inUseBytes(),
          Stack0_is_array_of_32: site.Stack0.length,
        },
        asked: { count: p.ProfCount, size: p.ProfSize, kept: keep },
      };
    },
  },
  memprofile_rate0: {
    options: { godebug: "memprofilerate=0" },
    *run(rt) {
      rt.unsafe.mallocgc(1 << 20);
      rt.gc();
      rt.gc();
      return { ...rt.memProfile(null, true), rate: rt.memProfileRate };
    },
  },
  goroutineprofile: {
    *run(rt, p) {
      const stop = rt.makeChan<void>();
      function* profiled(): Generator<undefined, void> {
        yield* stop.recv();
      }
      for (let i = 0; i < p.Goroutines; i++) rt.go(profiled);
      yield* rt.gosched();
      const { n, ok } = rt.goroutineProfile(null);
      const short = Array.from({ length: n - 1 }, () => new StackRecord());
      const second = rt.goroutineProfile(short);
      const exact = Array.from({ length: n }, () => new StackRecord());
      const third = rt.goroutineProfile(exact);
      const functions = exact.flatMap((r) => [...rt.callersFrames(r.stack())].map((f) => f.Function));
      stop.close();
      return {
        nil: [n, ok],
        short: [second.n, second.ok],
        short_untouched: short[0].Stack0[0] === 0,
        exact: [third.n, third.ok],
        with_profiled: functions.filter((name) => name.endsWith(".profiled")).length,
        started: p.Goroutines,
        n_equals_NumGoroutine: n === rt.numGoroutine(),
      };
    },
  },
  threadcreateprofile: {
    *run(rt) {
      const { n, ok } = rt.threadCreateProfile(null);
      const records = Array.from({ length: n + 10 }, () => new StackRecord());
      const second = rt.threadCreateProfile(records);
      return {
        n_at_least_1: n >= 1,
        nil_ok: ok,
        second_n_same_or_more: second.n >= n,
        second_ok: second.ok,
        stack_of_first_record: records[0].stack().length,
      };
    },
  },
  blockprofile: {
    *run(rt, p) {
      rt.setBlockProfileRate(1);
      const c = rt.makeChan<number>();
      function* blocker(): Generator<undefined, void> {
        yield* c.recv();
      }
      function* sender(): Generator<undefined, void> {
        yield* rt.sleep(1);
        yield* c.send(1);
      }
      for (let i = 0; i < p.Blocks; i++) {
        rt.go(sender);
        yield* blocker();
      }
      rt.setBlockProfileRate(0);
      rt.go(sender);
      yield* blocker();
      const { n, ok } = rt.blockProfile(null);
      const records = Array.from({ length: n + 10 }, () => new BlockProfileRecord());
      const second = rt.blockProfile(records);
      let count = 0;
      let cycles = false;
      let leaf = "";
      for (const r of records.slice(0, second.n)) {
        const [first, above] = rt.callersFrames(r.stack());
        if (above?.Function.endsWith(".blocker") !== true) continue;
        count += r.Count;
        cycles = r.Cycles > 0;
        leaf = first.Function;
      }
      return { events: p.Blocks, nil_ok: ok, second_ok: second.ok, count, cycles_over_0: cycles, leaf };
    },
  },
  mutexprofile: {
    *run(rt) {
      return {
        first_set_5: rt.setMutexProfileFraction(5),
        read: rt.setMutexProfileFraction(-1),
        off: rt.setMutexProfileFraction(0),
        read_after_off: rt.setMutexProfileFraction(-1),
      };
    },
  },
  numcgocall: {
    *run(rt) {
      return { NumCgoCall: rt.numCgoCall() };
    },
  },
  numgoroutine: {
    *run(rt, p) {
      const start = rt.numGoroutine();
      const stop = rt.makeChan<void>();
      const all = Array.from({ length: p.Goroutines }, () =>
        rt.go(function* () {
          yield* stop.recv();
        }),
      );
      const after = rt.numGoroutine();
      stop.close();
      for (const g of all) yield* g.done();
      yield* settle(rt);
      return { start, after_starting: after, started: p.Goroutines, after_they_end: rt.numGoroutine() };
    },
  },
  goexit: {
    *run(rt, p) {
      const order: string[] = [];
      let returned = false;
      const go = rt.go(function* () {
        yield* rt.frame(function* () {
          for (let i = 0; i < p.Defers; i++) {
            rt.defer(() => void order.push(`defer ${i} recover ${rt.recover() ?? "<nil>"}`));
          }
          yield* rt.frame(() => {
            rt.defer(() => void order.push("inner defer"));
            rt.goexit();
          });
          returned = true;
        });
        returned = true;
      });
      yield* go.done();
      return { order, code_after_ran: returned };
    },
  },
  gosched: {
    options: { gomaxprocs: 1 },
    *run(rt) {
      const log: string[] = [];
      const all = [0, 1, 2].map((g) =>
        rt.go(function* () {
          for (let i = 0; i < 3; i++) {
            log.push(`g${g} step ${i}`);
            yield* rt.gosched();
          }
        }),
      );
      for (const g of all) yield* g.done();
      return { log };
    },
  },
  pool_none: { run: (rt, p) => pool(rt, p, "none") },
  pool_channel: { run: (rt, p) => pool(rt, p, "channel") },
  pool_list: { run: (rt, p) => pool(rt, p, "list") },
};

/** Figures of a buffer pool that depend on when collections end. */
const timing = new Set(["HeapAlloc_MiB_every_20", "NumGC", "final_HeapSys_over_pool"]);

/** Every leaf of `want` that `got` hasn't, by path. */
function compare(want: unknown, got: unknown, path: string, skip: Set<string>, wrong: string[]): void {
  if (skip.has(path)) return;
  if (want !== null && typeof want === "object" && !Array.isArray(want)) {
    for (const [k, v] of Object.entries(want)) {
      const inner = (got as Record<string, unknown> | null | undefined)?.[k];
      compare(v, inner, path === "" ? k : `${path}.${k}`, skip, wrong);
    }
  } else if (JSON.stringify(want) !== JSON.stringify(got)) {
    wrong.push(`${path}: got ${JSON.stringify(got)}, Go has ${JSON.stringify(want)}`);
  }
}

export async function run(vectors: unknown): Promise<Result> {
  const { parameters, seeds } = vectors as {
    parameters: Params;
    seeds: { name: string; result: Figures }[];
  };
  const result: Result = { passed: 0, total: 0, failures: [] };
  for (const seed of seeds) {
    const program = programs[seed.name];
    if (program === undefined) continue;
    const rt = createRuntime({ godebug: "", stderr: () => {}, maxMemory: 1 << 30, ...program.options });
    const wrong: string[] = [];
    try {
      const got = await rt.main(() => program.run(rt, parameters));
      compare(seed.result, got, "", new Set([...timing, ...(program.ignore ?? [])]), wrong);
    } catch (err) {
      wrong.push(String(err));
    } finally {
      rt.close();
    }
    result.total++;
    if (wrong.length === 0) result.passed++;
    else result.failures.push(`${seed.name}: ${wrong.join("; ")}`);
  }
  return result;
}
