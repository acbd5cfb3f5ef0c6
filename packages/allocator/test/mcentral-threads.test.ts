/**
 * The central lists under several threads are linearizable: the test records the begin and the end of every operation
 * on one clock. The history must be that of a set of spans whose operations are atomic, each at an instant between its
 * begin and its end.
 */
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { createAllocator, GC_MARK, GCCONTROL_AT, MSPAN_AT } from "../src/internal.ts";
import { collectWith, verifyHeap } from "../src/testing.ts";

// 2 is the removal of a certain span.
const POP = 0;
const PUSH = 1;
const NOT_REMOVED = 3;
const THREADS = 4;

interface Op {
  readonly thread: number;
  readonly op: number;
  readonly span: number;
  readonly begin: number;
  readonly end: number;
}

/** A time in which the span was certainly in the set. */
interface Stay {
  readonly from: number;
  readonly to: number;
}

/** Checks the history and returns the number of times that the set was found empty. */
function checkHistory(ops: readonly Op[], spans: readonly number[], heldAtEnd: ReadonlySet<number>): number {
  const stays = new Map<number, Stay[]>();
  for (const span of spans) {
    // A thread that took the span holds it at least from the end of the take to the begin of its next push.
    const holds: { take: Op; push: Op | undefined }[] = [];
    const current = new Map<number, { take: Op; push: Op | undefined }>();
    for (const o of ops) {
      if (o.span !== span || o.op === NOT_REMOVED) continue;
      const hold = current.get(o.thread);
      const holding = hold !== undefined && hold.push === undefined;
      if (holding !== (o.op === PUSH)) throw new Error(`span ${span}: ${JSON.stringify(o)} by ${o.thread}`);
      if (holding) hold.push = o;
      else {
        const next = { take: o, push: undefined };
        current.set(o.thread, next);
        holds.push(next);
      }
    }
    // These times never overlap, and from the end of a push to the begin of the next take it is in the set for certain.
    holds.sort((p, q) => p.take.end - q.take.end);
    const list: Stay[] = [];
    for (const [k, { take }] of holds.entries()) {
      const before = holds[k - 1];
      if (k > 0 && !(before?.push !== undefined && before.push.begin < take.end)) {
        throw new Error(
          `span ${span}: ${JSON.stringify(take)} while it was held by ${JSON.stringify(before)}`,
        );
      }
      const from = before?.push?.end ?? -1; // it was in the set at the start
      if (from < take.begin) list.push({ from, to: take.begin });
    }
    const last = holds.at(-1);
    const inSet = last === undefined || last.push !== undefined;
    expect(heldAtEnd.has(span), `span ${span} at the end`).toBe(!inSet);
    if (inSet) list.push({ from: last?.push?.end ?? -1, to: Number.POSITIVE_INFINITY });
    stays.set(span, list);
  }
  // "Empty" needs an instant at which no span was in the set for certain; "not there" one without that span.
  const all = [...stays.values()].flat().sort((p, q) => p.from - q.from);
  const covered = (sorted: readonly Stay[], o: Op): boolean => {
    let reached = o.begin;
    for (const stay of sorted) {
      if (stay.from > reached) break;
      if (stay.to > reached) reached = stay.to;
    }
    return reached >= o.end;
  };
  const empty = ops.filter((o) => o.op === POP && o.span === 0);
  for (const o of empty) {
    const near = all.filter((stay) => stay.from <= o.end && stay.to >= o.begin);
    if (covered(near, o)) throw new Error(`${JSON.stringify(o)} found nothing in a set that was never empty`);
  }
  for (const o of ops) {
    if (o.op === NOT_REMOVED && covered(stays.get(o.span) as Stay[], o)) {
      throw new Error(`${JSON.stringify(o)} missed a span that was there all the time`);
    }
  }
  return empty.length;
}

