/** Buckets of several threads in one arena. Here all "threads" are profilers of one thread of V8. */
import { describe, expect, it } from "vitest";
import { BLOCK_KIND, BucketTable, BufferArena, MEM_KIND, type ProfArena } from "../src/bucket.ts";
import { createProfiler, type Profiler } from "../src/index.ts";
import { PCTable } from "../src/pc-table.ts";
import { verifyMemProfile } from "../src/testing.ts";

/** Arenas over one memory: the first thread's, and one for each other thread. */
function arenas(): { first: ProfArena; other(): ProfArena } {
  const memory = new BufferArena(1 << 20);
  const of = (header: () => number): ProfArena => ({
    u32: memory.u32,
    f64: memory.f64,
    alloc: (size) => memory.alloc(size),
    get bytes() {
      return memory.bytes;
    },
    header,
    firstHeader: () => memory.header(),
  });
  return { first: of(() => memory.header()), other: () => of(() => memory.alloc(64)) };
}

function profilers(n: number): Profiler[] {
  const { first, other } = arenas();
  const all: Profiler[] = [createProfiler({ arena: first, readAll: (read) => readAll(read) })];
  const readAll = <T>(read: () => T): T => {
    for (const p of all) p.publishFrames();
    return read();
  };
  while (all.length < n) all.push(createProfiler({ arena: other(), readAll: (read) => readAll(read) }));
  for (const p of all) p.memProfileRate = 1;
  return all;
}

/** The memory profile as a thread reads it. */
function read(p: Profiler): string[] {
  const found = p.memBuckets().map(({ stack, size, allocs, frees }) => {
    const names = Array.from(stack, (id) => p.table.symbolize(id).func.replace(/.*\./, ""));
    return `${names[0]} ${size}: ${allocs}-${frees}`;
  });
  return found.sort();
}

describe("profilers of several threads", () => {
  const allocate = (p: Profiler, size: number): number => p.mem.alloc(size);

  it("show the samples of all, equal stacks of one size added up", () => {
    const [a, b, c] = profilers(3);
    // All calls have one place, so the stacks are equal.
    const buckets = [a, b, c, c, b].map((p, i) => allocate(p, i === 4 ? 32 : 16));
    a.mem.free(buckets[0]);
    c.mem.free(buckets[2]);
    for (const p of [a, b, c]) expect(read(p)).toEqual(["allocate 16: 4-2", "allocate 32: 1-0"]);
    for (const p of [c, a]) {
      expect(p.memBuckets().map((r) => r.buckets.length)).toEqual(expect.arrayContaining([3, 1]));
      verifyMemProfile(p);
    }
  });

  it("have one cycle, which the first one advances", () => {
    const [a, b] = profilers(2);
    allocate(b, 16);
    a.mem.nextCycle();
    a.mem.flush();
    expect(b.buckets.cycle).toBe(1);
    const late = allocate(b, 32);
    expect(read(a)).toEqual(["allocate 16: 0-0", "allocate 32: 0-0"]);
    a.mem.nextCycle();
    a.mem.flush();
    b.mem.free(late);
    expect(read(b)).toEqual(["allocate 16: 1-0", "allocate 32: 0-0"]);
    a.mem.postSweep();
    expect(read(b)).toEqual(["allocate 16: 1-0", "allocate 32: 1-1"]);
    verifyMemProfile(b);
  });

  it("show waits of all, and count stacks and not buckets", () => {
    const [a, b] = profilers(2);
    const wait = (p: Profiler, ns: number): void => p.block.record(ns);
    for (const p of [a, b]) p.setBlockProfileRate(1);
    for (const p of [a, b, b]) wait(p, 10);
    const stacks = (): number[] => [a, b].map((p) => p.lookup("block")!.count());
    expect(stacks()).toEqual([1, 1]);
    const counts: number[][] = [];
    for (const p of [a, b]) p.block.forEach((r) => void counts.push([r.count, r.cycles]));
    expect(counts).toEqual([
      [3, 30],
      [3, 30],
    ]);
    const records = [null];
    expect(b.blockProfile(records)).toEqual({ n: 1, ok: true });
    const [text] = [a, b].map((p) => p.lookup("block")!.toText(1));
    expect(text).toMatch(/^--- contention:\ncycles\/second=1000000000\n30 3 @/);
    wait(a, 5);
    expect(stacks()).toEqual([2, 2]);
  });

  it("exchange stacks with their labels", () => {
    const [a, b] = profilers(2);
    const here = (): number[] => {
      const pcs = new Array<number>(8).fill(0);
      return pcs.slice(0, a.callers(1, pcs));
    };
    const pcs = here();
    const labels = new Map([["k", "v"]]);
    const portable = a.portableStacks({
      forEach(visit) {
        visit(pcs, labels);
        visit([{ func: "main.f", file: "f.go", line: 3 }]);
      },
    });
    // As a message carries it.
    const [first, second] = b.adoptStacks(JSON.parse(JSON.stringify(portable)));
    const frames = (p: Profiler, stack: number[]): string[] =>
      [...p.callersFrames(stack)].map((f) => `${f.Function} ${f.File}:${f.Line}`);
    expect(frames(b, first.stack)).toEqual(frames(a, pcs));
    expect(first.labels).toEqual(labels);
    expect([frames(b, second.stack), second.labels]).toEqual([["main.f f.go:3"], null]);
    // The thread that takes its own stacks gets its own PCs.
    expect(a.adoptStacks(portable)[0].stack).toEqual(pcs);
  });
});

