/** Models of several Ms for the explorer: each body has a `Threads` object that is ready. */
import type { Addr, LinearMemory } from "@gort/memory";
import { ROOT_THREADS } from "@gort/memory/internal";
import { expect } from "vitest";
import { attachThreads, createThreads, type Threads } from "../src/index.ts";
import { INBOX_FLAGS, MREC, PREC, SCHED, SCHED_AT } from "../src/layout.ts";
import { type End, type Explored, explore, type Model, type Thread } from "./explore.ts";

/** Bytes of the words that the bodies share. */
const WORDS_BYTES = 256;
/** Records for nodes and tasks, and their bytes. */
const RECORDS = 320;
const RECORD_BYTES = 16;

/** What the body of an M has. */
export interface M {
  readonly t: Thread;
  /** Not there in a late M that has not attached yet. */
  readonly threads: Threads;
  /** Word k of those that the bodies share. Zero at the beginning. */
  word(k: number): number;
  /** Attaches a late M. */
  attach(): void;
  /** One of 320 records for nodes and tasks. */
  record(which: number): Addr;
}

/** Writes a shared word, in one step with the operation before. */
export function set({ t, word }: M, k: number, value: number): void {
  t.count(word(k), value - t.peek(word(k)));
}

export interface EndOfMs extends End {
  /** What a shared word holds. */
  word(k: number): number;
  /** The number of a record. */
  numberOf(record: number): number;
  /** Nodes in the inbox of an M, in the order of the posts. */
  nodesOf(m: number): number[];
}

export interface MsModel extends Omit<Model, "bodies" | "name" | "counter" | "shortLived" | "end"> {
  readonly gomaxprocs?: number;
  /** So many of the last Ms are only registered: their bodies call `attach`. */
  readonly late?: number;
  readonly ms: readonly ((m: M) => void)[];
  end(end: EndOfMs): void;
}

/** Explores Ms: M 0 makes the threads, the others attach. Each body calls `t.begin()` when it has prepared itself. */
export function exploreMs(model: MsModel): Explored {
  const n = model.ms.length;
  let words = 0;
  let records = 0;
  const bodies = model.ms.map((body, index) => (t: Thread) => {
    const m: { -readonly [K in keyof M]: M[K] } = {
      t,
      threads: undefined as unknown as Threads,
      word: (k) => words + 4 * k,
      record: (which) => (records + RECORD_BYTES * which) as Addr,
      attach() {
        m.threads = attachThreads(t.mem, index, t.host);
        t.state(m.threads);
      },
    };
    if (index === 0) {
      words = t.alloc(WORDS_BYTES);
      records = t.alloc(RECORDS * RECORD_BYTES);
      m.threads = createThreads(t.mem, model.gomaxprocs ?? n, t.host);
      t.state(m.threads);
      for (let k = 1; k < n; k++) m.threads.registerM();
    } else if (index < n - (model.late ?? 0)) {
      m.attach();
    }
    t.phase();
    body(m);
  });
  return explore({
    ...model,
    bodies,
    end: (end) =>
      model.end({
        ...end,
        word: (k) => end.mem.i32[(words + 4 * k) >>> 2],
        numberOf: (record) => (record - records) / RECORD_BYTES,
        nodesOf: (m) => nodesOf(end.mem, m),
      }),
    name: (mem, addr) => nameOf(mem, addr, words, records),
    counter: (mem) => mem.root(ROOT_THREADS) + SCHED_AT.wakes,
    // Threads.delivered is compared before and after a poll.
    shortLived: ["delivered"],
  });
}

function nodesOf(mem: LinearMemory, m: number): number[] {
  const word = (at: number): number => mem.u32[at >>> 2];
  const nodes: number[] = [];
  const rec = word(mem.root(ROOT_THREADS) + SCHED_AT.ms + 4 * m);
  let node = word(rec + MREC.offsets.inbox) & ~INBOX_FLAGS;
  for (; node !== 0; node = word(node)) nodes.unshift(node);
  return nodes;
}

/** Explores all of a model, which has to be small enough. */
export function exploreAll(model: MsModel): void {
  const { complete, states, ends } = exploreMs(model);
  if (process.env.EXPLORE_SIZES !== undefined) console.log(`${states} states, ${ends} ends`);
  expect(complete, `all of more than ${states} states`).toBe(true);
}

function nameOf(mem: LinearMemory, addr: number, words: number, records: number): string {
  if (addr >= words && addr < words + WORDS_BYTES) return `word ${(addr - words) / 4}`;
  if (addr >= records && addr < records + RECORDS * RECORD_BYTES) {
    const at = addr - records;
    return `record ${Math.floor(at / RECORD_BYTES)}+${at % RECORD_BYTES}`;
  }
  const sched = mem.root(ROOT_THREADS);
  const word = (at: number): number => mem.u32[at >>> 2];
  if (addr >= sched && addr < sched + SCHED.size) return fieldOf(SCHED.offsets, addr - sched);
  for (let k = 0; k < 256; k++) {
    const rec = word(sched + SCHED_AT.ms + 4 * k);
    if (rec !== 0 && addr >= rec && addr < rec + MREC.size)
      return `m${k}.${fieldOf(MREC.offsets, addr - rec)}`;
    const p = word(sched + SCHED_AT.ps + 4 * k);
    if (p !== 0 && addr >= p && addr < p + PREC.size) return `p${k}.${fieldOf(PREC.offsets, addr - p)}`;
  }
  return `0x${addr.toString(16)}`;
}

/** The field at an offset, as "ring+8" if it is a later element. */
function fieldOf(offsets: Record<string, number>, at: number): string {
  const fields = Object.entries(offsets).filter(([, offset]) => offset <= at);
  const [name, offset] = fields.reduce((best, field) => (field[1] >= best[1] ? field : best));
  return offset === at ? name : `${name}+${at - offset}`;
}