async function runThreads(seed: number, nspans: number, ops: number): Promise<number> {
  const a = createAllocator({ maxMemory: 64 << 20 });
  const spans: number[] = [];
  for (let p = a.mallocNoscan(1024); spans.length < nspans; p = a.mallocNoscan(1024)) {
    const s = a.spanOf(p);
    if (spans.at(-1) !== s) spans.push(s);
  }
  // One object in each, so that all are partial.
  const seen = new Set<number>();
  collectWith(a, (p) => {
    const s = a.spanOf(p);
    return spans.includes(s) && !seen.has(s) && !!seen.add(s);
  });
  const spanclass = a.mem.u32[(spans[0] + MSPAN_AT.spanclass) >>> 2];
  a.share();
  const [clock, gate] = [a.mem.reserveControl(64), a.mem.reserveControl(64)];
  const results = await Promise.all(
    Array.from({ length: THREADS }, (_, k) => {
      const worker = new Worker(new URL("workers/spans.mjs", import.meta.url), {
        workerData: {
          memory: a.mem.memory,
          spans,
          spanclass,
          clock,
          gate,
          threads: THREADS,
          ops,
          seed: seed + k,
        },
        execArgv: [],
      });
      return new Promise<{ log: Int32Array; held: number[] }>((resolve, reject) =>
        worker.once("message", resolve).once("error", reject),
      );
    }),
  );
  const history: Op[] = [];
  for (const [thread, { log }] of results.entries()) {
    for (let i = 0; i < log.length; i += 4) {
      history.push({ thread, op: log[i], span: log[i + 1], begin: log[i + 2], end: log[i + 3] });
    }
  }
  const held = results.flatMap((r) => r.held);
  expect(new Set(held).size).toBe(held.length); // no two threads share one
  const empty = checkHistory(history, spans, new Set(held));
  for (const s of held) a.central.push(a.central.partialSwept(spanclass), s);
  verifyHeap(a); // finds each span on its list, once
  const left = new Set<number>();
  for (let s = a.central.pop(a.central.partialSwept(spanclass), spanclass); s !== 0; ) {
    left.add(s);
    s = a.central.pop(a.central.partialSwept(spanclass), spanclass);
  }
  expect(left).toEqual(new Set(spans));
  return empty;
}

describe("central lists under four threads", () => {
  it("give each span to one thread at a time, lose none, and are empty only when they are", {
    timeout: 60_000,
  }, async () => {
    const seed = 1 + Math.floor(Math.random() * 2 ** 30);
    let empty = 0;
    try {
      empty += await runThreads(seed, 3, 12_000); // often empty
      await runThreads(seed + 9, 40, 12_000);
    } catch (err) {
      throw new Error(`seed ${seed}: ${(err as Error).message}`, { cause: err });
    }
    expect(empty).toBeGreaterThan(0);
  });

  it("is a check that finds a span handed out twice, a lost one, and a false empty", () => {
    const op = (thread: number, op: number, span: number, begin: number, end: number): Op => ({
      thread,
      op,
      span,
      begin,
      end,
    });
    const none = new Set<number>();
    expect(checkHistory([op(1, POP, 8, 0, 1), op(2, POP, 0, 1, 2), op(1, PUSH, 8, 2, 3)], [8], none)).toBe(1);
    const twice = [op(1, POP, 8, 0, 1), op(2, POP, 8, 2, 3), op(1, PUSH, 8, 4, 5)];
    expect(() => checkHistory(twice, [8], new Set([8]))).toThrow("while it was held");
    expect(() => checkHistory([op(1, POP, 8, 0, 1)], [8], none)).toThrow("at the end");
    expect(() => checkHistory([op(1, POP, 0, 0, 1)], [8], none)).toThrow("never empty");
    expect(() => checkHistory([op(1, NOT_REMOVED, 8, 0, 1)], [8], none)).toThrow("all the time");
    // Two spans that are in the set by turns.
    const turns = [op(1, POP, 9, 0, 1), op(1, PUSH, 9, 2, 3), op(1, POP, 8, 4, 5), op(2, POP, 0, 0, 6)];
    expect(() => checkHistory(turns, [8, 9], new Set([8]))).toThrow("never empty");
  });
});

describe("a mark phase in one thread", () => {
  it("loses no mark to allocation in another", { timeout: 60_000 }, async () => {
    const a = createAllocator({ maxMemory: 128 << 20 });
    const all: number[] = [];
    for (let i = 0; i < 300_000; i++) all.push(a.mallocNoscan(16));
    // Every other slot becomes free: each word of mark bits belongs to old objects and to new ones.
    const keep = new Set(all.filter((_, i) => i % 2 === 0));
    collectWith(a, (p) => keep.has(p));
    a.share();
    a.mem.u32[(a.gcControl + GCCONTROL_AT.gcPhase) >>> 2] = GC_MARK;
    const [gate, at] = [a.mem.reserveControl(64), a.mem.reserveControl(64)];
    const start = (role: string): Promise<Uint32Array | null> => {
      const worker = new Worker(new URL("workers/marking.mjs", import.meta.url), {
        workerData: { memory: a.mem.memory, role, survivors: [...keep], count: 140_000, gate, at },
        execArgv: [],
      });
      return new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
    };
    const [made] = await Promise.all([start("allocate"), start("mark")]);
    const unmarked = [...keep, ...(made as Uint32Array)].filter((p) => {
      const s = a.spanOf(p as never);
      const i = a.objIndex(s, p as never);
      const marks = a.mem.u32[(s + MSPAN_AT.gcmarkBits) >>> 2];
      return ((a.mem.u32[(marks >>> 2) + (i >>> 5)] >>> (i & 31)) & 1) === 0;
    });
    expect(unmarked).toEqual([]);
    verifyHeap(a);
  });
});