describe("BucketTable", () => {
  it("of another thread publishes frames before a bucket can be found", () => {
    const { first, other } = arenas();
    const main = new BucketTable(first);
    expect(main.several).toBe(false);
    const log: string[] = [];
    const table = new BucketTable(other(), {
      publish: (_, stack, n) =>
        void log.push(`${[...stack.subarray(0, n)].join()} before ${table.count(BLOCK_KIND)}`),
      translate: (_, stack) => [...stack],
    });
    expect(main.several).toBe(true);
    const stack = Uint32Array.of(4, 5, 6);
    const bucket = table.find(BLOCK_KIND, 0, stack, 2);
    expect(table.find(BLOCK_KIND, 0, stack, 2)).toBe(bucket);
    expect(log).toEqual(["4,5 before 0"]);
    // Only the first thread has frames left to publish.
    table.publishFrames();
    expect(log.length).toBe(1);
    const all: number[] = [];
    main.forEach(BLOCK_KIND, (b) => void all.push(b));
    main.forEach(MEM_KIND, (b) => void all.push(b));
    expect(all).toEqual([bucket]);
    expect([main.count(BLOCK_KIND), main.first(BLOCK_KIND)]).toEqual([0, 0]);
  });
});

describe("PCTable", () => {
  it("finds a frame of another table by its place, and makes it if it is new", () => {
    const [from, to] = [new PCTable(), new PCTable()];
    const profiler = createProfiler();
    const pcs = new Array<number>(4).fill(0);
    profiler.callers(1, pcs);
    const id = profiler.table.frameIdAt(pcs[0] - 1);
    const place = profiler.table.portable(id);
    expect(profiler.table.adopt(place)).toBe(id);
    const made = to.adopt(place);
    expect(to.adopt(place)).toBe(made);
    expect(to.symbolize(made)).toEqual(profiler.table.symbolize(id));
    expect(to.startLineOf(made)).toBe(profiler.table.startLineOf(id));
    const given = from.synthetic("runtime.gopark", "<runtime>", 0);
    expect(to.adopt(from.portable(given))).toBe(to.synthetic("runtime.gopark", "<runtime>", 0));
    expect(to.adopt(from.portable(from.goexit))).toBe(to.goexit);
  });

  it("gives the calls of one function, adopted or its own, to one Func", () => {
    const profiler = createProfiler();
    const table = new PCTable();
    const calls = (): number[] => {
      const all: number[] = [];
      const one = [0];
      profiler.callers(1, one);
      all.push(one[0]);
      profiler.callers(1, one);
      all.push(one[0]);
      return all;
    };
    const [first, second] = calls().map((pc) =>
      table.adopt(profiler.table.portable(profiler.table.frameIdAt(pc - 1))),
    );
    expect(first).not.toBe(second);
    expect(table.funcOf(first)).toBe(table.funcOf(second));
  });
});
