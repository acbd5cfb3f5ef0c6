/**
 * Channel operations in every state of a channel, schedules on one P, and the fairness of select.
 * All rows and schedules apply. A closed channel of numbers gives undefined here, and 0 in the vectors.
 */

import { isRuntimeError } from "@gort/base";
import type { Chan } from "../src/chan-types.ts";
import { recv, recv2, send } from "../src/default.ts";
import { cap, close, len } from "../src/nil-chan.ts";
import type { Yieldable } from "../src/op.ts";
import { printpanicval } from "../src/panic.ts";
import type { G } from "../src/runtime2.ts";
import { defaultCase, recvCase, sendCase } from "../src/select-case.ts";
import { Mutex, WaitGroup } from "../src/sync/index.ts";
import { createTestScheduler, type TestScheduler, verifyScheduler } from "../src/testing.ts";
import { gStatus } from "../src/traceback.ts";
import { check, newResult, type Result } from "./result.ts";

interface State {
  name: string;
  cap: number;
  items?: number[];
  closed?: boolean;
  blocked_receivers?: number;
  blocked_senders?: number;
}

interface Row {
  state: string;
  op: string;
  outcome: string;
  value?: unknown;
  panic?: string;
  panic_type?: string;
  wait_reason?: string;
  len_after: number;
  cap_after: number;
  others?: string[];
}

interface Sched {
  name: string;
  chans: Record<string, number> | null;
  goroutines: Record<string, string[]>;
  log: string[];
  end: string;
}

interface Vectors {
  value_sent: number;
  states: State[];
  rows: Row[];
  select_fairness: Record<string, number | string>;
  schedules: Sched[];
}

type Body<T> = Generator<undefined, T, unknown>;
type C = Chan<number> | null;

function* each(c: C): Body<unknown> {
  if (c === null) {
    yield* recv(c);
    return undefined;
  }
  // The first turn of `for x := range c`.
  const r = yield* c.recv2();
  return r.ok ? ["item", r.value] : "ended";
}

function* theOperation(op: string, c: C, v: number): Body<unknown> {
  const zero = (x: number | undefined): number => x ?? 0;
  switch (op) {
    case "send":
      yield* send(c, v);
      return "sent";
    case "recv":
      return zero(yield* recv(c));
    case "recv2": {
      const r = yield* recv2(c);
      return [zero(r.value), r.ok];
    }
    case "close":
      close(c);
      return "closed";
    case "len":
      return len(c);
    case "cap":
      return cap(c);
    case "select_send":
      yield* select([sendCase(c, v)]);
      return "sent";
    case "select_recv":
      return zero((yield* select([recvCase(c)])).value);
    case "select_recv2": {
      const r = yield* select([recvCase(c)]);
      return [zero(r.value), r.ok];
    }
    case "select_send_default":
      return (yield* select([sendCase(c, v), defaultCase])).index === 0 ? "sent" : "default";
    case "select_recv_default": {
      const r = yield* select([recvCase(c), defaultCase]);
      return r.index === 0 ? zero(r.value) : "default";
    }
    case "select_recv2_default": {
      const r = yield* select([recvCase(c), defaultCase]);
      return r.index === 0 ? [zero(r.value), r.ok] : "default";
    }
    case "range_first":
      return yield* each(c);
    case "reflect_TrySend":
      return c === null ? false : c.trySend(v);
    case "reflect_TryRecv": {
      const r = c === null ? { received: false, ok: false, value: undefined } : c.tryRecv();
      return [r.received ? zero(r.value) : "no value", r.ok];
    }
    default:
      throw new Error(`unknown op ${op}`);
  }
}

/** Makes the channels of the vectors, of the given capacity. */
export type MakeChan = (s: TestScheduler, n: number) => Chan<number>;

let select: TestScheduler["select"];

function tryRow(state: State, op: string, v: number, makeChan: MakeChan): Omit<Row, "state" | "op"> {
  const s = createTestScheduler();
  select = (cases) => s.select(cases);
  return s.runMain(function* () {
    const c: C = state.cap >= 0 ? makeChan(s, state.cap) : null;
    const others: string[] = [];
    for (const x of state.items ?? []) yield* c!.send(x);
    for (let i = 0; i < (state.blocked_receivers ?? 0); i++) {
      s.go(function* () {
        try {
          const r = yield* c!.recv2();
          others.push(`receiver ${i} got ${r.value ?? 0} ${r.ok}`);
        } catch (e) {
          others.push(`receiver ${i} panics: ${printpanicval(e)}`);
        }
      });
      yield* s.sleep(2);
    }
    for (let i = 0; i < (state.blocked_senders ?? 0); i++) {
      s.go(function* () {
        try {
          yield* c!.send(101 + i);
          others.push(`sender ${i} done`);
        } catch (e) {
          others.push(`sender ${i} panics: ${printpanicval(e)}`);
        }
      });
      yield* s.sleep(2);
    }
    if (state.closed) c!.close();
    const r: Partial<Row> = { outcome: "blocks" };
    let g: G | null = null;
    s.go(function* () {
      g = s.getg();
      try {
        const value = yield* theOperation(op, c, v);
        r.outcome = "proceeds";
        r.value = value;
      } catch (e) {
        if (!isRuntimeError(e)) throw e;
        r.outcome = "panics";
        r.panic = e.message;
        r.panic_type = e.goType;
      }
    });
    yield* s.sleep(8);
    if (r.outcome === "blocks") r.wait_reason = gStatus(g!);
    verifyScheduler(s);
    r.len_after = len(c);
    r.cap_after = cap(c);
    if (others.length > 0) r.others = others.sort();
    return r as Row;
  });
}

