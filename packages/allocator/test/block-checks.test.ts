/** What checks know of blocks that other threads free. (What they find in one thread: manual.test.ts.) */
import { Worker } from "node:worker_threads";
import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { type Allocator, createAllocator, type LeakRecord } from "../src/index.ts";
import { verifyHeap } from "../src/testing.ts";

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
  it("are no leaks of the thread that allocated them, whoever has their addresses next", async () => {
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

    // A view on what was there before keeps nobody from freeing what is there now.
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
