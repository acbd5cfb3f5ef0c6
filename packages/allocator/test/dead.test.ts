/** Threads that end without close: what they held is taken over, or named if nothing can repair it. */
import { Worker } from "node:worker_threads";
import type { Addr } from "@gort/memory";
import { attachLinearMemory } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { isFatalError } from "../src/index.ts";
import {
  type Allocator,
  createAllocator,
  MCENTRAL,
  MHEAP_AT,
  newHeapStats,
  TINY_SPAN_CLASS,
} from "../src/internal.ts";
import { verifyHeap } from "../src/testing.ts";

interface Victim {
  readonly thread: number;
  /** The blocks it had in use. */
  readonly blocks: Addr[];
  end(): Promise<void>;
}

/** A worker with a full cache, which holds the lock at lockAt (0: none) and waits to be terminated. */
async function victim(a: Allocator, lockAt: number): Promise<Victim> {
  const thread = a.mem.registerThread();
  const worker = new Worker(new URL("workers/victim.mjs", import.meta.url), {
    workerData: { memory: a.mem.memory, thread, lockAt },
    execArgv: [],
  });
  const blocks = await new Promise<Addr[]>((resolve, reject) =>
    worker.once("message", resolve).once("error", reject),
  );
  return {
    thread,
    blocks,
    async end() {
      await worker.terminate();
    },
  };
}

function sharedHeap(): Allocator {
  const a = createAllocator({ maxMemory: 128 << 20 });
  a.share();
  return a;
}

function freeAll(a: Allocator, blocks: readonly Addr[]): void {
  for (const p of blocks) a.free(p);
  a.flushAll();
  verifyHeap(a);
  // The victim's tiny object is all that is left.
  expect(a.readStats(newHeapStats()).heapObjects).toBe(1);
}

describe("a thread that dies", () => {
  it("without a lock leaves nothing behind but what it had allocated", async () => {
    const a = sharedHeap();
    const v = await victim(a, 0);
    await v.end();
    a.threadExited(v.thread);
    verifyHeap(a);
    freeAll(a, v.blocks);
    a.threadExited(v.thread); // once more changes nothing
    const again = createAllocator({ memory: attachLinearMemory(a.mem.memory as never) });
    expect(again.id).not.toBe(a.id);
    expect(a.mem.u32[(a.mheap + MHEAP_AT.nmcaches) >>> 2]).toBe(2); // its mcache was used again
  });

  it("is noticed by a thread that watches its worker", async () => {
    const a = sharedHeap();
    const v = await victim(a, 0);
    let exit = (): void => {};
    a.watchWorker({ once: (_, listener) => void (exit = listener) }, v.thread);
    await v.end();
    exit();
    expect(a.mem.threadGone(v.thread)).toBe(true);
    freeAll(a, v.blocks);
  });

  // On other systems the end must be reported, as in the tests above.
  it.skipIf(process.platform !== "linux")(
    "is noticed on Linux by the next thread that attaches",
    async () => {
      const a = sharedHeap();
      const v = await victim(a, 0);
      await v.end();
      createAllocator({ memory: attachLinearMemory(a.mem.memory as never) });
      expect(a.mem.u32[(a.mheap + MHEAP_AT.nmcaches) >>> 2]).toBe(2);
      freeAll(a, v.blocks);
    },
  );

  const locks: readonly [name: string, offset: number, use: (a: Allocator) => void][] = [
    ["mheap", MHEAP_AT.lock, (a) => void a.mallocgc(1 << 20, 0, false)],
    [
      "mcentral",
      MHEAP_AT.central + TINY_SPAN_CLASS * MCENTRAL.size,
      (a) => a.central.push(a.central.partialSwept(TINY_SPAN_CLASS), a.heap.alloc(1, TINY_SPAN_CLASS)),
    ],
  ];
  for (const [name, offset, use] of locks) {
    it(`inside the lock ${name} ends in an error that names both, for a waiter and for threadExited`, async () => {
      const a = sharedHeap();
      const v = await victim(a, a.mheap + offset);
      await v.end();
      let error: unknown;
      try {
        a.threadExited(v.thread);
      } catch (err) {
        error = err;
      }
      expect(isFatalError(error)).toBe(true);
      expect(error).toMatchObject({
        message: `a thread ended while it held the lock ${name}`,
        detail: expect.stringContaining(`thread ${v.thread} held the lock ${name} at 0x`),
      });
      expect(() => use(a)).toThrow(
        new RegExp(`lock ${name} at 0x\\w+ is held by thread ${v.thread}, which has ended`),
      );
    });
  }
});

describe("numbers of threads", () => {
  it("come back when a worker closes its allocator, without a report", {
    timeout: 60_000,
  }, async () => {
    const a = sharedHeap();
    for (let k = 0; k < 507; k++) a.mem.registerThread(); // as many as a program with many workers has in use
    for (let k = 0; k < 10; k++) {
      const worker = new Worker(new URL("workers/visitor.mjs", import.meta.url), {
        workerData: { memory: a.mem.memory },
        execArgv: [],
      });
      const code = await new Promise((resolve, reject) => worker.once("exit", resolve).once("error", reject));
      expect(code).toBe(0);
    }
    expect(a.mem.u32[(a.mheap + MHEAP_AT.nmcaches) >>> 2]).toBe(2);
    verifyHeap(a);
  });
});
