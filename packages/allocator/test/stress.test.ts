/** Threads that do all at once what a program by hand may do, and die at random instants. */
import { Worker } from "node:worker_threads";
import { type Addr, attachLinearMemory } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { type Allocator, createAllocator, isFatalError, newHeapStats } from "../src/index.ts";
import { HeapReader } from "../src/internal.ts";
import { verifyHeap } from "../src/testing.ts";

const NMAILBOXES = 32;
const HELD_A_LOCK = /^a thread ended while it held the lock|is held by thread \d+, which has ended/;

/** Rounds to run; more in a long run by hand. */
const ROUNDS = Number(process.env.GORT_STRESS_ROUNDS ?? 4);

interface Storm {
  readonly a: Allocator;
  readonly seed: number;
  readonly random: (n: number) => number;
  readonly mailboxes: Addr;
  readonly stop: Addr;
  /** Threads that were terminated and taken over. */
  killed: number;
  /** The error of a thread that died under a lock. */
  lock: string | undefined;
}

function start(storm: Storm): {
  worker: Worker;
  thread: number;
  exit: Promise<void>;
  started: Promise<void>;
} {
  const { a } = storm;
  const thread = a.mem.registerThread();
  const worker = new Worker(new URL("workers/storm.mjs", import.meta.url), {
    workerData: {
      memory: a.mem.memory,
      thread,
      mailboxes: storm.mailboxes,
      nmailboxes: NMAILBOXES,
      stop: storm.stop,
      seed: 1 + storm.random(2 ** 30),
      staticLockRanking: true,
    },
    execArgv: [],
  });
  const exit = new Promise<void>((resolve, reject) => {
    worker.once("exit", () => resolve());
    // A thread that died under a lock ends the others when they want the lock.
    worker.once("error", (err) => {
      if (HELD_A_LOCK.test(err.message)) storm.lock ??= err.message;
      else reject(err);
    });
  });
  exit.catch(() => {});
  const started = new Promise<void>((resolve, reject) => {
    worker.once("message", () => resolve());
    exit.then(() => resolve(), reject);
  });
  return { worker, thread, exit, started };
}

/** Kills the thread at this moment, and takes its mcache over. */
async function kill(storm: Storm, { worker, thread }: ReturnType<typeof start>): Promise<void> {
  await worker.terminate();
  try {
    storm.a.threadExited(thread);
    storm.killed++;
  } catch (err) {
    if (!isFatalError(err) || !HELD_A_LOCK.test(err.message)) throw err;
    storm.lock ??= err.message;
  }
}

/** Checks the heap. Each killed thread may have lost the one block that it had at hand: see recovery.ts. */
function verify({ a, killed }: Storm): void {
  try {
    verifyHeap(a);
  } catch (err) {
    const { message } = err as Error;
    const [, n, m] = /^verifyHeap: .* (?:is|has) (\d+)(?:, should be| mark bits,) (\d+)/.exec(message) ?? [];
    const lost = Math.abs(Number(m) - Number(n));
    if (!(/heapObjects|mark bits/.test(message) && lost <= killed)) throw err;
  }
}

async function round(storm: Storm, threads: number, kills: number): Promise<void> {
  const { a, random } = storm;
  const workers = Array.from({ length: threads }, () => start(storm));
  await Promise.all(workers.map((w) => w.started));
  const reader = new HeapReader(attachLinearMemory(a.mem.memory as never));
  const stats = newHeapStats();
  for (let k = 0; k < kills + 1 && storm.lock === undefined; k++) {
    await new Promise((resolve) => setTimeout(resolve, random(300)));
    reader.readStats(stats);
    expect(stats.heapAlloc).toBeLessThanOrEqual(stats.heapInuse);
    expect(stats.mallocs - stats.frees).toBe(stats.heapObjects);
    if (k === kills) break;
    await kill(storm, workers.splice(random(workers.length), 1)[0]);
    const next = start(storm); // which takes the mcache over, perhaps
    workers.push(next);
    await next.started;
  }
  a.mem.kernel.store(storm.stop, 1);
  await Promise.all(workers.map((w) => w.exit));
  if (storm.lock !== undefined) return; // the heap can't be used any more, and said so
  for (let k = 0; k < NMAILBOXES; k++) {
    const p = a.mem.u32[(storm.mailboxes >>> 2) + k] as Addr;
    if (p !== 0) a.free(p);
  }
  a.flushAll();
  verify(storm);
}

describe("2 to 8 threads in a small memory", () => {
  for (let r = 0; r < ROUNDS; r++) {
    const seed = 1 + Math.floor(Math.random() * 2 ** 30);
    it(`leave a heap in order, or a lock that names the thread that died in it (seed ${seed})`, {
      timeout: 120_000,
    }, async () => {
      let x = seed;
      const random = (n: number): number => {
        x ^= x << 13;
        x ^= x >>> 17;
        x ^= x << 5;
        return (x >>> 0) % n;
      };
      const a = createAllocator({ maxMemory: (64 + random(64)) << 20, staticLockRanking: true, seed });
      const mailboxes = a.mem.persistentAlloc(4 * NMAILBOXES, 64, "otherSys");
      const stop = a.mem.reserveControl(64);
      if (random(2) === 0) a.scavenger.memoryLimit = 48 << 20;
      a.share();
      const storm: Storm = { a, seed, random, mailboxes, stop, killed: 0, lock: undefined };
      const kills = r % 2 === 0 ? 0 : 1 + random(6);
      await round(storm, 2 + random(7), kills);
      if (kills === 0) {
        expect(storm.lock).toBeUndefined();
        a.flushAll();
        verifyHeap(a);
      }
    });
  }
});
