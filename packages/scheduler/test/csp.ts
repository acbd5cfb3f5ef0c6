/**
 * A model checker for channels and select. It runs small programs of up to four goroutines and two channels under every
 * order in which their operations can begin. After each step, every goroutine must be in the state that an independent
 * model gives it.
 *
 * The model has no queues of goroutines that hand over values. It keeps the waiting offers in order of arrival, and
 * applies four rules until none applies:
 *   - a value in the buffer goes to the oldest receive offer;
 *   - a send offer fills a free slot of the buffer;
 *   - with nothing in the buffer, the oldest send offer meets the oldest receive offer;
 *   - on a closed channel send offers fail, and receive offers end once the buffer is empty.
 */
import { isRuntimeError } from "@gort/base";
import fc from "fast-check";
import { expect } from "vitest";
import { type Chan, defaultCase, recvCase, type SelectCase, sendCase } from "../src/index.ts";
import type { TestScheduler } from "../src/testing.ts";

type Op =
  | { kind: "send"; c: number; v: number }
  | { kind: "recv"; c: number }
  | { kind: "close"; c: number }
  | { kind: "trySend"; c: number; v: number }
  | { kind: "tryRecv"; c: number }
  | { kind: "select"; cases: { c: number; v: number | null }[]; dflt: boolean };

export interface Program {
  caps: number[];
  goroutines: Op[][];
}

interface Offer {
  g: number;
  /** Position in a select, or -1. */
  index: number;
  /** Value to send; null for a receive. */
  v: number | null;
}

/** What a program runs on. */
export interface World {
  /** The scheduler of goroutine g. */
  scheduler(g: number): TestScheduler;
  /** Channel c, as goroutine g has it. */
  chan(c: number, g: number): Chan<number>;
  /** Runs all goroutines until none can run. */
  run(): void;
  /** Positions of the cases in which goroutine g (number `goid`) waits, in the order of the queues. */
  queued(g: number, goid: number): number[];
  /** Checks all invariants, and ends. */
  end(): void;
}

/** Makes what a program with channels of these capacities runs on. */
export type MakeWorld = (caps: readonly number[], seed: number) => World;

class Model {
  readonly buf: number[][];
  readonly closed: boolean[];
  readonly offers: Offer[][];
  /** For each goroutine: its results so far, and whether it waits with an open offer. */
  readonly log: string[][];
  readonly waiting: boolean[];
  private readonly caps: number[];

  constructor(p: Program) {
    this.caps = p.caps;
    this.buf = p.caps.map(() => []);
    this.closed = p.caps.map(() => false);
    this.offers = p.caps.map(() => []);
    this.log = p.goroutines.map(() => []);
    this.waiting = p.goroutines.map(() => false);
  }

  private done(o: Offer, result: string): void {
    this.log[o.g].push(o.index < 0 ? result : `case ${o.index} ${result}`);
    this.waiting[o.g] = false;
    for (const list of this.offers) {
      for (let i = list.length - 1; i >= 0; i--) if (list[i].g === o.g) list.splice(i, 1);
    }
  }

  private settle(): void {
    for (let again = true; again; ) {
      again = false;
      for (let c = 0; c < this.caps.length; c++) {
        const buf = this.buf[c];
        const recv = this.offers[c].find((o) => o.v === null);
        const send = this.offers[c].find((o) => o.v !== null);
        // A select may offer to send and to receive on one channel; it never meets itself.
        const pair = this.offers[c]
          .filter((o) => o.v === null)
          .map((r) => ({ r, s: this.offers[c].find((o) => o.v !== null && o.g !== r.g) }))
          .find((x) => x.s !== undefined);
        if (recv !== undefined && buf.length > 0) {
          this.done(recv, `got ${buf.shift()}`);
          again = true;
        } else if (recv !== undefined && this.closed[c]) {
          // Receivers before senders: a select that offers both takes its receive.
          this.done(recv, "end");
          again = true;
        } else if (send !== undefined && this.closed[c]) {
          this.done(send, "panic");
          again = true;
        } else if (send !== undefined && buf.length < this.caps[c]) {
          buf.push(send.v!);
          this.done(send, "sent");
          again = true;
        } else if (pair !== undefined) {
          const { r, s } = pair;
          this.done(r, `got ${s!.v}`);
          this.done(s!, "sent");
          again = true;
        }
      }
    }
  }