/** Interprets the small programs of the schedules. */
function runSchedule(x: Sched, makeChan: MakeChan): { log: string[]; end: string } {
  const s = createTestScheduler();
  const log: string[] = [];
  const chans = new Map<string, C>();
  for (const [name, n] of Object.entries(x.chans ?? {})) chans.set(name, n < 0 ? null : makeChan(s, n));
  const mutexes = new Map<string, Mutex>();
  const mutex = (name: string): Mutex => {
    let m = mutexes.get(name);
    if (m === undefined) mutexes.set(name, (m = new Mutex()));
    return m;
  };
  const wg = new WaitGroup();
  function* run(g: string): Body<void> {
    for (const step of x.goroutines[g]) {
      const [op, name, ...rest] = step.split(" ");
      const c = chans.get(name) ?? null;
      let res = "";
      switch (op) {
        case "send":
          yield* send(c, Number(rest[0]));
          break;
        case "recv": {
          const r = yield* recv2(c);
          res = ` = ${r.value ?? 0} ${r.ok}`;
          break;
        }
        case "trysend":
          res = (c?.trySend(Number(rest[0])) ?? false) ? " = sent" : " = default";
          break;
        case "tryrecv": {
          const r = c?.tryRecv();
          res = r?.received ? ` = ${r.value ?? 0} ${r.ok}` : " = default";
          break;
        }
        case "sel": {
          const names = [name, ...rest];
          const r = yield* s.select(names.map((n) => recvCase(chans.get(n) ?? null)));
          res = ` = ${names[r.index]} ${r.value ?? 0} ${r.ok}`;
          break;
        }
        case "close":
          close(c);
          break;
        case "lock":
          yield* mutex(name).lock();
          break;
        case "unlock":
          mutex(name).unlock();
          break;
        case "add":
          wg.add(Number(name));
          break;
        case "done":
          wg.done();
          break;
        case "wait":
          yield* wg.wait();
          break;
        case "go":
          s.go(run, name);
          break;
        case "yield":
          yield* s.gosched();
          break;
        case "log":
          break;
        default:
          throw new Error(`unknown step ${step}`);
      }
      log.push(`${g}:${step}${res}`);
    }
  }
  let end = "done";
  try {
    s.runMain(function* () {
      yield* run("main");
      log.push("main returns");
    });
  } catch (e) {
    const fatal = (e as { kind?: string }).kind !== undefined;
    end = `${fatal ? "fatal error" : "panic"}: ${(e as Error).message} (exit status 2)`;
  }
  return { log: log.length === 0 ? [""] : log, end };
}

/** The least and the greatest share of n ready cases, relative to 1/n, rounded as in the vectors. */
function fairness(n: number, rounds: number, makeChan: MakeChan): { min: number; max: number } {
  const s = createTestScheduler({ seed: n });
  const hit = new Array<number>(n).fill(0);
  s.runMain(function* () {
    const chans = hit.map(() => makeChan(s, 1));
    for (const c of chans) yield* c.send(1);
    const cases = chans.map((c) => recvCase(c));
    for (let i = 0; i < rounds; i++) {
      const r = yield* s.select(cases);
      hit[r.index]++;
      yield* chans[r.index].send(1) as Yieldable<void>;
    }
  });
  const share = hit.map((h) => (h / rounds) * n);
  const round = (f: number) => Math.trunc(f * 10 + 0.5) / 10;
  return { min: round(Math.min(...share)), max: round(Math.max(...share)) };
}

export function run(vectors: unknown, makeChan: MakeChan = (s, n) => s.makeChan<number>(n)): Result {
  const v = vectors as Vectors;
  const r = newResult();
  const states = new Map(v.states.map((s) => [s.name, s]));
  for (const row of v.rows) {
    const { state, op, ...want } = row;
    const got = tryRow(states.get(state)!, op, v.value_sent, makeChan);
    check(r, `${state} ${op}`, sorted(got), sorted(want));
  }
  for (const x of v.schedules) {
    check(r, `schedule ${x.name}`, runSchedule(x, makeChan), { log: x.log, end: x.end });
  }
  for (const [key, share] of Object.entries(v.select_fairness)) {
    const m = /^of_(\d+)_(min|max)_share$/.exec(key);
    if (m === null) continue;
    const n = Number(m[1]);
    check(r, key, fairness(n, n * 10000, makeChan)[m[2] as "min" | "max"], share);
  }
  return r;
}

function sorted(o: object): unknown {
  return Object.fromEntries(Object.entries(o).sort(([a], [b]) => (a < b ? -1 : 1)));
}
