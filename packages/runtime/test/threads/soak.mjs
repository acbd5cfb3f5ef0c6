// A long life: `node soak.mjs SEED SECONDS`. Rounds of random work on several threads, each with a known result, while
// gomaxprocs changes, threads collect, and dumps, traces and statistics are taken. Prints the number of rounds.
import {
  int,
  int32,
  lockOSThread,
  makeChan,
  makeSlice,
  newObject,
  pointer,
  unlockOSThread,
} from "@gort/runtime";
import { count, plant, square, sum, Tree } from "./heap-tasks.mjs";
import { runtime } from "./kit.mjs";
import * as locks from "./lock-tasks.mjs";
import { randomFrom } from "./random.mjs";

const [, , seed = "1", seconds = "5"] = process.argv;
const random = randomFrom(Number(seed));
const rt = runtime({ gogc: 20 + random(100) });
const buf = new Uint8Array(1 << 18);

function* done(handles) {
  for (const g of handles) yield* g.done();
}

const times = (n, f) => Array.from({ length: n }, (_, i) => f(i));

/** A round gives what it has found and what is right, as texts. */
const rounds = {
  *sums() {
    const n = 1 + random(20);
    const numbers = makeSlice(int, 100 * n);
    for (let i = 0; i < numbers.length; i++) numbers.set(i, i);
    const sums = makeSlice(int, n);
    yield* done(times(n, (i) => rt.go(sum, numbers.slice(100 * i, 100 * i + 100), sums, i)));
    const total = [...sums].reduce((a, b) => a + b);
    return [total, (100 * n * (100 * n - 1)) / 2];
  },
  *pipeline() {
    const n = 20 + random(300);
    const numbers = makeChan(int, random(5));
    const squares = makeChan(int, random(5));
    const workers = times(1 + random(4), () => rt.go(square, numbers, squares));
    rt.go(function* () {
      for (let i = 1; i <= n; i++) yield* numbers.send(i);
      numbers.close();
      yield* done(workers);
      squares.close();
    });
    let total = 0;
    yield* squares.forEach(function* (x) {
      total += x;
    });
    return [total, (n * (n + 1) * (2 * n + 1)) / 6];
  },
  *trees() {
    const n = 1 + random(5);
    const depth = random(8);
    const forest = makeSlice(pointer(Tree), n);
    yield* done(times(n, (i) => rt.go(plant, forest, i, depth, 1 + random(20), random(4) === 0)));
    return [[...forest].map(count).join(), times(n, () => 2 ** (depth + 1) - 1).join()];
  },
  *mutex() {
    const account = newObject(locks.Account);
    const n = 1 + random(5);
    const each = random(500);
    yield* done(times(n, () => rt.go(locks.deposit, passed, account, each)));
    return [account.balance, n * each];
  },
  *rwMutex() {
    const pair = newObject(locks.Pair);
    const writers = times(1 + random(2), () => rt.go(locks.write, passed, pair, 50));
    const readers = times(random(4), () => rt.go(locks.read, passed, pair, 50));
    yield* done([...writers, ...readers]);
    return [[pair.a, pair.b, pair.unequal].join(), [50 * writers.length, 50 * writers.length, 0].join()];
  },
  *cond() {
    const buffer = newObject(locks.Buffer, { left: 60 });
    const producers = times(3, (i) => rt.go(locks.produce, passed, buffer, 20 * i + 1, 20 * i + 20));
    yield* done([...producers, ...times(1 + random(3), () => rt.go(locks.consume, passed, buffer))]);
    return [[buffer.sum, buffer.n, buffer.left].join(), "1830,0,0"];
  },
  *pointers() {
    const shared = newObject(locks.Shared);
    const n = 1 + random(4);
    yield* done(times(n, (i) => rt.go(locks.replace, passed, shared, 60, i)));
    const last = shared.node.load();
    const total = (60 * n * (60 * n + 1)) / 2;
    return [[shared.total.load() + BigInt(last.n), shared.broken.load()].join(), [total, 0].join()];
  },
};

/** What happens at the same time. */
const disturbances = [
  function* () {
    rt.gomaxprocs(1 + random(6));
  },
  function* () {
    rt.gc();
  },
  function* () {
    rt.stack(buf, true);
  },
  function* () {
    const m = rt.readMemStats();
    if (m.Mallocs < m.Frees) throw new Error(`${m.Mallocs} mallocs, ${m.Frees} frees`);
  },
  function* () {
    lockOSThread();
    yield* rt.gosched();
    unlockOSThread();
  },
  function* () {
    yield* rt.sleep(random(20));
  },
];

let passed;
const n = await rt.main(function* () {
  passed = newObject(int32, 100);
  const names = Object.keys(rounds);
  let n = 0;
  for (const end = performance.now() + 1000 * Number(seconds); performance.now() < end; n++) {
    const chosen = times(1 + random(3), () => names[random(names.length)]);
    let left = chosen.length;
    const all = rt.makeChan(3);
    for (const name of chosen) {
      rt.go(function* () {
        const [got, right] = yield* rounds[name]();
        if (String(got) !== String(right)) throw new Error(`round ${n}, ${name}: ${got}, not ${right}`);
        left--;
        yield* all.send(name);
      });
    }
    while (left > 0) {
      yield* disturbances[random(disturbances.length)]();
      yield* rt.gosched();
    }
    for (const _ of chosen) yield* all.recv();
  }
  return n;
});
const goroutines = rt.numGoroutine();
rt.close();
console.log(`${n > 0} ${goroutines}`);
if (process.env.TRACE) console.error(n);