  /** Whether an offer on `c` would complete at once. */
  private ready(c: number, send: boolean, g: number): boolean {
    if (this.closed[c]) return true;
    if (send)
      return this.buf[c].length < this.caps[c] || this.offers[c].some((o) => o.v === null && o.g !== g);
    return this.buf[c].length > 0 || this.offers[c].some((o) => o.v !== null && o.g !== g);
  }

  /**
   * Begins an operation. The model leaves two choices open: `chosen` is the ready case that the program took, and
   * `queued` the order in which a waiting select entered the queues.
   */
  begin(g: number, op: Op, chosen: () => number, queued: () => number[]): void {
    switch (op.kind) {
      case "close":
        if (this.closed[op.c]) this.log[g].push("panic");
        else {
          this.closed[op.c] = true;
          this.log[g].push("closed");
        }
        break;
      case "trySend":
      case "tryRecv": {
        const send = op.kind === "trySend";
        if (!this.ready(op.c, send, g)) {
          this.log[g].push("default");
          break;
        }
        this.offer(op.c, { g, index: -1, v: send ? op.v : null });
        break;
      }
      case "select": {
        const able = op.cases.map((k) => this.ready(k.c, k.v !== null, g));
        if (able.includes(true)) {
          const i = chosen();
          if (!able[i]) throw new Error(`select of goroutine ${g} took case ${i}, which was not ready`);
          const k = op.cases[i];
          this.offer(k.c, { g, index: i, v: k.v });
        } else if (op.dflt) {
          this.log[g].push("default");
        } else {
          const order = queued();
          if (order.length !== op.cases.length) throw new Error(`select of goroutine ${g} waits in ${order}`);
          for (const i of order) this.offer(op.cases[i].c, { g, index: i, v: op.cases[i].v });
          this.waiting[g] = true;
        }
        break;
      }
      default:
        this.offer(op.c, { g, index: -1, v: op.kind === "send" ? op.v : null });
    }
    this.settle();
  }

  private offer(c: number, o: Offer): void {
    this.offers[c].push(o);
    this.waiting[o.g] = true;
  }
}

/**
 * Runs `p` with its operations begun in the order `order`. After that order it takes the first goroutine that can
 * continue, until none can. Returns the goroutines that could have continued at each step. After the same steps, the
 * same seed gives the same choices of select.
 */
function runOrder(p: Program, order: number[], seed: number, makeWorld: MakeWorld): number[][] {
  const world = makeWorld(p.caps, seed);
  const model = new Model(p);
  const gates = p.goroutines.map((_, g) => world.scheduler(g).makeChan<void>(1));
  const log: string[][] = p.goroutines.map(() => []);
  const begun = p.goroutines.map(() => 0);

  function* perform(g: number, op: Op): Generator<undefined, string, unknown> {
    const chans = p.caps.map((_, c) => world.chan(c, g));
    switch (op.kind) {
      case "send":
        yield* chans[op.c].send(op.v);
        return "sent";
      case "recv": {
        const r = yield* chans[op.c].recv2();
        return r.ok ? `got ${r.value}` : "end";
      }
      case "close":
        chans[op.c].close();
        return "closed";
      case "trySend":
        return chans[op.c].trySend(op.v) ? "sent" : "default";
      case "tryRecv": {
        const r = chans[op.c].tryRecv();
        return r.received ? (r.ok ? `got ${r.value}` : "end") : "default";
      }
      case "select": {
        const cases: SelectCase<number>[] = op.cases.map((k) =>
          k.v === null ? recvCase(chans[k.c]) : sendCase(chans[k.c], k.v),
        );
        const r = yield* world.scheduler(g).select(op.dflt ? [...cases, defaultCase] : cases);
        if (r.index === cases.length) return "default";
        const what = op.cases[r.index].v !== null ? "sent" : r.ok ? `got ${r.value}` : "end";
        return `case ${r.index} ${what}`;
      }
    }
  }

  const ids: number[] = [];
  for (const [g, ops] of p.goroutines.entries()) {
    ids[g] = world.scheduler(g).go(function* () {
      for (const op of ops) {
        yield* gates[g].recv();
        try {
          log[g].push(yield* perform(g, op));
        } catch (e) {
          if (!isRuntimeError(e)) throw e;
          // A panic does not say which case of the select caused it; the state of the channels does.
          log[g].push(op.kind === "select" ? "case panic" : "panic");
        }
      }
    }).id;
  }
  world.run();
  const enabled: number[][] = [];
  const able = () =>
    p.goroutines.map((_, g) => g).filter((g) => !model.waiting[g] && begun[g] < p.goroutines[g].length);
  for (let step = 0; ; step++) {
    enabled.push(able());
    const g = order[step] ?? enabled[step][0];
    if (g === undefined) break;
    order[step] = g;
    const op = p.goroutines[g][begun[g]++];
    gates[g].trySend();
    world.run();
    const last = log[g][log[g].length - 1] ?? "";
    const chosen = () => {
      const m = /^case (\d+)/.exec(last);
      if (m !== null) return Number(m[1]);
      const k = op.kind === "select" ? op.cases.findIndex((k) => k.v !== null && model.closed[k.c]) : -1;
      if (k < 0)
        throw new Error(`select of goroutine ${g} should have gone through, it shows ${last || "nothing"}`);
      return k;
    };
    model.begin(g, op, chosen, () => world.queued(g, ids[g]));
    const strip = (l: string[]) =>
      l.map((x) => (x.startsWith("case ") && x.endsWith("panic") ? "case panic" : x));
    const got = log.map(strip);
    const want = model.log.map(strip);
    if (JSON.stringify(got) !== JSON.stringify(want)) {
      expect(got, `order ${order.join(" ")} after ${step + 1} steps`).toEqual(want);
    }
  }
  world.end();
  return enabled;
}

