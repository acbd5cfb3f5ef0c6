// The rows of chan_select with the two sides on different threads: `node rows.mjs VECTORS SIDE`. SIDE "worker" performs
// the operation on a worker, and SIDE "main" on the main thread; the goroutines that have blocked before are on the
// other one. Rows of nil channels have no second side. Prints the rows that differ, and how many there were.
import { readFileSync } from "node:fs";
import { cap, int, len, lockOSThread, makeChan, makeSlice } from "@gort/runtime";
import { runtime } from "./kit.mjs";
import {
  BOOL,
  NOTHING,
  NUMBER,
  operate,
  operateTask,
  PAIR,
  PANIC,
  panics,
  TEXT,
  texts,
} from "./row-tasks.mjs";

const [, , file, side] = process.argv;
const { states, rows, value_sent: sent } = JSON.parse(readFileSync(file, "utf8"));
const rt = runtime();
const buf = new Uint8Array(1 << 16);
const decoder = new TextDecoder();

/** The wait reasons of all goroutines that wait in an operation of a channel. */
function blocked() {
  const text = decoder.decode(buf.subarray(0, rt.stack(buf, true)));
  return [...text.matchAll(/^goroutine \d+ \[((?:chan send|chan receive|select)[^\],]*)/gm)].map((m) => m[1]);
}

/** Waits until one more operation has ended, or waits. Returns whether it waits. */
function* settled(out, waiting) {
  for (const until = performance.now() + 10_000; performance.now() < until; ) {
    if (out.get(0) === 1) return false;
    if (blocked().length > waiting) return true;
    yield* rt.gosched();
  }
  throw new Error("an operation neither ends nor waits");
}

function decode(out) {
  const [, kind, a, b] = out;
  if (kind === NUMBER) return a;
  if (kind === PAIR) return [a, b === 1];
  if (kind === TEXT) return texts[a];
  if (kind === BOOL) return a === 1;
  if (kind === NOTHING) return undefined;
  return a < 0 ? ["item", b] : [texts[a], b === 1];
}

function start(onWorker, op, c, v) {
  const out = makeSlice(int, 4);
  const g = onWorker ? rt.go(operateTask, op, c, v, out) : rt.go(() => operate(op, c, v, out));
  return { g, out };
}

function result(out) {
  const [, kind, a, b] = out;
  if (kind !== PANIC) return { outcome: "proceeds", value: decode(out) };
  return { outcome: "panics", panic: panics[a], panic_type: b === 1 ? "runtime.plainError" : "another" };
}

function other(name, i, { out }) {
  if (out.get(0) === 0) return [];
  const r = result(out);
  if (r.outcome === "panics") return [`${name} ${i} panics: ${r.panic}`];
  return [name === "sender" ? `sender ${i} done` : `receiver ${i} got ${r.value[0]} ${r.value[1]}`];
}

/** `woken`: how many of the others the operation ends. */
function* tryRow(state, op, woken) {
  const c = makeChan(int, state.cap);
  for (const x of state.items ?? []) yield* c.send(x);
  const opOnWorker = side === "worker";
  const kinds = [
    ["receiver", "recv2", state.blocked_receivers ?? 0],
    ["sender", "send", state.blocked_senders ?? 0],
  ];
  const others = [];
  for (const [name, kind, n] of kinds) {
    for (let i = 0; i < n; i++) {
      const o = { name, i, ...start(!opOnWorker, kind, c, 101 + i) };
      if (!(yield* settled(o.out, others.length))) throw new Error(`${name} ${i} did not wait`);
      others.push(o);
    }
  }
  if (state.closed) c.close();
  const before = blocked().length;
  const one = start(opOnWorker, op, c, sent);
  const waits = yield* settled(one.out, before);
  const r = waits ? { outcome: "blocks", wait_reason: blocked().at(-1) } : result(one.out);
  // Those that the operation has woken may still run on the other thread.
  const done = () => others.flatMap((o) => other(o.name, o.i, o)).sort();
  for (const until = performance.now() + 10_000; done().length < woken && performance.now() < until; )
    yield* rt.gosched();
  const got = {
    ...r,
    len_after: len(c),
    cap_after: cap(c),
    others: done(),
  };
  // Ends those that still wait.
  if (!c.closed) c.close();
  for (const { g } of [one, ...others]) yield* g.done();
  return got;
}

const shared = rows.filter((row) => states.find((s) => s.name === row.state).cap >= 0);
await rt.main(function* () {
  lockOSThread();
  for (const { state: name, op, others = [], ...row } of shared) {
    const state = states.find((s) => s.name === name);
    const got = JSON.stringify(yield* tryRow(state, op, others.length));
    const { outcome, wait_reason, value, panic, panic_type, len_after, cap_after } = row;
    const wanted = JSON.stringify({
      outcome,
      ...(outcome === "blocks" ? { wait_reason } : outcome === "panics" ? { panic, panic_type } : { value }),
      len_after,
      cap_after,
      others,
    });
    if (got !== wanted) console.log(`${name} ${op}: ${got}, not ${wanted}`);
  }
});
console.log(shared.length);
