/** What checks know of blocks that other threads free. (What they find in one thread: manual.test.ts.) */
import { Worker } from "node:worker_threads";
import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { type Allocator, createAllocator, type LeakRecord } from "../src/index.ts";
import { SPECIAL_AT, SPECIAL_BLOCK } from "../src/internal.ts";
import { verifyHeap } from "../src/testing.ts";
import { failure } from "./kit.ts";

interface Answer {
  /** The blocks that the worker has allocated and kept. */
  readonly blocks: Addr[];
  readonly own: LeakRecord[];
}

async function handOver(a: Allocator, free: Addr[], sizes: number[], checks: boolean): Promise<Answer> {
  const thread = a.mem.registerThread();
  const worker = new Worker(new URL("workers/handed.mjs", import.meta.url), {
    workerData: { memory: a.mem.memory, thread, free, sizes, checks },
    execArgv: [],
  });
  a.watchWorker(worker, thread);
  return new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
}

const blocksAndBytes = (report: readonly LeakRecord[]): number[] => [
  report.reduce((n, r) => n + r.blocks, 0),
  report.reduce((n, r) => n + r.bytes, 0),
];

describe.each([false, true])("blocks that a worker frees, with its checks %s", (checks) => {
  it("are no leaks of the thread that allocated them, whichever block has their addresses next", async () => {
    const a = createAllocator({ maxMemory: 64 << 20, checks: true });
    const before = a.malloc(100);
    a.share();
    const [p, q, big, kept] = [100, 100, 100_000, 64].map((n) => a.malloc(n)) as [Addr, Addr, Addr, Addr];
    expect(blocksAndBytes(a.leakReport())).toEqual([5, 100_364]);

    const answer = await handOver(a, [before, p, big], [100, 100, 100_000], checks);
    expect(answer.blocks).toContain(p); // as many of the same size: its address is in use again
    expect(blocksAndBytes(a.leakReport())).toEqual([2, 164]);
    expect(blocksAndBytes(answer.own)).toEqual(checks ? [3, 100_200] : [0, 0]);
    verifyHeap(a);

    // A view of the previous block at an address does not prevent the free of the next block there.
    expect(() => a.withView(p, Uint8Array, (view) => view.length)).not.toThrow();
    for (const block of [...answer.blocks, q, kept]) a.free(block);
    expect(a.leakReport()).toEqual([]);
    expect(a.heap.specialalloc.inuse).toBe(0);
    a.flushAll();
    verifyHeap(a);
  });
});

it("a block inside withView that another thread frees does not stop the next one from being freed", () => {
  const a = createAllocator({ maxMemory: 64 << 20, checks: true });
  a.share();
  const b = createAllocator({ memory: a.mem });
  const p = a.malloc(64);
  a.withView(p, Uint8Array, () => {
    b.free(p);
    expect(b.malloc(64)).toBe(p);
    a.free(p);
  });
  verifyHeap(a);
});