/** Goes through all orders, or the first `max`. */
export function checkProgram(p: Program, seed: number, max: number, makeWorld: MakeWorld): number {
  const order: number[] = [];
  for (let runs = 1; ; runs++) {
    const enabled = runOrder(p, order, seed, makeWorld);
    if (runs >= max) return runs;
    // Step to the next order: at the last step with a later choice, take the next goroutine that could continue.
    for (;;) {
      const g = order.pop();
      if (g === undefined) return runs;
      const list = enabled[order.length];
      const next = list[list.indexOf(g) + 1];
      if (next !== undefined) {
        order.push(next);
        break;
      }
    }
  }
}

const chan = fc.integer({ min: 0, max: 1 });
const value = fc.integer({ min: 1, max: 9 });
const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("send" as const), c: chan, v: value }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("recv" as const), c: chan }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("close" as const), c: chan }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("trySend" as const), c: chan, v: value }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("tryRecv" as const), c: chan }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("select" as const),
      cases: fc.array(fc.record({ c: chan, v: fc.option(value) }), { minLength: 1, maxLength: 3 }),
      dflt: fc.boolean(),
    }),
  },
);
/** Random programs. */
export const program: fc.Arbitrary<Program> = fc.record({
  caps: fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 2 })),
  goroutines: fc.array(fc.array(op, { minLength: 1, maxLength: 3 }), { minLength: 2, maxLength: 4 }),
});

/** Programs that once were or might be wrong. */
export const programs: readonly Program[] = [
  {
    // A select offers to send and to receive on a channel that is closed then.
    caps: [0],
    goroutines: [
      [
        {
          kind: "select",
          cases: [
            { c: 0, v: 1 },
            { c: 0, v: null },
          ],
          dflt: false,
        },
      ],
      [{ kind: "close", c: 0 }],
    ],
  },
  {
    caps: [0, 1],
    goroutines: [
      [
        { kind: "send", c: 0, v: 1 },
        { kind: "send", c: 1, v: 2 },
      ],
      [
        { kind: "recv", c: 0 },
        { kind: "recv", c: 1 },
      ],
      [
        {
          kind: "select",
          cases: [
            { c: 0, v: null },
            { c: 1, v: 7 },
          ],
          dflt: false,
        },
      ],
    ],
  },
  {
    caps: [0, 0],
    goroutines: [
      [
        {
          kind: "select",
          cases: [
            { c: 0, v: 1 },
            { c: 1, v: null },
          ],
          dflt: false,
        },
      ],
      [
        {
          kind: "select",
          cases: [
            { c: 0, v: null },
            { c: 1, v: 2 },
          ],
          dflt: false,
        },
      ],
      [{ kind: "close", c: 0 }],
      [{ kind: "recv", c: 1 }],
    ],
  },
  {
    caps: [2, 0],
    goroutines: [
      [
        { kind: "send", c: 0, v: 1 },
        { kind: "send", c: 0, v: 2 },
        { kind: "send", c: 0, v: 3 },
      ],
      [
        { kind: "recv", c: 0 },
        { kind: "close", c: 0 },
      ],
      [
        { kind: "tryRecv", c: 0 },
        { kind: "trySend", c: 0, v: 9 },
      ],
    ],
  },
];
