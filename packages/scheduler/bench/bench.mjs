/**
 * What goroutines and channels cost, in ns an operation. Run on the built package: `node bench/bench.mjs [REGEX]`.
 * Names are those of the repository's benchmarks, which put Go beside them.
 */
import { createScheduler, recvCase } from "../dist/index.js";
import { goroutineText, gStack } from "../dist/internal.js";
import { Mutex } from "../dist/sync.js";

const only = new RegExp(process.argv[2] ?? ".");
const rounds = Number(process.env.ROUNDS ?? 7);
const results = new Map();

async function bench(name, n, body) {
  if (!only.test(name)) return;
  const s = createScheduler();
  const list = results.get(name) ?? [];
  results.set(name, list);
  const ns = await s.main(function* () {
    const t = performance.now();
    yield* body(s, n);
    return ((performance.now() - t) * 1e6) / n;
  });
  s.close();
  list.push(ns);
}

function check(got, want) {
  if (got !== want) throw new Error(`got ${got}, want ${want}`);
}

let count = 0;
function* tiny() {
  count++;
}

for (let round = 0; round < rounds; round++) {
  const n = 300_000;
  await bench("GoroutineSpawn", n, function* (s, n) {
    count = 0;
    for (let i = 0; i < n; i++) {
      s.go(tiny);
      if (i % 100 === 99) yield* s.gosched();
    }
    while (count < n) yield* s.gosched();
  });
  await bench("Gosched", n, function* (s, n) {
    for (let i = 0; i < n; i++) yield* s.gosched();
  });
  await bench("Gosched2", n, function* (s, n) {
    const other = s.go(function* () {
      for (let i = 0; i < n / 2; i++) yield* s.gosched();
    });
    for (let i = 0; i < n / 2; i++) yield* s.gosched();
    yield* other.done();
  });
  for (const [name, cap] of [
    ["ChanUnbuffered", 0],
    ["ChanBuffered100", 100],
  ]) {
    await bench(name, n, function* (s, n) {
      const c = s.makeChan(cap);
      s.go(function* () {
        for (let i = 0; i < n; i++) yield* c.send(i & 1023);
        c.close();
      });
      let sum = 0;
      for (let i = 0; i < n; i++) sum += yield* c.recv();
      check(sum > 0, true);
    });
  }
  await bench("ChanBuffered100Try", n, function* (s, n) {
    const c = s.makeChan(100);
    s.go(function* () {
      for (let i = 0; i < n; i++) c.trySend(i & 1023) || (yield* c.send(i & 1023));
      c.close();
    });
    let sum = 0;
    for (let i = 0; i < n; i++) {
      const r = c.tryRecv();
      sum += r.received ? r.value : yield* c.recv();
    }
    check(sum > 0, true);
  });
  await bench("PingPong", n, function* (s, n) {
    const a = s.makeChan();
    const b = s.makeChan();
    s.go(function* () {
      for (let i = 0; i < n; i++) yield* b.send(yield* a.recv());
    });
    for (let i = 0; i < n; i++) {
      yield* a.send(i & 1023);
      check(yield* b.recv(), i & 1023);
    }
  });
  for (const k of [2, 4]) {
    await bench(`Select${k}`, n, function* (s, n) {
      const cs = [];
      for (let i = 0; i < k; i++) cs.push(s.makeChan());
      s.go(function* () {
        for (let i = 0; i < n; i++) yield* cs[i % k].send(i & 1023);
      });
      const cases = cs.map((c) => recvCase(c));
      let sum = 0;
      for (let i = 0; i < n; i++) sum += (yield* s.select(cases)).value;
      check(sum > 0, true);
    });
  }
  await bench("MutexUncontended", n, function* () {
    const m = new Mutex();
    for (let i = 0; i < n; i++) {
      m.tryLock() || (yield* m.lock());
      m.unlock();
    }
  });
  await bench("MutexUncontendedOp", n, function* () {
    const m = new Mutex();
    for (let i = 0; i < n; i++) {
      yield* m.lock();
      m.unlock();
    }
  });
  await bench("StackDump32", 300, function* (s, n) {
    const c = s.makeChan();
    function* deep(d) {
      if (d === 0) yield* c.recv();
      else yield* deep(d - 1);
    }
    s.go(deep, 31);
    yield* s.gosched();
    let g;
    s.forEachG((x) => {
      if (x.goid !== 1) g = x;
    });
    for (let i = 0; i < n; i++) check(goroutineText(g, gStack(g)).length > 1000, true);
  });
  // The whole sieve counts as one operation.
  await bench("PrimeSieve1000", 1, function* (s) {
    function* filter(input, out, prime) {
      for (;;) {
        const i = yield* input.recv();
        if (i % prime !== 0) yield* out.send(i);
      }
    }
    let ch = s.makeChan();
    s.go(function* (out) {
      for (let i = 2; ; i++) yield* out.send(i);
    }, ch);
    let prime = 0;
    for (let i = 0; i < 1000; i++) {
      prime = yield* ch.recv();
      const next = s.makeChan();
      s.go(filter, ch, next, prime);
      ch = next;
    }
    check(prime, 7919);
  });
}

for (const [name, list] of results) {
  list.sort((a, b) => a - b);
  console.log(`${name.padEnd(22)} ${list[list.length >> 1].toFixed(1)} ns (min ${list[0].toFixed(1)})`);
}
