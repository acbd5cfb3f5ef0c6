// Two threads: the twin of go/threads.go. On one P, for comparison, the tasks are goroutines of one thread.
import {
  createRuntime,
  type Goroutine,
  type HeapChan,
  int,
  int32,
  newMemStats,
  type Runtime,
  uint8,
  uint32,
} from "@gort/runtime";
import type { Case } from "../child.ts";
import * as tasks from "../tasks.ts";
import { receive, transfer } from "./goroutines.ts";
import { APART, CHAN_BATCH } from "./sizes.ts";
import { TABLE_WORDS, wordBegin, wordTotals, writeText } from "./text.ts";
import { treesOf } from "./trees.ts";

/** Tasks among which a loop over an array is split. */
const THREADS = 2;
/** Tasks that count words: more than threads, so that a thread that is late gets fewer of them. */
const TEXT_PARTS = 16;
const MAX_DEPTH = 18;

type Body<R> = Generator<undefined, R, unknown>;

function* wait(all: readonly Goroutine[]): Body<void> {
  for (const g of all) yield* g.done();
}

/** Runs `body` in a goroutine that locks its thread, so that another thread runs its tasks. */
function besideWorker<R>(rt: Runtime, body: () => Body<R>): Promise<R> {
  return rt.main(function* () {
    rt.lockOSThread();
    return yield* body();
  });
}

/** Returns when a second thread runs. On one P none is started. */
export async function secondThread(rt: Runtime): Promise<void> {
  await besideWorker(rt, function* () {
    yield* rt.go(tasks.nothing).done();
  });
}

function splitCases(rt: Runtime): Record<string, Case> {
  const stats = newMemStats();

  const mallocs =
    (size: number): Case =>
    (n) =>
    async () => {
      const before = rt.readMemStats(stats).Mallocs;
      await rt.main(() =>
        wait(Array.from({ length: THREADS }, () => rt.go(tasks.allocateAll, n / THREADS, size))),
      );
      // A handful of objects may be the runtime's own.
      return String(Math.floor((rt.readMemStats(stats).Mallocs - before) / 100) * 100);
    };

  return {
    ParallelSum2: (n) => () =>
      rt.main(function* () {
        const sums = rt.makeSlice(int32, THREADS);
        const part = n / THREADS;
        yield* wait(
          Array.from({ length: THREADS }, (_, k) =>
            rt.go(tasks.sumHashes, k * part, (k + 1) * part, sums, k),
          ),
        );
        return String([...sums].reduce((sum, x) => (sum + x) | 0, 0));
      }),

    WordCount2: (n) => {
      const { memory } = rt;
      const text = rt.makeSlice(uint8, n);
      writeText(memory, text.$addr, n);
      return () =>
        rt.main(function* () {
          const counts = rt.makeSlice(uint32, TEXT_PARTS * TABLE_WORDS);
          const begin = (k: number): number =>
            wordBegin(memory, text.$addr, n, Math.floor((n / TEXT_PARTS) * k));
          yield* wait(
            Array.from({ length: TEXT_PARTS }, (_, k) =>
              rt.go(
                tasks.wordsOf,
                text.slice(begin(k), begin(k + 1)),
                counts.slice(k * TABLE_WORDS, (k + 1) * TABLE_WORDS),
              ),
            ),
          );
          return wordTotals(memory, counts.$addr, TEXT_PARTS);
        });
    },

    MallocTwoThreads16: mallocs(16),
    MallocTwoThreads1K: mallocs(1024),

    // The tasks make the short-lived trees, while the long-lived tree stays.
    BinaryTrees18P2: (n) => {
      const { node16, bottomUp, items } = treesOf(rt);
      const live = rt.unsafe.newRoot();
      return async () => {
        let total = 0;
        for (let i = 0; i < n; i++) {
          total += await rt.main(function* () {
            let sum = items(bottomUp(node16, MAX_DEPTH + 1));
            yield* rt.gosched();
            const longLived = bottomUp(node16, MAX_DEPTH);
            rt.unsafe.setRoot(live, longLived);
            const all: Goroutine[] = [];
            const nodes = rt.makeSlice(int32, MAX_DEPTH * THREADS);
            for (let depth = 4; depth <= MAX_DEPTH; depth += 4) {
              for (let k = 0; k < THREADS; k++) {
                const count = (1 << (MAX_DEPTH - depth + 4)) / THREADS;
                all.push(rt.go(tasks.makeTrees, depth, count, nodes, all.length));
              }
            }
            yield* wait(all);
            for (const count of nodes) sum += count;
            return sum + items(longLived);
          });
        }
        return String(total);
      };
    },
  };
}

function channelCases(rt: Runtime): Record<string, Case> {
  /** Two goroutines of one thread, and a channel that another thread may use. */
  const shared =
    (capacity: number): Case =>
    async (n) => {
      await secondThread(rt);
      return await transfer(rt, () => {
        const c = rt.makeChan(int, capacity);
        void c.$addr;
        return c;
      })(n);
    };

  const across =
    (capacity: number): Case =>
    (n) =>
    () =>
      besideWorker(rt, function* () {
        const c = rt.makeChan(int, capacity);
        rt.go(tasks.sendAll, c, n);
        return String(yield* receive(c, n));
      });

  return {
    HeapChanSharedUnbuffered: shared(0),
    HeapChanSharedBuffered100: shared(100),
    HeapChanAcrossThreads: across(0),
    HeapChanAcrossThreads100: across(100),

    HeapChanBatched: (n) => () =>
      besideWorker(rt, function* () {
        const c = rt.makeChan(int, 1000);
        rt.go(tasks.sendBatches, c, n);
        return String(yield* receiveBatches(rt, c, n));
      }),

    WakeRoundTrip: (n) => () =>
      besideWorker(rt, function* () {
        const ping = rt.makeChan(int);
        const pong = rt.makeChan(int);
        rt.go(tasks.echo, ping, pong, n);
        let sum = 0;
        for (let i = 0; i < n; i++) {
          yield* ping.send(i);
          sum += (yield* pong.recv())! & 0xffff;
        }
        return String(sum);
      }),

    AtomicRoundTrip: (n) => () =>
      besideWorker(rt, function* () {
        const words = rt.makeSlice(int32, 2 * APART);
        const { i32 } = rt.memory;
        const at = words.$addr >>> 2;
        const other = rt.go(tasks.mirror, words, n);
        for (let i = 1; i <= n; i++) {
          Atomics.store(i32, at, i);
          while (Atomics.load(i32, at + APART) !== i);
        }
        yield* other.done();
        return String(words.get(APART));
      }),
  };
}

/** Receives n integers in batches. */
function* receiveBatches(rt: Runtime, c: HeapChan<typeof int>, n: number): Body<number> {
  const batch = rt.makeSlice(int, CHAN_BATCH);
  let sum = 0;
  for (let i = 0; i < n; ) {
    const got = yield* c.recvInto(batch);
    for (let k = 0; k < got; k++) sum += batch.get(k) & 0xffff;
    i += got;
  }
  return sum;
}

/** Starts a runtime and its first worker, and ends them. */
async function workerReady(): Promise<string> {
  const rt = createRuntime({ gomaxprocs: 2 });
  await secondThread(rt);
  rt.close();
  return "1";
}

export function threadCases(rt: Runtime): Record<string, Case> {
  return {
    ...splitCases(rt),
    ...channelCases(rt),
    WorkerReady: () => workerReady,
  };
}
