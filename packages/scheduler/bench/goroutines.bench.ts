/**
 * What goroutines, channels, select, mutexes and stack dumps cost, in ns an operation, on the built package. The names
 * are those of the repository's benchmarks, which measure Go beside them.
 *
 *     pnpm build && node bench/goroutines.bench.ts [REGEX]      (Node 22.18 or later)
 *
 * ROUNDS in the environment sets the number of rounds, 7 by default. Printed: median and minimum.
 */
import { type Chan, createScheduler, recvCase, type Scheduler } from "@gort/scheduler";
import { goroutineText, gStack } from "@gort/scheduler/internal";
import { Mutex } from "@gort/scheduler/sync";

/** Runs a benchmark's operation `n` times. */
type Body = (s: Scheduler, n: number) => Generator<undefined, void, unknown>;

interface Case {
  name: string;
  /** Operations in a round. */
  n: number;
  body: Body;
}

function check<T>(got: T, want: T): void {
  if (got !== want) throw new Error(`got ${got}, want ${want}`);
}

let count = 0;
function* tiny() {
  count++;
}

function* goroutineSpawn(s: Scheduler, n: number) {
  count = 0;
  for (let i = 0; i < n; i++) {
    s.go(tiny);
    if (i % 100 === 99) yield* s.gosched();
  }
  while (count < n) yield* s.gosched();
}

function* gosched(s: Scheduler, n: number) {
  for (let i = 0; i < n; i++) yield* s.gosched();
}

function* gosched2(s: Scheduler, n: number) {
  const other = s.go(function* () {
    for (let i = 0; i < n / 2; i++) yield* s.gosched();
  });
  for (let i = 0; i < n / 2; i++) yield* s.gosched();
  yield* other.done();
}

function chan(cap: number): Body {
  return function* (s, n) {
    const c = s.makeChan<number>(cap);
    s.go(function* () {
      for (let i = 0; i < n; i++) yield* c.send(i & 1023);
      c.close();
    });
    let sum = 0;
    for (let i = 0; i < n; i++) sum += (yield* c.recv()) ?? 0;
    check(sum > 0, true);
  };
}

function* chanBuffered100Try(s: Scheduler, n: number) {
  const c = s.makeChan<number>(100);
  s.go(function* () {
    for (let i = 0; i < n; i++) c.trySend(i & 1023) || (yield* c.send(i & 1023));
    c.close();
  });
  let sum = 0;
  for (let i = 0; i < n; i++) {
    const r = c.tryRecv();
    sum += (r.received ? r.value : yield* c.recv()) ?? 0;
  }
  check(sum > 0, true);
}

function* pingPong(s: Scheduler, n: number) {
  const a = s.makeChan<number>();
  const b = s.makeChan<number>();
  s.go(function* () {
    for (let i = 0; i < n; i++) yield* b.send((yield* a.recv()) ?? -1);
  });
  for (let i = 0; i < n; i++) {
    yield* a.send(i & 1023);
    check(yield* b.recv(), i & 1023);
  }
}

function selectOf(k: number): Body {
  return function* (s, n) {
    const cs: Chan<number>[] = [];
    for (let i = 0; i < k; i++) cs.push(s.makeChan<number>());
    s.go(function* () {
      for (let i = 0; i < n; i++) yield* cs[i % k].send(i & 1023);
    });
    const cases = cs.map((c) => recvCase(c));
    let sum = 0;
    for (let i = 0; i < n; i++) sum += (yield* s.select(cases)).value ?? 0;
    check(sum > 0, true);
  };
}

function* mutexUncontended(_s: Scheduler, n: number) {
  const m = new Mutex();
  for (let i = 0; i < n; i++) {
    m.tryLock() || (yield* m.lock());
    m.unlock();
  }
}

function* mutexUncontendedOp(_s: Scheduler, n: number) {
  const m = new Mutex();
  for (let i = 0; i < n; i++) {
    yield* m.lock();
    m.unlock();
  }
}

function* stackDump32(s: Scheduler, n: number) {
  const c = s.makeChan<number>();
  function* deep(d: number): Generator<undefined, void, unknown> {
    if (d === 0) yield* c.recv();
    else yield* deep(d - 1);
  }
  const id = s.go(deep, 31).id;
  yield* s.gosched();
  s.forEachG((g) => {
    if (g.goid !== id) return;
    for (let i = 0; i < n; i++) check(goroutineText(g, gStack(g)).length > 1000, true);
  });
}

/** The whole sieve counts as one operation. */
function* primeSieve1000(s: Scheduler) {
  function* filter(input: Chan<number>, out: Chan<number>, prime: number) {
    for (;;) {
      const i = (yield* input.recv()) ?? 0;
      if (i % prime !== 0) yield* out.send(i);
    }
  }
  let ch = s.makeChan<number>();
  s.go(function* (out) {
    for (let i = 2; ; i++) yield* out.send(i);
  }, ch);
  let prime = 0;
  for (let i = 0; i < 1000; i++) {
    prime = (yield* ch.recv()) ?? 0;
    const next = s.makeChan<number>();
    s.go(filter, ch, next, prime);
    ch = next;
  }
  check(prime, 7919);
}

const N = 300_000;
const cases: Case[] = [
  { name: "GoroutineSpawn", n: N, body: goroutineSpawn },
  { name: "Gosched", n: N, body: gosched },
  { name: "Gosched2", n: N, body: gosched2 },
  { name: "ChanUnbuffered", n: N, body: chan(0) },
  { name: "ChanBuffered100", n: N, body: chan(100) },
  { name: "ChanBuffered100Try", n: N, body: chanBuffered100Try },
  { name: "PingPong", n: N, body: pingPong },
  { name: "Select2", n: N, body: selectOf(2) },
  { name: "Select4", n: N, body: selectOf(4) },
  { name: "MutexUncontended", n: N, body: mutexUncontended },
  { name: "MutexUncontendedOp", n: N, body: mutexUncontendedOp },
  { name: "StackDump32", n: 300, body: stackDump32 },
  { name: "PrimeSieve1000", n: 1, body: primeSieve1000 },
];

async function measure({ n, body }: Case): Promise<number> {
  const s = createScheduler();
  const ns = await s.main(function* () {
    const t = performance.now();
    yield* body(s, n);
    return ((performance.now() - t) * 1e6) / n;
  });
  s.close();
  return ns;
}

const only = new RegExp(process.argv[2] ?? ".");
const rounds = Number(process.env.ROUNDS ?? 7);
const chosen = cases.filter((c) => only.test(c.name)).map((c) => ({ ...c, results: [] as number[] }));
for (let round = 0; round < rounds; round++) {
  for (const c of chosen) c.results.push(await measure(c));
}
for (const { name, results } of chosen) {
  results.sort((a, b) => a - b);
  console.log(`${name.padEnd(22)} ${results[rounds >> 1].toFixed(1)} ns (min ${results[0].toFixed(1)})`);
}
