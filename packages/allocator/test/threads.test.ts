import { Worker } from "node:worker_threads";
import { type Addr, attachLinearMemory, createLinearMemory } from "@gort/memory";
import { ROOT_ALLOCATOR } from "@gort/memory/internal";
import { describe, expect, it } from "vitest";
import { type Allocator, type AllocatorOptions, createAllocator, newHeapStats } from "../src/index.ts";
import { MHEAP_AT, PAGE_SIZE, SPECIAL_CLEANUP } from "../src/layout.ts";
import { verifyHeap } from "../src/testing.ts";

const NMAILBOXES = 64;

// Workers can't load TypeScript: they run the built package.
function start(a: Allocator, more: object): { exit: Promise<number>; ids: number[] } {
  const worker = new Worker(new URL("workers/churn.mjs", import.meta.url), {
    workerData: { memory: a.mem.memory, ...more },
    execArgv: [],
  });
  const ids: number[] = [];
  worker.on("message", (m: { id?: number }) => {
    if (m.id !== undefined) ids.push(m.id);
  });
  const exit = new Promise<number>((resolve, reject) => worker.on("exit", resolve).on("error", reject));
  return { exit, ids };
}

function setUp(options: AllocatorOptions = {}): { a: Allocator; mailboxes: Addr } {
  const a = createAllocator({ maxMemory: 512 << 20, ...options });
  const mailboxes = a.mem.persistentAlloc(4 * NMAILBOXES, 64, "otherSys");
  a.share();
  return { a, mailboxes };
}