describe("checks", () => {
  const blocks = (a: Allocator): [number, number][] => a.leakReport().map((r) => [r.blocks, r.bytes]);

  it("add the blocks of one place up, and name the place with the most bytes first", () => {
    const a = createAllocator({ maxMemory: 64 << 20, checks: true });
    const small = (): Addr => a.malloc(10);
    const middle = (): Addr => a.calloc(3, 100);
    const most = (): Addr => a.dup(middle());
    for (let k = 0; k < 4; k++) small();
    middle();
    most();
    middle();
    const report = a.leakReport();
    expect(report.map((r) => [r.blocks, r.bytes])).toEqual([
      [3, 900],
      [1, 320], // all that may be used of the block
      [4, 40],
    ]);
    const places = report.map((r) => /^(\w+) \(.*block-checks\.test\.ts:\d+:\d+\)$/.exec(r.site)?.[1]);
    expect(places).toEqual(["middle", "most", "small"]);
  });

  it("leave the engine's limit of stack traces as it is", () => {
    const a = createAllocator({ maxMemory: 64 << 20, checks: true });
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 3;
    a.malloc(10);
    const left = Error.stackTraceLimit;
    Error.stackTraceLimit = stackTraceLimit;
    expect(left).toBe(3);
    expect(a.leakReport()[0]?.site).toContain("block-checks.test.ts");
  });

  it("fill all of a block, and nothing behind it", () => {
    const a = createAllocator({ maxMemory: 64 << 20, checks: true });
    const [p, q] = [a.malloc(60), a.malloc(64)];
    expect(q).toBe(p + 64);
    a.mem.kernel.fill(q, 1, 64);
    const r = a.realloc(p, 20);
    expect(a.mem.u8.slice(r, r + 24)).toEqual(new Uint8Array(24).fill(0xcd));
    expect(a.mem.u8.slice(p + 8, p + 65)).toEqual(Uint8Array.of(...new Array(56).fill(0xdb), 1));
    const big = a.malloc(40_000);
    expect([a.mem.u8[big], a.mem.u8[big + 40_959]]).toEqual([0xcd, 0xcd]);
    a.free(big);
    expect([a.mem.u8[big], a.mem.u8[big + 40_959]]).toEqual([0xdb, 0xdb]);
  });

  it("show as many bytes as were asked for, and the usable ones of another thread's block", () => {
    const a = createAllocator({ maxMemory: 64 << 20, checks: true });
    const p = a.malloc(60);
    expect(a.withView(p, Uint8Array, (view) => view.length)).toBe(60);
    expect(a.withView(p, Float64Array, (view) => view.length)).toBe(7);
    a.share();
    const b = createAllocator({ memory: a.mem, checks: true });
    expect(b.withView(p, Uint8Array, (view) => view.length)).toBe(64);
    expect(a.withView(p, Uint8Array, (view) => view.length)).toBe(60);
  });

  it("keep a block from being freed until the last of its views is gone, also if one throws", () => {
    const a = createAllocator({ maxMemory: 64 << 20, checks: true });
    const p = a.malloc(64);
    const refused = `allocator: free of a block inside withView (got 0x${p.toString(16)})`;
    a.withView(p, Uint8Array, () => {
      const inner = (): void => {
        throw new Error("inner");
      };
      expect(() => a.withView(p, Uint8Array, inner)).toThrow("inner");
      expect(() => a.free(p)).toThrow(new RangeError(refused));
    });
    a.free(p);
    expect(blocks(a)).toEqual([]);
  });

  it("forget a block that another thread frees, in each mode, and not the one that has its address next", () => {
    const a = createAllocator({ maxMemory: 64 << 20, checks: true });
    const first = a.malloc(64); // before the heap is shared
    a.share();
    const second = a.malloc(128);
    const b = createAllocator({ memory: a.mem, checks: true });
    for (const p of [first, second]) b.free(p);
    const again = b.malloc(64); // b's first, as the block there was a's first
    expect(again).toBe(first);
    expect([blocks(a), blocks(b)]).toEqual([[], [[1, 64]]]);
    b.free(again);
    const third = a.malloc(64);
    expect([blocks(a), blocks(b)]).toEqual([[[1, 64]], []]);
    // Another thread resizes it in place: what was asked for here stays.
    expect(b.realloc(third, 40)).toBe(third);
    expect(blocks(a)).toEqual([[1, 64]]);
    expect(a.realloc(third, 50)).toBe(third);
    expect(blocks(a)).toEqual([[1, 50]]);
    verifyHeap(a);
  });

  it("know a block by its serial number, too", () => {
    const a = createAllocator({ maxMemory: 64 << 20, checks: true });
    a.share();
    const p = a.malloc(64);
    const data = (a.findSpecial(p, SPECIAL_BLOCK) + SPECIAL_AT.data) >>> 2;
    expect(blocks(a)).toEqual([[1, 64]]);
    a.mem.u32[data] = 99; // another block's, of a thread that had the mcache before
    expect(blocks(a)).toEqual([]);
  });

  it("end in the fatal error where there is no memory for the record of a block that others may free", () => {
    const a = createAllocator({ maxMemory: 64 << 20, checks: true });
    a.malloc(64);
    a.share();
    a.mem.persistentAlloc = () => 0 as Addr;
    a.heap.specialalloc.alloc = () => 0;
    const error = failure(() => a.malloc(64));
    expect([error.message, error.detail]).toEqual([
      "runtime: out of memory",
      "runtime: cannot allocate the special of a checked block",
    ]);
  });
});