describe("several threads", () => {
  it("allocate, hand over and free blocks at once, and leave an exact heap", {
    timeout: 120_000,
  }, async () => {
    const seed = Math.floor(Math.random() * 2 ** 30) + 1;
    const { a, mailboxes } = setUp();
    const workers = [1, 2, 3, 4].map((k) =>
      start(a, { mailboxes, nmailboxes: NMAILBOXES, ops: 150_000, seed: seed * k }),
    );
    const codes = await Promise.all(workers.map((w) => w.exit));
    expect(codes, `seed ${seed}`).toEqual([0, 0, 0, 0]);
    for (let k = 0; k < NMAILBOXES; k++) {
      const p = a.mem.u32[(mailboxes >>> 2) + k] as Addr;
      if (p !== 0) a.free(p);
    }
    a.flushAll();
    verifyHeap(a);
    const st = a.readStats(newHeapStats());
    expect([st.heapObjects, st.heapAlloc, st.mallocs - st.frees], `seed ${seed}`).toEqual([0, 0, 0]);
    expect(st.mallocs).toBeGreaterThan(250_000);
    expect(st.stackInuse).toBe(0);
  });

  it("free in one thread what another allocated, with the order of locks checked", {
    timeout: 60_000,
  }, async () => {
    const seed = Math.floor(Math.random() * 2 ** 30) + 1;
    const { a, mailboxes } = setUp({ staticLockRanking: true });
    const workers = [1, 2].map((k) =>
      start(a, { mailboxes, nmailboxes: 4, ops: 30_000, seed: seed * k, staticLockRanking: true }),
    );
    const codes = await Promise.all(workers.map((w) => w.exit));
    expect(codes, `seed ${seed}`).toEqual([0, 0]);
    for (let k = 0; k < NMAILBOXES; k++) {
      const p = a.mem.u32[(mailboxes >>> 2) + k] as Addr;
      if (p !== 0) a.free(p);
    }
    a.flushAll();
    verifyHeap(a);
    expect(a.readStats(newHeapStats()).heapObjects, `seed ${seed}`).toBe(0);
  });

  it("find a memory without a heap at once: one makes the heap, and the others must wait until it is shared", {
    timeout: 60_000,
  }, async () => {
    const mems = Array.from({ length: 16 }, () => createLinearMemory({ maxMemory: 64 << 20 }));
    const workerData = {
      memories: mems.map((mem) => mem.memory),
      gates: mems.map((mem) => mem.reserveControl(64)),
      threads: 3,
    };
    const results = await Promise.all(
      Array.from({ length: workerData.threads }, () => {
        const worker = new Worker(new URL("workers/first.mjs", import.meta.url), {
          workerData,
          execArgv: [],
        });
        return new Promise<(number | string)[]>((resolve, reject) =>
          worker.once("message", resolve).once("error", reject),
        );
      }),
    );
    const refused =
      "allocator: memory has an allocator that was not shared: call its share() before attaching";
    for (const [k, mem] of mems.entries()) {
      const mcaches = results.map((list) => list[k]).filter((r) => r !== refused);
      const heap = mem.u32[mem.root(ROOT_ALLOCATOR) >>> 2];
      expect(mcaches, `memory ${k}`).toEqual([mem.u32[(heap + MHEAP_AT.mcaches) >>> 2]]);
      expect(mem.u32[(heap + MHEAP_AT.nmcaches) >>> 2]).toBe(1);
    }
  });

  it("list the specials of a span while others add and remove some", { timeout: 60_000 }, async () => {
    const { a } = setUp({ staticLockRanking: true });
    const all = Array.from({ length: 120 }, () => a.mallocNoscan(64));
    for (const p of all) a.addSpecial(p, SPECIAL_CLEANUP, 1 << 30);
    const threads = 2;
    const gate = a.mem.reserveControl(64);
    const ends = Array.from({ length: threads }, (_, id) => {
      const objects = all.filter((_, k) => k % threads === id);
      const worker = new Worker(new URL("workers/specials.mjs", import.meta.url), {
        workerData: { memory: a.mem.memory, all, objects, gate, threads, rounds: 150_000 },
        execArgv: [],
      });
      return new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
    });
    expect(await Promise.all(ends)).toEqual(["done", "done"]);
    const offsets: number[] = [];
    a.specialOffsets(a.spanOf(all[0]), SPECIAL_CLEANUP, offsets);
    expect(offsets).toEqual(all.map((p) => p - all[0]));
    verifyHeap(a);
  });

  describe("share the figures of the scavenger:", () => {
    async function run(a: Allocator, roles: string[], rounds: number): Promise<void> {
      const gate = a.mem.reserveControl(64);
      const ends = roles.map((role) => {
        const worker = new Worker(new URL("workers/scavenge.mjs", import.meta.url), {
          workerData: { memory: a.mem.memory, gate, threads: roles.length, rounds, role },
          execArgv: [],
        });
        return new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
      });
      await Promise.all(ends);
    }

    it("no thread's time is lost", { timeout: 60_000 }, async () => {
      const { a } = setUp();
      await run(a, ["time", "time", "time"], 200_000);
      expect(a.scavenger.backgroundNs).toBe(3 * 200_000 * 1e6);
    });

    it("pages that come back from a page cache do not stay stuck", { timeout: 60_000 }, async () => {
      const { a } = setUp();
      const rounds = 400_000;
      a.free(a.malloc(8 << 20));
      a.flushAll();
      const free = a.heap.counter("heapFree");
      // All of the free pages are stuck, and the limit is exceeded: each check of the limit looks at both figures.
      const stuck = (a.mheap + MHEAP_AT.stuckBytes) >>> 3;
      a.mem.f64[stuck] = free + rounds * PAGE_SIZE;
      a.scavenger.memoryLimit = 1;
      await run(a, ["limit", "unclaim"], rounds);
      expect(a.mem.f64[stuck]).toBe(0);
    });
  });

  it("get over one that dies: its mcache is recovered, what it had in use stays in use", {
    timeout: 60_000,
  }, async () => {
    const { a, mailboxes } = setUp();
    const w = start(a, { mailboxes, nmailboxes: 1, ops: 20_000, seed: 5, die: true });
    expect(await w.exit).toBe(3);
    const [id] = w.ids as [number];
    expect(a.recover(id)).toBe(true);
    expect(a.recover(id)).toBe(false);
    expect(a.recover(a.id)).toBe(false);
    a.flushAll();
    verifyHeap(a);
    expect(a.readStats(newHeapStats()).heapObjects).toBeGreaterThan(0);
    const again = createAllocator({ memory: attachLinearMemory(a.mem.memory as never) });
    expect(again.id).toBe(id); // the next thread takes it over
    again.close();
  });
});
